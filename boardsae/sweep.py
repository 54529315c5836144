"""Many runs: a Python file's SPECS, packed by the stream that they share, trained in local processes.

What is finished is skipped, so the same command resumes. A run that fails is a result, and the others go on.
"""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from boardsae import plugins, runs, tasks
from boardsae.files import Held, read_json
from boardsae.memory import keep_freed
from boardsae.progress import progress, say
from boardsae.runs import Spec

LEFT = "left to another process, which was training it; sweep again to see it through"
PACK, MOST = 8, 24  # SAEs that train together: enough to share a stream, few enough to use every core
ROUNDS = 4  # packs for each process, which even out how long they take


class Pack(NamedTuple):
    """Runs that share a stream of activations; `root` is the folder of all results."""

    specs: tuple[Spec, ...]
    root: Path
    device: str = "auto"

    @property
    def folders(self) -> list[Path]:
        return [runs.path_of(spec, self.root) for spec in self.specs]

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
    plugins.look_in(path.parent)
    try:
        found = runpy.run_path(str(path)).get("SPECS")
    except (Exception, SystemExit) as error:  # whatever somebody else's code raises
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from None
    if not isinstance(found, tuple | list) or not all(isinstance(spec, Spec) for spec in found):
        raise ValueError(
            f"expected SPECS in {path}, a tuple of boardsae.runs.Spec, got {type(found).__name__}"
        )
    if not found:
        raise ValueError(f"expected runs in the SPECS of {path}, got none")
    return tuple(found)


def packs(
    specs: Sequence[Spec], root: Path, device: str = "auto", size: int = PACK, jobs: int | None = None
) -> list[Pack]:
    """What is not trained yet, runs of one stream together: `size` of them, or more where some `jobs` have many."""
    from boardsae.train_sae import feed_of

    groups: dict[object, list[Spec]] = {}
    for folder, spec in {runs.path_of(spec, root): spec for spec in specs}.items():
        if not runs.is_trained(folder):
            key = (spec.task, feed_of(spec, tasks.of(spec.task)), spec.rows)
            groups.setdefault(key, []).append(spec)
    found = []
    for group in groups.values():
        each = size if jobs is None else larger(size, len(group), jobs)
        found += [Pack(tuple(group[i : i + each]), root, device) for i in range(0, len(group), each)]
    return found


