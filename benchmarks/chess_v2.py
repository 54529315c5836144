"""The published table of chess-v2: as many SAEs of the same size as othello-v1's.

    boardsae sweep benchmarks/chess_v2.py
    boardsae score results/chess-v2
    boardsae leaderboard --write

The coefficients are those of othello-v1's sweep, and calibrated no better.
"""

from othello_v1 import SIZE, SPARSITIES

from boardsae.grid import published

SPECS = published("chess-v2", SPARSITIES, **SIZE)
