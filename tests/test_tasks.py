"""Tasks are what they are pinned to be: their games, their models, their gates."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from boardsae import Broken, controls, generate, gpt, models, tasks
from boardsae.evidence import Evidence
from boardsae.files import read_json
from boardsae.saes import BASELINES


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_named_task_makes_its_own_games_and_opens(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = tasks.open_task(tasks.of(name))
    assert opened.hashes["games"] == opened.task.moves
    assert opened.model.shape.game == opened.task.game
    assert opened.task.layer == models.gate_of(opened.folder)["layer"]
    with pytest.raises(Broken, match=r"the games in data/.* are not those of"):
        tasks.open_task(opened.task._replace(moves="0" * 64))


@pytest.mark.parametrize("name", [name for name in tasks.TASKS if controls.shipped_at(name).exists()])
def test_the_controls_of_a_named_task_are_shipped(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(controls, "scored", lambda *_: pytest.fail("made anew"))
    evidence = Evidence(tasks.open_task(tasks.of(name)))
    made = controls.records(evidence, tmp_path)
    names = {record["subject"]["name"] for record in made}
    assert names == {"always_on", "clock", "perfect", "linear_probe", *BASELINES, "random_gpt"}
    assert controls.records(evidence, tmp_path) == made
    other = Evidence(tasks.open_task(tasks.of(name)), layer=evidence.layer + 1)
    assert controls.shipped(other) == []


@pytest.mark.parametrize("name", models.PINNED)
def test_reference_models_are_pinned_and_gated(name, monkeypatch):
    folder = models.folder_of(name)
    gate = models.gate_of(folder)
    assert gate["model"] == models.PINNED[name]
    assert set(gate["missed"]) <= set(gate["totals"])
    assert gate["trained_with"] == models.schooling(read_json(folder / "model.json"))._asdict()
    assert torch.isfinite(gpt.load(folder)(torch.ones(1, 5, dtype=torch.int64))).all()
    monkeypatch.setitem(models.PINNED, name, "0" * 64)
    with pytest.raises(Broken, match="install boardsae again"):
        models.folder_of(name)


def test_a_model_that_was_trained_on_other_games_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models.folder_of("othello6-v1"), "mine")
    facts = json.loads(Path("mine/model.json").read_text())
    facts["recipe"]["data"] = "games"
    Path("mine/model.json").write_text(json.dumps(facts))
    dataset = generate.from_policy("othello6", 300, 3, None, 1, Path("games"))
    tasks.open_task(tasks.of("mine"))
    said = f"warning: mine was trained on other games, SHA-256 {facts['games']}, than those in games"
    assert said in capsys.readouterr().err
    own = {"games": dataset.manifest["files"]["moves.npy"]["sha256"]}
    Path("mine/model.json").write_text(json.dumps(facts | own))
    tasks.open_task(tasks.of("mine"))
    assert "warning" not in capsys.readouterr().err
    Path("mine/model.json").write_text("{}")
    with pytest.raises(
        Broken, match=r"is no model of train-gpt: its model\.json or gate\.json lacks 'shape'"
    ):
        tasks.of("mine")


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"no task 'othello6-v9', did you mean 'othello6-v[12]'"):
        tasks.of("othello6-v9")
    with pytest.raises(ValueError, match="no reference model"):
        models.folder_of("othello6-v9")
    with pytest.raises(FileNotFoundError, match=r"no gate\.json"):
        models.gate_of(tmp_path)
