"""Training elsewhere than on the CPU: nothing is left behind, and what comes of it is what the CPU makes of it.

`test_devices.py` runs these tests in a process of their own: torch must know of a device before its first gradient.
"""

import pretend
import pytest
import torch
from made_task import opened

from benchmarks.speed import gpu, tokens_to_gap
from benchmarks.speed.tokens_to_gap import Way
from boardsae import checkpoints, dictionary, gate, generate, gpt, muon, stream, train_gpt, train_sae
from boardsae.files import read_json
from boardsae.runs import Spec
from boardsae.saes import VARIANTS, passes

PRODUCTS = [(name, bf16) for name in VARIANTS for bf16 in (False, *[True] * (not VARIANTS[name].untrained))]
STEPS = 8


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"), layers=2)


@pytest.fixture(scope="module")
def deeper(tmp_path_factory):
    """For variants that need a block between their layer and the last."""
    return opened(tmp_path_factory.mktemp("deeper"))


@pytest.fixture
def elsewhere(monkeypatch):
    with pretend.device() as device:
        monkeypatch.setattr(
            train_sae, "device_of", lambda name: device if name == pretend.NAME else torch.device(name)
        )
        for name, recipe in train_sae.saes.RECIPES.items():
            monkeypatch.setitem(train_sae.saes.RECIPES, name, recipe._replace(batch=256))
        yield device


def spec_of(name, **fields):
    options = {"k": 4} if VARIANTS[name].sparsity == "k" else {}
    return Spec("made", name, options, 32, 256 * STEPS, **fields)


def trained(spec, folder, task, device, **how):
    """The tensors of an SAE that was trained there."""
    assert train_sae.train([(spec, folder)], task, device=device, **how) == {folder: None}
    return dictionary.read(folder).saved.tensors


def assert_alike(found, wanted):
    for name, value in wanted.items():
        assert (found[name] - value).norm() <= 0.03 * value.norm() + 1e-4, name


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("name", "bf16"), PRODUCTS)
def test_a_variant_is_trained_on_a_device(name, bf16, task, deeper, tmp_path, monkeypatch):
    for module in (train_sae, stream):
        monkeypatch.setattr(module, "bf16_pays", lambda _device: bf16)
    task = deeper if "later" in VARIANTS[name].needs else task
    found, wanted = (trained(spec_of(name), tmp_path / where, task, where) for where in (pretend.NAME, "cpu"))
    assert_alike(found, wanted)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("how", ["fine-tuned", "cached"])
def test_every_way_to_train_works_on_a_device(how, task, tmp_path):
    spec = spec_of("topk", kl_finetune=0.5 * (how == "fine-tuned"))
    cache = {"cache": tmp_path / "cache"} if how == "cached" else {}
    found, wanted = (trained(spec, tmp_path / where, task, where, **cache) for where in (pretend.NAME, "cpu"))
    assert_alike(found, wanted)


@pytest.mark.usefixtures("elsewhere")
def test_a_killed_run_goes_on_on_a_device(task, tmp_path, monkeypatch):
    wanted = trained(spec_of("standard"), tmp_path / "whole", task, pretend.NAME)
    monkeypatch.setattr(checkpoints, "SECONDS", 0)
    take = train_sae.Training.take

    def take_or_die(self, batch):
        if self.step == 5:
            raise KeyboardInterrupt
        take(self, batch)

    monkeypatch.setattr(train_sae.Training, "take", take_or_die)
    with pytest.raises(KeyboardInterrupt):
        trained(spec_of("standard"), tmp_path / "killed", task, pretend.NAME)
    monkeypatch.setattr(train_sae.Training, "take", take)
    found = trained(spec_of("standard"), tmp_path / "killed", task, pretend.NAME)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_the_model_of_a_task_stays_on_the_cpu(task, elsewhere):
    there = stream.Stream(task, stream.Feed(0, 256), elsewhere)
    assert {p.device for p in there.model.parameters()} == {elsewhere}
    assert {p.device.type for p in task.model.parameters()} == {"cpu"}


