"""Scores by hand, and what detectors that know nothing, everything, or half of it get."""

import numpy as np
import pytest

import games
from boardsae.activations import scored_rows
from boardsae.metrics import bootstrap, chance, paper, supervised
from boardsae.metrics.codes import codes_of
from boardsae.metrics.counting import LEVELS, count
from boardsae.metrics.detectors import Choice, best_by_f1, by_game, f1
from games.core import Transcripts, predicates

GAMES = 400


@pytest.fixture(scope="module")
def boards():
    """Rows of 6x6 Othello games cut in two: (truth of the board, ply, game, starts) of each half."""
    game = games.load("othello6")
    moves, _ = game.generate(5, 0, 2 * GAMES, game.policy("uniform"))
    columns = [p.group in ("mine", "theirs") for p in predicates(game)]
    halves = []
    for some in (moves[:GAMES], moves[GAMES:]):
        rows = scored_rows(some, 31)
        truth = games.truth(Transcripts("othello6", some), rows)[:, columns]
        starts = np.searchsorted(rows[:, 0], np.arange(GAMES))
        halves.append((truth, rows[:, 1], rows[:, 0], starts))
    return halves


def cov_x(boards, codes, ceiling=1.0):
    """The whole pipeline of cov_x for features (row, feature) of both halves, against a ceiling of perfect probes."""
    (truth, ply, game, _), (truth_2, ply_2, game_2, starts) = boards
    f, f_2 = (np.asarray(c, np.float32) for c in codes)
    maxima = np.abs(f.max(0))

    def chosen(held):
        counts = count([(codes_of(f), held)], maxima)
        plies = count([(codes_of(f), np.arange(32) == ply[:, None])], maxima)
        return chance.best_by_phi(counts, chance.by_ply(plies, ply, held))

    def phi(choice, held):
        return chance.phi(chance.moments(choice.active(codes_of(f_2), maxima), held, ply_2, starts).sum(0))

    null = [
        phi(chosen(truth[chance.exchanged(game, ply, s)]), truth_2[chance.exchanged(game_2, ply_2, s)])
        for s in range(3)
    ]
    null = np.mean(null, axis=0)
    found = phi(chosen(truth), truth_2)
    return float(chance.share(found, null, np.full(len(null), ceiling))), found - null


def test_a_detector_that_is_always_on_is_worth_nothing(boards):
    assert abs(cov_x(boards, [np.ones((len(half[1]), 1)) for half in boards])[0]) < 0.02


def test_a_clock_is_worth_nothing(boards):
    assert abs(cov_x(boards, [np.eye(32)[half[1]] for half in boards])[0]) < 0.02


def test_shuffled_features_are_worth_nothing(boards):
    random = np.random.default_rng(0)
    assert abs(cov_x(boards, [random.permutation(half[0]) for half in boards])[0]) < 0.02


def test_the_truth_is_worth_everything_and_half_of_it_half(boards):
    assert cov_x(boards, [half[0] for half in boards])[0] > 0.95
    half_known, found = cov_x(boards, [half[0][:, ::2] for half in boards])
    assert (found[::2][3:] > 0.95).mean() > 0.9
    assert 0.4 < half_known < 0.75


def test_noise_on_the_truth_lowers_it(boards):
    random = np.random.default_rng(1)
    scores = []
    for share in (0.02, 0.1, 0.3):
        noisy = [half[0] ^ (random.random(half[0].shape) < share) for half in boards]
        scores.append(cov_x(boards, noisy)[0])
    assert scores[0] > scores[1] > scores[2] > 0.1


def test_exchanged_rows_are_a_permutation_within_each_ply(boards):
    _, ply, game, _ = boards[0]
    other = chance.exchanged(game, ply, 3)
    assert sorted(other.tolist()) == list(range(len(ply)))
    assert (ply[other] == ply).all()
    assert (game[other] != game).mean() > 0.99


def test_phi_by_hand():
    ply, starts = np.array([1, 1, 1, 1, 2, 2]), np.array([0, 2, 4])
    a = np.array([1, 1, 0, 0, 1, 0], bool)[:, None]
    y = np.array([1, 0, 0, 0, 1, 0], bool)[:, None]
    rest_a = np.array([0.5, 0.5, -0.5, -0.5, 0.5, -0.5])
    rest_y = np.array([0.75, -0.25, -0.25, -0.25, 0.5, -0.5])
    expected = (rest_a * rest_y).sum() / np.sqrt((rest_a**2).sum() * (rest_y**2).sum())
    assert chance.phi(chance.moments(a, y, ply, starts).sum(0)) == pytest.approx([expected])


