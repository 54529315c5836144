"""Making transcripts: in blocks, by threads, so that a kill loses one block and memory does not grow with the games.

Everything is written into `<folder>.partial`, which is renamed to `<folder>` when it is whole.
"""

import errno
import fcntl
import math
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import games
from boardsae import __version__, data
from boardsae.files import ArrayFile, ArrayReader, open_array, read_json, sha256, write_json
from boardsae.progress import progress, say
from boardsae.splits import SPLITS, repeats, splits
from games.core import Game, Policy

BLOCK = 8192  # games that one worker makes at a time
DEFAULT_GAMES = {"othello": 200_000, "othello6": 200_000, "chess": 50_000, "chess-pgn": 50_000}
OTHERS = 20_000  # games of a plug-in, which may play slowly
SCRATCH = ("keys.npy", "done.npy", "lock", "request.json")


class Source(NamedTuple):
    """Where games come from: how many, a function of (first, games) to their moves and styles, facts to record."""

    games: int
    block: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
    facts: dict[str, Any]


def from_policy(
    name: str,
    count: int | None,
    seed: int,
    policy: str | None,
    workers: int,
    folder: Path,
    force: bool = False,
) -> data.Dataset:
    """`count` games played by the policy, or the rest of them after a kill; game i depends only on (seed, i)."""
    game = games.load(name)
    count = DEFAULT_GAMES.get(name, OTHERS) if count is None else above_0("games", count)
    if not 0 <= seed < 2**64:
        raise ValueError(f"expected a seed from 0 to 2**64 - 1, got {seed}")
    played = game.policy(policy or game.default_policy)
    request = {"game": name, "version": game.version, "games": count, "seed": seed, "policy": as_json(played)}

    def play(_partial: Path) -> Source:
        return Source(count, lambda first, n: game.generate(seed, first, n, played), {})

    return make(game, request, play, workers, folder, force)


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

        def block(first: int, n: int) -> tuple[np.ndarray, np.ndarray]:
            return np.asarray(blocks[first // BLOCK]), np.zeros((n, 2), np.uint8)

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
) -> data.Dataset:
    """What the request asks for, from where a killed call left it; never over other data without `force`."""
    above_0("workers", workers)
    if is_made(folder, request, force):
        say(f"{folder} already holds these games")
        return data.load(folder)
    partial = folder.with_name(folder.name + ".partial")
    with begun(partial, request, force):
        if not (partial / "manifest.json").exists():
            write(partial, game, request, source(partial), workers)
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
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(f"another process is writing {partial}; wait for it or stop it") from None
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
        yield


def write(partial: Path, game: Game, request: dict[str, Any], source: Source, workers: int) -> None:
    """All arrays block by block, then the splits and the manifest."""
    sizes = [min(BLOCK, source.games - first) for first in range(0, source.games, BLOCK)]
    varied = (
        len(request.get("policy", {}).get("styles", ())) > 1
        or request.get("policy", {}).get("opening", 0) > 0
    )

    def arrays(block: int, games: int) -> dict[str, np.ndarray]:
        moves, styles = source.block(block * BLOCK, games)
        return {"keys": game.keys(moves), "moves": moves, **game.notation(moves)} | (
            {"styles": styles} if varied else {}
        )

    shapes = {name: (array.shape[1:], array.dtype) for name, array in arrays(0, 1).items()}
    if not (partial / "keys.npy").exists():
        check_space(
            partial, source.games * sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes.values())
        )
    files = {
        name: ArrayFile(partial / f"{name}.npy", (source.games, *shape), dtype)
        for name, (shape, dtype) in shapes.items()
    }
    done = ArrayFile(partial / "done.npy", (len(sizes),), np.dtype(np.uint8))

    def write_block(block: int) -> int:
        for name, array in arrays(block, sizes[block]).items():
            files[name].write(block * BLOCK, array)
        done.write(block, np.ones(1, np.uint8))
        return sizes[block]

    left = np.flatnonzero(open_array(partial / "done.npy") == 0).tolist()
    bar = progress("played", source.games, "games", done=source.games - sum(sizes[block] for block in left))
    with ThreadPoolExecutor(workers) as pool:
        try:
            for n in pool.map(write_block, left):
                bar.update(n)
            bar.close()
            for file in (*files.values(), done):
                file.close()
            finish(partial, request, source.facts, pool)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


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
    split_file = ArrayFile(partial / "split.npy", (len(keys),), np.dtype(np.uint8))

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
    return path.name in SCRATCH or path.name.startswith("pgn-") or path.suffix == ".tmp"


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
