"""Verdicts follow from paired effects; the pages say what the records and the published table say."""

import math
import re

import made_records
import numpy as np
import pytest
from made_records import cell, record_of, write, write_all, write_controls, write_run

import games
from boardsae import claims, cli, published, records
from boardsae.claimed import Claim, Group
from boardsae.claims import decided, half_interval, verdicts
from boardsae.frontier import t95
from games.core import Transcripts, rows

TOPK_WINS = Claim("topk wins", "a paper", Group("topk"), Group("standard"), ("coverage",), 1, at=(10.0, 40.0))


@pytest.fixture
def root(tmp_path):
    return write_all(tmp_path)


def change(root, variant, value_of, metric="coverage@1", task="othello6-v1"):
    """Gives every run of a variant the value that a function of its L0 and seed says."""
    for run in records.find(root).of(task).runs:
        if run.spec.get("variant") == variant and not run.control:
            run.record["metrics"][metric] = cell(value_of(run.value("l0@1"), run.seed))
            write(run.path / "scores.json", run.record)


def result(root, claim):
    (only,) = verdicts(records.find(root).of("othello6-v1"), claim)
    return only


def test_the_effect_is_the_paired_mean_with_students_interval(root):
    gains = [0.1, 0.2, 0.25]
    change(root, "topk", lambda l0, seed: made_records.score("standard", l0, seed) + gains[seed])
    found = result(root, TOPK_WINS)
    half = 4.30265273 * np.std(gains, ddof=1) / math.sqrt(3)
    assert found.effect == pytest.approx(np.mean(gains))
    assert (found.low, found.high) == pytest.approx((np.mean(gains) - half, np.mean(gains) + half))
    assert (found.verdict, found.seeds, found.at) == ("cannot tell", 3, (10.0, 40.0))
    assert found.why == "the interval holds both; about 1 more seed would tell"


def test_holds_fails_and_cannot_tell(root):
    assert result(root, TOPK_WINS).verdict == "holds"
    lower = TOPK_WINS._replace(direction=-1)
    assert (result(root, lower).verdict, result(root, lower).why) == ("fails", "the other way round")
    change(root, "topk", lambda l0, seed: made_records.score("standard", l0, seed) + (0.1, -0.1, 0.0)[seed])
    assert result(root, TOPK_WINS).verdict == "cannot tell"


def test_a_share_is_the_ratio_of_the_two(root):
    for share, verdict in ((0.3, "holds"), (0.6, "fails")):
        change(root, "standard", lambda l0, _: 1 / l0)
        change(root, "topk", lambda l0, seed, share=share: share * (1 + 0.001 * seed) / l0)
        found = result(root, TOPK_WINS._replace(direction=-1, share=0.45))
        assert found.effect == pytest.approx(share, rel=0.01)
        assert found.verdict == verdict
    assert found.why == "the effect is smaller than claimed"
    change(root, "topk", lambda *_: -0.01)
    assert "has no meaning" in result(root, TOPK_WINS._replace(direction=-1, share=0.45)).why


