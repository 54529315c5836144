"""Othello written as most projects write it: an 8x8 numpy board, and loops over squares and eight directions.

Nothing is slowed on purpose. Legal moves are found once a turn and kept, a scan of a direction stops at the first
square that decides it, and moves are plain (row, column) pairs.
"""

from collections.abc import Iterator
from random import Random

import numpy as np

EMPTY, BLACK, WHITE = 0, 1, -1
DIRECTIONS = [(dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
Move = tuple[int, int]


class Board:
    def __init__(self) -> None:
        self.cells = np.zeros((8, 8), int)
        self.cells[3, 3] = self.cells[4, 4] = WHITE
        self.cells[3, 4] = self.cells[4, 3] = BLACK
        self.mover = BLACK
        self.moves = self.legal(BLACK)

    def turned(self, move: Move, player: int) -> list[Move]:
        """The discs that a move would turn; a move that turns none is illegal."""
        found: list[Move] = []
        if self.cells[move] != EMPTY:
            return found
        for dr, dc in DIRECTIONS:
            line = []
            r, c = move[0] + dr, move[1] + dc
            while 0 <= r < 8 and 0 <= c < 8 and self.cells[r, c] == -player:
                line.append((r, c))
                r, c = r + dr, c + dc
            if line and 0 <= r < 8 and 0 <= c < 8 and self.cells[r, c] == player:
                found += line
        return found

    def legal(self, player: int) -> list[Move]:
        return [(r, c) for r in range(8) for c in range(8) if self.turned((r, c), player)]

    def play(self, move: Move) -> None:
        """Plays for the mover; then it is the opponent's turn, unless only the mover can go on."""
        for disc in self.turned(move, self.mover):
            self.cells[disc] = self.mover
        self.cells[move] = self.mover
        self.mover = -self.mover
        self.moves = self.legal(self.mover)
        if not self.moves and (again := self.legal(-self.mover)):
            self.mover, self.moves = -self.mover, again


def random_game(random: Random) -> list[Move]:
    board, game = Board(), []
    while board.moves:
        game.append(random.choice(board.moves))
        board.play(game[-1])
    return game


def positions(game: list[Move]) -> Iterator[Board]:
    """The one board, at the start and after each move."""
    board = Board()
    yield board
    for move in game:
        board.play(move)
        yield board


def labels(games: list[list[Move]]) -> tuple[np.ndarray, np.ndarray]:
    """Of every position: mine, empty and theirs by square (8, 8, 3), and the legal moves (8, 8)."""
    found = [(one_hot(board), where(board.moves)) for game in games for board in positions(game)]
    boards, legal = zip(*found, strict=True)
    return np.array(boards), np.array(legal)


def one_hot(board: Board) -> np.ndarray:
    return np.stack([board.cells == disc for disc in (board.mover, EMPTY, -board.mover)], axis=-1)


def where(moves: list[Move]) -> np.ndarray:
    squares = np.zeros((8, 8), bool)
    for move in moves:
        squares[move] = True
    return squares
