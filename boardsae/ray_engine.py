"""Games, sweeps and scores on a Ray cluster: what threads and processes here make, to the byte on CPUs.

    sweep.sweep(specs, root, on_ray("auto"))

A pack is a task of one core, or one GPU. Ray tries it again where its worker or node died, and it goes on from its
checkpoints. A task that keeps dying is the failure of its runs and of no others.
"""

import errno
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from boardsae import DEFAULT_TASK, Broken, data, generate, models, runs, saes, scoring, sweep, targets, tasks
from boardsae.cluster import (
    Call,
    Files,
    Site,
    answers,
    at,
    check_nodes,
    check_reachable,
    connected,
    have_games,
    packed,
    taken,
    unpack,
)
from boardsae.files import ArrayFile, read_json
from boardsae.generate import Arrays, Span, Unfinished
from boardsae.progress import progress
from boardsae.sweep import Engine, Pack, Result

SHARE = 8  # runs that one task scores: reading their evidence costs about as much as scoring one
PROCESS = 0.75 * 2**30  # bytes of a worker before it trains: torch, kernels, the model, batches of its stream
COPIES = 6  # of an SAE's weights: themselves, gradients, Adam's two moments, what a checkpoint copies
BATCHES = 6  # arrays of (batch, features) alive at once, of one SAE at a time
GAME = 16  # bytes beside its moves: its place in the order and its length
SCORING = 3 * 2**30  # bytes of a worker that scores
PLAYED = 65_536  # games that one task plays: a second or two of chess, a few MB of Othello
PLAYING = 2**30  # bytes of a worker that plays them
AHEAD = 2  # tasks that play, for every core: what they send waits in memory until it is written
SEEN_SECONDS = 60  # until a network file system shows what another machine wrote


def on_ray(address: str) -> Engine:
    """An engine of a cluster's cores and GPUs; one that cannot be reached is refused at once."""
    check_reachable(address)

    def engine(waiting: Sequence[Pack]) -> Iterator[list[Result]]:
        if not waiting:
            return
        root = waiting[0].root
        with connected(address, root) as site:
            check_nodes(site)
            yield from map(finished, trained(waiting, site))

    def trained(waiting: Sequence[Pack], site: Site) -> Iterator[Pack]:
        packs = [pack._replace(root=site.root, device=device_on(pack.device)) for pack in waiting]
        for place, answer in answers([call_of(pack) for pack in packs], site):
            pack = packs[place]
            if isinstance(answer, Exception):
                lose(pack, answer)
            else:
                unpack(answer, site.root)
            yield pack

    return engine


def device_on(asked: str) -> str:
    """What `auto` is on this cluster: its GPUs, if it has some. A GPU has no number: a task sees but its own."""
    import ray

    if asked != "auto":
        return asked.partition(":")[0]
    return "cuda" if ray.cluster_resources().get("GPU") else "cpu"


def call_of(pack: Pack) -> Call:
    gpus = int(pack.device.startswith("cuda"))
    return Call(f"train {pack.name}", train_there, (pack,), 1, gpus, memory(pack))


def memory(pack: Pack) -> int:
    """Bytes that a pack needs, as benchmarks/CLUSTER.md measures them."""
    task = tasks.of(pack.specs[0].task)
    width = read_json(models.folder_of(task.model) / "model.json")["shape"]["width"]
    held = Path(task.data, "moves.npy").stat().st_size + GAME * data.read_manifest(Path(task.data))["games"]
    if saes.VARIANTS[pack.specs[0].variant].site == "neurons":
        width *= 4
    weights = sum(2 * width * spec.d_sae for spec in pack.specs)
    batch = max(spec.batch * spec.d_sae for spec in pack.specs)
    return int(PROCESS + held + 4 * (COPIES * weights + BATCHES * batch))


def train_there(site: Site, threads: int, pack: Pack) -> Files:
    """In a worker: trains a pack; where the driver's folder is not seen, the answer is its files."""
    with at(site, threads) as root:
        have_games(site, pack.specs[0].task)
        there = pack._replace(root=root)
        sweep.run_pack(there)
        return {} if root == site.root else taken(there.folders, root)


