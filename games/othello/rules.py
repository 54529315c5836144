"""The rules of Othello on any even board, one immutable position at a time.

    a1 b1 c1 ... h1        squares are numbered row by row from a1, the upper left corner;
    a2 b2 c2 ... h2        x is black and moves first, o is white;
    ...                    on 8x8 white starts on d4 and e5, black on e4 and d5
    a8 b8 c8 ... h8

A move is the id of its square: 1, 2, 3, ... along the squares, leaving out the four centre squares, which are
never empty. On 8x8 these are the token ids of the published OthelloGPT models. A forced pass is no move: the same
player simply moves again, so that ply t is always the t-th disc placed.
"""

from functools import cache
from math import isqrt
from typing import NamedTuple

DIRECTIONS = {
    "up": (-1, 0),
    "up right": (-1, 1),
    "right": (0, 1),
    "down right": (1, 1),
    "down": (1, 0),
    "down left": (1, -1),
    "left": (0, -1),
    "up left": (-1, -1),
}


class State(NamedTuple):
    board: str  # one of "x", "o", "." a square
    black: bool  # black is to move; when the game is over, the opponent of who moved last
    last: int | None = None  # the square played last
    flipped: tuple[int, ...] = ()  # the discs that it turned
    passed: bool = False  # the opponent of the side to move had no move and passed


def start(size: int) -> State:
    board = ["."] * size * size
    high = size // 2
    low = high - 1
    board[low * size + low] = board[high * size + high] = "o"
    board[low * size + high] = board[high * size + low] = "x"
    return State("".join(board), black=True)


@cache
def move_squares(size: int) -> tuple[int, ...]:
    """The square of each move id; id 0 is no move and gets -1."""
    centre = {r * size + c for r in (size // 2 - 1, size // 2) for c in (size // 2 - 1, size // 2)}
    return (-1, *(square for square in range(size * size) if square not in centre))


def turned(board: str, square: int, disc: str) -> dict[str, list[int]]:
    """The enemy discs that `disc` on this empty square would turn, by direction; no key where none."""
    size = isqrt(len(board))
    lines = {}
    for name, (down, right) in DIRECTIONS.items():
        row, column, line = square // size + down, square % size + right, []
        while 0 <= row < size and 0 <= column < size and board[row * size + column] not in (".", disc):
            line.append(row * size + column)
            row, column = row + down, column + right
        if line and 0 <= row < size and 0 <= column < size and board[row * size + column] == disc:
            lines[name] = line
    return lines


def can_play(board: str, disc: str) -> list[int]:
    """The squares where `disc` may be placed, in ascending order."""
    return [square for square, cell in enumerate(board) if cell == "." and turned(board, square, disc)]


def legal(state: State) -> list[int]:
    """The legal move ids in ascending order; empty when the game is over, since `play` has dealt with passes."""
    ids = {square: move for move, square in enumerate(move_squares(isqrt(len(state.board))))}
    return [ids[square] for square in can_play(state.board, disc(state.black))]


def play(state: State, move: int) -> State:
    size = isqrt(len(state.board))
    square = move_squares(size)[move] if 0 < move < len(move_squares(size)) else -1
    lines = turned(state.board, square, disc(state.black)) if square >= 0 else {}
    if not lines or state.board[square] != ".":
        raise ValueError(f"expected a legal move, one of {legal(state)}, got {move!r}")
    flipped = tuple(sorted(i for line in lines.values() for i in line))
    board = list(state.board)
    for i in (square, *flipped):
        board[i] = disc(state.black)
    after = "".join(board)
    passed = not can_play(after, disc(not state.black)) and bool(can_play(after, disc(state.black)))
    return State(after, state.black if passed else not state.black, square, flipped, passed)


def disc(black: bool) -> str:
    return "x" if black else "o"
