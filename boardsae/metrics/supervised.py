"""Coverage and board reconstruction on held-out games, over predicates that can be told from nothing.

Detectors and thresholds are chosen on the select games and judged on the report games. A predicate counts if at least
50 rows of the report games hold it and at least 50 do not.
"""

from typing import NamedTuple

import numpy as np

from boardsae.metrics.codes import Codes
from boardsae.metrics.counting import LEVELS, Counts
from boardsae.metrics.detectors import f1, in_parts
from games.bits import kernel

ENOUGH = 50
PRECISE = 0.95
Z = 1.96  # of a two-sided 95% interval
FOUND = 0.8


def common(positives: np.ndarray, rows: int) -> np.ndarray:
    """Which predicates count."""
    return (positives >= ENOUGH) & (rows - positives >= ENOUGH)


def coverage(sums: np.ndarray) -> np.ndarray:
    """Mean F1 of some predicates, from sums (..., predicate, 3) of `detectors.by_game`.

    Those that never hold are left out. In all games that is none of the common ones; games that are drawn again lack a
    rare one now and then, of which they say nothing, and as an F1 of 0 it would pull the interval below the value.
    """
    hits, fired, positives = np.moveaxis(sums, -1, 0)
    holds = positives > 0
    total = f1(hits, fired, positives).sum(-1, where=holds)
    return np.divide(total, holds.sum(-1), out=np.zeros(total.shape), where=holds.any(-1))


def found(sums: np.ndarray) -> np.ndarray:
    """How many of some predicates have a detector of F1 above 0.8; no clock reaches that."""
    return (f1(sums[..., 0], sums[..., 1], sums[..., 2]) > FOUND).sum(-1).astype(float)


class Table(NamedTuple):
    """Of every predicate, how well its detector does on the report games."""

    f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    mcc: np.ndarray
    base_rate: np.ndarray
    always_on: np.ndarray  # F1 of a detector that always says yes: 2 p / (1 + p)


def table(sums: np.ndarray, rows: int) -> Table:
    """From sums (predicate, 3); nan where a ratio has no denominator."""
    hits, fired, positives = (sums[:, i].astype(float) for i in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = fired * (rows - fired) * positives * (rows - positives)
        rate = positives / rows
        return Table(
            f1(hits, fired, positives),
            hits / fired,
            hits / positives,
            (hits * rows - fired * positives) / np.sqrt(spread),
            rate,
            2 * rate / (1 + rate),
        )


def wilson_low(hits: np.ndarray, fired: np.ndarray) -> np.ndarray:
    """The lower end of Wilson's 95% interval of hits / fired; 0 where nothing fired."""
    n = np.maximum(fired, 1)
    share = hits / n
    middle = share + Z**2 / (2 * n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return np.where(fired > 0, (middle - half) / (1 + Z**2 / n), 0.0)


def precise(counts: Counts) -> np.ndarray:
    """(level, feature, predicate): features whose precision is surely 0.95 or more, by Wilson's lower bound."""
    parts = [wilson_low(some.hits, some.fired[:, :, None]) >= PRECISE for some in in_parts(counts)]
    return np.concatenate(parts, axis=2).transpose(1, 0, 2)


def rebuilt(codes: Codes, maxima: np.ndarray, labels: np.ndarray, level: int) -> np.ndarray:
    """(row, predicate): some feature that is active at the level stands for the predicate."""
    features, predicates = labels.shape[1:]
    padded = np.zeros((features, -(-predicates // 64) * 64), bool)
    padded[:, :predicates] = labels[level]
    words = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
    least = np.where(labels[level].any(1), LEVELS[level] * maxima, np.inf).astype(np.float32)
    said = np.zeros((codes.rows, words.shape[1]), np.uint64)
    _say(codes.starts, codes.feature, codes.value, least, words, said)
    return np.unpackbits(said.view(np.uint8), axis=1, count=predicates, bitorder="little").view(bool)


@kernel
def _say(starts, feature, value, least, words, said):
    for row in range(len(said)):
        for i in range(starts[row], starts[row + 1]):
            if value[i] > least[feature[i]]:
                for word in range(words.shape[1]):
                    said[row, word] |= words[feature[i], word]


def pooled(active: np.ndarray, truth: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(game, 3): the counts of `detectors.by_game`, all predicates together."""
    truth = truth.view(bool)
    rows = np.stack([(active & truth).sum(1), active.sum(1), truth.sum(1)], axis=1)
    return np.add.reduceat(rows, starts, axis=0)


def pooled_f1(sums: np.ndarray) -> np.ndarray:
    """F1 of all squares of all boards together, from sums (..., 3)."""
    return f1(sums[..., 0], sums[..., 1], sums[..., 2])
