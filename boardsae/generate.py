"""Making transcripts: in blocks, so that a kill loses few of them and memory does not grow with the games.

An engine makes the blocks: threads of this process, or a cluster (`ray_engine.plays_on_ray`). Everything is written
into `<folder>.partial`, which is renamed to `<folder>` when it is whole.
"""

import errno
import functools
import math
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import games
from boardsae import __version__, data
from boardsae.files import (
    ArrayFile,
    ArrayReader,
    alone_in,
    blank_array,
    open_array,
    read_json,
    sha256,
    write_json,
)
from boardsae.progress import progress, say
from boardsae.splits import SPLITS, repeats, splits
from games.core import Game, Policy

BLOCK = 8192  # games that one worker makes at a time
DEFAULT_GAMES = {"othello": 200_000, "othello6": 200_000, "chess": 50_000, "chess-pgn": 50_000}
OTHERS = 20_000  # games of a plug-in, which may play slowly
SCRATCH = ("keys.npy", "done.npy", "request.json")
Arrays = dict[str, np.ndarray]  # by file, a row a game


class Source(NamedTuple):
    """Where games come from: how many, a function of (first, games) to their arrays, facts to record."""

    games: int
    arrays: Callable[[int, int], Arrays]
    facts: dict[str, Any]


class Span(NamedTuple):
    """Games that are made together."""

    first: int
    games: int


