"""One position for a person: the board, how it came about, and the predicates that hold."""

import shutil
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import games
from boardsae import data
from boardsae.files import write_text
from boardsae.splits import SPLITS
from games import draw
from games.core import Game, Plane, play_all, transcript

USUAL_PLY = 20


class Position(NamedTuple):
    """A position of a game, with the moves that led there and those that followed."""

    game: Game
    origin: str
    moves: list[int]
    ply: int
    state: Any

    def text(self, colour: bool) -> str:
        board = draw.text(self.game.picture(self.state), colour)
        return "\n".join([self.caption(), "", board, "", holding(self.game, self.state)])

    def caption(self) -> str:
        """Where the game comes from and its moves so far, with the next one in brackets where there is one."""
        played = self.moves[: self.ply + 1]
        states = play_all(self.game, played[: self.ply])
        names = [self.game.written(state, move) for state, move in zip(states, played, strict=False)]
        shown = names[: self.ply] + [f"[{name}]" for name in names[self.ply :]]
        return f"{self.origin}, after {self.ply} of {len(self.moves)} moves\n" + wrapped("", " ".join(shown))

    def write_svg(self, path: Path, force: bool) -> None:
        title = f"{self.origin}, after {self.ply} of {len(self.moves)} moves"
        write_text(path, draw.svg(self.game.picture(self.state), title=title), force)


def position(name: str, index: int, ply: int | None, folder: Path | None) -> Position:
    """A position of game number `index` in the folder, or, where there is none, of the games of seed 0."""
    game = games.load(name)
    if index < 0:
        raise ValueError(f"expected --index to be 0 or more, got {index}")
    usual = Path("data") / name
    if folder is not None or (usual / "manifest.json").exists():
        moves, origin = stored(name, index, folder or usual)
    else:
        moves = transcript(game, 0, index, game.policy(game.default_policy))
        origin = f"{name}, game {index} of seed 0"
    at = min(USUAL_PLY, len(moves)) if ply is None else ply
    if not 0 <= at <= len(moves):
        raise ValueError(f"expected --ply from 0 to {len(moves)}, the length of game {index}, got {ply}")
    return Position(game, origin, moves, at, play_all(game, moves[:at])[-1])


def stored(name: str, index: int, folder: Path) -> tuple[list[int], str]:
    dataset = data.load(folder)
    if dataset.game.name != name:
        raise ValueError(f"expected {name} games, {folder} holds {dataset.game.name}")
    if index >= len(dataset.moves):
        raise ValueError(
            f"expected --index from 0 to {len(dataset.moves) - 1}, the games of {folder}, got {index}"
        )
    moves = [move for move in dataset.moves[index].tolist() if move]
    return moves, f"{name}, game {index} of {folder} ({SPLITS[dataset.split[index]]})"


def holding(game: Game, state: Any) -> str:
    """The predicates that hold, a line a plane: its squares, the largest count, or the fact itself."""
    truth = game.truth(state)
    widest = max(len(plane.name) for plane in game.planes)
    lines = []
    for plane in game.planes:
        held = [
            what
            for what, bit in zip(plane.stands_for, plane.bits, strict=True)
            if truth[plane.name] >> bit & 1
        ]
        if held:
            lines.append(wrapped(f"{plane.name:<{widest}}  ", described(plane, held)))
    return "\n".join(lines)


def described(plane: Plane, held: list[str]) -> str:
    if plane.ordinal or len(plane.bits) == 1:
        return plane.text.format(held[-1])
    return " ".join(held)


def wrapped(label: str, text: str) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    return label + ("\n" + " " * len(label)).join(textwrap.wrap(text, width - len(label)))
