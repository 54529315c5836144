"""Coverage with chance taken out: within each ply, against permuted games, as a share of what a probe finds.

    S_k = phi of predicate k and its detector, once both have lost their mean at each ply: 0 for any clock
    N_k = the same with the truth of every game replaced by that of another game at the same ply
    U_k = the same for a linear probe on the activations
    cov_x = mean of (S_k - N_k) / (U_k - N_k) over the predicates with U_k - N_k >= 0.1

Detectors, also those of N_k, are chosen by phi on the select games; phi is that of the report games.
"""

from typing import NamedTuple

import numpy as np

from boardsae.metrics.counting import LEVELS, Counts
from boardsae.metrics.detectors import AT_ONCE, Choice
from games.bits import kernel

ROOM = 0.1  # between chance and the probe, for a predicate to count


class ByPly(NamedTuple):
    """Sums over the rows of each ply: how many there are, where features fire, where predicates hold."""

    rows: np.ndarray  # (ply)
    fired: np.ndarray  # (ply, feature, level)
    positives: np.ndarray  # (ply, predicate)


def by_ply(plies: Counts, ply: np.ndarray, truth: np.ndarray) -> ByPly:
    """From counts in which the plies stand for predicates."""
    fired = plies.hits.transpose(2, 0, 1).astype(np.float32)
    held = np.ascontiguousarray(truth).view(np.uint8)
    return ByPly(plies.positives, fired, _by_ply(held, ply, len(fired)).astype(np.float32))


def best_by_phi(counts: Counts, by_ply: ByPly) -> Choice:
    """The feature and threshold of highest within-ply phi for every predicate."""
    n = np.maximum(by_ply.rows, 1).astype(np.float64)[:, None]
    fired = by_ply.fired.reshape(len(n), -1)  # (ply, cell)
    share, spread_fired = fired / n, (fired * (1 - fired / n)).sum(0)
    best = np.zeros(counts.hits.shape[2], np.int64)
    for first in range(0, len(best), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        positives, hits = by_ply.positives[:, some], counts.hits[:, :, some]
        spread_held = (positives * (1 - positives / n)).sum(0)
        _highest(
            hits.reshape(len(spread_fired), -1), share.T @ positives, spread_fired, spread_held, best[some]
        )
    return Choice(*np.divmod(best, len(LEVELS)))


@kernel
def _highest(hits, expected, spread_fired, spread_held, best):
    """The cell of highest phi, the first of equals, without an array of phis."""
    top = np.full(len(best), -np.inf)
    for cell in range(len(hits)):
        for p in range(len(best)):
            spread = np.sqrt(spread_fired[cell] * spread_held[p])
            found = (hits[cell, p] - expected[cell, p]) / spread if spread > 1e-6 else 0.0
            if found > top[p]:
                top[p], best[p] = found, cell


def moments(active: np.ndarray, truth: np.ndarray, ply: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """(game, predicate, 3): sums of a y, a a and y y over each game's rows, a and y without their mean at each ply.

    The means are those of these rows and stay what they are when games are drawn again.
    """
    a, y = np.ascontiguousarray(active).view(np.uint8), np.ascontiguousarray(truth).view(np.uint8)
    rows = np.maximum(np.bincount(ply), 1)[:, None]
    fired, held = (_by_ply(values, ply, len(rows)) / rows for values in (a, y))
    sums = np.zeros((len(starts), 3, y.shape[1]), np.float32)
    _add(a, y, ply, fired.astype(np.float32), held.astype(np.float32), np.append(starts, len(y)), sums)
    return sums.transpose(0, 2, 1)


@kernel
def _by_ply(values, ply, plies):
    sums = np.zeros((plies, values.shape[1]), np.int32)
    for row in range(len(values)):
        at = sums[ply[row]]
        for p in range(values.shape[1]):
            at[p] += values[row, p]
    return sums


@kernel
def _add(active, truth, ply, fired, held, starts, sums):
    for game in range(len(sums)):
        both, of_a, of_y = sums[game]
        for row in range(starts[game], starts[game + 1]):
            mean_a, mean_y = fired[ply[row]], held[ply[row]]
            for p in range(truth.shape[1]):
                a, y = active[row, p] - mean_a[p], truth[row, p] - mean_y[p]
                both[p] += a * y
                of_a[p] += a * a
                of_y[p] += y * y


def phi(sums: np.ndarray) -> np.ndarray:
    """From sums (..., predicate, 3) of moments; 0 where either side never varies within a ply."""
    norm = np.sqrt(np.maximum(sums[..., 1], 0) * np.maximum(sums[..., 2], 0))
    return np.divide(sums[..., 0], norm, out=np.zeros(norm.shape), where=norm > 1e-3)


def exchanged(game: np.ndarray, ply: np.ndarray, seed: int) -> np.ndarray:
    """For every row a row of another game at the same ply: of one permutation of games, as far as games are as long.

    Rows whose partner has ended are given what is left over at that ply, shifted by one; where lengths differ much,
    that may be the row itself (of the tasks' rows one in a thousand at most).
    """
    games, plies = int(game.max()) + 1, int(ply.max()) + 1
    row_of = np.full((games, plies), -1)
    row_of[game, ply] = np.arange(len(game))
    partner = np.empty(games, int)
    order = np.random.default_rng(seed).permutation(games)
    partner[order] = np.roll(order, 1)  # one cycle: nobody meets himself
    other = row_of[partner[game], ply]
    for late in np.unique(ply[other < 0]):
        here = np.flatnonzero((other < 0) & (ply == late))
        unused = np.setdiff1d(row_of[:, late][row_of[:, late] >= 0], other[ply == late])
        other[here] = np.roll(unused, 1)[: len(here)]
    return other


def share(found: np.ndarray, null: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """cov_x from phis (..., predicate); nan where no predicate has room."""
    room = ceiling - null
    counted = room >= ROOM
    if not counted.any():
        return np.full(found.shape[:-1], np.nan)
    return ((found - null)[..., counted] / room[counted]).mean(-1)
