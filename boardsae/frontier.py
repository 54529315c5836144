"""A variant's curve of a metric over L0, read at a fixed L0, seed by seed, and never outside of what was measured."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from statistics import fmean, stdev
from typing import NamedTuple


class Point(NamedTuple):
    """One run: its L0, the metric's value, and the interval over games where there is one."""

    l0: float
    value: float
    low: float | None = None
    high: float | None = None


class Reading(NamedTuple):
    """What a curve says at one L0; without a value, why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class Cell(NamedTuple):
    """A reading of all seeds together: their mean, never the best, and their standard deviation."""

    value: float | None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    seeds: int = 0
    reason: str | None = None


def curve(points: Sequence[Point]) -> list[Point]:
    """The points by L0. Runs of one L0 become their mean, since the better one would be a choice after the fact.

    A silent SAE, whose L0 is 0, has no place on a logarithmic axis.
    """
    ordered = sorted((point for point in points if point.l0 > 0), key=lambda point: point.l0)
    return [mean(list(same)) for _, same in groupby(ordered, key=lambda point: point.l0)]


def mean(points: Sequence[Point]) -> Point:
    """Bounds are averaged like values: the runs saw the same games, so that their errors need not cancel."""
    low, high = ([getattr(point, side) for point in points] for side in ("low", "high"))
    known = None not in low and None not in high
    return Point(
        points[0].l0,
        fmean(point.value for point in points),
        fmean(low) if known else None,
        fmean(high) if known else None,
    )


def read_at(points: Sequence[Point], l0: float) -> Reading:
    """Linear in log L0 between the two runs around it.

    The bounds are interpolated like the values. Both runs are scored on the same games, so this is the interval of
    two errors that go hand in hand; of any other two it would be narrower.
    """
    found = curve(points)
    if not found:
        return Reading(None, reason="no run with a value and an L0 above 0")
    if not found[0].l0 <= l0 <= found[-1].l0:
        return Reading(None, reason=f"measured from L0 {found[0].l0:.1f} to {found[-1].l0:.1f} only")
    if len(found) == 1:
        return Reading(*found[0][1:])
    below, above = next((a, b) for a, b in pairwise(found) if l0 <= b.l0)
    share = math.log(l0 / below.l0) / math.log(above.l0 / below.l0)
    value, low, high = (between(a, b, share) for a, b in zip(below[1:], above[1:], strict=True))
    return Reading(value, low, high)


def between(a: float | None, b: float | None, share: float) -> float | None:
    return None if a is None or b is None else (1 - share) * a + share * b


def t95(freedom: float) -> float:
    """Student's t for a two-sided interval of 95%, by degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def over_seeds(readings: Mapping[int, Reading]) -> Cell:
    """The mean of the seeds that have a value, with their number; the interval is the mean of their bounds."""
    found = [reading for reading in readings.values() if reading.value is not None]
    if not found:
        reasons = sorted({reading.reason or "no value" for reading in readings.values()})
        return Cell(None, reason="; ".join(reasons) or "no run")
    values = [reading.value for reading in found if reading.value is not None]
    together = mean(
        [Point(1.0, value, reading.low, reading.high) for value, reading in zip(values, found, strict=True)]
    )
    sd = stdev(values) if len(values) > 1 else None
    return Cell(together.value, together.low, together.high, sd, len(values))
