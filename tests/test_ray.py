"""Ray: the same games, runs and records as on one machine, also when workers, nodes and drivers die in the middle."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from made_task import kept
from processes import hear_ctrl_c

from boardsae import generate, runs, sweep
from boardsae.runs import Spec

ray = pytest.importorskip("ray")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster  # noqa: E402

from boardsae import cluster as grid  # noqa: E402
from boardsae import ray_engine  # noqa: E402

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own
NODE = {"num_cpus": 1, "memory": 32 * 2**30, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return kept(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def cluster():
    """A head that runs no tasks, and a node of one core."""
    made = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0})
    made.add_node(**NODE)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def reached(monkeypatch):
    """That the cluster answers, the first test and one of its own show; asking takes seconds."""
    monkeypatch.setattr(ray_engine, "check_reachable", lambda _: None)


def specs(task, rows=8192 * 3):
    made = (("topk", {"k": 4}, 0), ("standard", {}, 0), ("topk", {"k": 4}, 1), ("random", {}, 0))
    return [Spec(task, name, options, 32, rows, seed, layer=seed) for name, options, seed in made]


def weights(results):
    assert [result.error for result in results] == [None] * len(results)
    return [
        hashlib.sha256((result.folder / "sae_weights.safetensors").read_bytes()).hexdigest()
        for result in results
    ]


def records(found):
    return [json.dumps(record | {"made_with": None, "seconds": None}, sort_keys=True) for _, record in found]


@pytest.fixture(scope="module")
def local(task, tmp_path_factory):
    root = tmp_path_factory.mktemp("local")
    return root, weights(sweep.sweep(specs(task), root, sweep.locally(1), "cpu"))


def test_the_same_weights_and_scores_as_here(task, cluster, local, tmp_path):
    root, expected = local
    results = sweep.sweep(specs(task), tmp_path, ray_engine.on_ray(cluster.address), "auto")
    assert weights(results) == expected
    assert not list(tmp_path.glob(".driver-*"))
    here = records(ray_engine.scoring.score_targets([str(root)], task))
    there = records(ray_engine.score_targets([str(tmp_path)], task, cluster.address, 1, False))
    assert there == here
    assert all(result.folder.joinpath("counts.npz").exists() for result in results)
    assert records(ray_engine.score_targets([str(tmp_path)], task, "nowhere:1", 1, False)) == here


@pytest.mark.usefixtures("reached")
def test_files_travel_where_the_folder_of_results_is_not_shared(task, cluster, local, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "touch", lambda _: None)  # no mark, so that no worker knows the folder
    results = sweep.sweep(specs(task), tmp_path, ray_engine.on_ray(cluster.address), "cpu")
    assert weights(results) == local[1]
    here = records(ray_engine.scoring.score_targets([str(local[0])], task))
    assert records(ray_engine.score_targets([str(tmp_path)], task, cluster.address, 1, False)) == here
    for root in (tmp_path, tmp_path / "model"):  # of the sweep, and of the scores
        site = grid.Site(Path.cwd(), root, "", socket.gethostname(), {})
        assert not [path for path in site.scratch.rglob("*") if path.is_file()]
        shutil.rmtree(site.scratch)
    kept = json.loads((results[0].folder / "scores.json").read_text())
    assert kept["made_with"]["machine"].endswith("1 threads")


def workers(verb="train"):
    """Processes that are at a task of ours."""
    found = subprocess.run(["pgrep", "-f", f"ray::{verb}_there|ray::{verb} "], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def begun(root):
    return list(root.rglob("spec.json"))


@pytest.mark.usefixtures("reached")
def test_a_worker_and_a_node_die_and_every_run_is_trained_once(task, cluster, tmp_path):
    asked = specs(task, rows=8192 * 30)
    expected = weights(sweep.sweep(asked, tmp_path / "local", sweep.locally(1), "cpu"))
    doomed = cluster.add_node(**NODE)
    died = []

    def trouble():
        if pids := wait_for(lambda: len(begun(tmp_path / "ray")) > 1 and workers(), 60):
            os.kill(pids[0], signal.SIGKILL)
            died.append("worker")
        cluster.remove_node(doomed, allow_graceful=False)
        died.append("node")
        cluster.add_node(**NODE)

    thread = threading.Thread(target=trouble)
    thread.start()
    results = sweep.sweep(asked, tmp_path / "ray", ray_engine.on_ray(cluster.address), "cpu")
    thread.join()
    assert died == ["worker", "node"]
    assert weights(results) == expected
    assert len(list((tmp_path / "ray").rglob("boardsae.json"))) == len(asked)
    assert not list((tmp_path / "ray").rglob("checkpoint.safetensors*"))


def long_and_short(task):
    return [Spec(task, "topk", {"k": 4}, 32, 8192 * n, 0, layer=layer) for layer, n in enumerate((9, 3))]


# Its workers wait after a checkpoint, so that none is done before it is killed, however fast the machine.
DRIVER = """
import pathlib, sys
from boardsae import ray_engine, sweep
from test_ray import long_and_short
task, root, address = sys.argv[1:]
ray_engine.check_reachable = lambda _: None
there = ray_engine.train_there

