"""How often each feature is active above each threshold while each predicate holds: exact integers, quickly.

A non-zero activation falls into one bin, the highest threshold that it is above. The bins of a block of rows are
sorted, and for each the truth of its rows is added up, a byte a predicate, before it goes into the table. Sums from
the highest threshold down then give all thresholds at once. Memory: 4 bytes * features * levels * predicates, for any
number of rows.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from boardsae.metrics.codes import Codes
from games.bits import kernel

LEVELS = np.arange(0, 1.1, 0.1).astype(np.float32)  # shares of a feature's maximum, as in the paper of 2024
FULL = 255  # rows that a byte can count
LANE = 192  # predicates that are added at once: three lines of the cache


class Counts(NamedTuple):
    """Rows where a feature is above a threshold, and of these the ones where a predicate holds."""

    hits: np.ndarray  # (feature, level, predicate) int32
    fired: np.ndarray  # (feature, level) int64
    positives: np.ndarray  # (predicate) int64
    rows: int

    def of(self, predicates: slice | np.ndarray) -> "Counts":
        """The same of some predicates."""
        hits = self.hits[:, :, predicates]
        return self._replace(hits=hits, positives=self.positives[predicates])


class Cells(NamedTuple):
    """The rows of some block in each cell feature * levels + level, one after the other."""

    rows: np.ndarray  # int32
    starts: np.ndarray  # (cell + 1) int64, where the rows of each begin
    features: int
    read: int  # rows of the block, in a cell or in none


def count(
    blocks: Iterable[tuple[Codes, np.ndarray]], maxima: np.ndarray, levels: np.ndarray = LEVELS
) -> Counts:
    """Counts over blocks of (codes, truth): truth is (row, predicate), one byte each.

    A feature is active at a level where its value exceeds level * maximum, strictly.
    """
    return counted(((cells_of(codes, maxima, levels), truth) for codes, truth in blocks), levels)


def counted(blocks: Iterable[tuple[Cells, np.ndarray]], levels: np.ndarray = LEVELS) -> Counts:
    """The same, of codes that are in their cells."""
    total: Counts | None = None
    for cells, truth in blocks:
        truth = np.ascontiguousarray(truth).view(np.uint8)
        if total is None:
            shape = (cells.features, len(levels), truth.shape[1])
            zeros = np.zeros(shape, np.int32), np.zeros(shape[:2], np.int64), np.zeros(shape[2], np.int64)
            total = Counts(*zeros, 0)
        _add(cells.rows, cells.starts, _in_lanes(truth), total.hits.reshape(-1, truth.shape[1]))
        total.fired.reshape(-1)[:] += np.diff(cells.starts)
        total.positives[:] += truth.sum(0, dtype=np.int64)
        total = total._replace(rows=total.rows + cells.read)
    if total is None:
        raise ValueError("expected one block of rows or more, got none")
    for level in range(len(levels) - 2, -1, -1):
        total.hits[:, level] += total.hits[:, level + 1]
        total.fired[:, level] += total.fired[:, level + 1]
    return total


def cells_of(codes: Codes, maxima: np.ndarray, levels: np.ndarray = LEVELS) -> Cells:
    cells = codes.features * len(levels)
    cell = np.empty(len(codes.feature), np.int32)
    starts = np.zeros(cells + 1, np.int64)
    _bin(codes.feature, codes.value, maxima.astype(np.float32), levels, cell, starts)
    np.cumsum(starts, out=starts)
    rows = np.empty(starts[-1], np.int32)
    _place(codes.starts, cell, starts[:-1].copy(), rows)
    return Cells(rows, starts, codes.features, codes.rows)


@kernel
def _bin(feature, value, maxima, levels, cell, starts):
    """Each value's cell, -1 where it is above no threshold; counts go one place up, for the running sum."""
    for i in range(len(feature)):
        top = maxima[feature[i]]
        level = 0  # how many thresholds it is above, from a guess that is right for even ones
        if top > 0 and value[i] > levels[0] * top:
            level = min(max(np.int64(value[i] / top * (len(levels) - 1)), 0), len(levels))
        while level < len(levels) and value[i] > levels[level] * top:
            level += 1
        while level > 0 and value[i] <= levels[level - 1] * top:
            level -= 1
        cell[i] = feature[i] * len(levels) + level - 1 if level else -1
        if level:
            starts[cell[i] + 1] += 1


@kernel
def _place(starts, cell, next_free, rows):
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            if cell[i] >= 0:
                rows[next_free[cell[i]]] = row
                next_free[cell[i]] += 1


def _in_lanes(truth: np.ndarray) -> np.ndarray:
    """(lane, row, predicate): what is left over in the last lane holds nowhere."""
    rows, predicates = truth.shape
    lanes = np.zeros((-(-predicates // LANE), rows, LANE), np.uint8)
    for i, lane in enumerate(lanes):
        some = truth[:, i * LANE : (i + 1) * LANE]
        lane[:, : some.shape[1]] = some
    return lanes


@kernel
def _add(rows, starts, lanes, hits):
    """A byte a predicate, and as many as the compiler knows of beforehand: the inner loop becomes three additions."""
    sums = np.zeros(LANE, np.uint8)
    for lane in range(len(lanes)):
        held = lanes[lane]
        for cell in range(len(starts) - 1):
            first, last = starts[cell], starts[cell + 1]
            while first < last:
                end = min(last, first + FULL)
                sums[:] = 0
                for i in range(first, end):
                    row = np.uint64(rows[i])
                    for p in range(LANE):
                        sums[p] += held[row, p]
                target = hits[cell, lane * LANE : (lane + 1) * LANE]
                for p in range(len(target)):
                    target[p] += sums[p]
                first = end