class Unfinished:
    """The arrays of a folder in the making, and which blocks of games they hold."""

    def __init__(self, folder: Path, game: Game, source: Source):
        self.folder, self.game, self.source = folder, game, source
        like = source.arrays(0, 1)
        if not (folder / "keys.npy").exists():
            row = sum(array.itemsize * math.prod(array.shape[1:]) for array in like.values())
            check_space(folder, source.games * row)
        for name, array in like.items():
            blank_array(folder / f"{name}.npy", (source.games, *array.shape[1:]), array.dtype)
        blank_array(folder / "done.npy", (math.ceil(source.games / BLOCK),), np.dtype(np.uint8))
        self.files = {name: ArrayFile(folder / f"{name}.npy") for name in like}
        self.done = ArrayFile(folder / "done.npy")

    def left(self) -> list[Span]:
        blocks = np.flatnonzero(open_array(self.folder / "done.npy") == 0).tolist()
        return [Span(i * BLOCK, min(BLOCK, self.source.games - i * BLOCK)) for i in blocks]

    def write(self, first: int, arrays: Arrays) -> None:
        for name, array in arrays.items():
            self.files[name].write(first, array)

    def mark(self, span: Span) -> None:
        """Says that a span of whole blocks is written."""
        self.done.write(span.first // BLOCK, np.ones(math.ceil(span.games / BLOCK), np.uint8))

    def close(self) -> None:
        for file in (*self.files.values(), self.done):
            file.close()


Engine = Callable[[Unfinished, Sequence[Span]], Generator[int]]  # makes the spans; games by games


def from_policy(
    name: str,
    count: int | None,
    seed: int,
    policy: str | None,
    workers: int,
    folder: Path,
    force: bool = False,
    engine: Engine | None = None,
) -> data.Dataset:
    """`count` games played by the policy, or the rest of them after a kill; game i depends only on (seed, i)."""
    game = games.load(name)
    count = DEFAULT_GAMES.get(name, OTHERS) if count is None else above_0("games", count)
    if not 0 <= seed < 2**64:
        raise ValueError(f"expected a seed from 0 to 2**64 - 1, got {seed}")
    played = game.policy(game.default_policy if policy is None else policy)
    request = {"game": name, "version": game.version, "games": count, "seed": seed, "policy": as_json(played)}

    def play(_partial: Path) -> Source:
        return Source(count, functools.partial(play_games, name, seed, played), {})

    return make(game, request, play, workers, folder, force, engine)


def play_games(name: str, seed: int, policy: Policy, first: int, count: int) -> Arrays:
    """Games of a policy; of a seed the same ones on every machine."""
    game = games.load(name)
    moves, styles = game.generate(seed, first, count, policy)
    varied = len(policy.styles) > 1 or policy.opening > 0
    return stored(game, moves) | ({"styles": styles} if varied else {})


def stored(game: Game, moves: np.ndarray) -> Arrays:
    return {"keys": game.keys(moves), "moves": moves, **game.notation(moves)}


def from_pgn(
    name: str, count: int | None, file: Path, workers: int, folder: Path, force: bool = False
) -> data.Dataset:
    """Up to `count` real games from a PGN file; what was skipped is in the manifest, by reason."""
    from boardsae.pgn import collect

    game = games.load(name)
    if name not in ("chess", "chess-pgn"):
        raise ValueError(f"a PGN file holds chess games and {name} is not chess; use chess or chess-pgn")
    count = count if count is None else above_0("games", count)
    request = {
        "game": name,
        "version": game.version,
        "games": count,
        "pgn": file.name,
        "sha256": sha256(file),
    }

    def read(partial: Path) -> Source:
        blocks, facts = collect(file, game.max_plies, count, partial, BLOCK)
        if not blocks:
            shutil.rmtree(partial)
            why = ", ".join(f"{n:,} {reason}" for reason, n in facts["skipped"].items())
            raise ValueError(f"no game in {file} can be used; {f'skipped {why}' if why else 'it holds none'}")

        def block(first: int, _games: int) -> Arrays:
            return stored(game, np.asarray(blocks[first // BLOCK]))

        return Source(sum(map(len, blocks)), block, facts)

    return make(game, request, read, workers, folder, force)


def above_0(what: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"expected {what} to be 1 or more, got {value}")
    return value


def as_json(policy: Policy) -> dict[str, Any]:
    styles = [style._asdict() for style in policy.styles]
    return {"name": policy.name, "styles": styles, "opening": policy.opening}


def make(
    game: Game,
    request: dict[str, Any],
    source: Callable[[Path], Source],
    workers: int,
    folder: Path,
    force: bool,
    engine: Engine | None = None,
) -> data.Dataset:
    """What the request asks for, from where a killed call left it; never over other data without `force`."""
    above_0("workers", workers)
    if folder.name in ("", ".."):  # a whole folder takes its place, and moves what was there
        raise ValueError(
            f"expected a folder of its own for the games, got {folder}; name one in it, such as {folder}/{game.name}"
        )
    if is_made(folder, request, force):
        say(f"{folder} already holds these games")
        return data.load(folder)
    partial = folder.with_name(folder.name + ".partial")
    with begun(partial, request, force):
        if not (partial / "manifest.json").exists():
            unfinished = Unfinished(partial, game, source(partial))
            fill(unfinished, engine or on_threads(workers))
            with threads(workers) as pool:
                finish(partial, request, unfinished.source.facts, pool)
        publish(partial, folder)
    return data.load(folder)


def is_made(folder: Path, request: dict[str, Any], force: bool) -> bool:
    """Whether the folder is already what is asked for; what else it may hold is replaced only by `force`."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / "manifest.json").exists():
        raise FileExistsError(f"{folder} exists and holds no transcripts; choose another --out")
    if force:
        return False
    made = data.read_manifest(folder)["request"]
    if made != request:
        differs = ", ".join(
            f"{key} {shown(made.get(key))}" for key in request if made.get(key) != request[key]
        )
        raise FileExistsError(f"{folder} was made with {differs}; --force replaces it, --out keeps both")
    return True


def shown(value: Any) -> str:
    return str(value["name"] if isinstance(value, dict) else value)


@contextmanager
def begun(partial: Path, request: dict[str, Any], force: bool) -> Iterator[None]:
    """The unfinished folder, held by this process alone, and empty unless it is for the same request."""
    with alone_in(partial):
        earlier = next(
            (partial / n for n in ("request.json", "manifest.json") if (partial / n).exists()), None
        )
        if earlier:
            asked = read_json(earlier)
            if asked.get("request", asked) != request:
                if not force and any(partial.glob("*.npy")):
                    raise FileExistsError(
                        f"{partial} is an unfinished request for something else; repeat that one, or --force drops it"
                    )
                for path in partial.iterdir():
                    path.unlink()
        write_json(partial / "request.json", request)
        try:
            yield
        finally:
            if partial.exists() and [path.name for path in partial.iterdir()] == ["request.json"]:
                shutil.rmtree(partial)  # nothing was made


def fill(unfinished: Unfinished, engine: Engine) -> None:
    """All arrays, block by block."""
    left, total = unfinished.left(), unfinished.source.games
    bar = progress("played", total, "games", done=total - sum(span.games for span in left))
    with closing(engine(unfinished, left)) as made:  # also when it is interrupted
        for n in made:
            bar.update(n)
    bar.close()
    unfinished.close()


def on_threads(workers: int) -> Engine:
    """An engine of this machine's cores."""

    def engine(unfinished: Unfinished, left: Sequence[Span]) -> Generator[int]:
        def make_block(span: Span) -> int:
            unfinished.write(span.first, unfinished.source.arrays(*span))
            unfinished.mark(span)
            return span.games

        with threads(workers) as pool:
            yield from pool.map(make_block, left)

    return engine


@contextmanager
def threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads; whoever leaves it early waits only for what they are at."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_space(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        problem = (
            f"these games need {need / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free; ask for fewer --games"
        )
        raise OSError(errno.ENOSPC, problem, str(folder))


def finish(partial: Path, request: dict[str, Any], facts: dict[str, Any], pool: ThreadPoolExecutor) -> None:
    """The split of every game, then the manifest, which says that all is there."""
    keys, moves = ArrayReader(partial / "keys.npy"), ArrayReader(partial / "moves.npy")
    repeated, different = repeats(keys, pool)
    blank_array(partial / "split.npy", (len(keys),), np.dtype(np.uint8))
    split_file = ArrayFile(partial / "split.npy")

    def write_split(first: int) -> np.ndarray:  # games and plies by split
        split = splits(keys, repeated, first, first + BLOCK)
        split_file.write(first, split)
        plies = (moves[first : first + BLOCK] != 0).sum(axis=1)
        return np.stack([np.bincount(split, weights, minlength=len(SPLITS)) for weights in (None, plies)])

    counts = pool.map(write_split, range(0, len(keys), BLOCK))
    games, plies = sum(counts, np.zeros((2, len(SPLITS))))
    split_file.close()
    stored = [path for path in sorted(partial.glob("*.npy")) if not is_scratch(path)]
    manifest = {
        "format": data.FORMAT,
        "boardsae": __version__,
        "request": request,
        "games": len(moves),
        "splits": {name: {"games": int(games[i]), "plies": int(plies[i])} for i, name in enumerate(SPLITS)},
        "disjoint": {
            "kept_games": len(keys) - len(repeated),
            "distinct_keys": different,
            "because": "every kept game has a key of its own, and games that are equal have equal keys",
        },
        **facts,
        "files": dict(pool.map(describe, stored)),
    }
    write_json(partial / "manifest.json", manifest)


def describe(path: Path) -> tuple[str, dict[str, Any]]:
    array = open_array(path)
    return path.name, {"sha256": sha256(path), "dtype": str(array.dtype), "shape": list(array.shape)}


def is_scratch(path: Path) -> bool:
    return path.name in SCRATCH or path.name.startswith(("pgn-", ".driver-")) or path.suffix == ".tmp"


def publish(partial: Path, folder: Path) -> None:
    """The finished folder under its own name; what it replaces is deleted only after that."""
    for path in filter(is_scratch, list(partial.iterdir())):
        path.unlink()
    replaced = folder.with_name(folder.name + ".replaced")
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
    partial.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def summary(made: data.Dataset) -> str:
    """One line of what a folder holds."""
    splits = ", ".join(f"{facts['games']:,} {name}" for name, facts in made.manifest["splits"].items())
    reasons = {what: made.manifest.get(what, {}) for what in ("skipped", "cut")}
    told = [
        f"; {what} {', '.join(f'{n:,} {why}' for why, n in whys.items())}"
        for what, whys in reasons.items()
        if whys
    ]
    return f"{made.manifest['games']:,} {made.game.name} games: {splits}{''.join(told)}"