def as_far_as_a_checkpoint(*arguments):
    import time
    from boardsae import checkpoints, train_sae
    checkpoints.SECONDS, train_sae.LOG_EVERY = 0, 1
    write = checkpoints.write
    checkpoints.write = lambda *all: (write(*all), time.sleep(120))
    return there(*arguments)

ray_engine.train_there = as_far_as_a_checkpoint
sweep.sweep(long_and_short(task), pathlib.Path(root), ray_engine.on_ray(address), "cpu")
"""


@pytest.mark.usefixtures("reached")
def test_a_driver_that_ends_leaves_no_task_behind_and_its_repetition_goes_on(task, cluster, tmp_path):
    root, asked = tmp_path / "runs", long_and_short(task)
    long, short = (runs.path_of(spec, root) for spec in asked)
    logged = [""]

    def has_logged_more():
        return (long / "log.csv").exists() and len((long / "log.csv").read_text()) > len(logged[-1])

    for ends in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen(
            [sys.executable, "-c", DRIVER, task, str(root), cluster.address],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
            preexec_fn=hear_ctrl_c,
        ) as driver:
            assert wait_for(lambda: has_logged_more() and workers(), 120) or driver.kill()
            driver.send_signal(ends)
            assert driver.wait(30) != 0
        assert wait_for(lambda: not workers(), 20)
        assert (long / "checkpoint.safetensors").exists()
        assert (long / "log.csv").read_text().startswith(logged[-1])
        logged.append((long / "log.csv").read_text())
    trained = runs.is_trained(short) and (short / "boardsae.json").stat().st_mtime_ns
    found = weights(sweep.sweep(asked, root, ray_engine.on_ray(cluster.address), "cpu"))
    assert found == weights(sweep.sweep(asked, tmp_path / "local", sweep.locally(1), "cpu"))
    assert (long / "log.csv").read_text().startswith(logged[-1])  # with the seconds of the first attempt
    assert trained in (False, (short / "boardsae.json").stat().st_mtime_ns)


def test_a_task_on_a_gpu_does_not_choose_which():
    assert [ray_engine.device_on(asked) for asked in ("cuda:1", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


def test_what_keeps_dying_is_the_failure_of_its_runs_alone(task, tmp_path):
    pack, other = (sweep.Pack((spec,), tmp_path) for spec in specs(task)[:2])
    ray_engine.lose(pack, RuntimeError("The worker died.\nmore"))
    assert "its worker was lost again and again: The worker died." in sweep.results_of(pack)[0].error
    assert sweep.results_of(other)[0].error == sweep.LEFT


def test_a_cluster_that_cannot_be_reached_is_refused_in_time(monkeypatch):
    assert grid.REACH_SECONDS < 15
    monkeypatch.setattr(grid, "REACH_SECONDS", 3)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"no Ray cluster at --address 127\.0\.0\.1:9: no answer within 3 s"):
        ray_engine.on_ray("127.0.0.1:9")
    assert time.monotonic() - began < 30  # Ray is imported first, by a machine that may be busy


@pytest.mark.parametrize("engine", [ray_engine.on_ray, ray_engine.plays_on_ray])
def test_ray_that_is_not_installed_is_asked_for_before_anything_is_begun(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'boardsae\[ray\]'"):
        engine("auto")


@pytest.mark.usefixtures("reached")
def test_a_node_of_another_version_is_refused_before_any_run(task, cluster, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import boardsae\nboardsae.__version__ = '0.0.0'\n")
    node = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(tmp_path)})
    try:
        with pytest.raises(ValueError, match=r"expected boardsae .* on every node, .* got 0\.0\.0 on"):
            sweep.sweep(specs(task), tmp_path / "runs", ray_engine.on_ray(cluster.address), "cpu")
    finally:
        cluster.remove_node(node)
    assert not begun(tmp_path)


def played(folder, games, engine=None, name="othello6", policy=None):
    return files_of(generate.from_policy(name, games, 0, policy, 2, folder, engine=engine).folder)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def marked(folder):
    """How many blocks of an unfinished folder are done."""
    path = folder.with_name(folder.name + ".partial") / "done.npy"
    return int(np.load(path).sum()) if path.exists() else 0


@pytest.mark.usefixtures("reached")
def test_a_worker_that_plays_dies_and_the_games_are_those_of_here(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "BLOCK", 2048)
    monkeypatch.setattr(ray_engine, "PLAYED", 4096)
    killed = []

    def trouble():
        if pids := wait_for(lambda: marked(tmp_path / "there") > 9 and workers("play"), 60):
            os.kill(pids[0], signal.SIGKILL)
            killed.append(marked(tmp_path / "there"))

    thread = threading.Thread(target=trouble)
    thread.start()
    there = played(tmp_path / "there", 300_000, ray_engine.plays_on_ray(cluster.address))
    thread.join()
    assert 9 < killed[0] < 140
    assert there == played(tmp_path / "here", 300_000)


@pytest.mark.usefixtures("reached")
def test_games_travel_a_few_at_a_time_where_the_folder_is_not_shared(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "BLOCK", 64)
    monkeypatch.setattr(ray_engine, "PLAYED", 128)
    here = played(tmp_path / "here", 5000, name="chess", policy="mixture")
    monkeypatch.setattr(Path, "touch", lambda _: None)  # no mark, so that no worker knows the folder
    begin, write, waiting = grid.begin, generate.Unfinished.write, [0]

    def counted_begin(call, site):
        waiting.append(waiting[-1] + call.name.startswith("play chess:"))
        return begin(call, site)

    def counted_write(unfinished, first, arrays):
        assert arrays.keys() >= {"moves", "keys", "styles"}
        waiting.append(waiting[-1] - 1)
        write(unfinished, first, arrays)

    monkeypatch.setattr(grid, "begin", counted_begin)
    monkeypatch.setattr(generate.Unfinished, "write", counted_write)
    engine = ray_engine.plays_on_ray(cluster.address)
    assert played(tmp_path / "there", 5000, engine, "chess", "mixture") == here
    assert len(waiting) == 1 + 2 * 40
    assert max(waiting) <= ray_engine.AHEAD * len(cluster.worker_nodes) + 1


@pytest.mark.usefixtures("reached")
def test_games_go_on_where_a_killed_driver_left_them(cluster, tmp_path, monkeypatch):
    games, folder = 2_000_000, tmp_path / "there"
    command = (
        f"generate-data othello6 --games {games} --engine ray --address {cluster.address} --out {folder}"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "boardsae", *command.split()], stderr=subprocess.DEVNULL
    ) as driver:
        assert wait_for(lambda: marked(folder), 60)
        driver.kill()
    assert wait_for(lambda: not workers("play"), 20)
    done, again = marked(folder), []
    assert 0 < done < games / generate.BLOCK
    mark = generate.Unfinished.mark
    monkeypatch.setattr(
        generate.Unfinished, "mark", lambda self, span: again.append(span) or mark(self, span)
    )
    there = played(folder, games, ray_engine.plays_on_ray(cluster.address))
    assert sum(span.games for span in again) == games - done * generate.BLOCK
    assert there == played(tmp_path / "here", games)


@pytest.mark.usefixtures("reached")
def test_a_span_that_cannot_be_played_is_one_line_and_what_is_done_stays(cluster, tmp_path, monkeypatch):
    def broken(name, seed, policy, first, games, play=generate.play_games):
        if first > 4096:
            raise OSError(28, "No space left on device")
        return play(name, seed, policy, first, games)

    monkeypatch.setattr(generate, "BLOCK", 2048)
    monkeypatch.setattr(ray_engine, "PLAYED", 2048)
    monkeypatch.setattr(ray_engine, "AHEAD", 1)
    monkeypatch.setattr(generate, "play_games", broken)
    with pytest.raises(OSError, match="No space left") as caught:
        played(tmp_path / "there", 20_000, ray_engine.plays_on_ray(cluster.address))
    assert caught.value.strerror.endswith("No space left on device; the same command goes on")
    assert "play othello6:" in caught.value.strerror
    assert marked(tmp_path / "there") >= 2
