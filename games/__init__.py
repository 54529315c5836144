"""Exact board games: rules, transcripts and ground truth. Knows nothing of models or SAEs.

>>> othello = load("othello")
>>> [othello.moves[m] for m in othello.legal(othello.start())]
['d3', 'c4', 'f5', 'e6']
>>> len(predicates(othello))  # named facts about a position, the columns of `truth`
1403
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from games.core import Game, Predicate, Transcripts, no_such, predicates, rows

NAMES = ("othello", "othello6", "chess", "chess-pgn")
__all__ = ["NAMES", "Game", "Predicate", "Transcripts", "load", "predicates", "rows", "truth"]


def load(name: str) -> Game:
    """The game of that name; its rules need no compiled code, its array methods compile on first use."""
    if name not in NAMES:
        raise ValueError(no_such("game", name, NAMES))
    if name.startswith("othello"):
        from games.othello.game import Othello

        return Othello(name, size=6 if name == "othello6" else 8)
    from games.chess import Chess

    return Chess(name)


def truth(
    transcripts: Transcripts, rows: Int[np.ndarray, "row 2"], planes: Sequence[str] | None = None
) -> Bool[np.ndarray, "row predicate"]:
    """What holds at each row (game, plies played): the columns of `predicates`, or only those of some planes."""
    from games.bits import expand

    game = load(transcripts.game)
    planes = planes or [plane.name for plane in game.planes]
    bits = [next(plane.bits for plane in game.planes if plane.name == name) for name in planes]
    first = np.cumsum([0, *map(len, bits)])
    held = np.empty((len(rows), first[-1]), bool)
    expand(
        game.words(transcripts.moves, rows, planes),
        first,
        np.array(sum(bits, ()), np.uint64),
        held.view(np.uint8),
    )
    return held
