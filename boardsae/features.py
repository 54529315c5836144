"""The features of an SAE as detectors see them: above which share of their maximum, beside which predicates."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from torch import Tensor

from boardsae.coder import Checked, place, slices
from boardsae.metrics.codes import Codes
from boardsae.metrics.counting import LANE, LEVELS, Cells, Counts, cells_of, counted
from games import Facts

TABLE = 2**28  # bytes of a table (feature, level, predicate)
CELLS = 2**25  # of an array (row, predicate)


class Features:
    def __init__(self, coder: Checked, sample: Float[Tensor, "row d"]):
        """Every feature's maximum is that of a sample; of features never above 0, its size, as in the paper's code."""
        self.coder = coder
        self.sorted: dict[tuple[int, int], Cells] = {}
        top = np.full(coder.features, -np.inf, np.float32)
        for codes, _ in self.blocks(sample):
            top = np.maximum(top, codes.highest())
        self.maxima = np.abs(top)

    def blocks(self, x: Float[Tensor, "row d"]) -> Iterator[tuple[Codes, slice]]:
        """Features of some rows at a time, and which rows."""
        for some in slices(len(x)):
            yield self.coder.codes(x[some]), some

    def counts(self, x: Float[Tensor, "row d"], truth: Facts | np.ndarray) -> Counts:
        return counted((self.cells(x[some]), truth[some]) for some in slices(len(x)))

    def cells(self, x: Float[Tensor, "row d"]) -> Cells:
        """Remembered where codes are: every pass over other predicates asks for them, and they are half as large."""
        if (known := self.sorted.get(place(x))) is not None:
            return known
        cells = cells_of(self.coder.codes(x), self.maxima)
        if place(x) in self.coder.known:
            self.sorted[place(x)] = cells
        return cells

    def together(self, predicates: int, rows: int) -> int:
        """How many of some predicates are counted in one pass."""
        size = self.coder.features * len(LEVELS) * 4
        lanes = min(TABLE // size, CELLS // rows) // LANE
        return min(predicates, max(1, lanes) * LANE)

    def columns(self, predicates: int, rows: int) -> Iterator[np.ndarray]:
        """The predicates, as many at a time as there is memory for."""
        each = self.together(predicates, rows)
        for first in range(0, predicates, each):
            yield np.arange(first, min(first + each, predicates))
