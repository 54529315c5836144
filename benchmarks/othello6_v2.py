"""The published table of othello6-v2: the runs of othello6-v1's table on the better model.

    boardsae sweep benchmarks/othello6_v2.py
    boardsae score results/othello6-v2
    boardsae leaderboard --write

The same sizes and coefficients, with which the SAEs of both models end at much the same L0s.
"""

from othello6_v1 import SIZE, SPARSITIES

from boardsae.grid import published

SPECS = published("othello6-v2", SPARSITIES, **SIZE)
