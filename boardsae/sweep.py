"""Many runs: a Python file's SPECS, packed by the stream that they share, trained in local processes.

What is finished is skipped, so the same command resumes. A run that fails is a result, and the others go on.
"""

import os
import runpy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from boardsae import runs, tasks
from boardsae.files import read_json
from boardsae.progress import say
from boardsae.runs import Spec

PACK = 8  # SAEs that train together: enough to share a stream, few enough to use every core


class Pack(NamedTuple):
    """Runs that share a stream of activations; `root` is the folder of all results."""

    specs: tuple[Spec, ...]
    root: Path

    @property
    def name(self) -> str:
        """For people who watch: what trains, and how much of it."""
        variants = "+".join(dict.fromkeys(spec.variant for spec in self.specs))
        return f"{Path(self.specs[0].task).name}:{variants}:{len(self.specs)}"


class Result(NamedTuple):
    spec: Spec
    folder: Path
    error: str | None


Engine = Callable[[Sequence[Pack]], Iterator[list[Result]]]


def specs_in(path: Path) -> tuple[Spec, ...]:
    """The SPECS of a Python file."""
    if not path.exists():
        raise FileNotFoundError(
            f"no file {path}; a sweep is a Python file with SPECS, such as benchmarks/smoke.py"
        )
    try:
        found = runpy.run_path(str(path)).get("SPECS")
    except (SyntaxError, NameError, ImportError, TypeError) as error:
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from None
    if not isinstance(found, tuple | list) or not all(isinstance(spec, Spec) for spec in found):
        raise ValueError(
            f"expected SPECS in {path}, a tuple of boardsae.runs.Spec, got {type(found).__name__}"
        )
    return tuple(found)


def packs(specs: Sequence[Spec], root: Path, size: int = PACK) -> list[Pack]:
    """What is not trained yet, runs of one stream together."""
    from boardsae.train_sae import feed_of

    groups: dict[object, list[Spec]] = {}
    for folder, spec in {runs.path_of(spec, root): spec for spec in specs}.items():
        if not runs.is_trained(folder):
            key = (spec.task, feed_of(spec, tasks.of(spec.task)), spec.rows)
            groups.setdefault(key, []).append(spec)
    return [
        Pack(tuple(group[i : i + size]), root)
        for group in groups.values()
        for i in range(0, len(group), size)
    ]


def run_pack(pack: Pack) -> list[Result]:
    """Trains a pack; whatever goes wrong becomes the result of its runs."""
    from boardsae import train_sae

    folders = [runs.path_of(spec, pack.root) for spec in pack.specs]
    try:
        opened = tasks.open_task(tasks.of(pack.specs[0].task))
        errors = train_sae.train(list(zip(pack.specs, folders, strict=True)), opened)
    except Exception as error:  # one pack's trouble must not end the sweep
        text = f"{type(error).__name__}: {error}"
        errors = dict.fromkeys(folders, text)
        for folder in folders:
            runs.fail(folder, text)
    return [Result(spec, folder, errors[folder]) for spec, folder in zip(pack.specs, folders, strict=True)]


def locally(jobs: int) -> Engine:
    """An engine of local processes, which end with this one."""

    def engine(waiting: Sequence[Pack]) -> Iterator[list[Result]]:
        if jobs == 1 or len(waiting) == 1:
            yield from map(run_pack, waiting)
            return
        threads = max(1, (os.cpu_count() or 1) // jobs)
        with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=settle, initargs=(threads,)) as pool:
            try:
                for done in as_completed([pool.submit(run_pack, pack) for pack in waiting]):
                    yield done.result()
            finally:
                pool.shutdown(cancel_futures=True)

    return engine


def settle(threads: int) -> None:
    """A worker uses its share of the cores."""
    import torch

    torch.set_num_threads(threads)


def sweep(specs: Sequence[Spec], root: Path, engine: Engine) -> list[Result]:
    """Trains what is not trained yet; answers with every run, in the order of the specs."""
    for task in sorted({spec.task for spec in specs}):
        tasks.open_task(tasks.of(task))  # what is missing is made once, before workers ask for it
    waiting = packs(specs, root)
    left = sum(len(pack.specs) for pack in waiting)
    say(
        f"{len(specs)} runs, {len(specs) - left} of them trained before, {left} to train in {len(waiting)} packs"
    )
    for results in engine(waiting):
        for result in results:
            say(f"failed: {result.folder}: {result.error}" if result.error else f"trained: {result.folder}")
    return [outcome(spec, runs.path_of(spec, root)) for spec in specs]


def outcome(spec: Spec, folder: Path) -> Result:
    error = read_json(folder / "error.json")["error"] if (folder / "error.json").exists() else None
    return Result(spec, folder, error if error or runs.is_trained(folder) else "not trained")


def table(results: Sequence[Result]) -> Iterator[str]:
    """A line a run: how it ended."""
    yield f"{'variant':<16} {'sparsity':>10} {'seed':>4} {'L0':>7} {'explained':>9} {'dead':>5} {'seconds':>8}"
    for spec, folder, error in results:
        name = runs.VARIANTS[spec.variant].sparsity
        head = f"{spec.variant:<16} {spec.options[name] if name else '-':>10} {spec.seed:>4}"
        if error:
            yield f"{head} failed: {error}"
            continue
        record = read_json(folder / "boardsae.json")
        row = record["last"]
        if row:
            measured = f"{row['l0']:>7.1f} {row['explained_variance']:>9.3f} {row['dead_share']:>5.0%}"
            yield f"{head} {measured} {record['seconds']:>8.1f}"
        else:
            yield f"{head} {'made without training':>32}"
