"""Which characters may come next in a game's text: those that go on with the text of some legal move.

Within a move, legal moves that begin otherwise than what is written no longer count. Move numbers leave no choice.
"""

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from games.bits import inline, kernel
from games.chess.kernels import WORDS, legal_masks, make, origin_target_promotion
from games.chess.notation import (
    START,
    SYMBOLS,
    TOKENS,
    begin,
    full_width,
    write_end,
    write_move,
    write_number,
)
from games.chess.play import MOST_MOVES, legal_ids


def legal_symbols(
    moves: Integer[np.ndarray, "game ply"], text: UInt8[np.ndarray, "game character"]
) -> Bool[np.ndarray, "game character symbol"]:
    """At each character, the symbols that may follow it; none once the last move and its space are written."""
    legal = np.zeros((*text.shape, len(SYMBOLS)), bool)
    _mark(moves, text, legal)
    return legal


@inline
def mark_along(written, n, last, text, legal):
    """Marks the characters from n to `last` of what could be written, up to the first that is not what is."""
    for i in range(n, min(last, len(text))):
        symbol = TOKENS[written[i]]
        legal[i - 1, symbol] = True
        if symbol != text[i]:
            break


@kernel
def _mark(moves, text, legal):
    out = np.empty(full_width(moves.shape[1]), np.uint8)
    position, after = np.empty(WORDS, np.uint64), np.empty(WORDS, np.uint64)
    masks, next_masks = np.empty(64, np.uint64), np.empty(64, np.uint64)
    ids = np.empty(MOST_MOVES, np.uint64)
    for g in range(moves.shape[0]):
        position[:] = START
        n = begin(out)
        for ply in range(moves.shape[1]):
            if moves[g, ply] == 0 or n >= text.shape[1]:
                break
            first = n
            n = write_number(out, n, ply)
            mark_along(out, first, n, text[g], legal[g])
            legal_masks(position, masks)
            # the move that was played is written last, so that `out` holds the game's own text again
            count = legal_ids(position, masks, ids)
            ids[count] = np.uint64(moves[g, ply])
            end = n
            for i in range(count + 1):
                origin, target, promotion = origin_target_promotion(ids[i])
                after[:] = position
                end = write_move(position, masks, origin, target, promotion, out, n)
                make(after, origin, target, promotion)
                end = write_end(legal_masks(after, next_masks), next_masks, out, end)
                mark_along(out, n, end, text[g], legal[g])
            n = end
            position[:] = after
