"""The examples of EXTENDING.md, run as they stand there, and what is said of plug-ins that are no good."""

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from made_task import opened

import games
from boardsae import evidence, gate, metrics, plugins, probes, saes, train_sae
from boardsae.coder import Checked
from boardsae.metrics import Metric
from boardsae.runs import Spec
from boardsae.scorer import Scorer
from boardsae.splits import SPLITS
from boardsae.subject import Subject, read_run
from games.core import Policy, Style

PAGE = (Path(__file__).parent.parent / "EXTENDING.md").read_text()
BLOCKS = {name: code for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.S)}


@pytest.fixture
def registries():
    """Registries that forget what a test registers."""
    held = [(registry, dict(registry)) for registry in (saes.VARIANTS, metrics.METRICS, games._MAKERS)]
    yield
    for registry, before in held:
        registry.clear()
        registry.update(before)
    games.load.cache_clear()


def run(name):
    space = {"__name__": name.removesuffix(".py")}
    exec(compile(BLOCKS[name], name, "exec"), space)
    return space


def test_there_are_three_and_they_are_short():
    assert set(BLOCKS) == {"saturating.py", "flicker.py", "four.py"}
    assert all(len(code.splitlines()) < 60 for code in BLOCKS.values())


@pytest.mark.usefixtures("registries")
def test_the_variant_trains_and_is_scored_with_the_metric(tmp_path, monkeypatch):
    run("saturating.py")
    flicker = run("flicker.py")["flicker"]
    monkeypatch.setattr(evidence, "GAMES", 40)
    task = opened(tmp_path)
    spec = Spec("made", "saturating", {"l1": 0.2, "steep": 2.0}, 32, 8192)
    train_sae.train([(spec, tmp_path / "run")], task)
    held = evidence.Evidence(task)
    record = Scorer(held).score(read_run(tmp_path / "run"))
    cell = record["metrics"]["flicker@1"]
    assert cell["low"] <= cell["value"] <= cell["high"]
    assert cell["reason"] is None

    class Still:  # active at every ply, or at every other
        def encode(self, x):
            return torch.stack([torch.ones(len(x)), -torch.ones(len(x))], 1)

        def decode(self, f):
            return f @ torch.zeros(2, held.report.x.shape[1])

    assert flicker(held, Checked(Still(), held.select.x))["value"] == 0.0


@pytest.mark.usefixtures("registries")
def test_flicker_by_hand(tmp_path, monkeypatch):
    flicker = run("flicker.py")["flicker"]
    monkeypatch.setattr(evidence, "GAMES", 40)
    held = evidence.Evidence(opened(tmp_path))
    x, game = held.report.x, held.report.game

    class Wild:
        def encode(self, rows):
            return (rows > 0).float()

        def decode(self, f):
            return f

    on = (x > 0).numpy()
    inside = [i for i in range(1, len(x)) if game[i] == game[i - 1]]
    expected = sum((on[i] != on[i - 1]).sum() for i in inside) / sum(on[i].sum() for i in inside)
    assert flicker(held, Checked(Wild(), x))["value"] == pytest.approx(expected)


@pytest.mark.usefixtures("registries")
def test_the_game_plays_by_its_rules():
    run("four.py")
    four = games.load("four6")
    moves, _ = four.generate(0, 0, 30, Policy("uniform", (Style(),)))
    assert len({tuple(game) for game in moves.tolist()}) == 30
    assert np.array_equal(four.legal_plies(moves), (moves != 0).sum(1))
    rows = games.rows(moves)
    truth = games.truth(games.Transcripts("four6", moves), rows)
    names = [predicate.name for predicate in games.predicates(four)]
    assert truth.shape == (len(rows), 36 + 36 + 36 + 6 + 1)
    start = rows[:, 1] == 0
    assert not truth[start, :72].any()
    assert truth[start, 72:114].all()
    discs = truth[:, :72].sum(1)
    assert np.array_equal(discs, rows[:, 1])
    assert np.array_equal(truth[:, 72:108].sum(1), 36 - discs)
    won = four.start()
    for column in (1, 2, 1, 2, 1, 2, 1):  # x stacks four on column a
        assert four.legal(won)
        won = four.play(won, column)
    assert four.legal(won) == []
    assert names[108] == "column a is open"
    legal = four.legal_moves(moves, rows)
    assert np.array_equal(legal[:, 1:], truth[:, 108:114])


