"""Scores of whole SAEs: what a perfect one and one that predicts the mean get, what is refused, what is kept."""

import gc
import json
import weakref
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from time import sleep

import numpy as np
import pytest
import torch
from made_task import opened

from boardsae import scoring, targets, tasks, train_sae
from boardsae.coder import Checked
from boardsae.evidence import Evidence
from boardsae.metrics import METRICS
from boardsae.runs import Spec
from boardsae.scorer import Scorer
from boardsae.subject import Subject


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def scorer(task):
    return Scorer(Evidence(task, limit=60))


class Both:
    """Both signs of every dimension: it rebuilds everything."""

    def encode(self, x):
        return torch.cat([x, -x], 1).relu()

    def decode(self, f):
        return f[:, :16] - f[:, 16:]


class Mean:
    """Whatever it reads, it answers with the mean."""

    def __init__(self, mean):
        self.mean = mean

    def encode(self, x):
        return torch.zeros(len(x), 3)

    def decode(self, f):
        return self.mean.expand(len(f), -1)


def scores(scorer, coder, directions=None):
    record = scorer.score(Subject(coder, {"name": "test"}, directions))
    record.pop("counts")
    json.dumps(record, allow_nan=False)
    return {name.split("@")[0]: cell["value"] for name, cell in record["metrics"].items()}, record


def test_a_perfect_sae_loses_nothing(scorer):
    value, record = scores(scorer, Both(), torch.cat([torch.eye(16), -torch.eye(16)]))
    assert set(record["metrics"]) == {
        name for name, metric in METRICS.items() if not metric.across and not metric.family
    }
    assert value["explained_variance"] == pytest.approx(1)
    assert value["cosine"] == pytest.approx(1)
    assert value["reconstruction_bias"] == pytest.approx(1, abs=1e-5)
    for name in ("ce_increase", "kl_increase", "legal_mass_loss", "top1_legal_loss"):
        assert value[name] == pytest.approx(0, abs=1e-5)
    assert value["loss_recovered_zero"] == pytest.approx(1)
    assert value["l0"] == pytest.approx(16)
    assert value["max_cosine"] == pytest.approx(0, abs=1e-6)
    assert record["comparable"] is False


def test_predicting_the_mean_explains_nothing(scorer):
    value, record = scores(scorer, Mean(scorer.evidence.mean))
    assert value["explained_variance"] == pytest.approx(0, abs=1e-5)
    assert value["loss_recovered_mean"] == pytest.approx(0, abs=1e-5)
    assert value["l0"] == 0
    assert value["coverage"] == 0
    assert value["cov_x"] == pytest.approx(0, abs=0.02)
    assert record["metrics"]["reconstruction@1"]["value"] == 0


def test_functional_sums_are_those_of_plain_loops(scorer, task):
    class Half:
        def encode(self, x):
            return x.relu()

        def decode(self, f):
            return 0.5 * f

    value, _ = scores(scorer, Half())
    report = scorer.evidence.report
    kl, ce, rows = 0.0, 0.0, 0
    for moves in report.moves:
        length = int((moves != 0).sum())
        tokens = torch.from_numpy(moves[None, :31].astype(np.int64))
        x = task.model.body(tokens, 0)
        spliced = 0.5 * x.relu()
        log_p, log_q = (task.model.tail(v, 0)[0].log_softmax(-1) for v in (x, spliced))
        for p in range(min(length - 1, 31)):
            kl += (log_p[p].exp() * (log_p[p] - log_q[p])).sum().item()
            ce += (log_p[p, moves[p + 1]] - log_q[p, moves[p + 1]]).item()
            rows += 1
    assert value["kl_increase"] == pytest.approx(kl / rows, rel=1e-3)
    assert value["ce_increase"] == pytest.approx(ce / rows, rel=1e-3, abs=1e-5)


