"""Features by their values that are not 0 say what the array of all says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from boardsae.metrics.codes import codes_of


def drawn(seed, rows, features, share):
    random = np.random.default_rng(seed)
    f = random.normal(size=(rows, features)).astype(np.float32)
    return np.where(random.random(f.shape) < share, f, 0).astype(np.float32)


def test_negative_values_stay_and_zeros_go():
    codes = codes_of(np.array([[0, -2, 3], [0, 0, 0], [1, 0, -0.0]], np.float32))
    assert codes.starts.tolist() == [0, 2, 2, 3]
    assert codes.feature.tolist() == [1, 2, 0]
    assert codes.value.tolist() == [-2, 3, 1]
    assert (codes.rows, codes.features, codes.bytes) == (3, 3, 4 * 8 + 3 * 8)


@given(some.integers(0, 2**32), some.integers(1, 40), some.integers(1, 9), some.sampled_from([0.0, 0.3, 1.0]))
def test_they_are_as_good_as_the_array(seed, rows, features, share):
    f, random = drawn(seed, rows, features, share), np.random.default_rng(seed)
    codes = codes_of(f)
    assert (codes.dense() == f).all()
    assert (codes.highest() == f.max(0)).all()
    feature = random.integers(0, features, 12)
    least = np.where(random.random(12) < 0.3, 0, random.random(12)).astype(np.float32)
    assert (codes.above(feature, least) == (f[:, feature] > least)).all()
