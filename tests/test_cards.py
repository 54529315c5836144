"""What is told of a feature: right on planted features, and the same as plain loops say."""

import numpy as np
import pytest
import torch
from made_task import opened

from boardsae import cards
from boardsae.coder import Checked
from boardsae.evidence import Evidence
from boardsae.features import Features
from boardsae.metrics.counting import LEVELS
from boardsae.scorer import Scorer
from boardsae.subject import Subject
from games.core import play_all

GAMES = 60


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"))


class Columns:
    """Features that are some of the columns, times a size."""

    def __init__(self, places, sizes):
        self.places, self.sizes = places, torch.tensor(sizes)

    def encode(self, x):
        return x[:, self.places] * self.sizes

    def decode(self, f):
        return torch.zeros(len(f), 800)  # as wide as what it reads


@pytest.fixture(scope="module")
def planted(task):
    """The truth in the place of activations, always-on as one more column."""
    evidence = Evidence(task, site="numbers", limit=GAMES)
    for split in ("train", "select", "report"):
        part = getattr(evidence, split)
        x = torch.from_numpy(np.concatenate([part.truth, np.ones((len(part.x), 1), bool)], 1)).float()
        evidence.__dict__[split] = part._replace(x=x)
    return evidence


def column(evidence, name):
    return [each.name for each in evidence.columns].index(name)


def made(evidence, coder, top=10):
    return cards.cards(Scorer(evidence), Subject(coder, {"name": "planted"}, decodes=False), top)


def test_a_feature_that_is_a_predicate_says_so(planted):
    """Feature 2 is "e4 is mine"; feature 0 never rests and tells nothing, feature 1 is silent."""
    e4 = column(planted, "e4 is mine")
    found = made(planted, Columns([-1, -1, e4], [1.0, 0.0, 3.0]))
    assert [card.feature for card in found] == [2]
    (card,) = found
    first, holds = card.detections[0], planted.report.truth[:, e4]
    assert (first.predicate, first.group, first.f1, first.mcc) == ("e4 is mine", "mine", 1, pytest.approx(1))
    assert first.precision == first.recall == cards.Estimate(1, 1, 1)
    assert card.fires == pytest.approx(holds.mean())
    assert card.mean == 3
    assert card.maps["mine"]["e4"] == pytest.approx(1 - holds.mean(), abs=1e-5)
    assert card.maps["empty"]["e4"] == pytest.approx(
        -planted.report.truth[:, column(planted, "e4 is empty")].mean(), abs=1e-5
    )
    assert card.histogram == cards.Histogram(3, [0] * 19 + [int(holds.sum())], [0] * 20)
    assert card.effect is None
    for each in card.examples:
        disc = each.picture.cells[6 * 3 + 4]
        assert disc == {"black": "x", "white": "o"}[each.to_move]
        assert each.picture.hints == ()


def test_examples_are_the_positions_of_the_folder(planted, task):
    (card,) = made(planted, Columns([column(planted, "a1 is mine")], [1.0]))
    assert len({each.game for each in card.examples}) == len(card.examples) == cards.EXAMPLES
    for each in card.examples:
        assert task.dataset.split[each.game] == 2
        moves = task.dataset.moves[each.game, : each.ply]
        state = play_all(task.dataset.game, moves)[-1]
        assert task.dataset.game.picture(state).cells == each.picture.cells
        assert each.picture.last == (task.dataset.game.moves[moves[-1]],)


def test_the_best_feature_of_every_predicate_comes_first():
    found = cards.Favourites(
        np.array([[7], [7], [5], [7], [6]]),
        np.zeros((5, 1), int),
        np.array([[0.5], [0.9], [0.6], [0.7], [0.0]]),
    )
    assert cards.order(found).tolist() == [
        1,
        2,
        3,
        0,
    ]  # of 7, of 5, the second and third of 7; one tells nothing


def test_mcc_is_the_correlation():
    random = np.random.default_rng(0)
    a, y = random.random(200) < 0.4, random.random(200) < 0.7
    expected = np.corrcoef(a, y)[0, 1]
    counts = (np.array(each.sum()) for each in (a & y, a, y))
    assert cards.mcc(*counts, 200) == pytest.approx(expected)
    assert cards.mcc(np.array(50), np.array(200), np.array(50), 200) == 0  # always on