def test_variance_of_later_plies_is_that_of_their_rows_alone(scorer):
    class Half(Both):
        def decode(self, f):
            return super().decode(f) / 2

    report, later = scorer.evidence.report, scorer.evidence.report.ply > 1
    x, mean = report.x[later], scorer.evidence.train.x[scorer.evidence.train.ply > 1].mean(0)
    expected = 1 - (x / 2).square().sum() / (x - mean).square().sum()
    value = scores(scorer, Half())[0]["explained_variance_later"]
    assert value == pytest.approx(expected.item(), rel=1e-5)
    assert later.sum() == len(later) - report.games


def test_an_encoder_that_looks_at_its_batch_is_refused(scorer):
    class Batchy(Both):
        def encode(self, x):
            f = super().encode(x)
            return f * (f > f.mean())

    with pytest.raises(ValueError, match="reads each row by itself; rows 0"):
        scores(scorer, Batchy())


def test_rows_are_encoded_once(scorer):
    class Watched(Both):
        rows = 0

        def encode(self, x):
            self.rows += len(x)
            f = super().encode(x)
            return f * (f > 2.5 * f.abs().mean(1, keepdim=True))  # sparse, as what is remembered is

    evidence, coder = scorer.evidence, Watched()
    scores(scorer, coder)
    parts = (evidence.train.x, evidence.select.x, evidence.report.x, evidence.sample)
    assert coder.rows <= sum(map(len, parts)) + 512  # and twice the few that are checked


class Cut:
    """Few features: the activations that are large."""

    def __init__(self, above):
        self.above = above

    def encode(self, x):
        return x * (x > self.above)

    def decode(self, f):
        return f


def test_what_is_remembered_is_what_was_encoded(scorer):
    x = scorer.evidence.report.x
    cut = Cut(1.5 * x.std())
    coder, expected = Checked(cut, x), cut.encode(x).numpy()
    assert 0 < (expected != 0).mean() < 0.25
    assert np.array_equal(coder.codes(x).dense(), expected)
    coder.coder = None  # from now on only what is remembered
    assert np.array_equal(coder.codes(x).dense(), expected)
    assert np.array_equal(coder.encode_once(x).numpy(), expected)


def test_rows_that_are_gone_are_not_taken_for_others(scorer):
    x = scorer.evidence.report.x
    cut = Cut(1.5 * x.std())
    coder = Checked(cut, x)
    for i in range(5):  # each array is freed before the next is made, which may then lie where it lay
        assert np.array_equal(coder.codes(x + i).dense(), cut.encode(x + i).numpy())


@pytest.mark.parametrize(
    ("encode", "decode", "message"),
    [
        (lambda x: x[:-1], lambda f: f, "expected encode to give 256 rows"),
        (lambda x: x, lambda f: f[:, :3], "expected decode to give shape"),
        (lambda x: x * torch.nan, lambda f: f, "expected features that are numbers"),
        (lambda x: x, lambda f: f * torch.inf, "expected decode to give numbers"),
    ],
)
def test_outputs_of_another_shape_are_refused(scorer, encode, decode, message):
    coder = type("Odd", (), {"encode": lambda _, x: encode(x), "decode": lambda _, f: decode(f)})()
    with pytest.raises(ValueError, match=message):
        Checked(coder, scorer.evidence.select.x)