def finished(pack: Pack) -> list[Result]:
    """How a pack ended, once this machine sees it."""
    deadline = time.monotonic() + SEEN_SECONDS
    while not all(map(is_over, pack.folders)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return sweep.results_of(pack)


def is_over(folder: Path) -> bool:
    """Looks at the list of files, which a network file system reads afresh."""
    return folder.is_dir() and not {"boardsae.json", "error.json"}.isdisjoint(os.listdir(folder))


def lose(pack: Pack, error: Exception) -> None:
    """The runs of a task that Ray gave up have failed, unless they were finished before."""
    for folder in pack.folders:
        if not runs.is_trained(folder):
            runs.fail(folder, f"{type(error).__name__}: its worker was lost again and again: {told(error)}")


def told(error: Exception) -> str:
    lines = (
        str(getattr(error, "cause", None) or error).strip().splitlines()
    )  # what a task raised, without its trace
    return lines[0].strip() if lines else "no reason was given"


def score_targets(
    asked: Sequence[str], task: str | None, address: str, threads: int, force: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """As `scoring.score_targets`, the runs of a hook a few to a task."""
    if factory := next(filter(targets.is_factory, asked), None):
        raise ValueError(f"--engine ray scores folders of runs, got {factory}; score it without --engine")
    names = {folder.absolute(): str(folder) for each in asked for folder in targets.folders(each)}
    known = {} if force else {folder: record for folder in names if (record := scoring.kept(folder))}
    if waiting := [folder for folder in names if folder not in known]:
        known |= scored(waiting, task, address, threads)
    yield from ((name, known[folder]) for folder, name in names.items())


def scored(
    waiting: Sequence[Path], task: str | None, address: str, threads: int
) -> dict[Path, dict[str, Any]]:
    check_reachable(address)
    root = Path(os.path.commonpath(waiting))
    shares = list(shared(waiting))
    records: dict[Path, dict[str, Any]] = {}
    bar = progress("scoring", len(waiting), "SAEs")
    with connected(address, root) as site:
        seen = check_nodes(site)
        calls = [share_call(share, site, task, threads, not seen) for share in shares]
        for place, answer in answers(calls, site):
            if isinstance(answer, Exception):
                error = {"error": f"{type(answer).__name__}: {told(answer)}"}
                records |= dict.fromkeys(shares[place], error)
            else:
                found, files = answer
                unpack(files, root)
                records |= zip(shares[place], found, strict=True)
            bar.update(len(shares[place]))
    bar.close()
    return records


def share_call(share: Sequence[Path], site: Site, task: str | None, threads: int, carried: bool) -> Call:
    names = [str(folder.relative_to(site.root)) for folder in share]
    files = packed(share, site.root) if carried else {}
    title = f"score {share[0].relative_to(site.root)}:{len(share)}"
    return Call(title, score_there, (names, task, files), threads, 0, SCORING)


def shared(waiting: Sequence[Path]) -> Iterator[list[Path]]:
    """Runs that read the same activations together."""
    hooks: dict[object, list[Path]] = {}
    for folder in waiting:
        hooks.setdefault(hook_of(folder), []).append(folder)
    for group in hooks.values():
        yield from (group[i : i + SHARE] for i in range(0, len(group), SHARE))


def hook_of(folder: Path) -> object:
    try:
        spec = runs.spec_of(folder)
    except (Broken, ValueError, KeyError, TypeError):  # scoring will say what is wrong with it
        return None
    return spec.task, spec.layer, saes.VARIANTS[spec.variant].site


def score_there(
    site: Site, threads: int, names: Sequence[str], task: str | None, files: Files
) -> tuple[list[dict[str, Any]], Files]:
    """In a worker: scores some runs; where the driver's folder is not seen, their files come and go."""
    with at(site, threads) as root:
        folders = [root / name for name in names]
        carried = root != site.root
        if carried:
            unpack(files, root)
        have_games(site, runs.task_of(folders[0]) or task or DEFAULT_TASK)
        records = [record for _, record in scoring.score_targets([str(f) for f in folders], task, force=True)]
        return records, taken(folders, root) if carried else {}


def plays_on_ray(address: str) -> generate.Engine:
    """An engine of a cluster's cores, for games; one that cannot be reached is refused at once."""
    check_reachable(address)

    def engine(unfinished: Unfinished, left: Sequence[Span]) -> Generator[int]:
        if not left:
            return
        with connected(address, unfinished.folder) as site:
            check_nodes(site)
            spans = list(joined(left))
            calls = [play_call(unfinished, span) for span in spans]
            for place, answer in answers(calls, site, AHEAD * cores()):
                if isinstance(answer, Exception):
                    problem = f"{calls[place].name}: {told(answer)}; the same command goes on"
                    raise OSError(errno.EIO, problem, str(site.root))
                unfinished.write(spans[place].first, answer)
                unfinished.mark(spans[place])
                yield spans[place].games

    return engine


def cores() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def joined(left: Sequence[Span]) -> Iterator[Span]:
    """Neighbours together, as many as one task plays."""
    first, games = left[0]
    for span in left[1:]:
        if span.first == first + games and games + span.games <= PLAYED:
            games += span.games
        else:
            yield Span(first, games)
            first, games = span
    yield Span(first, games)


def play_call(unfinished: Unfinished, span: Span) -> Call:
    title = f"play {unfinished.game.name}:{span.first}-{span.first + span.games}"
    return Call(title, play_there, (unfinished.source.arrays, span), 1, 0, PLAYING)


def play_there(site: Site, threads: int, arrays: Callable[[int, int], Arrays], span: Span) -> Arrays:
    """In a worker: plays a span into the driver's folder; where that is not seen, the answer is its arrays."""
    with at(site, threads) as root:
        made = arrays(*span)
        if root != site.root:
            return made
        for name, array in made.items():
            file = ArrayFile(root / f"{name}.npy")
            file.write(span.first, array)
            file.close()  # which on a network file system is when others see it
        return {}
