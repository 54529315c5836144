"""Exact board games: rules, transcripts and ground truth. Knows nothing of models or SAEs.

>>> othello = load("othello")
>>> [othello.moves[m] for m in othello.legal(othello.start())]
['d3', 'c4', 'f5', 'e6']
>>> len(predicates(othello))  # named facts about a position, the columns of `truth`
1403
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from jaxtyping import Bool, Int, UInt64

from games.core import Game, Predicate, Transcripts, no_such, predicates, rows

__all__ = ["NAMES", "Game", "Predicate", "Transcripts", "load", "predicates", "register", "rows", "truth"]


def _othello(name: str) -> Game:
    from games.othello.game import Othello

    return Othello(name, size=6 if name == "othello6" else 8)


def _chess(name: str) -> Game:
    from games.chess.game import Chess

    return Chess(name)


_MAKERS: dict[str, Callable[[str], Game]] = {
    "othello": _othello,
    "othello6": _othello,
    "chess": _chess,
    "chess-pgn": _chess,
}
NAMES = _MAKERS.keys()  # those of plug-ins too, once they are registered


def register(name: str, make: Callable[[str], Game]) -> None:
    """Makes a game known by its name; `make` is called with it when the game is first needed."""
    if name in _MAKERS:
        raise ValueError(f"there is a game {name!r} already")
    _MAKERS[name] = make


@cache
def load(name: str) -> Game:
    """The game of that name; its rules need no compiled code, its array methods compile on first use."""
    if name not in _MAKERS:
        raise ValueError(no_such("game", name, _MAKERS))
    game = _MAKERS[name](name)
    if not isinstance(game, Game):
        asked = [*Game.__annotations__, *(word for word in vars(Game) if not word.startswith("_"))]
        lacking = ", ".join(word for word in asked if not hasattr(game, word))
        raise ValueError(f"expected {name} to be a game, got {type(game).__name__} without {lacking}")
    return game


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
