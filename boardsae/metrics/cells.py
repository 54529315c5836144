"""The cell of a metric in a record: its value, its interval, or the reason why it has none."""

import math
from typing import Any

import numpy as np

from boardsae.metrics import bootstrap


def number(value: Any) -> float | None:
    """For JSON, which has no nan."""
    return float(value) if math.isfinite(value) else None


def brief(value: Any) -> float | None:
    """As much of it as a table of hundreds of predicates needs; the counts beside a record have the rest."""
    return round(float(value), 4) if math.isfinite(value) else None


def valued(value: Any, draws: np.ndarray, split: str) -> dict[str, Any]:
    """A metric's cell: its value and interval."""
    low, high = bootstrap.interval(draws)
    if number(value) is None:
        return absent("it has no denominator: nothing to divide by in these games")
    return {"value": number(value), "low": number(low), "high": number(high), "split": split, "reason": None}


def summed(table: np.ndarray, statistic: bootstrap.Statistic, split: str) -> dict[str, Any]:
    return valued(statistic(table.sum(0)), bootstrap.draws(table, statistic), split)


def absent(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "split": None, "reason": reason}
