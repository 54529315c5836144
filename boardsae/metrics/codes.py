"""Features of some rows by their values that are not 0, row after row: few, in a sparse dictionary."""

from typing import NamedTuple

import numpy as np

from games.bits import kernel


class Codes(NamedTuple):
    starts: np.ndarray  # (row + 1) int64, where each row's values begin
    feature: np.ndarray  # int32
    value: np.ndarray  # float32
    features: int

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    @property
    def bytes(self) -> int:
        return self.starts.nbytes + self.feature.nbytes + self.value.nbytes

    def dense(self) -> np.ndarray:
        f = np.zeros((self.rows, self.features), np.float32)
        _scatter(self.starts, self.feature, self.value, f)
        return f

    def highest(self) -> np.ndarray:
        """Of every feature its largest value in these rows."""
        top, count = np.full(self.features, -np.inf, np.float32), np.zeros(self.features, np.int64)
        _highest(self.feature, self.value, top, count)
        return np.where(count < self.rows, np.maximum(top, 0), top)

    def above(self, feature: np.ndarray, least: np.ndarray) -> np.ndarray:
        """(row, detector): where the feature of each detector exceeds its least value, which is 0 or more."""
        order = np.argsort(feature, kind="stable")
        first = np.searchsorted(feature[order], np.arange(self.features + 1))
        said = np.zeros((self.rows, len(feature)), bool)
        _compare(self.starts, self.feature, self.value, first, order, least[order].astype(np.float32), said)
        return said


def codes_of(f: np.ndarray) -> Codes:
    """From features (row, feature); negative ones of dense dictionaries count as not 0."""
    f = np.ascontiguousarray(f, np.float32)
    starts = np.zeros(len(f) + 1, np.int64)
    np.cumsum(_active(f), out=starts[1:])
    feature, value = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    _gather(f, feature, value)
    return Codes(starts, feature, value, f.shape[1])


@kernel
def _active(f):
    found = np.zeros(len(f), np.int64)
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            found[i] += f[i, j] != 0
    return found


@kernel
def _gather(f, feature, value):
    at = 0
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            if f[i, j] != 0:
                feature[at], value[at] = j, f[i, j]
                at += 1


@kernel
def _scatter(starts, feature, value, f):
    for row in range(len(f)):
        for i in range(starts[row], starts[row + 1]):
            f[row, feature[i]] = value[i]


@kernel
def _highest(feature, value, top, count):
    for i in range(len(feature)):
        top[feature[i]] = max(top[feature[i]], value[i])
        count[feature[i]] += 1


@kernel
def _compare(starts, feature, value, first, detector, least, said):
    """The detectors of a feature lie one after the other."""
    for row in range(len(said)):
        for i in range(starts[row], starts[row + 1]):
            for k in range(first[feature[i]], first[feature[i] + 1]):
                said[row, detector[k]] = value[i] > least[k]
