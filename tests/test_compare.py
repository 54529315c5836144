"""Verdicts: paired over games for two runs, over seeds for two folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_task import opened

from boardsae import Broken, compare, scoring, tasks, train_sae
from boardsae.compare import Verdict
from boardsae.runs import Spec


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Random dictionaries at two sparsities and two seeds, and PCA, which rebuilds everything; all scored."""
    root = tmp_path_factory.mktemp("compared")
    task = opened(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "of", lambda _: task.task)
        patch.setattr(tasks, "open_task", lambda _: task)
        patch.setattr("boardsae.evidence.GAMES", 40)
        patch.setattr(train_sae, "FITTED_GAMES", 50)
        asked = [
            (
                Spec("made", "random", {"k": k}, width, 4096, seed=seed),
                root / f"random{width}" / f"{k}-{seed}",
            )
            for width in (32, 64)
            for k in (2, 6)
            for seed in (0, 1, 2)
        ]
        asked.append((Spec("made", "pca", {}, 32, 4096), root / "pca"))
        train_sae.train(asked, task)
        rows = list(scoring.score_targets([str(root)], "made"))
    assert not [record for _, record in rows if "error" in record]
    return root


def compared(a, b, metric):
    return compare.verdicts(a, b, [metric])[0]


def test_two_runs_on_the_same_games(folders):
    verdict = compared(folders / "pca", folders / "random32" / "2-0", "explained_variance@1")
    assert verdict.words == "A is better"
    assert verdict.low < verdict.difference < verdict.high
    assert verdict.difference == pytest.approx(verdict.a - verdict.b)
    back = compared(folders / "random32" / "2-0", folders / "pca", "explained_variance@1")
    assert back.words == "A is worse"
    lower = compared(folders / "pca", folders / "random32" / "2-0", "kl_increase@1")
    assert lower.difference < 0
    assert lower.words == "A is better"


def test_a_run_against_itself_cannot_be_told_apart(folders):
    verdict = compared(folders / "pca", folders / "pca", "coverage@1")
    assert (verdict.difference, verdict.low, verdict.high) == (0, 0, 0)
    assert verdict.words.startswith("cannot tell")


@pytest.mark.parametrize(
    "metric", ["coverage@1", "found@1", "cov_x@1", "reconstruction@1", "cosine@1", "ce_increase@1"]
)
def test_counts_beside_a_record_give_its_interval_again(folders, metric):
    record = json.loads((folders / "pca" / "scores.json").read_text()) | {"folder": folders / "pca"}
    low, high = np.quantile(compare.drawn(record, metric), [0.025, 0.975])
    cell = record["metrics"][metric]
    assert (low, high) == pytest.approx((cell["low"], cell["high"]), abs=1e-6)


def test_folders_of_seeds_are_read_as_curves(folders):
    verdict = compared(folders / "random64", folders / "random32", "explained_variance@1")
    assert verdict.seeds == (3, 3)
    assert verdict.l0 == "2.0 to 6.0"
    assert verdict.low < verdict.difference < verdict.high


def test_an_interval_over_seeds_holds_the_truth_as_often_as_it_says():
    """Three seeds a side, one side as restless as the other or five times so; normal noise, no difference."""
    random, games = np.random.default_rng(0), 1500
    for spread in (1.0, 5.0):
        sides = random.normal(size=(games, 2, 3)) * np.array([1.0, spread])[:, None]
        inside = [abs(a.mean() - b.mean()) <= compare.welch(list(a), list(b)) for a, b in sides]
        assert 0.935 < np.mean(inside) < 0.985  # with 1.96 for Student's t it is 0.88 and 0.83
    assert compare.welch([0.5, 0.5], [0.4, 0.4]) == 0
    assert compare.welch([0.5], [0.4, 0.4]) == float("inf")


def copied(folder, target, **spec):
    """A scored run once more, with another spec."""
    shutil.copytree(folder, target)
    facts = json.loads((target / "spec.json").read_text()) | spec
    (target / "spec.json").write_text(json.dumps(facts))


def test_runs_of_another_setting_are_left_out_and_said(folders, tmp_path, capsys):
    for seed in (0, 1, 2):
        copied(folders / "random32" / f"2-{seed}", tmp_path / "a" / f"2-{seed}")
    alone = compared(tmp_path / "a", folders / "random64", "explained_variance@1")
    copied(folders / "random64" / "2-0", tmp_path / "a" / "tuned", kl_finetune=0.1)
    assert compared(tmp_path / "a", folders / "random64", "explained_variance@1") == alone
    assert "a: 1 runs of random d_sae=64 kl_finetune=0.1 are left out" in capsys.readouterr().err
    copied(folders / "pca", tmp_path / "a" / "pca")
    with pytest.raises(
        ValueError, match=r"expected runs of one variant in .*a, got pca, random; name the folder"
    ):
        compared(tmp_path / "a", folders / "random64", "explained_variance@1")


def test_counts_that_are_missing_or_broken(folders, tmp_path):
    copied(folders / "pca", tmp_path / "pca")
    (tmp_path / "pca" / "counts.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(Broken, match=r"counts\.npz cannot be read: .* makes it again"):
        compared(tmp_path / "pca", folders / "pca", "coverage@1")
    np.savez(tmp_path / "pca" / "counts.npz", phi=np.zeros(3))  # as an earlier version had it
    with pytest.raises(Broken, match=r"board_phi.*makes it again"):
        compared(tmp_path / "pca", folders / "pca", "cov_x@1")
    (tmp_path / "pca" / "counts.npz").unlink()
    with pytest.raises(FileNotFoundError, match="published records come without"):
        compared(tmp_path / "pca", folders / "pca", "coverage@1")


def test_what_cannot_be_compared(folders):
    with pytest.raises(ValueError, match="no metric 'coverage'"):
        compared(folders / "pca", folders / "pca", "coverage")
    with pytest.raises(ValueError, match="share no L0"):
        compared(folders / "pca", folders / "random32", "coverage@1")
    with pytest.raises(ValueError, match="no counts by game"):
        compared(folders / "pca", folders / "pca", "max_cosine@1")
    with pytest.raises(FileNotFoundError, match="no /nowhere"):
        compared(Path("/nowhere"), folders, "coverage@1")


def test_what_is_no_record_is_told(folders, tmp_path):
    shutil.copytree(folders / "pca", tmp_path / "pca")
    for text, said in (
        ("{}", "of schema 1, got None; boardsae score --force"),
        ('{"error": "x"}', "failed: x"),
    ):
        next((tmp_path / "pca").rglob("scores.json")).write_text(text)
        with pytest.raises(ValueError, match=f"pca: .*{said}"):
            compared(tmp_path / "pca", folders / "pca", "coverage@1")


def test_how_many_seeds_it_would_take():
    verdict = Verdict("coverage@1", 0.5, 0.49, 0.01, -0.01, 0.03, "8 to 80", (3, 3))
    assert verdict.words == "cannot tell; about 12 seeds a side would, if the difference is what it seems"
    assert "train three seeds" in verdict._replace(seeds=(1, 3)).words
    assert verdict._replace(metric="l0@1").words == "neither end of this metric is better"
