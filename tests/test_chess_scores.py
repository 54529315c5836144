"""Scores on chess: of moves and of characters, the paper's rows and its concepts of strategy, in little memory."""

import numpy as np
import pytest
import torch
from made_task import opened

from boardsae import features, held_out
from boardsae.activations import tokens_of
from boardsae.evidence import Evidence
from boardsae.metrics import METRICS
from boardsae.metrics.counting import LEVELS
from boardsae.metrics.detectors import f1
from boardsae.scorer import Scorer
from boardsae.subject import Subject
from games.chess.planes import PAPER_STRATEGY

GAMES = 30


class Both:
    """Both signs of every dimension: it rebuilds everything."""

    def encode(self, x):
        return torch.cat([x, -x], 1).relu()

    def decode(self, f):
        return f[:, :16] - f[:, 16:]


class Half(Both):
    def decode(self, f):
        return 0.5 * super().decode(f)


@pytest.fixture(scope="module", params=["chess", "chess-pgn"])
def task(request, tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"), 600, game=request.param)


@pytest.fixture(scope="module")
def scorer(task):
    return Scorer(Evidence(task, limit=GAMES))


def test_every_metric_has_a_value_and_a_perfect_sae_loses_nothing(scorer):
    record = scorer.score(Subject(Both(), {"name": "both"}, torch.cat([torch.eye(16), -torch.eye(16)])))
    metrics = record["metrics"]
    assert set(metrics) == {name for name, metric in METRICS.items() if not metric.across}
    assert {name for name, cell in metrics.items() if cell["value"] is None} <= {"cov_x@1"}  # few games
    assert metrics["explained_variance@1"]["value"] == pytest.approx(1)
    assert metrics["kl_increase@1"]["value"] == pytest.approx(0, abs=1e-5)
    assert metrics["l0_all@1"]["value"] == pytest.approx(16)


def test_a_row_is_held_where_its_position_is_known(scorer, task):
    """The activation of a row does not change with what follows its token, and does with the token itself."""
    report = scorer.evidence.report
    for row in range(0, len(report.x), 97):
        game, last = report.rows[row, 0], report.at[row]
        tokens = torch.from_numpy(report.tokens[game : game + 1, : last + 1].astype(np.int64))
        assert torch.allclose(task.model.body(tokens, 0)[0, -1], report.x[row], atol=1e-5)


def test_the_sae_is_spliced_in_at_every_token(scorer, task):
    value = scorer.score(Subject(Half(), {"name": "half"}))["metrics"]["kl_increase@1"]["value"]
    kl, rows = 0.0, 0
    for line in tokens_of(task.dataset, "report")[:GAMES]:
        length = int(np.flatnonzero(line).max()) + 1
        tokens = torch.from_numpy(line[None, : min(length, task.model.shape.context)].astype(np.int64))
        x = task.model.body(tokens, 0)
        log_p, log_q = (task.model.tail(v, 0)[0].log_softmax(-1) for v in (x, 0.5 * x))
        some = slice(0, min(tokens.shape[1], length - 1))
        kl += (log_p.exp() * (log_p - log_q)).sum(-1)[some].sum().item()
        rows += some.stop
    assert value == pytest.approx(
        kl / rows, rel=0.02
    )  # cut texts end where no move can be told: a few rows fewer


def test_the_papers_rows_are_whites_first_twenty_turns(scorer):
    part = scorer.evidence.paper_report
    white = scorer.evidence.members("white_to_move")[0]
    assert part.truth[:, white].all()
    assert part.ply.max() <= 38
    assert (np.bincount(part.game) <= 19).all()
    assert (part.game[part.starts] == np.arange(part.games)).all()


def test_strategy_is_the_mean_over_concepts_each_at_its_own_threshold(scorer):
    """By loops over the truth of the paper's training rows, feature by feature."""
    evidence = scorer.evidence
    record = scorer.score(Subject(Both(), {"name": "both"}))
    part = evidence.paper_train
    f = Both().encode(part.x).numpy()
    maxima = np.abs(Both().encode(evidence.sample).numpy().max(0))
    scores = []
    for plane in PAPER_STRATEGY.values():
        truth, best = part.truth[:, evidence.members(plane)], 0.0
        for share in LEVELS:
            active = f > (share * maxima).astype(np.float32)
            hits = active.T.astype(int) @ truth.astype(int)
            best = max(best, f1(hits, active.sum(0)[:, None], truth.sum(0)).max(0).mean())
        scores.append(best)
    assert record["metrics"]["strategy_coverage_paper@1"]["value"] == pytest.approx(np.mean(scores), abs=1e-6)


def test_memory_decides_nothing(scorer, monkeypatch):
    subject = Subject(Both(), {"name": "both"})
    expected = scorer.score(subject)
    for module in (features, held_out):
        monkeypatch.setattr(module, "CELLS", 1)
        monkeypatch.setattr(module, "TABLE", 1)
    again = scorer.score(subject)
    assert again["predicates"] == expected["predicates"]
    for name, cell in expected["metrics"].items():
        assert again["metrics"][name]["value"] == pytest.approx(cell["value"], abs=1e-6), name
