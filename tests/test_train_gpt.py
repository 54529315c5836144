"""Training of every game: chess by move and by character, minutes, several processes, and what may go wrong."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typer.testing import CliRunner

import games
from boardsae import checkpoints, gate, generate, gpt, plots, probes, ranks, train_gpt
from boardsae.cli import app, models
from boardsae.cli.models import finish
from boardsae.play import by_ply, pairs_of, ruled, totals
from boardsae.train_gpt import Recipe, train

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Games of every kind: some of moves that a uniform policy played, others not."""
    root = tmp_path_factory.mktemp("data")
    for name, policy in (("othello6", "uniform"), ("chess", "uniform"), ("chess-pgn", "mixture")):
        generate.from_policy(name, 2500, 0, policy, 1, root / name)
    return root


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(train_gpt, "EVALUATE_TOKENS", 0)
    monkeypatch.setattr(train_gpt, "LOG_EVERY", 10)


def tiny(folder, **changes):
    return Recipe(str(folder), "nano", "next", 12 * 16 * 31, batch=16, bf16=False)._replace(**changes)


@pytest.mark.parametrize("name", ["chess", "chess-pgn"])
def test_chess_is_learnt_by_move_and_by_character(folders, tmp_path, name):
    room = {"chess": 119, "chess-pgn": 255}[name]
    recipe = tiny(folders / name, tokens=24 * 16 * room)
    rows = list(train(name, recipe, tmp_path / "m"))
    model = gpt.load(tmp_path / "m")
    assert model.shape[:3] == (name, {"chess": 1969, "chess-pgn": 32}[name], room)
    assert rows[-1]["legal_mass"] > 1.5 * rows[0]["legal_mass"]
    assert ("gap" in rows[-1]) == (name == "chess")
    plots.curves_figure(checkpoints.log_of(tmp_path / "m"), name, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 20_000


def test_the_exact_policy_of_chess_can_be_learnt(folders, tmp_path):
    recipe = tiny(folders / "chess", objective="soft", tokens=4 * 16 * 119)
    assert list(train("chess", recipe, tmp_path / "m"))[-1]["gap"] > 0
    with pytest.raises(ValueError, match=r"a uniform policy played, .* holds others: --objective next"):
        list(train("chess-pgn", tiny(folders / "chess-pgn", objective="soft"), tmp_path / "n"))


def test_what_is_learnt_without_legal_moves_is_the_same():
    """Plain next-move batches leave out what is legal, and no more than that."""
    for name in ("othello6", "chess", "chess-pgn"):
        game = games.load(name)
        moves, _ = game.generate(5, 0, 30, game.policy("uniform"))
        read, legal = ruled(game, moves)
        for ours, plain in zip(read, pairs_of(game, moves), strict=True):
            assert torch.equal(ours, plain)
        assert legal.gather(-1, read.following[..., None])[..., 0][read.goes_on].all()


def test_a_model_of_characters_is_judged_by_what_may_be_written():
    game = games.load("chess-pgn")
    moves, _ = game.generate(5, 0, 8, game.policy("mixture"))

    class Knowing(torch.nn.Module):
        def forward(self, tokens):
            return torch.where(ruled(game, moves).legal, 0.0, -1e9)

    scores = totals(by_ply(Knowing(), game, moves, exact=False))
    assert scores["legal_mass"] == pytest.approx(1)
    assert scores["top1_legal"] == 1
    assert "gap" not in scores


def test_the_gate_of_chess_by_character(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "THRESHOLDS", 1)
    monkeypatch.setattr(gate, "GAMES", {"train": 100, "select": 100, "report": 100})
    list(train("chess-pgn", tiny(folders / "chess-pgn", tokens=16 * 255), tmp_path / "m"))
    record = gate.gate(tmp_path / "m")
    assert record["unit"] == "characters"
    assert len(record["by_ply"]["legal_mass"]) == 255
    assert "gap" not in record["totals"]
    assert 0.3 < record["totals"]["board_accuracy"] < 1
    assert record["by_layer"]["trained"][0]["groups"]["piece"]["predicates"] > 100
    plots.gate_figure(record, "nano", tmp_path / "gate.png")
    assert "nats" not in gate.told(record)


def test_a_gate_wants_a_model_of_its_games(folders, tmp_path):
    for changed, said in (
        ({"game": "othello"}, "plays othello, .* holds othello6"),
        ({"vocabulary": 61}, "expected a vocabulary of 33, that of othello6, got 61"),
        ({"context": 20}, "expected a context of 31 or more, as games of othello6 need, got 20"),
    ):
        shape = gpt.Shape("othello6", 33, 31, 1, 16, 2)._replace(**changed)
        gpt.save(gpt.GPT(shape), tmp_path, {"recipe": {"data": str(folders / "othello6")}})
        with pytest.raises(ValueError, match=said):
            gate.gate(tmp_path)


def test_a_nan_stops_training_before_it_reaches_a_checkpoint(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0)  # after every step
    take = train_gpt.Training.take

    def poisoned(self, step):
        loss = take(self, step)
        if step == 7:
            next(self.model.parameters()).data[0, 0] = float("nan")  # where no loss shows it yet
        return loss

    monkeypatch.setattr(train_gpt.Training, "take", poisoned)
    with pytest.raises(FloatingPointError, match=r"at step 8; .* a lower --lr .* keeps its last"):
        list(train("othello6", tiny(folders / "othello6"), tmp_path / "m"))
    assert not (tmp_path / "m" / "model.safetensors").exists()
    monkeypatch.setattr(train_gpt.Training, "take", take)
    list(train("othello6", tiny(folders / "othello6"), tmp_path / "m"))
    list(train("othello6", tiny(folders / "othello6"), tmp_path / "whole"))
    resumed, whole = gpt.load(tmp_path / "m").state_dict(), gpt.load(tmp_path / "whole").state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


class Reads(TorchDispatchMode):
    """Counts how often the values of a tensor are asked for, which is when a GPU is waited for."""

    times = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.times += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*args, **kwargs or {})


