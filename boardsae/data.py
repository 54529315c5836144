"""Transcripts on disk: what a finished folder holds and how it is opened. `generate` makes them.

data/othello/
    manifest.json   written last: the request, counts, why the splits share no game, SHA-256 of each array
    moves.npy       (game, ply) move ids, 0 after a game's end
    split.npy       (game) index into `splits.SPLITS`
    styles.npy      (game, 2) the style drawn from the policy and the number of random opening plies, where they vary
    text.npy        (game, character) chess-pgn alone: ids of the 32 symbols
    at.npy          (game, plies played) chess-pgn alone: the character before the next move's text, -1 for none
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import games
from boardsae import Broken, __version__
from boardsae.files import open_array, read_json
from boardsae.splits import SPLITS
from games.core import Game, Transcripts

FORMAT = 1
KINDS: dict[str, dict[str, type]] = {  # of what is read of a manifest
    "request": {"game": str, "version": int},
    "files": {"moves.npy": dict, "split.npy": dict},
    "splits": dict.fromkeys(SPLITS, dict),
    "disjoint": {"kept_games": int},
}
FILE = {"dtype": str, "shape": list, "sha256": str}


class Dataset(NamedTuple):
    """Transcripts opened as memmaps, with the split of every game."""

    folder: Path
    manifest: dict[str, Any]
    game: Game
    arrays: dict[str, np.ndarray]  # by file name without its ending

    @property
    def moves(self) -> np.ndarray:
        return self.arrays["moves"]

    @property
    def split(self) -> np.ndarray:
        return self.arrays["split"]

    def transcripts(self, split: str, games: int | None = None) -> Transcripts:
        """The games of one split, all or the first, in memory."""
        chosen = np.flatnonzero(self.split == SPLITS.index(split))[:games]
        return Transcripts(self.game.name, np.asarray(self.moves[chosen]))


def load(folder: Path) -> Dataset:
    """A finished folder, checked for shape; whether its bytes are the ones made is for `verify`."""
    manifest = read_manifest(folder)
    game = games.load(manifest["request"]["game"])
    if manifest["request"]["version"] != game.version:
        made = manifest["request"]["version"]
        raise Broken(
            f"{folder} was made by version {made} of {game.name}, this is {game.version}; make it again"
        )
    arrays = {}
    for file, facts in manifest["files"].items():
        array = open_array(folder / file)
        if [str(array.dtype), *array.shape] != [facts["dtype"], *facts["shape"]]:
            raise Broken(
                f"expected {facts['dtype']} {facts['shape']} in {folder / file}, got {array.dtype} {list(array.shape)}"
            )
        arrays[Path(file).stem] = array
    return Dataset(folder, manifest, game, arrays)


def read_manifest(folder: Path) -> dict[str, Any]:
    if not (folder / "manifest.json").exists():
        raise FileNotFoundError(
            f"no transcripts in {folder}; make some: boardsae generate-data GAME --out {folder}"
        )
    manifest = read_json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise Broken(
            f"{folder} has data format {manifest.get('format')!r}, boardsae {__version__} reads {FORMAT};"
            " a newer boardsae may read it"
        )
    if missing := {*KINDS, "games"} - manifest.keys():
        raise Broken(f"the manifest of {folder} lacks {', '.join(sorted(missing))}")
    for name, held in KINDS.items():
        check_kinds(f"{name} in the manifest of {folder}", manifest[name], held)
    for file, facts in manifest["files"].items():
        check_kinds(f"{file} in the manifest of {folder}", facts, FILE)
    return manifest


def check_kinds(what: str, found: Any, kinds: dict[str, type]) -> None:
    """Whether a part of a manifest has the fields that are read, each of its kind."""
    if not isinstance(found, dict):
        raise Broken(f"expected fields of {what}, got {found!r}")
    for name, kind in kinds.items():
        if not isinstance(value := found.get(name), kind):
            raise Broken(f"expected {name} of {what} to be a {kind.__name__}, got {value!r}")
