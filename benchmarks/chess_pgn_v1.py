"""The published table of chess-pgn-v1: as many SAEs as othello-v1's, on twice the positions.

    boardsae sweep benchmarks/chess_pgn_v1.py
    boardsae score results/chess-pgn-v1
    boardsae leaderboard --write

The coefficients are those of othello-v1's sweep, and calibrated no better.
"""

from othello_v1 import SPARSITIES

from boardsae.grid import published

SPECS = published("chess-pgn-v1", SPARSITIES, d_sae=4096, rows=100_000_000)
