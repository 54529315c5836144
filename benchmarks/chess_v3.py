"""The published table of chess-v3: runs of the size of the Othello tables.

    boardsae sweep benchmarks/chess_v3.py
    boardsae score results/chess-v3
    boardsae leaderboard --write

The coefficients are those of 6x6 Othello, and not yet calibrated for chess.
"""

from othello6_v1 import SIZE, SPARSITIES

from boardsae.grid import published

SPECS = published("chess-v3", SPARSITIES, **SIZE)
