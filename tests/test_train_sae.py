"""Training: alone or in a pack, interrupted or not, the same bits."""

import copy
import csv
import dataclasses
import errno
import json
import os
import resource
import signal

import numpy as np
import pytest
import torch
from made_task import opened
from safetensors import safe_open

from boardsae import Broken, asked, checkpoints, dictionary, runs, scoring, sparsity, train_sae
from boardsae.devices import device_of
from boardsae.runs import Spec
from boardsae.saes import VARIANTS
from boardsae.saes.e2e import kl
from boardsae.stream import Feed, Stream, Tail

TRAINED = [name for name, variant in VARIANTS.items() if not variant.untrained]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for name, recipe in train_sae.saes.RECIPES.items():
        monkeypatch.setitem(train_sae.saes.RECIPES, name, recipe._replace(batch=256))


def spec(variant, rows=256 * 30, **fields):
    options = {"k": 4} if VARIANTS[variant].sparsity == "k" else {}
    return Spec("made", variant, fields.pop("options", options), 32, rows, **fields)


def weights(folder):
    return (folder / "sae_weights.safetensors").read_bytes()


def test_a_pack_trains_each_as_it_would_alone(task, tmp_path):
    specs = [spec("standard"), spec("topk"), spec("p_anneal", rows=256 * 17), spec("topk", seed=1)]
    train_sae.train([(s, tmp_path / f"pack{i}") for i, s in enumerate(specs)], task)
    for i, s in enumerate(specs):
        train_sae.train([(s, tmp_path / f"alone{i}")], task)
        assert weights(tmp_path / f"pack{i}") == weights(tmp_path / f"alone{i}")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", TRAINED)
