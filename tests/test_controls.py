"""Controls: the clock is the best that sees nothing but the ply; rows of a task are made once."""

from itertools import chain, combinations

import numpy as np
import pytest
from made_task import opened

from boardsae import controls, train_sae
from boardsae.evidence import Evidence
from boardsae.metrics.detectors import f1
from boardsae.saes import BASELINES


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"))


def test_no_set_of_plies_beats_the_clock(task):
    evidence = Evidence(task, limit=80)
    train = evidence.train
    late = train.ply > 26  # few enough plies to try every set
    part = train._replace(rows=train.rows[late], truth=train.truth.at(late), x=train.x[late])
    evidence.__dict__["train"] = part
    fitted = controls.clock(evidence)
    plies, truth = np.unique(part.ply), part.truth[:]
    for predicate in range(0, truth.shape[1], 37):
        holds = truth[:, predicate]
        sets = chain.from_iterable(combinations(plies, n) for n in range(1, len(plies) + 1))
        best = max(f1((a & holds).sum(), a.sum(), holds.sum()) for a in (np.isin(part.ply, s) for s in sets))
        said = fitted[part.ply, predicate]
        assert f1((said & holds).sum(), said.sum(), holds.sum()) == pytest.approx(best)


def test_controls_are_made_once_and_read_as_they_should(task, tmp_path, monkeypatch):
    monkeypatch.setattr(controls, "ROWS", 4096)
    monkeypatch.setattr(train_sae, "FITTED_GAMES", 60)
    evidence = Evidence(task, limit=30)
    made = {record["subject"]["name"]: record["metrics"] for record in controls.records(evidence, tmp_path)}
    assert set(made) == {"always_on", "clock", "perfect", "linear_probe", *BASELINES, "random_gpt"}
    for name in ("always_on", "clock"):
        assert abs(made[name]["cov_x@1"]["value"]) < 0.02
    assert made["perfect"]["coverage@1"]["value"] > 0.99
    assert made["linear_probe"]["cov_x@1"]["value"] > 0.9  # they are its ceiling; 1 where games are many
    assert made["clock"]["coverage@1"]["value"] > made["always_on"]["coverage@1"]["value"]
    assert made["pca"]["explained_variance@1"]["value"] == pytest.approx(1, abs=1e-3)
    assert made["clock"]["kl_increase@1"]["reason"] == "it has no decoder"
    again = controls.records(Evidence(task, limit=30), tmp_path)
    assert [record["subject"]["name"] for record in again] == list(made)
    other = Evidence(task._replace(hashes={**task.hashes, "model": "another"}), limit=60)
    with pytest.raises(FileExistsError, match="another model"):
        controls.records(other, tmp_path)