def test_favourites_are_those_of_a_plain_search(planted):
    """Every feature, level and predicate tried one by one."""
    coder = Columns([column(planted, name) for name in ("b2 is empty", "c3 is mine")], [1.0, 2.0])
    wanted = cards.told(planted)
    found = cards.favourites(
        Features(Checked(coder, planted.select.x), planted.sample), planted.select, wanted
    )
    f, truth = coder.encode(planted.select.x).numpy(), planted.select.truth
    for feature in range(2):
        best = {}
        for place in np.flatnonzero(wanted):
            rates = [
                np.corrcoef(f[:, feature] > level * f[:, feature].max(), truth[:, place])[0, 1]
                for level in LEVELS[:10]
            ]
            best[place] = max(rates)
        top = sorted(best.values(), reverse=True)[: cards.PREDICATES]
        assert found.mcc[feature] == pytest.approx(top, abs=1e-6)
        assert [best[place] for place in found.predicate[feature]] == pytest.approx(top, abs=1e-6)


def test_the_papers_twins_and_rare_predicates_are_not_told(planted):
    told = {planted.columns[place].name for place in np.flatnonzero(cards.told(planted))}
    assert "e4 is mine" in told
    assert "e4 is mine (paper)" not in told
    assert "c3 is occupied" not in told  # from the first move on


def test_precision_and_recall_are_those_of_plain_counts(planted):
    """A feature that is one predicate, asked about another."""
    mine, legal = column(planted, "b2 is mine"), column(planted, "b2 is empty")
    a, y = planted.report.truth[:, mine], planted.report.truth[:, legal]
    one = np.array([[legal]])
    ((only,),) = cards.judged(
        planted,
        a[:, None].astype(np.float32),
        np.ones(1, np.float32),
        cards.Favourites(one, 0 * one, 1.0 + 0 * one),
    )
    other = planted.report.truth[:, column(planted, "a1 is mine")]
    one = np.array([[column(planted, "a1 is mine")]])
    ((also,),) = cards.judged(
        planted,
        a[:, None].astype(np.float32),
        np.ones(1, np.float32),
        cards.Favourites(one, 0 * one, 1.0 + 0 * one),
    )
    assert only.precision.value == (a & y).sum() / a.sum() == 0
    assert also.precision.value == pytest.approx((a & other).sum() / a.sum())
    assert also.recall.value == pytest.approx((a & other).sum() / other.sum())
    assert also.f1 == pytest.approx(2 * (a & other).sum() / (a.sum() + other.sum()))
    assert also.mcc == pytest.approx(np.corrcoef(a, other)[0, 1])
    assert also.precision.low < also.precision.value < also.precision.high


def test_maps_weigh_positions_by_activation(planted):
    random = np.random.default_rng(1)
    f = (
        random.random((len(planted.report.x), 2)) * (random.random((len(planted.report.x), 2)) < 0.1)
    ).astype(np.float32)
    f[:, 1] = 0
    by_title = {title: values for (title, _), values in cards.likelier(planted, f)}
    held = planted.report.truth[:, column(planted, "d2 was just played")]
    expected = np.average(held, weights=f[:, 0]) - held.mean()
    place = 6 + 3
    assert by_title["just played"][0, place] == pytest.approx(expected, abs=1e-5)
    assert (by_title["just played"][1] == 0).all()


def test_strongest_positions_are_of_different_games_and_moves(planted):
    report = planted.report
    f = (100 - report.ply).astype(
        np.float32
    )  # every game's first position is its strongest, and there are four
    rows = cards.strongest(report, f, 6)
    assert sorted(report.moves[report.game[rows], 0].tolist()) == sorted(set(report.moves[:, 0].tolist()))
    f = np.random.default_rng(2).random(len(report.ply)).astype(np.float32)
    rows = cards.strongest(report, f, 6)
    tops = sorted((f[report.game == game].max() for game in range(report.games)), reverse=True)
    assert f[rows].tolist() == pytest.approx(tops[:6])
    assert cards.strongest(report, 0 * f, 6) == []


def test_by_ply_is_the_share_of_games_that_are_there(planted):
    fired = planted.report.ply % 2 == 0
    assert cards.by_ply(planted.report, fired) == [0.0, 1.0] * 15 + [0.0]


