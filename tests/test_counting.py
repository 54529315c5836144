"""Counting is exact: the kernel gives the integers of a brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from boardsae.metrics.codes import codes_of
from boardsae.metrics.counting import LANE, LEVELS, count


def brute_force(f, maxima, truth):
    hits = np.zeros((f.shape[1], len(LEVELS), truth.shape[1]), int)
    fired = np.zeros(hits.shape[:2], int)
    for i in range(f.shape[1]):
        for level, share in enumerate(LEVELS):
            active = f[:, i] > np.float32(share * maxima[i])
            fired[i, level] = active.sum()
            hits[i, level] = (active[:, None] & truth).sum(0)
    return hits, fired


def sparse(random, rows, features):
    f = random.normal(size=(rows, features)).astype(np.float32)
    return np.where(random.random(f.shape) < 0.3, f, 0).astype(np.float32)


@given(some.integers(0, 2**32), some.integers(1, 700), some.integers(1, 9), some.integers(1, 20))
def test_the_kernel_counts_what_a_brute_force_counts(seed, rows, features, predicates):
    random = np.random.default_rng(seed)
    f, truth = sparse(random, rows, features), random.random((rows, predicates)) < 0.4
    maxima = np.abs(f.max(0))
    cut = rows // 2
    counts = count([(codes_of(f[:cut]), truth[:cut]), (codes_of(f[cut:]), truth[cut:])], maxima)
    hits, fired = brute_force(f, maxima, truth)
    assert (counts.hits == hits).all()
    assert (counts.fired == fired).all()
    assert (counts.positives == truth.sum(0)).all()
    assert counts.rows == rows


def test_more_rows_in_a_cell_than_a_byte_can_count():
    f, truth = np.ones((1000, 1), np.float32), np.ones((1000, 3), bool)
    counts = count([(codes_of(f), truth)], np.ones(1, np.float32))
    assert (counts.hits[0, 0] == 1000).all()
    assert (counts.hits[0, -1] == 0).all()  # strictly above: nothing exceeds its own maximum


def test_more_predicates_than_are_added_at_once_and_features_without_a_maximum():
    random = np.random.default_rng(0)
    f, truth = sparse(random, 300, 4), random.random((300, 2 * LANE + 7)) < 0.3
    f[:40] = np.round(f[:40], 1)  # some values lie on a threshold
    maxima = np.array([1.0, 0.0, 0.3, 2.0], np.float32)
    counts = count([(codes_of(f), truth)], maxima)
    hits, fired = brute_force(f, maxima, truth)
    assert (counts.hits == hits).all()
    assert (counts.fired == fired).all()


def test_nothing_to_count():
    with pytest.raises(ValueError, match="one block"):
        count([], np.ones(1, np.float32))
