"""The published table of othello-v2: the SAEs of othello-v1's, on a model that knows more of the board.

    boardsae sweep benchmarks/othello_v2.py
    boardsae score results/othello-v2
    boardsae leaderboard --write

The coefficients are those of othello-v1's sweep, and calibrated no better.
"""

from othello_v1 import SIZE, SPARSITIES

from boardsae.grid import published

SPECS = published("othello-v2", SPARSITIES, **SIZE)