class Rectified:
    """Both signs of every dimension; the second has a direction of length 0."""

    W_dec = torch.cat([torch.eye(16), -torch.eye(16)]) * (torch.arange(32) != 1)[:, None]

    def encode(self, x):
        return torch.cat([x, -x], 1).relu()

    def decode(self, f):
        return f @ self.W_dec


@pytest.fixture(scope="module")
def evidence(task):
    return Evidence(task, limit=GAMES)


def effect(evidence, feature):
    f = Rectified().encode(evidence.report.x)[:, feature].numpy()
    coder = Checked(Rectified(), evidence.report.x)
    return f, cards.effect(evidence, coder, Subject(Rectified(), {"name": "both"}), feature, f)


def test_ablation_is_what_the_whole_model_says(evidence):
    """Each position by itself: the game up to it, the feature's own part taken out of its last activation."""
    feature, model, report = 5, evidence.model, evidence.report
    f, found = effect(evidence, feature)
    lengths = (report.moves != 0).sum(1)
    goes_on = report.ply < lengths[report.game]
    rows = cards.strongest(report, np.where(goes_on, f, 0), cards.ABLATED)
    before, after, kl = torch.zeros(33), torch.zeros(33), 0.0
    with torch.no_grad():
        for row in rows:
            moves = report.moves[report.game[row], : report.ply[row]]
            x = model.body(torch.from_numpy(moves[None].astype(np.int64)), 0)
            other = x.clone()
            other[0, -1, 5] -= x[0, -1, 5].clamp(min=0)
            p, q = (model.tail(each, 0)[0, -1].softmax(-1) for each in (x, other))
            before, after = before + p / len(rows), after + q / len(rows)
            kl += (p * (p / q).log()).sum().item() / len(rows)
    assert found.positions == len(rows) == cards.ABLATED
    assert found.kl == pytest.approx(kl, rel=1e-3)
    assert kl > 1e-6
    names = evidence.opened.dataset.game.moves
    for move, was, now in found.changes:
        assert was == pytest.approx(before[names.index(move)].item(), abs=1e-6)
        assert now == pytest.approx(after[names.index(move)].item(), abs=1e-6)
    assert found.squares["a1"] == pytest.approx((after - before)[names.index("a1")].item(), abs=1e-6)
    sizes = [abs(now - was) for _, was, now in found.changes]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == cards.CHANGES


def test_nothing_is_taken_out_where_a_game_has_ended(evidence, monkeypatch):
    """The last position of every game is its strongest, and none of them goes on."""
    taken = []
    kept = cards.strongest
    monkeypatch.setattr(cards, "strongest", lambda *given: taken.extend(kept(*given)) or taken)
    report = evidence.report
    coder, subject = Checked(Rectified(), report.x), Subject(Rectified(), {"name": "both"})
    assert cards.effect(evidence, coder, subject, 5, report.ply.astype(np.float32)).positions == cards.ABLATED
    assert all(report.moves[report.game[row], report.ply[row]] != 0 for row in taken)


def test_a_feature_without_a_direction_has_no_effect(evidence):
    _, found = effect(evidence, 1)
    assert found.kl == pytest.approx(0, abs=1e-7)
    assert max(map(abs, found.squares.values())) == pytest.approx(0, abs=1e-7)


def test_a_silent_feature_has_no_effect_to_tell(evidence):
    coder = Checked(Rectified(), evidence.report.x)
    subject = Subject(Rectified(), {"name": "both"})
    assert cards.effect(evidence, coder, subject, 0, np.zeros(len(evidence.report.x), np.float32)) is None


def test_as_many_cards_as_asked_for(evidence):
    scorer, subject = Scorer(evidence), Subject(Rectified(), {"name": "both"})
    found = cards.cards(scorer, subject, 3)
    assert len(found) == 3
    assert all(card.effect for card in found)
    assert [each.detections[0].mcc > 0 for each in found]


@pytest.mark.parametrize(("move", "square"), [("d3", "d3"), ("e2e4", "e4"), ("e7e8q", "e8")])
def test_a_move_ends_at_a_square(move, square):
    assert cards.ends_at(move) == square
