"""Ray: the same runs and records as local processes, also when workers and nodes die in the middle."""

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

import pytest
import torch
from made_task import opened

from boardsae import gpt, runs, sweep
from boardsae.files import write_json
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
    """The folder of a model that is a task."""
    made = opened(tmp_path_factory.mktemp("task"))
    made.folder.mkdir()
    gpt.save(made.model, made.folder, {"recipe": {"data": made.task.data}})
    write_json(made.folder / "gate.json", {"layer": 0})
    return str(made.folder)


@pytest.fixture(scope="module")
def cluster():
    """A head that runs no tasks, and a node of one core."""
    made = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0})
    made.add_node(**NODE)
    yield made
    ray.shutdown()
    made.shutdown()


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


def pid_of_a_worker():
    found = subprocess.run(["pgrep", "-f", "ray::train_there|ray::train "], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def begun(root):
    return list(root.rglob("spec.json"))


def test_a_worker_and_a_node_die_and_every_run_is_trained_once(task, cluster, tmp_path):
    asked = specs(task, rows=8192 * 60)
    expected = weights(sweep.sweep(asked, tmp_path / "local", sweep.locally(1), "cpu"))
    doomed = cluster.add_node(**NODE)
    died = []

    def trouble():
        if wait_for(lambda: len(begun(tmp_path / "ray")) > 1 and pid_of_a_worker(), 60):
            os.kill(pid_of_a_worker()[0], signal.SIGKILL)
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


DRIVER = """
import pathlib, sys
from boardsae import ray_engine, runs, sweep
task, root, address, rows = sys.argv[1:]
specs = [runs.Spec(task, "topk", {"k": 4}, 32, int(rows), seed, layer=seed) for seed in (0, 1)]
if __name__ == "__main__":
    for result in sweep.sweep(specs, pathlib.Path(root), ray_engine.on_ray(address), "cpu"):
        assert result.error is None, result.error
"""


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_no_task_behind_and_its_repetition_goes_on(ends, task, cluster, tmp_path):
    call = [sys.executable, "-c", DRIVER, task, str(tmp_path / "runs"), cluster.address]
    with subprocess.Popen([*call, str(8192 * 4000)], stderr=subprocess.DEVNULL) as driver:
        assert wait_for(lambda: begun(tmp_path) and pid_of_a_worker(), 60)
        driver.send_signal(ends)
        assert driver.wait(30) != 0
    assert wait_for(lambda: not pid_of_a_worker(), 20)
    assert not list(tmp_path.rglob("error.json"))
    for folder in map(Path, {path.parent for path in begun(tmp_path)}):
        runs.clear(folder)  # which would take minutes
    again = subprocess.run([*call, "8192"], capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr


def test_what_keeps_dying_is_the_failure_of_its_runs_alone(task, tmp_path):
    pack, other = (sweep.Pack((spec,), tmp_path) for spec in specs(task)[:2])
    ray_engine.lose(pack, RuntimeError("The worker died.\nmore"))
    assert "its worker was lost again and again: The worker died." in sweep.results_of(pack)[0].error
    assert sweep.results_of(other)[0].error == "not trained"


def test_a_cluster_that_cannot_be_reached_is_refused_in_time(monkeypatch):
    assert grid.REACH_SECONDS < 15
    monkeypatch.setattr(grid, "REACH_SECONDS", 3)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"no Ray cluster at --address 127\.0\.0\.1:9: no answer within 3 s"):
        ray_engine.on_ray("127.0.0.1:9")
    assert time.monotonic() - began < 30  # Ray is imported first, by a machine that may be busy


def test_ray_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'boardsae\[ray\]'"):
        ray_engine.on_ray("auto")


def test_a_node_of_another_version_is_refused_before_any_run(task, cluster, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import boardsae\nboardsae.__version__ = '0.0.0'\n")
    node = cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(tmp_path)})
    try:
        with pytest.raises(ValueError, match=r"expected boardsae .* on every node, .* got 0\.0\.0 on"):
            sweep.sweep(specs(task), tmp_path / "runs", ray_engine.on_ray(cluster.address), "cpu")
    finally:
        cluster.remove_node(node)
    assert not begun(tmp_path)