@pytest.mark.parametrize("seeds", [2, 3, 7, 10, 15, 40])
def test_students_t_by_integration(seeds):
    """95% of the density of Student's t lies within it."""
    freedom = seeds - 1
    x = np.linspace(-t95(freedom), t95(freedom), 200_001)
    norm = math.gamma(seeds / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    inside = np.trapezoid(norm * (1 + x**2 / freedom) ** (-seeds / 2), x)
    assert inside == pytest.approx(0.95, abs=0.001)


def test_seeds_that_share_pairs_have_the_jackknifes_interval():
    """A pair that counts for two seeds counts once: against the mean of all pairs with each seed left out."""
    random = np.random.default_rng(0)
    for seeds in (3, 4, 7):
        pairs = random.normal(size=(seeds, seeds))
        pairs = (pairs + pairs.T) / 2
        others = ~np.eye(seeds, dtype=bool)
        by_seed = [pairs[i][others[i]].mean() for i in range(seeds)]
        without = []
        for i in range(seeds):
            kept = np.arange(seeds) != i
            without.append(pairs[np.ix_(kept, kept)][~np.eye(seeds - 1, dtype=bool)].mean())
        error = np.sqrt((seeds - 1) / seeds * np.sum((np.array(without) - np.mean(without)) ** 2))
        assert half_interval(by_seed, pairs=True) == pytest.approx(t95(seeds - 1) * error)
        assert half_interval(by_seed, pairs=False) < half_interval(by_seed, pairs=True)


def test_a_claim_about_the_same_loss_is_read_at_it(root):
    """Both lose 1 / L0: at equal loss they stand at equal L0, whatever L0s they were trained at."""
    for variant in ("topk", "standard"):
        change(root, variant, lambda l0, _: 1 / l0, "ce_increase@1")
    claim = TOPK_WINS._replace(over="ce_increase", at=(1 / 40, 1 / 10), metrics=("coverage", "l0"))
    coverage, l0 = verdicts(records.find(root).of("othello6-v1"), claim)
    assert coverage.effect == pytest.approx(0.2)
    assert (coverage.verdict, l0.verdict) == ("holds", "cannot tell")
    assert l0.effect == pytest.approx(0)
    far = verdicts(records.find(root).of("othello6-v1"), claim._replace(at=(7.0,)))[0]
    assert far.why == "no CE increase that all runs of both groups reach"


def test_more_seeds_that_would_tell():
    claim = TOPK_WINS
    assert decided(claim, 0.1, 0.2, 3)[1].endswith("about 9 more seeds would tell")
    assert decided(claim, 0.0, 0.2, 3)[1].endswith("there is hardly any difference")


def test_what_cannot_be_told_says_why(root):
    for claim, why in (
        (TOPK_WINS._replace(ours=Group("e2e")), "no runs of e2e"),
        (TOPK_WINS._replace(ours=Group("topk", {"aux": 7.0})), "no runs of topk aux=7.0"),
        (TOPK_WINS._replace(metrics=("steering",)), "no record has the metric"),
        (TOPK_WINS._replace(at=(500.0,)), "no L0 that all runs of both groups reach"),
    ):
        assert result(root, claim)[2:4] == ("cannot tell", why)


def test_seeds_of_one_group_only_are_not_paired(root):
    write_run(root, "topk", 8.0, 3)
    assert result(root, TOPK_WINS).seeds == 3
    assert result(root, TOPK_WINS).effect == pytest.approx(0.2)


def test_one_seed_has_no_interval(tmp_path):
    write_all(tmp_path, seeds=1)
    assert "1 seeds in both groups" in result(tmp_path, TOPK_WINS).why


def test_groups_are_told_apart_by_their_settings(root):
    for l0 in made_records.L0S:
        for seed in range(5):  # more of them than of plain ones
            record = record_of("standard", l0, seed)  # as bad as standard
            write_run(root, "topk", l0, seed, {"k": l0}, record, kl_finetune=0.1)
    tuned = TOPK_WINS._replace(ours=Group("topk", {"kl_finetune": 0.1}))
    assert result(root, tuned).effect == pytest.approx(0)
    assert result(root, TOPK_WINS).effect == pytest.approx(0.2)


def test_bad_news_comes_first(root):
    change(root, "standard", lambda *_: 0.9)
    text = claims.write(root).read_text()
    assert text == (root / "CLAIMS.md").read_text()
    places = [text.index(f"### {verdict}") for verdict in ("Fails", "Cannot tell", "Holds")]
    assert places == sorted(places)
    fails = text.split("### Cannot tell")[0]
    assert re.search(
        r"\| TopK finds more .* standard \| .* \| coverage@1 \| L0 10, 20, 40, 80 \| -0\.\d+ \[", fails
    )
    assert "nan" not in text.lower()


def test_tasks_that_disagree_stand_side_by_side(root):
    write_all(root, task="othello6-v2")
    alike = f"{sum(len(claim.metrics) for claim in claims.CLAIMS)}"
    assert f"\n## All tasks: {alike} of {alike} tests get the same verdict on each\n\n## othello6-v1" in (
        claims.write(root).read_text()
    )
    change(root, "standard", lambda *_: 0.9, task="othello6-v2")
    text = claims.write(root).read_text()
    (topk,) = re.findall(
        r"\| TopK finds more .* standard \| (coverage@1 \|.*)", text.split("## othello6-v1")[0]
    )
    assert re.fullmatch(r"coverage@1 \| holds: \+0\.2 \[.*\] \| fails: -0\.\d+ \[.*\] \|", topk)
    assert "explained_variance" not in text.split("## othello6-v1")[0]


def test_every_claim_is_well_formed():
    for claim in claims.CLAIMS:
        assert claim.direction in (1, -1)
        assert claim.share is None or (0 < claim.share < 1 and claim.direction == -1)
        assert claim.ours != claim.theirs
        assert claim.metrics


def test_published_rows_are_those_of_the_paper():
    found = published.published()
    assert len(found) == 246
    best = max(found, key=lambda row: row.coverage)
    assert (best.kind, round(best.printed, 2), round(best.coverage, 3)) == ("gated", 0.52, 0.779)
    assert round(max(row.reconstruction for row in found), 2) == 0.95
    assert all(row.coverage == pytest.approx(1.5 * row.printed, abs=1e-4) for row in found)


def test_published_tables_by_hand():
    def row(kind, l0, coverage, reconstruction):
        return published.Published(kind, l0, 0.9, 1.01, coverage / 1.5, coverage, reconstruction)

    found = [row("a", 50.0, 0.6, 0.2), row("a", 300.0, 0.45, 0.9), row("b", 30.02, 0.3, 0.5)]
    assert published.best_of(found).rows == [
        ["a", "2", "0.400", "0.600", "50", "0.900", "300"],
        ["b", "1", "0.200", "0.300", "30", "0.500", "30"],
    ]
    assert published.denominators(found).rows == [
        ["a", "2 of 2", "1 of 1", "1 of 2", "1 of 1"],
        ["b", "0 of 1", "0 of 1", "0 of 1", "0 of 1"],
        ["all", "2 of 3", "1 of 2", "1 of 3", "1 of 2"],
    ]
    assert published.selection(found).rows[0] == ["a", "1", "0.600", "0.600", "0.200", "0.200"]
    assert "The L0 of 2 of 3 SAEs is a multiple of 1/25" in published.tokens(found)
    assert "3 of 3 SAEs recover more than all" in published.tokens(found)


def test_ours_stand_beside_theirs(root):
    for variant in ("topk", "standard"):
        for metric, shift in (
            ("coverage_paper@1", -0.1),
            ("reconstruction_paper@1", 0.1),
            ("coverage_text@1", 0.05),
        ):
            change(
                root,
                variant,
                lambda l0, seed, shift=shift: made_records.score("topk", l0, seed) + shift,
                metric,
            )
    text = published.write(root).read_text()
    theirs = [r for r in published.published() if r.kind == "topk" and 32 <= r.l0 <= 50]
    mean = sum(r.printed for r in theirs) / len(theirs)
    ours = made_records.score("topk", 40, 1) - 0.1
    assert f"| topk | 40 | {mean:.3f} | {ours:.3f} ±.020 (.010) |" in text
    assert "| coverage_paper to coverage_text | 24 | +0.150 | +0.150 | +0.150 |" in text
    assert "| always_on | - | - | 0.0921 ±.0200 |" in text
    assert "nan" not in text.lower()


def test_chess_has_strategy_and_no_published_othello_beside_it(root):
    names = [f"{of}{what}_paper@1" for of in ("", "strategy_") for what in ("coverage", "reconstruction")]
    for shift, metric in enumerate(names):
        change(
            root,
            "topk",
            lambda l0, seed, shift=shift: made_records.score("topk", l0, seed) - shift / 10,
            metric,
        )
    text = published.write(root).read_text()
    values = [f"{made_records.score('topk', 20, 1) - shift / 10:.3f} ±.020 (.010)" for shift in range(4)]
    assert f"| topk | 20 | {' | '.join(values)} |" in text
    assert "8x8 in the paper" not in text
    assert "| standard |" not in text.split("## Ours")[1]  # which was not measured
    assert "| published: SAE, best | 0.480 | 0.850 |" in text


def test_detectors_that_know_nothing_reach_what_the_page_says():
    """Always-on and the best set of plies, on 8x8 Othello, fitted on some games and scored on others."""
    othello = games.load("othello")
    moves, _ = othello.generate(7, 0, 800, othello.policy("uniform"))
    where = rows(moves)
    where = where[(where[:, 1] >= 1) & (where[:, 1] <= 59)]
    truth = games.truth(Transcripts("othello", moves), where, ["mine", "theirs"])
    fitted, ply = where[:, 0] < 500, where[:, 1]
    assert f1(np.ones_like(truth), truth).mean() == pytest.approx(published.ALWAYS_ON, abs=0.01)
    rate = np.stack([truth[fitted & (ply == p)].mean(0) for p in range(1, 60)])
    detectors = best_plies(rate, np.bincount(ply[fitted], minlength=60)[1:])
    clock = f1(detectors[ply[~fitted] - 1], truth[~fitted]).mean()
    assert clock == pytest.approx(published.CLOCK, abs=0.015)


def f1(said, truth):
    return 2 * (said & truth).sum(0) / (said.sum(0) + truth.sum(0))


def best_plies(rate, counts):
    """The plies in which each predicate is likeliest, as many as give the best F1."""
    order = np.argsort(-rate, axis=0)
    weights = counts[order]
    hits = np.cumsum(np.take_along_axis(rate, order, 0) * weights, 0)
    best = (2 * hits / (np.cumsum(weights, 0) + (rate * counts[:, None]).sum(0))).argmax(0)
    return np.argsort(order, axis=0) <= best


def test_the_command_line_writes_both_pages(root, monkeypatch, capsys):
    for line, code in ((f"claims {root}", 0), (f"claims {root / 'nowhere'}", 2)):
        monkeypatch.setattr("sys.argv", ["boardsae", *line.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code or 0) == code
    assert capsys.readouterr().out.splitlines() == [str(root / "CLAIMS.md"), str(root / "PAPER.md")]


def test_a_folder_without_records_of_the_paper_says_so(tmp_path):
    write_run(tmp_path, "topk", 8.0, 0)
    assert "No records under the paper protocol yet" in published.write(tmp_path).read_text()
    write_controls(tmp_path)
    assert "### Controls" in published.write(tmp_path).read_text()
    with pytest.raises(FileNotFoundError, match="come with a clone"):
        published.published(tmp_path / "nowhere.csv")