def test_f1_table_by_hand():
    # 10 rows: the predicate holds in 4, the detector says yes in 5, rightly in 3
    judged = supervised.table(np.array([[3, 5, 4]]), 10)
    assert judged.f1[0] == pytest.approx(6 / 9)
    assert judged.precision[0] == pytest.approx(0.6)
    assert judged.recall[0] == pytest.approx(0.75)
    assert judged.mcc[0] == pytest.approx((3 * 10 - 20) / np.sqrt(5 * 5 * 4 * 6))
    assert judged.always_on[0] == pytest.approx(2 * 0.4 / 1.4)
    assert f1(np.array(0), np.array(0), np.array(0)) == 0


def test_wilson_by_hand():
    n, p, z = 50, 48 / 50, 1.96
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert supervised.wilson_low(np.array(48), np.array(50)) == pytest.approx(
        (middle - half) / (1 + z**2 / n)
    )
    assert supervised.wilson_low(np.array(0), np.array(0)) == 0


def test_predicates_that_hardly_vary_do_not_count():
    assert supervised.common(np.array([49, 50, 950, 951]), 1000).tolist() == [False, True, True, False]


def test_detectors_are_chosen_and_judged_as_by_hand(boards):
    truth, _, _, starts = boards[0]
    random = np.random.default_rng(2)
    f = (truth[:, :3] * random.random((len(truth), 3))).astype(np.float32)
    f[:, 1] += 0.4 * (random.random(len(f)) < 0.3)  # noise that a threshold removes
    maxima = f.max(0)
    choice = best_by_f1(count([(codes_of(f), truth[:, :3])], maxima))
    for predicate in range(3):
        best = max(
            (f1((a & truth[:, predicate]).sum(), a.sum(), truth[:, predicate].sum()), -i, -level)
            for i in range(3)
            for level, share in enumerate(LEVELS)
            for a in [f[:, i] > np.float32(share * maxima[i])]
        )
        assert (choice.feature[predicate], choice.level[predicate]) == (-best[1], -best[2])
    table = by_game(choice.active(codes_of(f), maxima), truth[:, :3], starts)
    assert (table.sum(0)[:, 2] == truth[:, :3].sum(0)).all()
    assert supervised.coverage(table.sum(0)) == pytest.approx(f1(*table.sum(0).T.astype(float)).mean())


def test_games_without_a_rare_predicate_say_nothing_of_it():
    common, rare, never = (8, 10, 10), (1, 1, 1), (0, 3, 0)
    assert supervised.coverage(np.array([common, rare])) == pytest.approx((0.8 + 1) / 2)
    assert supervised.coverage(np.array([common, never])) == pytest.approx(0.8)
    assert supervised.coverage(np.array([never])) == 0
    table = np.zeros((200, 40, 3), int)
    table[np.arange(40) * 5, np.arange(40)] = 1  # each holds once, in a game of its own, and is found there
    draws = bootstrap.draws(table, supervised.coverage)
    assert bootstrap.interval(draws) == (1, 1)


def test_detectors_by_phi_are_those_of_a_brute_force(boards):
    truth, ply, *_ = boards[0]
    truth, random = truth[:, [0, 5, 14, 36, 41]], np.random.default_rng(4)
    f = np.concatenate([truth, random.random((len(truth), 3)) < 0.3], axis=1).astype(np.float32)
    f *= random.random(f.shape, np.float32) * (random.random(f.shape) < 0.8)
    f[:, 2] = 0  # never above anything
    maxima = f.max(0)
    plies = count([(codes_of(f), np.arange(32) == ply[:, None])], maxima)
    choice = chance.best_by_phi(count([(codes_of(f), truth)], maxima), chance.by_ply(plies, ply, truth))

    def within_ply(values):
        return values - sum((ply == p)[:, None] * values[ply == p].mean(0) for p in np.unique(ply))

    for predicate, y in enumerate(within_ply(truth.astype(float)).T):
        found = {}
        for i in range(f.shape[1]):
            for level, share in enumerate(LEVELS):
                a = within_ply((f[:, [i]] > np.float32(share * maxima[i])).astype(float))[:, 0]
                norm = np.sqrt((a @ a) * (y @ y))
                found[i, level] = a @ y / norm if norm > 1e-6 else 0.0
        chosen = found[choice.feature[predicate], choice.level[predicate]]
        assert chosen == pytest.approx(max(found.values()), abs=1e-6)
        assert chosen > 0.2 or predicate == 2


def test_the_truth_rebuilds_the_board_and_noise_does_not(boards):
    truth, _, _, starts = boards[0]
    for f, expected in ((truth.astype(np.float32), 1.0), (np.random.default_rng(0).random(truth.shape), 0.0)):
        f = f.astype(np.float32)
        stands_for = supervised.precise(count([(codes_of(f), truth)], f.max(0)))
        said = supervised.rebuilt(codes_of(f), f.max(0), stands_for, 0)
        score = supervised.pooled_f1(supervised.pooled(said, truth, starts).sum(0))
        assert score == pytest.approx(expected, abs=0.02)  # rare squares are never surely precise


