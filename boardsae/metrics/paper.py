"""Coverage and board reconstruction as Karvonen et al. 2024 compute them: by their code (`_paper`), by their text
(`_text`).

Of the code, followed to the letter:
- a feature is active where it exceeds t times its maximum, t in {0, 0.1, ..., 1}; the maximum is that of 500 training
  games, all positions; features that are silent there do not count (here they do, at every t, wherever they fire);
- coverage: for each t the best feature of every predicate, the mean F1 over predicates, and one t for all of them, the
  best. Chosen and reported on the same 1,000 training games. Othello's mean divides by 3 * squares, though blank
  squares are never scored; a predicate that never holds has F1 0;
- reconstruction: a feature stands for every predicate for which its precision on the training games is at least 0.95,
  with 10 hits or more. On 1,000 other games the features that are active at t say what holds, any of them being enough.
  F1 over all squares of all boards together. t below 1 is the one whose F1 by squares, where a square with a right and
  a wrong answer counts as wrong, is best on those other games themselves.

- rows: of Othello all, of chess White's first twenty turns; the first of them, the start, is no row of ours. The score
  of chess strategy is the mean over its 14 concepts, each under its own threshold.

Of the text: coverage lets every predicate have its own t and divides by the predicates that there are; reconstruction
is the mean over boards of each board's F1 at its own best t.
"""

from typing import NamedTuple

import numpy as np

from boardsae.metrics.codes import Codes
from boardsae.metrics.counting import LEVELS, Counts
from boardsae.metrics.detectors import Choice, f1, in_parts
from boardsae.metrics.supervised import rebuilt

PRECISE, HITS = 0.95, 10
TRIED = len(LEVELS) - 1  # t = 1 is not tried for reconstruction


def best_features(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """(level, predicate): the best feature's F1, and which it is."""
    parts = [f1(some.hits, some.fired[:, :, None], some.positives) for some in in_parts(counts)]
    best = [(scores.max(0), scores.argmax(0)) for scores in parts]
    scores, features = (np.concatenate(each, axis=1) for each in zip(*best, strict=True))
    return scores, features


class Coverage(NamedTuple):
    code: float
    text: float
    by_code: Choice  # every predicate's detector under the one threshold
    by_text: Choice


def coverage(counts: Counts, denominator: float) -> Coverage:
    scores, features = best_features(counts)
    level = int(scores.mean(1).argmax())
    own = scores.argmax(0)
    predicates = np.arange(scores.shape[1])
    return Coverage(
        float(scores[level].sum() / denominator),
        float(scores.max(0).mean()),
        Choice(features[level], np.full(len(predicates), level)),
        Choice(features[own, predicates], own),
    )


def labels(counts: Counts) -> np.ndarray:
    """(level, feature, predicate): what each feature stands for."""
    fired = np.maximum(counts.fired, 1)[:, :, None]
    parts = [(some.hits / fired >= PRECISE) & (some.hits >= HITS) for some in in_parts(counts)]
    return np.concatenate(parts, axis=2).transpose(1, 0, 2)


class Reconstruction:
    """What is gathered block by block on the test games, for every t."""

    def __init__(self, squares: np.ndarray):
        self.squares = squares  # (predicate) which square each stands for
        self.boards: list[np.ndarray] = []  # (level, row, 3) hits, said, true
        self.strict = np.zeros((TRIED, 3))

    def add(self, codes: Codes, maxima: np.ndarray, stands_for: np.ndarray, truth: np.ndarray) -> None:
        held = truth.view(bool)
        each = []
        for level in range(TRIED):
            said = rebuilt(codes, maxima, stands_for, level)
            each.append(np.stack([(said & held).sum(1), said.sum(1), held.sum(1)], axis=1))
            self.strict[level] += self.by_square(said, held)
        self.boards.append(np.stack(each))

    def by_square(self, said: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Hits, wrong and missed, where a square with a hit and a wrong answer is wrong alone."""
        count = self.squares.max() + 1
        right, wrong = np.zeros((len(said), count), bool), np.zeros((len(said), count), bool)
        for predicate, square in enumerate(self.squares):
            right[:, square] |= said[:, predicate] & held[:, predicate]
            wrong[:, square] |= said[:, predicate] & ~held[:, predicate]
        return np.array([(right & ~wrong).sum(), wrong.sum(), (held & ~said).sum()], float)

    def counts(self) -> np.ndarray:
        """(level, row, 3)"""
        return np.concatenate(self.boards, axis=1)

    def level(self) -> int:
        """The t of the code."""
        hits, wrong, missed = self.strict.T
        return int((2 * hits / np.maximum(2 * hits + wrong + missed, 1)).argmax())

    def code(self) -> float:
        hits, said, true = self.counts()[self.level()].sum(0)
        return float(f1(hits, said, true))

    def text(self) -> float:
        counts = self.counts()
        return float(f1(counts[..., 0], counts[..., 1], counts[..., 2]).max(0).mean())