def test_whether_all_is_finite_is_one_question_to_the_device(folders, tmp_path):
    training = train_gpt.Training(
        train_gpt.checked("othello6", recipe := tiny(folders / "othello6")),
        recipe,
        train_gpt.CPU,
        ranks.ALONE,
    )
    with Reads() as reads:
        training.check_finite(1, torch.tensor(1.0), tmp_path)
    assert reads.times == 1
    for bad in (float("nan"), float("inf")):
        with pytest.raises(FloatingPointError, match="at step 1"):
            training.check_finite(1, torch.tensor(bad), tmp_path)


def test_a_process_that_saves_nothing_looks_as_rarely_as_ever(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    looked = []
    monkeypatch.setattr(train_gpt.Training, "check_finite", lambda _, step, *_rest: looked.append(step))
    recipe = tiny(folders / "othello6", tokens=40 * 16 * 31)
    assert list(train("othello6", recipe, tmp_path / "m", ranks=ranks.Ranks(rank=1))) == []
    assert looked == list(range(4, 41, 4))
    assert not (tmp_path / "m").exists()


def test_no_process_waits_for_the_gate(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(train_gpt, "train", lambda *_: order.append("train") or iter(()))
    monkeypatch.setattr(ranks, "leave", lambda _: order.append("leave"))
    monkeypatch.setattr(models, "finish", lambda *_: order.append("gate"))
    CliRunner().invoke(app, ["train-gpt", "othello6", "--device", "cpu", "--out", str(tmp_path)])
    assert order == ["train", "leave", "gate"]


def test_a_rate_far_too_high_is_told(folders, tmp_path):
    with pytest.raises(
        FloatingPointError, match=r"no longer finite at step .*; train again with a lower --lr"
    ):
        list(train("othello6", tiny(folders / "othello6", lr=1e30, lr_others=1e30), tmp_path / "m"))


def test_a_full_disk_leaves_the_last_checkpoint(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        training = train("othello6", tiny(folders / "othello6"), tmp_path / "m")
        next(training)
        next(training)  # the first checkpoints are there
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        try:
            list(training)
        except OSError as error:
            os._exit(0 if error.errno == errno.EFBIG and "checkpoint.safetensors" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not list((tmp_path / "m").glob("*.tmp"))
    assert len(list(train("othello6", tiny(folders / "othello6"), tmp_path / "m"))) >= 8


def test_minutes_are_measured_once(folders, tmp_path):
    asked = tiny(folders / "othello6", minutes=0.05)
    recipe = train_gpt.paced("othello6", asked, tmp_path / "m")
    assert recipe.tokens % (16 * 31) == 0
    training = train("othello6", recipe, tmp_path / "m")
    next(training)
    assert train_gpt.paced("othello6", asked, tmp_path / "m") == recipe
    assert train_gpt.paced("othello6", asked._replace(minutes=2.0), tmp_path / "m").tokens > recipe.tokens


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def boardsae(*words, processes=1, **more):
    """The command, by one process or by several as torchrun would start them."""
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    env = os.environ | told | {"WORLD_SIZE": str(processes), "CUDA_VISIBLE_DEVICES": ""}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "boardsae", *map(str, words)],
            env=env | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )
        for rank in range(processes)
    ]
    return [(process.communicate(timeout=300), process.returncode) for process in started]


def test_two_processes_learn_as_one(tmp_path):
    generate.from_policy("othello6", 900, 0, "uniform", 1, tmp_path / "data")
    words = ("train-gpt", "othello6", "--size", "nano", "--tokens", 30 * 256 * 31, "--batch", 256)
    curves = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        ended = boardsae(
            *words, "--device", "cpu", "--data", tmp_path / "data", "--out", out, processes=processes
        )
        assert [code for _, code in ended] == [0] * processes, ended
        curves.append([(row["train_loss"], row["loss"]) for row in checkpoints.log_of(out)])
        assert (out / "curves.png").exists()
        assert "no gate: expected 100 games or more" in ended[0][0][1]
    assert len(curves[0]) >= 10
    assert ended[1][0][0] == ""  # the second process prints no folder
    np.testing.assert_allclose(curves[0], curves[1], atol=0.02)


def test_a_trained_model_gets_its_gate_once(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "GAMES", {"train": 100, "select": 100, "report": 100})
    list(train("othello6", tiny(folders / "othello6", tokens=16 * 31), tmp_path))
    finish(tmp_path, torch.device("cpu"))
    assert json.loads((tmp_path / "gate.json").read_text())["unit"] == "plies"
    (tmp_path / "gate.png").unlink()
    finish(tmp_path, torch.device("cpu"))
    assert not (tmp_path / "gate.png").exists()


def test_an_unknown_device_is_one_line(folders, tmp_path):
    words = (
        "train-gpt",
        "othello6",
        "--data",
        folders / "othello6",
        "--out",
        tmp_path / "m",
        "--device",
        "tpu",
    )
    (((_, said), code),) = boardsae(*words)
    assert code == 2
    assert said.startswith("error: no device 'tpu' here; there are auto")
    assert len(said.splitlines()) == 1
