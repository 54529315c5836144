"""The facts of a report: of runs and of anybody's SAE, beside the right company; and the command."""

import json
from pathlib import Path

import pytest
from made_records import write
from made_task import opened
from typer.testing import CliRunner

from boardsae import Broken, records, report, tasks, train_sae
from boardsae.cli import app
from boardsae.runs import Spec, path_of

MINE = (
    "import torch\n"
    "class Mine:\n"
    "    W_dec = torch.eye(16)\n"
    "    def encode(self, x): return x.relu()\n"
    "    def decode(self, f): return f\n"
)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def root(task, tmp_path_factory):
    """Two runs, of which the first gets scores by being reported, and a control."""
    folder = tmp_path_factory.mktemp("results")
    specs = [Spec("made", "random", {"k": k}, 32, 4096) for k in (3, 6)]
    train_sae.train([(spec, path_of(spec, folder)) for spec in specs], task)
    return folder


@pytest.fixture(autouse=True)
def _known(task, monkeypatch):
    monkeypatch.setattr(tasks, "of", lambda _: task.task)
    monkeypatch.setattr(tasks, "open_task", lambda _: task)
    monkeypatch.setattr("boardsae.evidence.GAMES", 100)


def run(root, k):
    return path_of(Spec("made", "random", {"k": k}, 32, 4096), root)


def test_a_run_is_scored_and_told_of(root, task):
    folder = run(root, 3)
    (told,) = report.reports([str(folder)], top=4)
    assert told.name == "random k=3 seed=0"
    assert told.record == json.loads((folder / "scores.json").read_text())
    assert len(told.cards) == 4
    assert [each.own for each in told.neighbours] == [True]
    assert told.neighbours[0].name == str(folder.relative_to(root))
    assert told.neighbours[0].values["l0@1"] == pytest.approx(3)
    assert told.game is task.dataset.game
    assert told.controls == []

    written = (folder / "scores.json").stat().st_mtime_ns
    controls = root / "made" / "controls"
    controls.mkdir()
    subject = {"name": "clock", "variant": "clock"}
    other = told.record | {"subject": subject, "layer": 1}
    write(controls / "scores.json", {"controls": [told.record | {"subject": subject}, other]})
    first, second = report.reports([str(folder), str(run(root, 6))], top=1)
    assert (folder / "scores.json").stat().st_mtime_ns == written  # not scored again
    assert [each["subject"]["name"] for each in first.controls] == [
        "clock"
    ]  # that of another layer stays out
    assert {each.name: each.own for each in second.neighbours} == {
        str(run(root, 3).relative_to(root)): False,
        str(run(root, 6).relative_to(root)): True,
    }
    assert len({each.line for each in second.neighbours}) == 1  # sparsity alone tells them apart


def test_anybodys_sae(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    (told,) = report.reports([f"{file}:Mine"], task="made", top=2)
    assert told.name == f"{file}:Mine"
    assert [each.own for each in told.neighbours] == [True]
    assert [card.effect is not None for card in told.cards] == [True, True]


def test_what_cannot_be_reported(root, tmp_path):
    with pytest.raises(ValueError, match=r"expected one run, got .* with 2; choose one, such as .*k=3"):
        report.reports([str(root / "made" / "random")])
    with pytest.raises(FileNotFoundError, match="no /nowhere; give a run"):
        report.reports(["/nowhere"])
    with pytest.raises(ValueError, match="expected --top to be 1 or more, got 0"):
        report.reports([str(run(root, 3))], top=0)
    other = tmp_path / "other"
    train_sae_of_another_task(run(root, 3), other)
    with pytest.raises(ValueError, match="expected SAEs of one task, got elsewhere and made"):
        report.reports([str(run(root, 3)), str(other)])


def train_sae_of_another_task(folder, other):
    """A copy of a run that says it is of another task."""
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    write(other / "spec.json", json.loads((folder / "spec.json").read_text()) | {"task": "elsewhere"})


def test_scores_on_another_model_are_refused(root, tmp_path):
    folder = tmp_path / "made" / "run"
    folder.mkdir(parents=True)
    report.reports([str(run(root, 3))], top=1)
    for file in run(root, 3).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    record = json.loads((folder / "scores.json").read_text())
    write(folder / "scores.json", record | {"hashes": record["hashes"] | {"model": "f" * 64}})
    with pytest.raises(Broken, match="was scored on another model or other games; boardsae score --force"):
        report.reports([str(folder)])


def test_the_folder_of_results_is_the_one_above_the_task():
    assert report.results_of(Path("/a/b/made/topk/k=3/seed=0"), "made") == Path("/a/b")
    assert report.results_of(Path("/a/b/topk"), "made") == Path("results")
    assert report.results_of(None, "made") == Path("results")


def test_squares_are_means_of_their_predicates():
    held = [
        ("a1 is mine", 0.5),
        ("a1 is theirs", 0.7),
        ("b1 is mine", 0.2),
        ("c1 is mine", None),
        ("over", 1.0),
    ]
    predicates = [{"name": name, "f1": f1, "base_rate": 0.1} for name, f1 in held]
    predicates.append({"name": "my pawn on a1", "f1": 0.0, "base_rate": 0.0})  # there never is one
    assert records.by_square(predicates, "f1") == {"a1": pytest.approx(0.6), "b1": 0.2}


def test_the_command_writes_a_page_once(root):
    folder = run(root, 3)
    said = CliRunner().invoke(app, ["report", str(folder), "--top", "1"])
    assert said.exit_code == 0, said.output
    assert said.stdout == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    again = CliRunner().invoke(app, ["report", str(folder), "--top", "1"])
    assert isinstance(again.exception, FileExistsError)
    assert "--force replaces it" in str(again.exception)
    forced = CliRunner().invoke(app, ["report", str(folder), "--top", "1", "--force"])
    assert forced.exit_code == 0