def test_runs_are_scored_once_and_a_broken_one_is_a_row(task, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "of", lambda _: task.task)
    monkeypatch.setattr(tasks, "open_task", lambda _: task)
    monkeypatch.setattr("boardsae.evidence.GAMES", 40)
    for name in ("one", "two"):
        train_sae.train([(Spec("made", "random", {"k": 3}, 32, 4096), tmp_path / name)], task)
    (tmp_path / "two" / "sae_weights.safetensors").write_bytes(b"nothing")
    rows = dict(scoring.score_targets([str(tmp_path)], "made"))
    assert rows[str(tmp_path / "one")]["metrics"]["l0@1"]["value"] == pytest.approx(3)
    assert "is not an SAE" in rows[str(tmp_path / "two")]["error"]
    written = (tmp_path / "one" / "scores.json").stat().st_mtime_ns
    with np.load(tmp_path / "one" / "counts.npz", allow_pickle=False) as tables:
        assert len(tables["detected"]) == 40
    list(scoring.score_targets([str(tmp_path / "one")], "made"))
    assert (tmp_path / "one" / "scores.json").stat().st_mtime_ns == written
    list(scoring.score_targets([str(tmp_path / "one")], "made", force=True))
    assert (tmp_path / "one" / "scores.json").stat().st_mtime_ns > written
    older = json.loads((tmp_path / "one" / "scores.json").read_text())
    del older["metrics"]["alive@1"]
    (tmp_path / "one" / "scores.json").write_text(json.dumps(older))
    assert scoring.kept(tmp_path / "one") is None  # it is scored again
    (tmp_path / "one" / "sae_weights.safetensors").rename(tmp_path / "weights")
    assert scoring.kept(tmp_path / "one") == older  # all that there is of a published one
    lines = list(scoring.table(list(rows.items())))
    assert "not scored" in lines[2]


def test_one_that_raises_or_cannot_be_read_leaves_the_others(task, tmp_path, monkeypatch):
    def of(name):
        if name == "gone":
            raise ValueError("no task 'gone'")
        return task.task

    monkeypatch.setattr(tasks, "of", of)
    monkeypatch.setattr(tasks, "open_task", lambda _: task)
    monkeypatch.setattr("boardsae.evidence.GAMES", 40)
    for name in ("fine", "broken", "gone", "unhashed"):
        train_sae.train([(Spec("made", "random", {"k": 3}, 32, 4096), tmp_path / name)], task)
    (tmp_path / "broken" / "scores.json").write_text('{"metrics": {')
    for name, changes in (("gone", {"task": "gone"}), ("unhashed", {"hashes": {}})):
        facts = json.loads((tmp_path / name / "spec.json").read_text()) | changes
        (tmp_path / name / "spec.json").write_text(json.dumps(facts))
    rows = {Path(name).name: record for name, record in scoring.score_targets([str(tmp_path)], None)}
    assert rows["fine"]["metrics"]["l0@1"]["value"] == pytest.approx(3)
    assert "--force scores it again" in rows["broken"]["error"]
    assert rows["gone"]["error"] == "no task 'gone'"
    assert "was trained on another model" in rows["unhashed"]["error"]
    with pytest.raises(ValueError, match="no task 'gone'"):
        list(scoring.score_targets([str(tmp_path / "gone")], None))
    monkeypatch.setattr(scoring.Desk, "score", lambda *_: {}["a bug of somebody"])
    rows = dict(scoring.score_targets([str(tmp_path / "fine")], "made", force=True))
    assert rows[str(tmp_path / "fine")]["error"] == "KeyError: 'a bug of somebody'"
    with pytest.raises(ValueError, match=r"fine is of made, not othello-v2; leave --task out"):
        list(scoring.score_targets([str(tmp_path / "fine")], "othello-v2"))


@pytest.mark.parametrize("cell", [0.5, None, {"value": "high"}, {"value": torch.ones(())}])
def test_what_is_no_cell_is_refused_before_it_is_written(scorer, monkeypatch, cell):
    metric = METRICS["l0@1"]._replace(measure=lambda *_: cell)
    monkeypatch.setitem(METRICS, "mine@1", metric)
    with pytest.raises(ValueError, match=r"mine@1 answers with .*; expected a cell"):
        scores(scorer, Both())


