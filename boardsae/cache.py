"""Activations on disk, for a model that costs more to run than a disk to read; where it does not, streaming is faster.

DIR/manifest.json   written last: hashes of model and games, layer, site, how many games
DIR/rows.npy        (row, d) bfloat16 as int16: game after game in the order of the first epoch
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from boardsae import Broken, tasks
from boardsae.files import ArrayFile, alone_in, appearing, blank_array, open_array, read_json, write_json
from boardsae.progress import progress, say
from boardsae.stream import Feed, Stream

MAX_GB = 10.0


class CachedStream(Stream):
    """A stream whose rows come from a folder, which is filled first where it has to be."""

    def __init__(
        self,
        opened: tasks.Open,
        feed: Feed,
        device: torch.device,
        folder: Path,
        steps: int,
        max_gb: float = MAX_GB,
    ):
        if feed.needs:
            raise ValueError(
                f"expected SAEs that need activations alone, got needs {', '.join(feed.needs)}; leave --cache out"
            )
        super().__init__(opened, feed, device)
        places = self.order(0)
        counts = self.lengths[places]
        self.starts = np.zeros(len(places), np.int64)
        self.starts[places] = np.cumsum(counts) - counts
        games = self.games_for(steps)
        facts = {**opened.hashes, "layer": feed.layer, "site": feed.site, "d": self.first.shape[1]}
        if held_games(folder, facts) < games:
            self.check_size(places[:games], max_gb)
            with alone_in(folder):  # another process may have begun to fill it, or have done so meanwhile
                if held_games(folder, facts) < games:
                    self.fill(folder, facts, places[:games])
        self.held = open_array(folder / "rows.npy")
        if self.held.shape != (expected := (read_json(folder / "manifest.json")["rows"], facts["d"])):
            raise Broken(f"expected shape {expected} in {folder / 'rows.npy'}, got {self.held.shape}")

    def games_for(self, steps: int) -> int:
        """How many games of the first epoch so many steps read."""
        places, read = self.order(0), 0
        for start in range(0, len(places) - self.chunk + 1, self.chunk):
            read += self.steps_in(places[start : start + self.chunk])
            if read >= steps:
                return start + self.chunk
        return len(places)

    def size(self, places: Int[np.ndarray, " game"]) -> tuple[int, float]:
        """Of the activations of these games: rows and GB."""
        rows = int(self.lengths[places].sum())
        return rows, 2e-9 * rows * self.first.shape[1]

    def check_size(self, places: Int[np.ndarray, " game"], max_gb: float) -> None:
        rows, gb = self.size(places)
        if gb > max_gb:
            raise ValueError(
                f"expected at most {max_gb:g} GB of activations, got {gb:.2g} GB for {rows:,} rows;"
                " raise --max-gb, train on fewer --rows, or leave --cache out"
            )

    def fill(self, folder: Path, facts: dict[str, object], places: Int[np.ndarray, " game"]) -> None:
        (rows, gb), d = self.size(places), self.first.shape[1]
        say(f"writing {gb:.2f} GB of activations into {folder}: {rows:,} rows of {d} bfloat16")
        (folder / "manifest.json").unlink(missing_ok=True)
        bar, first = progress("activations", rows, "rows"), 0
        with appearing(folder / "rows.npy") as unfinished:
            blank_array(unfinished, (rows, d), np.dtype(np.int16))
            file = ArrayFile(unfinished)
            for i in range(0, len(places), self.chunk):
                x = self.read(self.tokens[places[i : i + self.chunk]])
                file.write(first, x.bfloat16().cpu().view(torch.int16).numpy())
                first += len(x)
                bar.update(len(x))
            file.close()
        bar.close()
        write_json(folder / "manifest.json", facts | {"held": len(places), "rows": rows})

    def rows(self, games: Int[np.ndarray, " game"]) -> Float[Tensor, "row d"]:
        counts = self.lengths[games]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        bits = self.held[np.repeat(self.starts[games], counts) + within]
        return torch.from_numpy(bits).view(torch.bfloat16).float().to(self.device)


def held_games(folder: Path, facts: dict[str, object]) -> int:
    """How many games the folder holds of just these activations; a folder of others is refused."""
    if not (folder / "manifest.json").exists():
        return 0
    manifest = read_json(folder / "manifest.json")
    for name, value in facts.items():
        if manifest.get(name) != value:
            raise ValueError(
                f"{folder} caches activations with {name} {manifest.get(name)!r}, not {value!r};"
                " choose another --cache, or delete it"
            )
    return manifest["held"]