@pytest.mark.usefixtures("elsewhere")
def test_a_device_is_waited_for_at_steps_that_are_logged(task, tmp_path, monkeypatch):
    clock = [0.0]

    def waits(_device):
        clock[0] += 1

    monkeypatch.setattr(train_sae.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(train_sae, "wait_for", waits)
    monkeypatch.setattr(train_sae, "LOG_EVERY", 3)
    trained(spec_of("topk"), tmp_path, task, pretend.NAME)
    assert clock[0] == 2 * 3  # before and after steps 3, 6 and 8
    assert read_json(tmp_path / "boardsae.json")["seconds"] == STEPS  # one each


@pytest.mark.parametrize("objective", ["next", "soft"])
def test_a_gpt_is_trained_and_judged_on_a_device(objective, tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(train_gpt, "EVALUATE_TOKENS", 0)
    monkeypatch.setattr(muon, "bf16_pays", lambda _device: False)  # so that both round alike
    monkeypatch.setattr(gate, "GAMES", dict.fromkeys(gate.GAMES, 100))
    generate.from_policy("othello6", 2500, 0, "uniform", 1, tmp_path / "data")
    recipe = train_gpt.Recipe(str(tmp_path / "data"), "nano", objective, 6 * 16 * 31, batch=16, bf16=False)
    models = []
    for device in (elsewhere, torch.device("cpu")):
        folder = tmp_path / device.type
        rows = list(train_gpt.train("othello6", recipe, folder, device))
        record = gate.gate(folder, device=device)
        models.append((gpt.load(folder).state_dict(), rows[-1]["gap"], record["totals"]["board_accuracy"]))
    (found, gap, accuracy), (wanted, its_gap, its_accuracy) = models
    assert_alike(found, wanted)
    assert (gap, accuracy) == pytest.approx((its_gap, its_accuracy), rel=0.01)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [1.0, 0.7, 0.2])
def test_powers_are_charged_on_a_device(p, kind, elsewhere):
    random = torch.Generator().manual_seed(0)
    by_f, f = (torch.randn(40, 30, generator=random).to(kind) for _ in range(2))
    f.relu_()
    there = by_f.to(elsewhere)
    found = passes.charged(there, f.to(elsewhere), 0.3, (p, p - 0.1))
    wanted = passes.charged(by_f, f, 0.3, (p, p - 0.1))
    close = {"rtol": 0.02, "atol": 0.02} if kind == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    for its, ours in zip((there, *found), (by_f, *wanted), strict=True):
        torch.testing.assert_close(its.cpu(), ours, **close)


@pytest.mark.parametrize(("name", "bytes_a_feature"), [("standard", 24), ("p_anneal", 38)])
def test_a_step_moves_few_bytes_for_every_feature(name, bytes_a_feature, task, elsewhere, monkeypatch):
    """Products are fast enough on a GPU that a step waits for what is moved, unless it is little (LOG.md)."""
    rows, features = 256, 80
    for module in (train_sae, stream):
        monkeypatch.setattr(module, "bf16_pays", lambda _device: True)
    source = stream.Stream(task, stream.Feed(0, rows), elsewhere)
    training = train_sae.Training(Spec("made", name, {}, features, 4 * rows), source)
    batch = next(source.batches())
    moved, run = [], pretend.run

    def counted(operation, args, kwargs):
        made = run(operation, args, kwargs)
        if not (operation.is_view or operation.overloadpacket.__name__.startswith("new_")):
            touched = [each for each in pretend.tree_leaves((args, made)) if isinstance(each, torch.Tensor)]
            moved.extend(each.element_size() for each in touched if set(each.shape) == {rows, features})
        return made

    monkeypatch.setattr(pretend, "run", counted)
    training.take(batch)
    assert sum(moved) == bytes_a_feature


def test_the_measurement_of_a_gpu_runs(elsewhere):
    head, blank, *table = gpu.lines(elsewhere, gpu.QUICK)
    assert (head.startswith(f"{pretend.NAME}, torch "), blank) == (True, "")
    assert len({line.count("|") for line in table}) == 1
    assert [line.split("|")[1].strip() for line in table[2:]] == [
        "a GPT of size `nano`",
        *(f"2 `{name}` of 64 x 64" for name in gpu.VARIANTS),
    ]


def test_tokens_to_a_gap_are_counted_on_a_device(tmp_path, elsewhere, monkeypatch):
    generate.from_policy("othello6", 2500, 0, "uniform", 1, tmp_path / "data")
    monkeypatch.setattr(tokens_to_gap, "HELD_OUT", 16)
    line = tokens_to_gap.row(tmp_path / "data", Way("soft", "muon", 16, "nano"), 40 * 16 * 31, elsewhere)
    assert line.startswith("| `soft` | `muon` | 16 | ")
    assert 0 < float(line.split("|")[-2]) < 2.6


def test_the_pretended_device_minds_what_a_gpu_minds():
    with pretend.device() as device:
        there, places = torch.ones(3, 4, device=device), torch.tensor([0, 2])
        assert there[places].device == device
        assert (there * torch.tensor(2.0)).sum().item() == 24
        for mistake in (
            lambda: there + torch.ones(4),
            lambda: torch.ones(3)[places.to(device)],
            lambda: there.index_put_((places,), torch.ones(2, 4)),
            lambda: there.numpy(),
            lambda: there.double(),
        ):
            with pytest.raises((RuntimeError, TypeError)):
                mistake()
