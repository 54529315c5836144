"""Sweeps: resumed, packed, in processes that may die, and never stopped by one bad run."""

import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest
import torch
from made_task import kept
from processes import hear_ctrl_c
from typer.testing import CliRunner

from boardsae import quickstart, runs, saes, sweep, train_sae
from boardsae.cli import app
from boardsae.files import alone_in
from boardsae.runs import Spec
from boardsae.sweep import Pack, Result

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return kept(tmp_path_factory.mktemp("task"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for name, recipe in saes.RECIPES.items():
        monkeypatch.setitem(saes.RECIPES, name, recipe._replace(batch=256))


def specs(task, *names, **fields):
    k = {name: {"k": 4} if saes.VARIANTS[name].sparsity == "k" else {} for name in names}
    return [Spec(task, name, k[name], 32, 256 * 5, **fields) for name in names]


def quiet(packs):
    """An engine that must have nothing to do."""
    assert packs == []
    return iter(())


def test_what_is_trained_is_skipped(task, tmp_path, capsys):
    asked = specs(task, "standard", "topk", "random")
    results = sweep.sweep(asked, tmp_path, sweep.locally(1))
    assert [(result.spec, result.error) for result in results] == [(spec, None) for spec in asked]
    assert all(runs.is_trained(result.folder) for result in results)
    assert "3 runs, 0 trained before, 3 to train in 1 packs" in capsys.readouterr().err
    assert sweep.sweep(asked, tmp_path, quiet) == results
    lines = list(sweep.table(results))
    assert len(lines) == 4
    assert lines[2].split()[:3] == ["topk", "4", "0"]
    assert float(lines[2].split()[3]) == 4
    assert "made without training" in lines[3]


def test_a_trained_run_of_another_model_is_not_taken_for_this_one(task, tmp_path):
    (asked,) = specs(task, "topk")
    runs.begin(runs.path_of(asked, tmp_path), asked, {"model": "beef", "games": "cafe"})
    (runs.path_of(asked, tmp_path) / "boardsae.json").write_text("{}")
    with pytest.raises(FileExistsError, match="a run with model 'beef', not"):
        sweep.sweep([asked], tmp_path, quiet)


def test_packs_share_a_stream_and_are_not_too_large(task, tmp_path):
    asked = [
        *specs(task, "standard", "topk", "gradient", "e2e_ds", "neurons"),
        *specs(task, "topk", layer=1),
        *(spec for seed in range(1, 8) for spec in specs(task, "topk", seed=seed)),
        *specs(task, "topk"),
    ]
    packs = sweep.packs(asked, tmp_path, size=4)
    assert sorted(len(pack.specs) for pack in packs) == [1, 1, 1, 1, 1, 4, 4]
    for pack in packs:
        feeds = {train_sae.feed_of(spec, sweep.tasks.of(task)) for spec in pack.specs}
        assert len(feeds) == 1
    assert len({spec.seed for pack in packs for spec in pack.specs}) == 8


def test_packs_grow_with_the_runs_of_each_process(task, tmp_path):
    asked = [spec for seed in range(200) for spec in specs(task, "topk", seed=seed)]

    def sizes(jobs):
        return [len(pack.specs) for pack in sweep.packs(asked, tmp_path, jobs=jobs)]

    # On a cluster nobody knows how many processes there are; of 50 each has enough to do.
    assert sizes(None) == sizes(50) == [8] * 25
    assert sizes(4) == [13] * 15 + [5]
    assert sizes(1) == [24] * 8 + [8]  # more would gain nothing


def test_only_the_guilty_run_fails(task, tmp_path, monkeypatch):
    asked = specs(task, "standard", "topk", "batch_topk")

    def broken(*_):
        raise RuntimeError("a bug in a variant")

    monkeypatch.setattr(saes.VARIANTS["topk"], "by_hand", broken)
    results = {r.spec.variant: r for r in sweep.sweep(asked, tmp_path, sweep.locally(1))}
    assert results["topk"].error == "RuntimeError: a bug in a variant"
    assert json.loads((results["topk"].folder / "error.json").read_text())["error"] == results["topk"].error
    assert results["standard"].error is results["batch_topk"].error is None
    assert any("topk" in line and "failed: RuntimeError" in line for line in sweep.table(results.values()))
    monkeypatch.undo()
    assert {r.error for r in sweep.sweep(asked, tmp_path, sweep.locally(1))} == {None}


def test_a_pack_that_failed_holds_nothing_when_its_runs_are_tried_alone(task, tmp_path, monkeypatch):
    held = []

    def out_of_memory(*_, **__):
        assert all(tensor() is None for tensor in held)
        large = torch.zeros(9)
        held.append(weakref.ref(large))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(train_sae, "train", out_of_memory)
    pack = Pack(tuple(specs(task, "standard", "topk")), tmp_path)
    assert [result.error for result in sweep.run_pack(pack)] == ["RuntimeError: out of memory"] * 2
    assert len(held) == 3


def test_a_run_of_another_process_is_left_to_it(task, tmp_path, capsys):
    asked = specs(task, "standard", "topk")
    theirs = runs.path_of(asked[0], tmp_path)
    with alone_in(theirs):
        results = sweep.sweep(asked, tmp_path, sweep.locally(1))
    assert [result.error for result in results] == [sweep.LEFT, None]
    assert "left to another process" in [*sweep.table(results)][1]
    assert f"another process is writing {theirs}" in capsys.readouterr().err
    assert not (theirs / "error.json").exists()
    assert {r.error for r in sweep.sweep(asked, tmp_path, sweep.locally(1))} == {None}


def test_two_tasks_of_one_name_do_not_share_a_folder(tmp_path):
    asked = [Spec(task, "topk") for task in ("a/model", "a/model", "b/model")]
    with pytest.raises(ValueError, match="one of task 'a/model' and one of task 'b/model'; rename"):
        sweep.sweep(asked, tmp_path, quiet)


def test_quickstart_fills_a_gpu_by_one_process(tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr(sweep, "usual_jobs", lambda _device: 1)
    monkeypatch.setattr(sweep, "locally", jobs.append)
    monkeypatch.setattr(sweep, "sweep", lambda *_: [Result(Spec(), tmp_path, None)])
    quickstart.train([], tmp_path)
    assert jobs == [1]


def test_a_file_of_specs(tmp_path):
    path = tmp_path / "specs.py"
    with pytest.raises(FileNotFoundError, match="a sweep is a Python file with SPECS"):
        sweep.specs_in(path)
    for text, message in (
        ("SPECS = 3", "expected SPECS in .* got int"),
        ("SPECS = (1,)", "expected SPECS in .* got tuple"),
        ("SPECS = ()", "expected runs in the SPECS of .*, got none"),
        ("raise SystemExit", "cannot be run: SystemExit"),
        ("SPEC = ()", "got NoneType"),
        ("import nothing_of_that_name", "cannot be run: ModuleNotFoundError"),
        ("SPECS = (", "cannot be run: SyntaxError"),
        ("SPECS = 1 / 0", "specs.py cannot be run: ZeroDivisionError: division by zero"),
        ("SPECS = {}['topk']", "specs.py cannot be run: KeyError: 'topk'"),
        (
            "from boardsae.grid import grid\nSPECS = grid('othello6-v2', {'topkk': (8,)})",
            "specs.py cannot be run: ValueError: no variant 'topkk', did you mean 'topk'",
        ),
        ("from boardsae.runs import Spec\nSPECS = (Spec(variant='topkk'),)", "did you mean 'topk'"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            sweep.specs_in(path)
    path.write_text("from boardsae.runs import Spec\nSPECS = [Spec(seed=i) for i in range(3)]")
    assert sweep.specs_in(path) == tuple(Spec(seed=i) for i in range(3))


def test_the_commands(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = CliRunner()
    words = ["train-sae", "--variant", "topk", "--task", task, "--d-sae", "32", "--rows", "1280", "--k=3"]
    answer = call.invoke(app, [*words, "--cache", "kept", "--hook", "blocks.0.hook_resid_post"])
    folder = tmp_path / answer.stdout.strip()
    assert folder == tmp_path / "results/model/topk/k=3,d_sae=32,rows=1280,layer=0/seed=0"
    assert json.loads((folder / "boardsae.json").read_text())["cached"] is True
    assert "next: boardsae score" in answer.stderr
    again = call.invoke(app, [*words, "--out", str(folder)])
    assert isinstance(again.exception, FileExistsError)
    assert "a run with layer 0, not None" in str(again.exception)
    nowhere = call.invoke(app, [*words, "--device", "tpu", "--out", "nowhere"])
    assert "no device 'tpu' here" in str(nowhere.exception)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "two.py").write_text(
        "from boardsae.runs import Spec\n"
        f"SPECS = [Spec({task!r}, 'topk', {{'k': 3}}, 32, 1280, layer=layer) for layer in (0, 1)]"
    )
    listed = call.invoke(app, ["sweep", "two.py", "--dry-run"]).stdout.splitlines()
    assert [line.split("\t")[0] for line in listed] == ["trained", "to train"]
    swept = call.invoke(app, ["sweep", "two.py", "--jobs", "1", "--device", "cpu"])
    assert swept.exit_code == 0
    assert len(swept.stdout.splitlines()) == 3


def dies_or_marks(pack, threads):
    """What a process of the next test does; a machine without memory kills in the same way."""
    assert threads >= 1
    if pack.specs[0].seed:
        os.kill(os.getpid(), signal.SIGKILL)
    runs.begin(pack.folders[0], pack.specs[0], {})
    (pack.folders[0] / "boardsae.json").write_text("{}")


def test_a_killed_process_takes_no_other_with_it(task, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "work", dies_or_marks)
    packs = [Pack(tuple(specs(task, "random", seed=seed)), tmp_path) for seed in (1, 0)]
    results = {r.spec.seed: r.error for done in sweep.locally(2)(packs) for r in done}
    assert results == {0: None, 1: "its process ended with exit code -9"}


ENDLESS = """
import os, pathlib, sys, time
from boardsae import runs, sweep
def run_pack(pack):
    os.setsid()  # a Ctrl-C of the terminal does not reach it
    pathlib.Path(sys.argv[1], f"pid{pack.specs[0].seed}").write_text(str(os.getpid()))
    time.sleep(100)
sweep.run_pack = run_pack
if __name__ == "__main__":
    packs = [sweep.Pack((runs.Spec(seed=seed),), pathlib.Path(sys.argv[1])) for seed in range(3)]
    list(sweep.locally(2)(packs))
"""


def alive(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_ends_leaves_no_process_behind(ends, tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = [sys.executable, "endless.py", str(tmp_path)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, preexec_fn=hear_ctrl_c) as parent:
        wait_for(lambda: all((tmp_path / f"pid{i}").exists() for i in range(2)), 60)
        workers = [int(path.read_text() or 0) for path in tmp_path.glob("pid*")]
        assert len(workers) == 2
        assert all(map(alive, workers))
        parent.send_signal(ends)
        assert parent.wait(20) != 0
    assert wait_for(lambda: not any(map(alive, workers)), 10)
    assert not list(tmp_path.rglob("error.json"))