def test_what_features_say_together_is_what_each_says():
    random = np.random.default_rng(3)
    f = np.where(random.random((50, 9)) < 0.4, random.random((50, 9)), 0).astype(np.float32)
    stands_for, maxima = random.random((len(LEVELS), 9, 130)) < 0.05, f.max(0)
    for level in (0, 5):
        said = supervised.rebuilt(codes_of(f), maxima, stands_for, level)
        for row in range(50):
            active = f[row] > (LEVELS[level] * maxima).astype(np.float32)
            assert said[row].tolist() == stands_for[level][active].any(0).tolist()


def brute_paper(f, maxima, truth, f_2, truth_2, squares):
    """The 2024 code's two numbers, loop by loop."""
    best = []
    for share in LEVELS:
        active = f > (share * maxima).astype(np.float32)
        scores = [max(f1((a & y).sum(), a.sum(), y.sum()) for a in active.T) for y in truth.T]
        best.append(np.sum(scores))
    levels = []
    for share in LEVELS[:-1]:
        active, active_2 = (v > (share * maxima).astype(np.float32) for v in (f, f_2))
        said = np.zeros_like(truth_2)
        for a, a_2 in zip(active.T, active_2.T, strict=True):
            for predicate, y in enumerate(truth.T):
                if a.sum() and (a & y).sum() >= 10 and (a & y).sum() / a.sum() >= 0.95:
                    said[:, predicate] |= a_2
        strict = [0, 0, 0]
        for row in range(len(said)):
            for square in set(squares.tolist()):
                here = squares == square
                wrong = (said[row, here] & ~truth_2[row, here]).any()
                strict[1] += wrong
                strict[0] += (said[row, here] & truth_2[row, here]).any() and not wrong
        strict[2] = (truth_2 & ~said).sum()
        plain = f1((said & truth_2).sum(), said.sum(), truth_2.sum())
        levels.append((2 * strict[0] / max(1, 2 * strict[0] + strict[1] + strict[2]), plain))
    return max(best), max(levels, key=lambda pair: pair[0])[1]


def test_the_papers_numbers_are_those_of_a_brute_force(boards):
    (truth, *_), (truth_2, *_) = boards
    random = np.random.default_rng(3)
    some = slice(0, 600)
    columns = [0, 5, 14, 36, 41, 50]
    truth, truth_2 = truth[some][:, columns], truth_2[some][:, columns]
    squares = np.array([0, 5, 14, 0, 5, 14])
    squares = np.unique(squares, return_inverse=True)[1]

    def features(held):
        mixed = np.concatenate([held, held[:, :3] | held[:, 3:], random.random((len(held), 2)) < 0.3], axis=1)
        return (mixed * (0.5 + random.random(mixed.shape)) * (random.random(mixed.shape) < 0.9)).astype(
            np.float32
        )

    f, f_2 = features(truth), features(truth_2)
    maxima = f.max(0)
    counts = count([(codes_of(f), truth)], maxima)
    scores = paper.coverage(counts, 9)
    rebuilt = paper.Reconstruction(squares)
    rebuilt.add(codes_of(f_2), maxima, paper.labels(counts), truth_2)
    coverage, reconstruction = brute_paper(f, maxima, truth, f_2, truth_2, squares)
    assert scores.code == pytest.approx(coverage / 9)
    assert rebuilt.code() == pytest.approx(reconstruction)
    assert scores.text >= scores.code * 9 / 6 - 1e-9
    assert rebuilt.text() >= 0.5


def test_intervals_hold_the_mean_as_often_as_they_say():
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        table = random.normal(3.0, 1.0, (80, 1))
        low, high = bootstrap.interval(bootstrap.draws(table, lambda sums: sums[..., 0] / 80, 400))
        inside += low <= 3.0 <= high
    assert 50 <= inside <= 60


def test_draws_are_sums_of_games_drawn_with_repetition():
    table = np.arange(12).reshape(6, 2)
    weights = bootstrap.weights(6, 50, seed=4)
    assert (weights.sum(1) == 6).all()
    sums = bootstrap.draws(table, lambda sums: sums, 50, seed=4)
    assert (sums == weights @ table).all()
    assert not np.array_equal(weights[0], weights[1])


def test_a_choice_reads_its_own_features():
    f = np.array([[1, 5], [2, 0]], np.float32)
    choice = Choice(np.array([1, 0, 0]), np.array([0, 0, 5]))
    assert choice.active(codes_of(f), np.array([2, 5], np.float32)).tolist() == [
        [True, True, False],
        [False, True, True],
    ]
