"""Intervals over games: games are drawn again with repetition, and every draw is a weighted sum of stored counts.

A score is a function of sums over games, so that 2,000 draws are one product of (draw, game) weights and the table.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

RESAMPLES = 2000
LEVEL = 0.95

Statistic = Callable[[np.ndarray], np.ndarray]  # (..., column) sums -> (...) values


class Interval(NamedTuple):
    low: float
    high: float


def weights(games: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each draw holds each game, float32 (draw, game). The same seed and games give the same draws."""
    random = np.random.default_rng([seed, games])
    drawn = random.integers(0, games, (resamples, games))
    flat = (np.arange(resamples)[:, None] * games + drawn).ravel()
    return np.bincount(flat, minlength=resamples * games).reshape(resamples, games).astype(np.float32)


def draws(table: np.ndarray, statistic: Statistic, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The statistic of every draw. Two tables of the same games share the draws, so their difference is paired."""
    flat = table.reshape(len(table), -1).astype(np.float32)
    drawn = on_one_thread(weights(len(table), resamples, seed), flat)
    return statistic(drawn.reshape(resamples, *table.shape[1:]))


def on_one_thread(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b, to the same bits for everybody: on more threads the order of a sum depends on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()
    finally:
        torch.set_num_threads(threads)


def interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Percentiles of the draws, those without a value left out; (nan, nan) where none has one."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(np.nan, np.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