def test_a_killed_run_ends_with_the_same_bits(name, task, tmp_path, monkeypatch):
    kl = 0.3 if name == "topk" else 0.0
    asked_for = spec(name, rows=256 * 12, kl_finetune=kl)
    train_sae.train([(asked_for, tmp_path / "whole")], task)
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    dies_at = 5 + len(name) % 4
    take = train_sae.Training.take

    def take_or_die(self, batch):
        if self.step == dies_at:
            raise Killed
        take(self, batch)

    monkeypatch.setattr(train_sae.Training, "take", take_or_die)
    with pytest.raises(Killed):
        train_sae.train([(asked_for, tmp_path / "killed")], task)
    monkeypatch.setattr(train_sae.Training, "take", take)
    assert not runs.is_trained(tmp_path / "killed")
    train_sae.train([(asked_for, tmp_path / "killed")], task)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_run_killed_by_the_system_goes_on(task, tmp_path, monkeypatch):
    train_sae.train([(spec("topk"), tmp_path / "whole")], task)
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    child = os.fork()
    if not child:
        checkpoint, saved = train_sae.Run.checkpoint, []

        def checkpoint_or_die(self):
            saved.append(1)
            if len(saved) == 9:
                os._exit(9)
            checkpoint(self)

        monkeypatch.setattr(train_sae.Run, "checkpoint", checkpoint_or_die)
        torch.set_num_threads(1)
        train_sae.train([(spec("topk"), tmp_path / "killed")], task)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    train_sae.train([(spec("topk"), tmp_path / "killed")], task)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_full_disk_leaves_the_last_checkpoint(task, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    take, steps = train_sae.Training.take, []

    def take_until_full(self, batch):
        steps.append(1)
        if len(steps) == 9:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        take(self, batch)

    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        monkeypatch.setattr(train_sae.Training, "take", take_until_full)
        torch.set_num_threads(1)
        try:
            train_sae.train([(spec("topk"), tmp_path)], task)
        except OSError as error:
            os._exit(0 if error.errno == errno.EFBIG and "checkpoint.safetensors" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not list(tmp_path.glob("*.tmp"))
    with safe_open(tmp_path / "checkpoint.safetensors", "pt") as file:
        assert file.metadata()["step"] == "8"


def test_logging_changes_nothing(task, tmp_path, monkeypatch):
    train_sae.train([(spec("p_anneal"), tmp_path / "seldom")], task)
    monkeypatch.setattr(train_sae, "LOG_EVERY", 1)
    train_sae.train([(spec("p_anneal"), tmp_path / "often")], task)
    assert weights(tmp_path / "seldom") == weights(tmp_path / "often")
    assert len((tmp_path / "often" / "log.csv").read_text().splitlines()) == 31


def test_a_run_is_a_directory_that_says_everything(task, tmp_path):
    folder = tmp_path / "run"
    assert train_sae.train([(spec("batch_topk"), folder)], task) == {folder: None}
    record = json.loads((folder / "boardsae.json").read_text())
    assert record["steps"] == 30
    assert record["model"] == task.hashes["model"]
    config = json.loads((folder / "cfg.json").read_text())
    assert config["architecture"] == "jumprelu"
    assert config["metadata"]["training_architecture"] == "batch_topk"
    assert config["metadata"]["hook_name"] == "blocks.0.hook_resid_post"
    assert runs.spec_of(folder) == spec("batch_topk")
    x = Stream(task, Feed(0, 256), CPU).held_out() * record["scale"]
    sae = dictionary.read(folder)
    f = sae.encode(x)
    assert (f != 0).sum(-1).float().mean() == pytest.approx(4, rel=0.05)
    assert not (folder / "checkpoint.safetensors").exists()


def test_a_variant_that_trains_by_the_gradient_tells_both_ways(task, tmp_path):
    train_sae.train([(spec("gradient"), tmp_path / "gradient"), (spec("topk"), tmp_path / "topk")], task)
    held = {
        name: json.loads((tmp_path / name / "boardsae.json").read_text()) for name in ("gradient", "topk")
    }
    assert "as_trained" not in held["topk"]
    assert [*scoring.both_ways(tmp_path / "topk")] == []
    x = Stream(task, Feed(0, 256), CPU).held_out() * held["gradient"]["scale"]
    sae = dictionary.read(tmp_path / "gradient")
    f = sae.encode(x)
    explained = 1 - (x - sae.decode(f)).square().sum() / (x - x.mean(0)).square().sum()
    scored, trained = (held["gradient"][way] for way in ("as_scored", "as_trained"))
    assert scored["explained_variance"] == pytest.approx(explained.item(), abs=0.02)  # rows read in bfloat16
    assert scored["l0"] == pytest.approx((f != 0).sum(-1).float().mean().item(), abs=0.05)
    assert trained["explained_variance"] != scored["explained_variance"]
    assert next(scoring.both_ways(tmp_path / "gradient")).startswith("as scored  L0 ")


@pytest.mark.parametrize("name", ["random", "pca", "neurons", "probe_oracle"])
def test_dictionaries_that_need_no_training(name, task, tmp_path, monkeypatch):
    monkeypatch.setattr(train_sae, "FITTED_GAMES", 200)
    train_sae.train([(spec(name), tmp_path)], task)
    sae = dictionary.read(tmp_path)
    if name == "pca":
        x = Stream(task, Feed(0, 256), CPU).held_out() * 3
        assert torch.allclose(sae.decode(sae.encode(x)), x, atol=1e-3)
    assert sae.d == (64 if name == "neurons" else 16)


def test_what_is_there_is_not_overwritten(task, tmp_path):
    train_sae.train([(spec("topk", rows=512), tmp_path)], task)
    before = weights(tmp_path)
    with pytest.raises(FileExistsError, match="holds a run with seed 0, not 3"):
        train_sae.train([(spec("topk", rows=512, seed=3), tmp_path)], task)
    train_sae.train([(spec("topk", rows=512), tmp_path)], task)
    assert weights(tmp_path) == before
    train_sae.train([(spec("topk", rows=512, seed=3), tmp_path)], task, force=True)
    assert weights(tmp_path) != before


def test_what_is_refused_neither_begins_a_run_nor_takes_one_away(task, tmp_path):
    train_sae.train([(spec("topk", rows=512), tmp_path / "run")], task)
    before = weights(tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "new"):
        asked, cache = [(spec("topk", rows=5120), folder)], tmp_path / "kept"
        with pytest.raises(ValueError, match="GB of activations"):
            train_sae.train(asked, task, force=True, cache=cache, max_gb=1e-6)
        with pytest.raises(ValueError, match="expected a layer from 0 to 2, those of made, got 99"):
            train_sae.train([(spec("topk", rows=512, layer=99), folder)], task, force=True)
    assert weights(tmp_path / "run") == before
    assert not (tmp_path / "new" / "spec.json").exists()


def losing_its_numbers():
    bad = spec("standard")
    bad.options["l1"] = float("nan")  # which a spec refuses
    return bad


def test_a_run_that_loses_its_numbers_fails_alone(task, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    bad = losing_its_numbers()
    results = train_sae.train([(bad, tmp_path / "bad"), (spec("topk"), tmp_path / "good")], task)
    assert "no longer finite at step 1" in results[tmp_path / "bad"]
    assert "no longer finite" in json.loads((tmp_path / "bad" / "error.json").read_text())["error"]
    assert results[tmp_path / "good"] is None
    assert runs.is_trained(tmp_path / "good")
    assert not runs.is_trained(tmp_path / "bad")


def test_a_run_that_loses_its_numbers_stops_when_the_log_shows_it(task, tmp_path, monkeypatch):
    monkeypatch.setattr(train_sae, "LOG_EVERY", 5)
    (error,) = train_sae.train([(losing_its_numbers(), tmp_path)], task).values()
    assert "no longer finite at step 5" in error


def test_fine_tuning_runs_the_model_in_its_share_alone(task, tmp_path, monkeypatch):
    monkeypatch.setattr(train_sae, "LOG_EVERY", 1)
    passes, follow = [], Tail.follow
    monkeypatch.setattr(Tail, "follow", lambda self, x: passes.append(1) or follow(self, x))
    train_sae.train([(spec("standard", rows=256 * 10, kl_finetune=0.2), tmp_path)], task)
    assert len(passes) == 2 * 2  # two steps: the model's own activations, and the SAE's
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model_kl"] != "" for row in rows] == [False] * 8 + [True] * 2
    assert [int(row["rows"]) for row in rows] == [256 * i for i in range(1, 11)]


def test_numbers_of_the_log_are_whole_where_they_count():
    assert [checkpoints.cell(value) for value in (1_204_224, 0.12345678, None)] == ["1204224", "0.123457", ""]


def test_steps_are_the_same_from_wherever_they_are_read(task):
    for needs in ((), ("grad",), ("tail",)):
        feed = Feed(0, 256, needs)
        stream = Stream(task, feed, CPU)
        from_start = [b for b, _ in zip(stream.batches(), range(40), strict=False)]
        later = next(iter(Stream(task, feed, CPU).batches(33)))
        assert torch.equal(from_start[33].x, later.x)
        if "grad" in needs:
            assert torch.equal(from_start[33].grad, later.grad)


def test_e2e_ds_is_refused_where_no_stream_is_left_to_match(task, tmp_path):
    for layer in (1, 2):
        spec = Spec("made", "e2e_ds", {}, 32, 4096, layer=layer)
        with pytest.raises(ValueError, match=f"expected a block between .* got layer {layer} of 0 to 2"):
            train_sae.train([(spec, tmp_path / "run")], task)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("in_float32")
def test_the_gradient_is_that_of_the_next_move(task):
    stream = Stream(task, Feed(0, 256, ("grad",)), CPU)
    tokens = stream.tokens[:3]
    x, grad = stream.with_grad(tokens)
    whole = torch.from_numpy(tokens.astype(np.int64))
    full = task.model.body(whole[:, :31], 0)

    precise = copy.deepcopy(task.model).double()  # float32 rounds such differences away

    def loss(x):
        log_p = precise.tail(x, 0).double().log_softmax(-1)
        played = whole[:, 1:]
        return -(log_p.gather(-1, played[..., None])[..., 0] * (played != 0)).sum()

    direction = torch.zeros_like(full)
    direction[1, 4] = torch.randn(16, generator=torch.Generator().manual_seed(0))
    exact, step = full.double(), 2e-3 * direction.double()
    slope = ((loss(exact + step) - loss(exact - step)) / 4e-3).float()
    live = (whole[:, :31] != 0).nonzero()
    row = ((live[:, 0] == 1) & (live[:, 1] == 4)).nonzero().item()
    assert torch.allclose((grad[row] * direction[1, 4]).sum(), slope, rtol=0.01)
    assert torch.allclose(x[row], full[1, 4], atol=1e-5)


def test_the_model_in_bfloat16_says_much_the_same(task, monkeypatch):
    found = []
    for pays in (False, True):
        monkeypatch.setattr("boardsae.stream.bf16_pays", lambda _, pays=pays: pays)
        batch = next(Stream(task, Feed(0, 256, ("tail", "grad")), CPU).batches())
        x_hat = (
            batch.x + 0.1 * torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0))
        ).detach()
        divergence = kl(batch.tail.clean.logits, batch.tail(x_hat.requires_grad_()).logits)
        divergence.backward()
        found.append((batch.x, batch.grad, batch.tail.clean.logits, divergence, x_hat.grad))
        assert kl(batch.tail.clean.logits, batch.tail(batch.x).logits) < 1e-4 * divergence
    for exact, near in zip(*found, strict=True):
        assert near.dtype == torch.float32
        assert (near - exact).norm() < 0.03 * exact.norm()
    assert not torch.equal(found[0][2], found[1][2])


@pytest.mark.usefixtures("in_float32")
def test_the_tail_of_the_models_own_activations_is_the_model(task):
    stream = Stream(task, Feed(0, 256, ("tail",)), CPU)
    batch = next(stream.batches())
    assert torch.allclose(batch.tail(batch.x).logits, batch.tail.clean.logits, atol=1e-4)
    games = stream.order(0)[: stream.games_a_step]
    tokens = torch.from_numpy(stream.tokens[games][:, :31].astype(np.int64))
    logits = task.model(tokens)[tokens != 0]
    assert torch.allclose(batch.tail.clean.logits, logits, atol=1e-4)


def test_a_coefficient_is_found_for_an_l0_and_no_trial_is_made_twice(task, tmp_path, monkeypatch):
    monkeypatch.setattr(sparsity, "SHORT", 256 * 40)
    made, kept, train = [], tmp_path / "there" / "trials.json", sparsity.trained

    def counted(specs, *more):
        made.append(len(specs))
        return train(specs, *more)

    monkeypatch.setattr(sparsity, "trained", counted)
    wanted = spec("standard", rows=256 * 40)
    found, trials = sparsity.for_l0(wanted, 6.0, sparsity.Trials(task, kept=kept))
    assert made == [5, 3], "the second round begins and ends with one of the first"
    assert trials == 5 + 3 + 1, "and its own run"
    known = sparsity.Trials(task, kept=kept)
    assert sparsity.for_l0(wanted, 6.0, known) == (found, trials)
    assert made == [5, 3]
    assert known.l0s([found, dataclasses.replace(found, seed=1)]) == pytest.approx([6, 6], rel=0.25)
    assert made == [5, 3, 2], "another seed is another run"
    kept.write_text('{"trials": 3}')
    with pytest.raises(Broken, match=r"holds no trials of --target-l0; remove it"):
        sparsity.Trials(task, kept=kept)


def test_what_counts_features_takes_the_l0_itself(task):
    as_asked, alone = sparsity.for_l0(spec("topk"), 7.2, sparsity.Trials(task))
    assert (as_asked.options["k"], alone) == (7, 1)
    with pytest.raises(ValueError, match="leave --target-l0 out"):
        sparsity.for_l0(spec("pca"), 7, sparsity.Trials(task))
    with pytest.raises(ValueError, match="expected --target-l0"):
        sparsity.for_l0(spec("standard"), 33, sparsity.Trials(task))


def test_options_from_words():
    assert asked.options_from("p_anneal", ["--p-end", "0.5", "--updates=4"], 0.1) == {
        "p_end": 0.5,
        "updates": 4,
        "l1": 0.1,
    }
    for words, message in (
        (["--q", "1"], "no option of topk 'q'; there are k, aux"),
        (["--k"], "--k lacks a value"),
        (["--k", "many"], "expected a whole number for --k, got 'many'"),
        (["7"], "expected an option of topk such as --k, got '7'"),
    ):
        with pytest.raises(ValueError, match=message):
            asked.options_from("topk", words)
    with pytest.raises(ValueError, match="did you mean 'topk'"):
        asked.options_from("topkk", [])
    assert asked.layer_of(None, "blocks.2.hook_resid_post", 4) == 2
    with pytest.raises(ValueError, match=r"expected a hook blocks\.N"):
        asked.layer_of(None, "blocks.2.mlp", 4)
    with pytest.raises(ValueError, match="from 0 to 3"):
        asked.layer_of(7, None, 4)
    with pytest.raises(ValueError, match="got both"):
        asked.width_of(128, 5, 5)


def test_devices():
    assert device_of("cpu") == CPU
    with pytest.raises(ValueError, match="no device 'tpu' here; there are auto"):
        device_of("tpu")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:256", "cpu:x", "cpu:1", "mps", ""])
def test_a_device_that_is_not_there_is_one_line(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert [device_of(each).index for each in ("auto", "cuda:0", "cuda:1")] == [None, 0, 1]
    with pytest.raises(
        ValueError, match=rf"^no device '{name}' here; there are auto, cuda, cuda:0, cuda:1, cpu$"
    ):
        device_of(name)
