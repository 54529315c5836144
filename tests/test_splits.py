"""Splits: by key alone, disjoint, the same however the keys are gathered."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boardsae.files import ArrayReader
from boardsae.splits import DUPLICATE, SHARES, repeats, split_of, splits


def drawn(keys, at_once=1 << 20, block=9):
    repeated, _ = repeats(keys, at_once=at_once)
    return np.concatenate([splits(keys, repeated, b, b + block) for b in range(0, len(keys), block)])


@given(st.lists(st.integers(0, 2**64 - 1).map(lambda k: k % 40 * 2**58 + k % 3), min_size=1, max_size=200))
def test_the_first_game_of_a_key_is_kept_and_the_rest_are_duplicates(values):
    keys = np.array(values, np.uint64)
    out = drawn(keys)
    seen = set()
    for key, split in zip(values, out.tolist(), strict=True):
        assert split == (DUPLICATE if key in seen else split_of(np.array([key], np.uint64))[0])
        seen.add(key)
    assert repeats(keys)[1] == len(seen) == (out != DUPLICATE).sum()
    assert (drawn(keys, at_once=7) == out).all()
    assert repeats(keys, at_once=7)[1] == len(seen)
    half = len(values) // 2
    assert (drawn(keys[:half]) == out[:half]).all() if half else True


def test_shares_are_what_they_say():
    keys = np.random.default_rng(0).integers(0, 2**64, 200_000, dtype=np.uint64)
    counts = np.bincount(drawn(keys, block=50_000), minlength=4)
    assert counts[DUPLICATE] == 0
    np.testing.assert_allclose(counts[:3] / len(keys), SHARES, atol=0.004)


def test_keys_may_stay_on_disk(tmp_path):
    keys = np.random.default_rng(0).integers(0, 50, 300, dtype=np.uint64) << np.uint64(58)
    np.save(tmp_path / "keys.npy", keys)
    assert (drawn(ArrayReader(tmp_path / "keys.npy"), at_once=70) == drawn(keys)).all()
