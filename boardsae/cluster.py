"""A Ray cluster: reached or refused, of one version throughout, its tasks' files seen by all or carried.

A worker that sees the driver's folder of results works in it, so that a task which is tried again elsewhere finds the
checkpoints of the first attempt. One that does not works in a folder of its own machine, and its files travel.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from boardsae import Broken, __version__, tasks
from boardsae.files import appearing
from boardsae.progress import say

REACH_SECONDS = 12
ANSWER_SECONDS = 60  # a node's first worker has to start
RETRIES = 3  # of a task whose worker or node died; beyond, it is to blame itself
LAST = ("boardsae.json", "error.json", "scores.json")  # marks of what is finished
Files = dict[str, bytes]  # by path below the folder of results


class Call(NamedTuple):
    """A task of the cluster: what is called, and what it may use."""

    name: str  # on the dashboard
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    cpus: int
    gpus: int
    memory: int


class Site(NamedTuple):
    """Where the driver works, and the mark by which a worker knows that it sees the same folder of results."""

    cwd: Path
    root: Path
    mark: str
    host: str  # the driver's
    versions: dict[str, str]

    @property
    def scratch(self) -> Path:
        """In a worker; the same for the same results, so that what was begun there goes on."""
        name = hashlib.sha256(f"{self.host} {os.getuid()} {self.root}".encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"boardsae-{name}"

    @property
    def is_seen(self) -> bool:
        return (self.root / self.mark).exists()


def versions() -> dict[str, str]:
    """Of what decides results. Builds of one version, such as 2.13.0+cpu, are one."""
    return {"boardsae": __version__, "torch": metadata.version("torch").split("+")[0]}


def check_reachable(address: str) -> None:
    """Tries from another process, which can be ended: Ray's own attempt may take minutes or end this one."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise ValueError("--engine ray needs Ray: pip install 'boardsae[ray]'") from None
    if address == "local":
        return
    attempt = "import ray, sys; print(flush=True); ray.init(address=sys.argv[1], log_to_driver=False)"
    with subprocess.Popen(
        [sys.executable, "-c", attempt, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None, "it is a pipe"
        process.stdout.readline()  # importing Ray takes long on a busy machine, and is not the cluster's fault
        try:
            _, words = process.communicate(timeout=REACH_SECONDS)
            reason = last_line(words)
        except subprocess.TimeoutExpired:
            process.kill()
            reason = f"no answer within {REACH_SECONDS} s"
    if process.returncode == 0:
        return
    raise ValueError(
        f"no Ray cluster at --address {address}: {reason};"
        " `ray start --head` starts one, --address local one of this machine alone"
    )


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it ended without a word"


@contextmanager
def connected(address: str, root: Path) -> Iterator[Site]:
    """A driver's connection; when it ends, however it ends, Ray ends the tasks."""
    import ray

    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    site = Site(Path.cwd(), root, f".driver-{uuid.uuid4().hex}", socket.gethostname(), versions())
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        (site.root / site.mark).touch()
        yield site
    finally:
        ray.shutdown()
        (site.root / site.mark).unlink(missing_ok=True)


def check_nodes(site: Site) -> bool:
    """Refuses nodes of other versions, before anything runs; answers whether all see the folder of results."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def look(mark: str) -> tuple[dict[str, str], bool]:  # local, and so sent whole to nodes without boardsae
        import importlib.metadata
        import pathlib

        try:
            import boardsae

            torch = importlib.metadata.version("torch").split("+")[0]
        except ImportError as error:
            return {"boardsae": f"none ({error})"}, False
        return {"boardsae": boardsae.__version__, "torch": torch}, pathlib.Path(mark).exists()

    seen = True
    working = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    asked = [
        ray.remote(look)
        .options(
            name="boardsae:versions",
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        )
        .remote(str(site.root / site.mark))
        for node in working
    ]
    deadline = time.monotonic() + ANSWER_SECONDS
    for node, answer in zip(working, asked, strict=True):
        where = node["NodeManagerHostname"]
        try:
            found, sees = ray.get(answer, timeout=max(0.1, deadline - time.monotonic()))
        except (GetTimeoutError, RayError):  # it is dying, or each of its tasks will check for itself
            say(f"node {where} runs no task as yet; going on without it")
            seen = False
            continue
        check_versions(found, site, where)
        seen &= sees
    return seen


def check_versions(found: dict[str, str], site: Site, where: str) -> None:
    for name, wanted in site.versions.items():
        if found.get(name) != wanted:
            raise ValueError(
                f"expected {name} {wanted} on every node, as on the driver, got {found.get(name)} on {where};"
                " install the same there"
            )


def answers(
    calls: Sequence[Call], site: Site, at_once: int | None = None
) -> Iterator[tuple[int, Any | Exception]]:
    """The place of every call and its answer, as they come; of one whose workers kept dying, the exception.

    Where answers are large, only so many calls are `at_once` begun and not yet taken.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    tell_what_is_missing(calls)
    places = iter(range(len(calls)))
    running = {begin(calls[place], site): place for place in islice(places, at_once)}
    while running:
        (ready, *_), _ = ray.wait(list(running), num_returns=1)
        place = running.pop(ready)
        running |= {begin(calls[after], site): after for after in islice(places, 1)}
        try:
            answer = ray.get(ready)
        except RayTaskError as error:
            if isinstance(error.cause, ValueError | Broken):
                raise type(error.cause)(str(error.cause)) from None
            answer = error
        except RayError as error:
            answer = error
        yield place, answer


def begin(call: Call, site: Site) -> Any:
    import ray

    task: Any = ray.remote(call.function)
    stated = {"num_cpus": call.cpus, "num_gpus": call.gpus, "memory": call.memory}
    return task.options(name=call.name, max_retries=RETRIES, **stated).remote(
        site, call.cpus, *call.arguments
    )


def tell_what_is_missing(calls: Sequence[Call]) -> None:
    """A task that no node can hold waits, maybe for a node that an autoscaler brings."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for call in calls:
        need = {"CPU": call.cpus, "GPU": call.gpus, "memory": call.memory}
        if not any(all(node.get(name, 0) >= size for name, size in need.items()) for node in nodes):
            say(
                f"no node has {call.cpus} CPU, {call.gpus} GPU and {call.memory / 2**30:.1f} GiB of memory for"
                f" {call.name}; waiting for one to join"
            )
            return


@contextmanager
def at(site: Site, threads: int) -> Iterator[Path]:
    """In a worker: the folder of results to work in, with the driver's versions and a share of the cores."""
    import torch

    check_versions(versions(), site, socket.gethostname())
    torch.set_num_threads(threads)
    shared = site.is_seen and site.cwd.is_dir()
    if not shared:
        site.scratch.mkdir(exist_ok=True)
    os.chdir(site.cwd if shared else site.scratch)
    yield site.root if site.is_seen else site.scratch / "results"


def have_games(site: Site, task: str) -> None:
    """Games that this machine lacks are made by one worker, while the others wait."""
    if not (Path(tasks.of(task).data) / "manifest.json").exists():
        site.scratch.mkdir(exist_ok=True)
        with (site.scratch / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tasks.transcripts(tasks.of(task))


def packed(folders: Sequence[Path], root: Path) -> Files:
    """What lies in some folders, to be sent."""
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix != ".tmp"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}


def taken(folders: Sequence[Path], root: Path) -> Files:
    """The same, and gone from this machine."""
    files = packed(folders, root)
    for folder in folders:
        shutil.rmtree(folder)
    return files


def unpack(files: Files, root: Path) -> None:
    """What was sent, marks last: what a kill leaves half done is not taken for finished."""
    for name in sorted(files, key=lambda name: Path(name).name in LAST):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with appearing(root / name) as unfinished:
            unfinished.write_bytes(files[name])
