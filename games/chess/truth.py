"""The planes of `games.chess.predicates` for whole arrays of positions.

A game is replayed once. At each row asked for, the steps that some wanted plane needs fill in a sheet of
facts, and the wanted words are copied from it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt16, UInt64

from games.bits import kernel
from games.chess import facts
from games.chess.kernels import WORDS
from games.chess.play import START, replay
from games.chess.predicates import ALIASES


def words(
    moves: UInt16[np.ndarray, "game ply"], rows: Int[np.ndarray, "row 2"], planes: Sequence[str]
) -> UInt64[np.ndarray, "row plane"]:
    """One word for each row (game, plies played) and plane; quickest where a game's rows stand in order."""
    found = np.zeros((len(rows), len(planes)), np.uint64)
    _fill_rows(moves, rows, *_wanted(planes), *_sheet(), found)
    return found


def words_at(
    positions: UInt64[np.ndarray, "row 16"], planes: Sequence[str]
) -> UInt64[np.ndarray, "row plane"]:
    """As `words`, for positions from `games.chess.kernels.pack`: none has stood on the board before."""
    found = np.zeros((len(positions), len(planes)), np.uint64)
    _fill_positions(positions, *_wanted(planes), *_sheet(), found)
    return found


def _wanted(planes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which steps the planes need, and their places on a sheet."""
    names = [ALIASES.get(name, name) for name in planes]
    return facts.steps(set(names)), np.array([facts.NAMES.index(name) for name in names], np.int64)


def _sheet() -> tuple[np.ndarray, np.ndarray]:
    """An empty sheet, as an array of words and as an array of one record."""
    sheet = np.zeros(len(facts.NAMES), np.uint64)
    return sheet, sheet.view(facts.SHEET)


@kernel
def _fill_rows(moves, rows, needed, wanted, sheet, record, found):
    game = np.empty((moves.shape[1] + 3, WORDS), np.uint64)
    game[0] = START
    masks = np.empty((3, 64), np.uint64)
    at, ply = np.int64(-1), 0
    for r in range(rows.shape[0]):
        if rows[r, 0] != at or rows[r, 1] < ply:
            at, ply = rows[r, 0], 0
        ply = replay(game, moves[at], ply, min(rows[r, 1], moves.shape[1]))
        facts.fill(game, ply, needed, masks, sheet, record[0])
        for i in range(wanted.shape[0]):
            found[r, i] = sheet[wanted[i]]


@kernel
def _fill_positions(positions, needed, wanted, sheet, record, found):
    game = np.empty((3, WORDS), np.uint64)
    masks = np.empty((3, 64), np.uint64)
    for r in range(positions.shape[0]):
        game[0] = positions[r]
        facts.fill(game, 0, needed, masks, sheet, record[0])
        for i in range(wanted.shape[0]):
            found[r, i] = sheet[wanted[i]]