def larger(size: int, runs: int, jobs: int) -> int:
    """Every run more in a pack saves a pass of the model; with some packs a process, none waits long for the last."""
    return max(size, min(MOST, -(-runs // (ROUNDS * jobs))))


def run_pack(pack: Pack) -> list[Result]:
    """Trains a pack. Whatever goes wrong is the result of the run that is to blame, found by training each alone.

    A run that another process trains at the moment is left to it.
    """
    trouble, theirs = trouble_of(pack)  # without its traceback, which would hold the pack's tensors
    if trouble and len(pack.specs) > 1:
        return [result for spec in pack.specs for result in run_pack(pack._replace(specs=(spec,)))]
    if theirs:
        say(trouble)
    elif trouble:
        runs.fail(pack.folders[0], trouble)
    return results_of(pack)


def trouble_of(pack: Pack) -> tuple[str, bool]:
    """Trains a pack; answers with what went wrong, and whether it is that another process writes there."""
    from boardsae import train_sae

    try:
        plugins.read_files()
        opened = tasks.open_task(tasks.of(pack.specs[0].task))
        train_sae.train(list(zip(pack.specs, pack.folders, strict=True)), opened, device=pack.device)
    except Held as error:
        return str(error), True
    except Exception as error:  # one run's trouble must not end the sweep
        return f"{type(error).__name__}: {error}", False
    return "", False


def results_of(pack: Pack) -> list[Result]:
    return [outcome(spec, folder) for spec, folder in zip(pack.specs, pack.folders, strict=True)]


def locally(jobs: int) -> Engine:
    """An engine of local processes, one a pack, which end with this one."""

    def engine(waiting: Sequence[Pack]) -> Iterator[list[Result]]:
        if jobs == 1 or len(waiting) == 1:
            yield from map(run_pack, waiting)
            return
        threads = max(1, (os.cpu_count() or 1) // jobs)
        started: list[BaseProcess] = []
        with ThreadPoolExecutor(jobs) as pool:  # its threads only wait, each for a process
            try:
                done = [pool.submit(in_process, pack, threads, started) for pack in waiting]
                for each in as_completed(done):
                    yield each.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in started:
                    process.terminate()

    return engine


def in_process(pack: Pack, threads: int, started: list[BaseProcess]) -> list[Result]:
    """Trains a pack in a process of its own; one that is killed takes no other with it."""
    process = get_context("spawn").Process(target=work, args=(pack, threads), daemon=True)
    started.append(process)
    process.start()
    process.join()
    for folder in pack.folders:
        unknown = not runs.is_trained(folder) and not (folder / "error.json").exists()
        # 0: another process trains it. SIGTERM is how the sweep itself ends its processes.
        if unknown and process.exitcode not in (0, -signal.SIGTERM):
            runs.fail(folder, f"its process ended with exit code {process.exitcode}")
    return results_of(pack)


def work(pack: Pack, threads: int) -> None:
    """What a process does: with its share of the cores, and as long as there is a sweep that waits for it."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep, which ends its processes
    threading.Thread(target=end_with, args=(parent_process(),), daemon=True).start()
    torch.set_num_threads(threads)
    keep_freed()
    if sys.stderr.isatty():
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  the sweep's own bar has the terminal
    run_pack(pack)


def end_with(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)


def usual_jobs(device: str) -> int:
    """One process a core; a GPU is filled by one alone."""
    from boardsae.devices import device_of

    return os.cpu_count() or 1 if device_of(device).type == "cpu" else 1


def sweep(
    specs: Sequence[Spec], root: Path, engine: Engine, device: str = "auto", jobs: int | None = None
) -> list[Result]:
    """Trains what is not trained yet, by so many processes if that is known; answers with every run, in the order of
    the specs.
    """
    by_folder = folders_of(specs, root)
    # Games that are missing are made once, before workers ask for them.
    hashes = {task: tasks.open_task(tasks.of(task)).hashes for task in sorted({spec.task for spec in specs})}
    for folder, spec in by_folder.items():
        if runs.is_trained(folder):
            runs.begin(folder, spec, hashes[spec.task])
    waiting = packs(specs, root, device, jobs=jobs)
    left = sum(len(pack.specs) for pack in waiting)
    trained = len(by_folder) - left
    say(f"{len(by_folder)} runs, {trained} trained before, {left} to train in {len(waiting)} packs")
    bar = progress("sweep", left, "runs")
    for results in engine(waiting):
        for result in results:
            say(f"{result.folder}: {told(result.error)}" if result.error else f"trained: {result.folder}")
        bar.update(len(results))
    bar.close()
    return [outcome(spec, runs.path_of(spec, root)) for spec in specs]


def folders_of(specs: Sequence[Spec], root: Path) -> dict[Path, Spec]:
    """Every run by its folder. Those of tasks whose names end alike would live in one, and be taken for each other."""
    there: dict[Path, Spec] = {}
    for spec in specs:
        other = there.setdefault(folder := runs.path_of(spec, root), spec)
        if other != spec:
            raise ValueError(
                f"expected one run for {folder}, got one of task {other.task!r} and one of task {spec.task!r};"
                " rename one of them, or sweep it into another --out"
            )
    return there


def outcome(spec: Spec, folder: Path) -> Result:
    error = read_json(folder / "error.json")["error"] if (folder / "error.json").exists() else None
    return Result(spec, folder, error if error or runs.is_trained(folder) else LEFT)


def told(error: str) -> str:
    return error if error == LEFT else f"failed: {error}"


def table(results: Sequence[Result]) -> Iterator[str]:
    """A line a run: how it ended."""
    yield f"{'variant':<16} {'sparsity':>10} {'seed':>4} {'L0':>7} {'explained':>9} {'dead':>5} {'seconds':>8}"
    for spec, folder, error in results:
        name = runs.VARIANTS[spec.variant].sparsity
        head = f"{spec.variant:<16} {spec.options[name] if name else '-':>10} {spec.seed:>4}"
        if error:
            yield f"{head} {told(error)}"
            continue
        record = read_json(folder / "boardsae.json")
        row = record["last"]
        if row:
            measured = f"{row['l0']:>7.1f} {row['explained_variance']:>9.3f} {row['dead_share']:>5.0%}"
            yield f"{head} {measured} {record['seconds']:>8.1f}"
        else:
            yield f"{head} {'made without training':>32}"
