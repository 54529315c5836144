"""Splits: by key alone, disjoint, the same however the keys are gathered."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boardsae.splits import DUPLICATE, SHARES, distinct, draw_splits, split_of


def drawn(keys, at_once=1 << 20):
    out = np.full(len(keys), 255, np.uint8)
    draw_splits(keys, out, at_once)
    return out


@given(st.lists(st.integers(0, 2**64 - 1).map(lambda k: k % 40 * 2**58 + k % 3), min_size=1, max_size=200))
def test_the_first_game_of_a_key_is_kept_and_the_rest_are_duplicates(values):
    keys = np.array(values, np.uint64)
    out = drawn(keys)
    seen = set()
    for key, split in zip(values, out.tolist(), strict=True):
        assert split == (DUPLICATE if key in seen else split_of(np.array([key], np.uint64))[0])
        seen.add(key)
    assert distinct(keys) == len(seen) == (out != DUPLICATE).sum()
    assert (drawn(keys, at_once=7) == out).all()
    assert distinct(keys, at_once=7) == len(seen)
    half = len(values) // 2
    assert (drawn(keys[:half]) == out[:half]).all() if half else True


def test_shares_are_what_they_say():
    keys = np.random.default_rng(0).integers(0, 2**64, 200_000, dtype=np.uint64)
    counts = np.bincount(drawn(keys), minlength=4)
    assert counts[DUPLICATE] == 0
    np.testing.assert_allclose(counts[:3] / len(keys), SHARES, atol=0.004)
