"""Chess by python-chess: random games as text, text read back, and labels from its bitboards."""

from collections.abc import Iterator
from random import Random

import chess
import numpy as np

KINDS = (chess.PAWN, chess.KNIGHT, chess.BISHOP, chess.ROOK, chess.QUEEN, chess.KING)


def random_text(random: Random, plies: int) -> str:
    """A random game as ";1.e4 e5 2.Nf3 ...". No draw by rule ends it: to look for one at each ply would take longer."""
    board, words = chess.Board(), []
    while len(words) < plies and (moves := list(board.legal_moves)):
        move = random.choice(moves)
        number = f"{board.fullmove_number}." if board.turn else ""
        words.append(number + board.san(move))
        board.push(move)
    return ";" + " ".join(words)


def read(text: str) -> list[chess.Move]:
    board = chess.Board()
    return [board.push_san(word.rpartition(".")[2]) for word in text.removeprefix(";").split()]


def positions(game: list[chess.Move]) -> Iterator[chess.Board]:
    """The one board, at the start and after each move."""
    board = chess.Board()
    yield board
    for move in game:
        board.push(move)
        yield board


def labels(games: list[list[chess.Move]]) -> np.ndarray:
    """The facts of every position, a column for each of 15 boards of squares and one for check."""
    words = [facts(board) for game in games for board in positions(game)]
    octets = np.array(words, np.uint64).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, : 15 * 64 + 1].view(bool)


def facts(board: chess.Board) -> list[int]:
    """As bitboards: the mover's and the opponent's pieces by kind, what either attacks, legal targets, check."""
    me, them = board.turn, not board.turn
    targets = 0
    for move in board.generate_legal_moves():
        targets |= chess.BB_SQUARES[move.to_square]
    return [
        *(board.pieces_mask(kind, side) for side in (me, them) for kind in KINDS),
        attacked(board, me),
        attacked(board, them),
        targets,
        int(board.is_check()),
    ]


def attacked(board: chess.Board, side: chess.Color) -> int:
    squares = 0
    for origin in chess.scan_forward(board.occupied_co[side]):
        squares |= board.attacks_mask(origin)
    return squares
