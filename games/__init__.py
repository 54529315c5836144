"""Exact board games: rules, transcripts and ground truth. Knows nothing of models or SAEs.

>>> othello = load("othello")
>>> [othello.moves[m] for m in othello.legal(othello.start())]
['d3', 'c4', 'f5', 'e6']
>>> len(predicates(othello))  # named facts about a position, the columns of `truth`
1403
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, Int, UInt64

from games.core import Game, Predicate, Transcripts, no_such, predicates, rows

NAMES = ("othello", "othello6", "chess", "chess-pgn")
__all__ = ["NAMES", "Game", "Predicate", "Transcripts", "load", "predicates", "rows", "truth"]


@cache
def load(name: str) -> Game:
    """The game of that name; its rules need no compiled code, its array methods compile on first use."""
    if name not in NAMES:
        raise ValueError(no_such("game", name, NAMES))
    if name.startswith("othello"):
        from games.othello.game import Othello

        return Othello(name, size=6 if name == "othello6" else 8)
    from games.chess.game import Chess

    return Chess(name)


def truth(
    transcripts: Transcripts, rows: Int[np.ndarray, "row 2"], planes: Sequence[str] | None = None
) -> Bool[np.ndarray, "row predicate"]:
    """What holds at each row (game, plies played): the columns of `predicates`, or only those of some planes."""
    from games.bits import expand

    game = load(transcripts.game)
    planes = tuple(planes or (plane.name for plane in game.planes))
    first, bits = _layout(game.name, planes)
    held = np.empty((len(rows), len(bits)), bool)
    expand(game.words(transcripts.moves, rows, planes), first, bits, held.view(np.uint8))
    return held


@cache
def _layout(
    name: str, planes: tuple[str, ...]
) -> tuple[Int[np.ndarray, " plane"], UInt64[np.ndarray, " predicate"]]:
    """The first column of each plane and, one past the last, their number; the bit of each column."""
    by_name = {plane.name: plane.bits for plane in load(name).planes}
    if missing := [plane for plane in planes if plane not in by_name]:
        raise ValueError(no_such("plane", missing[0], by_name))
    bits = [by_name[plane] for plane in planes]
    return np.cumsum([0, *map(len, bits)]), np.array(sum(bits, ()), np.uint64)
