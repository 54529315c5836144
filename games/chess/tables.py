"""What never changes on a chess board, as arrays: attacks, lines, moves by id, castling."""

import numpy as np

from games.bits import FULL
from games.chess import rules


def mask(squares) -> int:
    return sum(1 << s for s in set(squares))


def table(entries) -> np.ndarray:
    return np.array(list(entries), np.uint64)


def _through(a: int, b: int) -> tuple[int, int]:
    """The squares strictly between two squares, and the whole line through both, if they share one."""
    for ray in rules.RAYS["Q"][a]:
        if b in ray:
            back = next((r for r in rules.RAYS["Q"][b] if a in r), ())
            return mask(ray[: ray.index(b)]), mask((a, b, *ray, *back))
    return 0, 0


KNIGHT_ATTACKS = table(mask(s for ray in rays for s in ray) for rays in rules.RAYS["N"])
KING_ATTACKS = table(mask(s for ray in rays for s in ray) for rays in rules.RAYS["K"])
PAWN_ATTACKS = table(
    mask(s) for white in (True, False) for s in rules.CAPTURES[white]
)  # [64 * black + square]
BISHOP_RAYS = table(mask(s for ray in rays for s in ray) for rays in rules.RAYS["B"])
ROOK_RAYS = table(mask(s for ray in rays for s in ray) for rays in rules.RAYS["R"])
BETWEEN = table(_through(a, b)[0] for a in range(64) for b in range(64))  # [64 * a + b]
LINE = table(_through(a, b)[1] for a in range(64) for b in range(64))


def _halves(square: int) -> list[int]:
    """For rank, file, diagonal and antidiagonal: its squares below the given one, and those above."""
    lines = [(0, 1), (1, 0), (1, 1), (1, -1)]
    halves = []
    for ranks, files in lines:
        for sign in (-1, 1):
            path = [(square // 8 + sign * ranks * i, square % 8 + sign * files * i) for i in range(1, 8)]
            halves.append(mask(8 * r + f for r, f in path if r in range(8) and f in range(8)))
    return halves


HALVES = table(
    half for square in range(64) for half in _halves(square)
)  # eight words, one cache line, a square

ORIGIN = table(move.origin for move in rules.MOVES)
TARGET = table(move.target for move in rules.MOVES)
PROMOTION = table(" NBRQ".index(move.promotion or " ") for move in rules.MOVES)  # 0, or the new kind
ID = np.zeros(
    4096, np.uint64
)  # [64 * origin + target] -> id of the move without promotion; a promotion adds 1-4
for _move, _id in rules.IDS.items():
    if not _move.promotion:
        ID[64 * _move.origin + _move.target] = _id

# A move from or to one of these squares ends the rights to castle with the king or rook that lived there.
KEEPS = np.full(64, FULL)
for _bit, _homes in enumerate(rules.HOMES.values(), 1):
    for _square in _homes:
        KEEPS[_square] &= ~np.uint64(1 << _bit)
# For K Q k q: squares that must be empty, squares that must not be attacked, where the king lands.
CASTLING = table(
    word
    for king, rook in rules.HOMES.values()
    for word in (
        mask(range(min(king, rook) + 1, max(king, rook))),
        mask((king, king + 1, king + 2) if rook > king else (king, king - 1, king - 2)),
        1 << (king + 2 if rook > king else king - 2),
    )
)
