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


def plain(value: Any, split: str = "report") -> dict[str, Any]:
    """The cell of a metric without an interval."""
    return {"value": number(value), "low": None, "high": None, "split": split, "reason": None}


def summed(table: np.ndarray, statistic: bootstrap.Statistic, split: str) -> dict[str, Any]:
    return valued(statistic(table.sum(0)), bootstrap.draws(table, statistic), split)


def given(identity: str, cell: Any) -> dict[str, Any]:
    """What a metric of somebody else answers with, if it is a cell that can be written down."""
    numbers = [cell.get(name) for name in ("value", "low", "high")] if isinstance(cell, dict) else []
    if not numbers or any(value is not None and not isinstance(value, (int, float)) for value in numbers):
        raise ValueError(
            f"{identity} answers with {cell!r}; expected a cell of boardsae.metrics.cells: valued(...), summed(...),"
            " or absent('why')"
        )
    return absent("no reason was given") | cell


def absent(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "split": None, "reason": reason}