@pytest.mark.usefixtures("registries")
def test_the_game_is_gated_and_says_what_a_report_shows(monkeypatch):
    run("four.py")
    monkeypatch.setattr(probes, "THRESHOLDS", 1)
    four = games.load("four6")
    moves, _ = four.generate(0, 0, 60, four.policy("uniform"))
    asked = {split: gate.questions(four, moves[i::3], 36) for i, split in enumerate(SPLITS)}
    probed = torch.stack([gate.enough(some.y) for some in asked.values()]).all(0)
    x = {split: some.y[:, :72].float() for split, some in asked.items()}  # mine and theirs, to be read off
    found = gate.probe(x, four, asked, probed)
    assert found["frame"] == "player to move"
    assert found["board_accuracy"] > 0.99
    assert (four.to_move(four.start()), [*four.maps.values()]) == ("black", ["mine", "theirs", "empty"])


@pytest.mark.usefixtures("registries")
def test_a_game_whose_board_is_not_among_its_predicates_is_refused():
    four = run("four.py")["Four"]
    games.register("odd", type("Odd", (four,), {"board": ("yours",)}))
    with pytest.raises(ValueError, match="odd: no group of predicates 'yours'; there are mine, theirs"):
        games.load("odd")


def test_files_are_read_by_the_command_and_by_what_it_starts(tmp_path):
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code)
    flags = [word for name in BLOCKS for word in ("--plugin", name)]
    for line, expected in (
        ("list variants", "saturating"),
        ("show flicker", "switch on or off from one ply"),
        ("generate-data four6 --games 200 --workers 1", "data/four6"),
        ("verify data/four6 --sample 5", "200"),
        ("show four6 --ply 3", "mine"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "boardsae", *flags, *line.split()],
            cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout + done.stderr, line


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("import no_such_module", "failed: ModuleNotFoundError"),
        ("from boardsae.saes import register; register(int)", "expected a class of boardsae.saes.base.SAE"),
        ("import games; games.register('chess', int)", "there is a game 'chess' already"),
        (
            "from boardsae.metrics import Metric, register; register('x@1', Metric('x', 'higher', '', '', '', len))",
            'expected x@1 to be better "up", "down" or ""',
        ),
        (
            "from boardsae.saes import register\nfrom boardsae.saes.base import SAE\n"
            "class Odd(SAE):\n    name = 'odd'\n    def __init__(self, d, f, random, recipe, *, k): ...\n"
            "register(Odd)",
            "expected odd's option k to have a number or a word as its default",
        ),
        (
            "from boardsae.saes import register\nfrom boardsae.saes.base import SAE\n"
            "class Odd(SAE):\n    name = 'odd'\n    sparsity = 'l0'\n"
            "    def __init__(self, d, f, random, recipe, *, k=3): ...\n"
            "register(Odd)",
            "no option of odd, its sparsity, 'l0'",
        ),
        (
            "from boardsae.saes import register\nfrom boardsae.saes.base import SAE\n"
            "class Odd(SAE):\n    name = '../odd'\nregister(Odd)",
            "to have a name of small letters, digits and _, got '../odd'",
        ),
        ("raise SystemExit", "failed: SystemExit"),
    ],
)
def test_a_bad_file_is_one_line(code, message, tmp_path, monkeypatch):
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(ValueError, match=r"plug-in .*bad\.py failed") as raised:
        plugins.add([tmp_path / "bad.py"])
    assert message in str(raised.value)
    monkeypatch.delenv(plugins.VARIABLE)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        plugins.add([tmp_path / "none.py"])


def test_entry_points_are_registered_and_a_broken_one_is_left_out(monkeypatch, capsys):
    points = [
        EntryPoint("good", "collections:OrderedDict", "boardsae.things"),
        EntryPoint("bad", "no_such_module:thing", "boardsae.things"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "boardsae.things" else [])
    found = {}
    plugins.installed("things", found.__setitem__)
    plugins.installed("things", lambda *_: pytest.fail("read twice"))
    assert list(found) == ["good"]
    assert (
        "the plug-in bad = no_such_module:thing is left out: ModuleNotFoundError" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("registries")
def test_what_is_no_metric_or_no_game_is_refused():
    good = Metric("a", "up", "0 to 1", "b", "c", lambda *_: {})
    for identity, metric, message in (
        ("noversion", good, "expected a metric id such as coverage@1"),
        ("own@1", good._replace(measure=None), "with a measure"),
        ("coverage@1", good, "already"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.register(identity, metric)
    games.register("empty", lambda _: object())
    with pytest.raises(ValueError, match="expected empty to be a game, got object without name, version"):
        games.load("empty")


def test_a_subject_needs_no_plugin_to_be_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "GAMES", 40)
    held = evidence.Evidence(opened(tmp_path))

    class Same:
        def encode(self, x):
            return x.relu()

        def decode(self, f):
            return f

    assert "flicker@1" not in Scorer(held).score(Subject(Same(), {"name": "same"}))["metrics"]
