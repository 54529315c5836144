"""Features as detectors of predicates: chosen on some games, judged on others.

A detector of a predicate is a feature and a threshold. What is kept of its judgement are counts a game, so that every
score is a function of sums over games.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from boardsae.metrics.codes import Codes
from boardsae.metrics.counting import LEVELS, Counts
from games.bits import kernel

AT_ONCE = 64  # predicates in memory as floats


class Choice(NamedTuple):
    """Of every predicate, its detector."""

    feature: np.ndarray  # (predicate)
    level: np.ndarray  # (predicate) index into LEVELS

    def active(self, codes: Codes, maxima: np.ndarray) -> np.ndarray:
        """Where each predicate's detector says yes: (row, predicate)."""
        return codes.above(self.feature, LEVELS[self.level] * maxima[self.feature])


def f1(hits: np.ndarray, fired: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN), 0 where there is nothing to find and nothing was found."""
    both = fired + positives
    return np.divide(2.0 * hits, both, out=np.zeros(np.broadcast(hits, both).shape), where=both > 0)


def in_parts(counts: Counts) -> Iterator[Counts]:
    """A few predicates at a time, so that tables of floats stay small."""
    for first in range(0, counts.hits.shape[2], AT_ONCE):
        yield counts.of(slice(first, first + AT_ONCE))


def best_by_f1(counts: Counts) -> Choice:
    """The feature and threshold of highest F1 for every predicate."""
    best = np.zeros(counts.hits.shape[2], np.int64)
    _highest(counts.hits.reshape(-1, len(best)), counts.fired.reshape(-1), counts.positives, best)
    return Choice(*np.divmod(best, len(LEVELS)))


@kernel
def _highest(hits, fired, positives, best):
    """The cell of highest F1, the first of equals, without an array of F1s."""
    top = np.full(len(best), -1.0)
    for cell in range(len(hits)):
        for p in range(len(best)):
            both = fired[cell] + positives[p]
            found = 2.0 * hits[cell, p] / both if both > 0 else 0.0
            if found > top[p]:
                top[p], best[p] = found, cell


def by_game(active: np.ndarray, truth: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(game, predicate, 3): rows of each game where detector and predicate agree on yes, detector says yes, predicate
    holds. Rows stand game by game, each beginning at its start."""
    sums = np.zeros((len(starts), 3, truth.shape[1]), np.int32)
    _add(active.view(np.uint8), truth.view(np.uint8), np.append(starts, len(truth)), sums)
    return sums.transpose(0, 2, 1)


@kernel
def _add(active, truth, starts, sums):
    for game in range(len(sums)):
        both, fired, held = sums[game]
        for row in range(starts[game], starts[game + 1]):
            for p in range(truth.shape[1]):
                both[p] += active[row, p] & truth[row, p]
                fired[p] += active[row, p]
                held[p] += truth[row, p]
