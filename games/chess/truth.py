"""The planes of `games.chess.planes` for whole arrays of positions.

A game is replayed once. For a block of its rows, the steps that some wanted plane needs fill in sheets of
facts, and the wanted words are copied from these.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt16, UInt64

from games.bits import inline, kernel
from games.chess import ahead, facts
from games.chess.kernels import WORDS
from games.chess.planes import ALIASES, KINDS, PAPER_BOARD
from games.chess.play import START, replay

BLOCK = 32  # their sheets stay in the cache

# The planes of each step but the first, `count`, which fills in all that is in no other.
STEPS = {
    "place": (
        *("occupied", "empty", "mine", "theirs", "white", "black"),
        *(f"{owner}_{kind}" for owner in ("my", "their", "white", "black") for kind in KINDS.values()),
        *PAPER_BOARD,
    ),
    "attack": (
        *(f"{my}_{fact}" for my in ("my", "their") for fact in ("attacks", "hanging_piece", "hanging")),
        "threat_paper",
    ),
    "pin": (
        *(f"{my}_{fact}" for my in ("my", "their") for fact in ("pin", "pinned", "pinned_by")),
        *(f"{my}_{fact}" for my in ("my", "their") for fact in ("fork", "forking", "forked")),
        *("pin", "fork_paper", "specific_fork_paper"),
    ),
    "move": (
        *("legal", "check", "checked_by", "double_check", "can_capture_queen"),
        *("en_passant", "en_passant_to", "legal_moves_paper", "can_capture_queen_paper"),
    ),
    "rival": ("ambiguous",),
    "pseudo": ("pseudo_legal",),
    "reply": ("can_check", "mate_in_one"),
    "threat": ("mate_threat",),
    "end": ("over", "checkmate", "stalemate", "can_claim_draw"),
    "announce": ("can_claim_draw_paper",),
}
REST = tuple(name for name in facts.NAMES if not any(name in planes for planes in STEPS.values()))
COUNT, PLACE, ATTACK, PIN, MOVE, RIVAL, PSEUDO, REPLY, THREAT, END, ANNOUNCE = range(len(STEPS) + 1)


def words(
    moves: UInt16[np.ndarray, "game ply"], rows: Int[np.ndarray, "row 2"], planes: Sequence[str]
) -> UInt64[np.ndarray, "row plane"]:
    """One word for each row (game, plies played) and plane; a game whose rows stand together is played once."""
    found = np.empty((len(rows), len(planes)), np.uint64)
    _fill_rows(moves, rows, *_wanted(planes), *_sheets(BLOCK), found)
    return found


def words_at(
    positions: UInt64[np.ndarray, "row 16"], planes: Sequence[str]
) -> UInt64[np.ndarray, "row plane"]:
    """As `words`, for positions from `games.chess.kernels.pack`: none has stood on the board before."""
    found = np.empty((len(positions), len(planes)), np.uint64)
    _fill_positions(positions, *_wanted(planes), *_sheets(1), found)
    return found


def _wanted(planes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which steps the planes need, and their places on a sheet."""
    names = [ALIASES.get(name, name) for name in planes]
    needed = [not set(names).isdisjoint(filled) for filled in (REST, *STEPS.values())]
    return np.array(needed), np.array([facts.NAMES.index(name) for name in names], np.int64)


def _sheets(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Empty sheets, as an array of words and as an array of records."""
    words = np.zeros((n, len(facts.NAMES)), np.uint64)
    return words, words.view(facts.SHEET)[:, 0]


@inline
def _fill(game, plies, needed, masks, words, sheets):
    """Fills in the needed steps of a sheet for each of some plies of a game; `words` are the same sheets as an array.

    A step runs through all plies before the next one starts. Two boards of masks are scratch.
    """
    if needed[COUNT]:
        facts.count(game, plies, sheets)
    if needed[PLACE]:
        facts.place(game, plies, words, sheets)
    if needed[ATTACK]:
        facts.attack(game, plies, sheets)
    if needed[PIN]:
        facts.pin(game, plies, sheets)
    if needed[RIVAL]:
        facts.rival(game, plies, masks[0], sheets)
    if needed[PSEUDO]:
        facts.pseudo(game, plies, masks[0], sheets)
    if needed[MOVE]:
        facts.move(game, plies, masks[0], sheets)
    if needed[END]:
        ahead.end(game, plies, masks[0], sheets)
    if needed[REPLY] or needed[ANNOUNCE]:
        ahead.reply(game, plies, needed[ANNOUNCE], masks, sheets)
    if needed[THREAT]:
        ahead.threat(game, plies, masks, sheets)


@kernel
def _fill_rows(moves, rows, needed, wanted, words, sheets, found):
    game = np.empty((moves.shape[1] + 3, WORDS), np.uint64)
    game[0] = START
    masks = np.empty((2, 64), np.uint64)
    plies = np.empty(len(sheets), np.int64)
    at, reached, first = np.int64(-1), 0, 0
    while first < rows.shape[0]:
        if rows[first, 0] != at:
            at, reached = rows[first, 0], 0
        n = 0
        while n < len(sheets) and first + n < rows.shape[0] and rows[first + n, 0] == at:
            until = min(rows[first + n, 1], moves.shape[1])
            reached = replay(game, moves[at], reached, until)
            plies[n] = min(until, reached)
            n += 1
        _fill(game, plies[:n], needed, masks, words, sheets)
        for i in range(n):
            for j in range(wanted.shape[0]):
                found[first + i, j] = words[i, wanted[j]]
        first += n


@kernel
def _fill_positions(positions, needed, wanted, words, sheets, found):
    game = np.empty((3, WORDS), np.uint64)
    masks = np.empty((2, 64), np.uint64)
    for r in range(positions.shape[0]):
        game[0] = positions[r]
        _fill(game, np.zeros(1, np.int64), needed, masks, words, sheets)
        for j in range(wanted.shape[0]):
            found[r, j] = words[0, wanted[j]]
