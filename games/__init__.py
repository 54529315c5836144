"""Exact board games: rules, transcripts and ground truth. Knows nothing of models or SAEs.

>>> othello = load("othello")
>>> [othello.moves[m] for m in othello.legal(othello.start())]
['d3', 'c4', 'f5', 'e6']
>>> len(predicates(othello))  # named facts about a position, the columns of `truth`
1403
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt64

from games.core import Game, Predicate, Transcripts, no_such, predicates, rows

__all__ = [
    "NAMES",
    "Facts",
    "Game",
    "Predicate",
    "Transcripts",
    "facts",
    "load",
    "predicates",
    "register",
    "rows",
    "truth",
]


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
    check_groups(game)
    return game


def check_groups(game: Game) -> None:
    """Whether the groups that a game says its board is are among its predicates."""
    groups = dict.fromkeys(plane.group or plane.name for plane in game.planes)
    named = (*game.board, *game.maps.values(), *(group for frame in game.frames.values() for group in frame))
    if missing := [group for group in named if group not in groups]:
        raise ValueError(f"{game.name}: {no_such('group of predicates', missing[0], groups)}")


class Facts:
    """What holds at some rows: a bit a predicate, spread into booleans where and when they are looked at.

    `facts[rows]` are booleans (row, predicate); `facts.of(columns)` and `facts.at(rows)` are those of some predicates
    and of some rows. Chess has 4,084 predicates: as booleans, a thousand games are half a gigabyte.
    """

    def __init__(
        self,
        words: UInt64[np.ndarray, "row plane"],
        first: Int[np.ndarray, " plane"],
        bits: UInt64[np.ndarray, " predicate"],
        columns: Int[np.ndarray, " some"] | None = None,
    ):
        self.words, self.first, self.bits, self.columns = words, first, bits, columns

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.words), len(self.bits if self.columns is None else self.columns)

    def __len__(self) -> int:
        return len(self.words)

    def of(self, columns: Any) -> "Facts":
        known = np.arange(len(self.bits)) if self.columns is None else self.columns
        return Facts(self.words, self.first, self.bits, np.atleast_1d(known[columns]))

    def at(self, rows: Any) -> "Facts":
        return self.with_words(self.words[rows])

    def with_words(self, words: UInt64[np.ndarray, "row plane"]) -> "Facts":
        """The same predicates at other rows."""
        return Facts(words, self.first, self.bits, self.columns)

    def __getitem__(self, key: Any) -> np.ndarray:
        """As of an array of booleans: facts[rows] or facts[rows, columns]."""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        some = self if isinstance(columns, slice) and columns == slice(None) else self.of(columns)
        held = some._spread(np.atleast_2d(self.words[rows]))
        held = held[:, 0] if isinstance(columns, int | np.integer) else held
        return held[0] if isinstance(rows, int | np.integer) else held

    def positives(self, at_once: int = 8192) -> Int[np.ndarray, " predicate"]:
        """At how many rows each holds."""
        parts = [self[i : i + at_once].sum(0) for i in range(0, len(self), at_once)]
        return np.sum(parts, axis=0)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def _spread(self, words: UInt64[np.ndarray, "row plane"]) -> Bool[np.ndarray, "row predicate"]:
        from games.bits import expand, pick

        held = np.empty((len(words), self.shape[1]), bool)
        if self.columns is None:
            expand(words, self.first, self.bits, held.view(np.uint8))
        else:
            plane = np.searchsorted(self.first, self.columns, side="right") - 1
            pick(words, plane, self.bits[self.columns], held.view(np.uint8))
        return held


def facts(
    transcripts: Transcripts, rows: Int[np.ndarray, "row 2"], planes: Sequence[str] | None = None
) -> Facts:
    """What holds at each row (game, plies played): the columns of `predicates`, or only those of some planes."""
    game = load(transcripts.game)
    planes = tuple(planes or (plane.name for plane in game.planes))
    return Facts(game.words(transcripts.moves, rows, planes), *_layout(game.name, planes))


def truth(
    transcripts: Transcripts, rows: Int[np.ndarray, "row 2"], planes: Sequence[str] | None = None
) -> Bool[np.ndarray, "row predicate"]:
    """The same as booleans, all at once."""
    return facts(transcripts, rows, planes)[:]


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