@pytest.fixture
def threads():
    """Sets torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_several_at_once_score_as_each_alone(task, tmp_path, monkeypatch, threads):
    monkeypatch.setattr(tasks, "of", lambda _: task.task)
    monkeypatch.setattr(tasks, "open_task", lambda _: task)
    monkeypatch.setattr("boardsae.evidence.GAMES", 40)
    for seed in range(4):
        spec = Spec("made", "random", {"k": 3}, 32, 4096, seed=seed)
        train_sae.train([(spec, tmp_path / str(seed))], task)
    (tmp_path / "1" / "sae_weights.safetensors").write_bytes(b"nothing")

    def scored(at_once):
        threads(at_once)
        rows = list(scoring.score_targets([str(tmp_path)], "made", force=True))
        assert torch.get_num_threads() == at_once
        return [(name, record.get("metrics"), record.get("predicates")) for name, record in rows]

    alone = scored(1)
    assert scored(3) == alone
    assert [name for name, *_ in alone] == [str(tmp_path / str(seed)) for seed in range(4)]
    assert [metrics is None for _, metrics, _ in alone] == [False, True, False, False]


def test_runs_are_read_one_after_the_other(task, tmp_path, monkeypatch, threads):
    """A folder may hold more SAEs than memory does."""
    threads(1)
    monkeypatch.setattr(tasks, "of", lambda _: task.task)
    monkeypatch.setattr(tasks, "open_task", lambda _: task)
    monkeypatch.setattr("boardsae.evidence.GAMES", 40)
    specs = [Spec("made", "random", {"k": 3}, 32, 4096, seed=seed) for seed in range(3)]
    train_sae.train([(spec, tmp_path / str(spec.seed)) for spec in specs], task)
    held, most, real = weakref.WeakSet(), [], targets.read

    def watched(folder):
        where, subject = real(folder)
        gc.collect()
        held.add(subject.coder)
        most.append(len(held))
        return where, subject

    monkeypatch.setattr(targets, "read", watched)
    assert len(list(scoring.score_targets([str(tmp_path)], "made"))) == 3
    assert most == [1, 1, 1]
    assert len(list(scoring.score_targets([str(tmp_path)], "made"))) == 3
    assert len(most) == 3  # what is scored is not even read


def test_as_many_work_at_once_as_there_are_threads(threads):
    threads(2)
    both = Barrier(2)
    assert list(scoring.side_by_side(lambda each: (both.wait(60), -each)[1], [1, 2, 3, 4])) == [
        -1,
        -2,
        -3,
        -4,
    ]
    with pytest.raises(BrokenBarrierError):
        list(scoring.side_by_side(lambda _: both.wait(0.1), [1]))  # one has nobody to wait for


def test_what_has_not_begun_is_left_when_somebody_stops(threads):
    threads(2)
    begun = []
    some = scoring.side_by_side(lambda each: begun.append(each) or sleep(0.05), range(100))
    next(some)
    some.close()
    assert len(begun) < 10
    assert torch.get_num_threads() == 2


def test_names_in_the_table_are_told_apart():
    above, names = scoring.apart(["r/t/topk/k=8/seed=0", "r/t/gated/l1=0.1/seed=0", "clock"])
    assert (above, names) == ("r/t/", ["topk/k=8/seed=0", "gated/l1=0.1/seed=0", "clock"])
    assert scoring.apart(["r/t/topk/k=8/seed=0", "clock"]) == ("", ["r/t/topk/k=8/seed=0", "clock"])
    assert scoring.apart(["/r/a", "r/b"]) == ("", ["/r/a", "r/b"])
    assert scoring.shortened("topk/k=8,rows=20000/seed=0", 16) == "topk/k=8,row…d=0"
    assert scoring.shortened("topk/k=8", 8) == "topk/k=8"


def test_the_table_shows_what_is_asked(scorer):
    _, record = scores(scorer, Both())
    head, row = scoring.table([("mine", record)], scoring.columns("cov_x,coverage@1"))
    assert head.split() == ["L0", "coverage", "beyo", "coverage"]
    assert len(row.replace(" ±", "±").split()) == 4
    with pytest.raises(ValueError, match="no metric 'covrage', did you mean 'coverage@1'"):
        scoring.columns("covrage")


@pytest.mark.parametrize("limit", [0, -5, 19])
def test_a_limit_below_what_a_quick_look_takes_is_refused(limit):
    with pytest.raises(ValueError, match=f"expected a limit of 20 games or more, got {limit}"):
        scoring.score(object(), limit=limit)
