"""Linear probes: what a line through the activations says about every predicate at once.

A probe is ridge regression on the predicate's 0 or 1, solved exactly for all predicates together. Its threshold is
chosen on other games than it is reported on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from games.bits import kernel

AT_ONCE = 1024  # predicates as floats
THRESHOLDS = 19  # tried per predicate, at even steps between its lowest and highest score
STRENGTHS = (1e-4, 1e-2, 1e-1)  # of the ridge, as a share of the mean variance of the activations


class Probes(NamedTuple):
    weights: Float[Tensor, "d predicate"]
    bias: Float[Tensor, " predicate"]

    def __call__(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row predicate"]:
        return x @ self.weights + self.bias


def fits(
    x: Float[Tensor, "row d"], y: Bool[Tensor, "row predicate"], strengths: Sequence[float] = STRENGTHS
) -> list[Probes]:
    """The least squares fit of y to x for every strength, which times the mean variance of x is the ridge."""
    x_mean = x.mean(0)
    centred = x - x_mean
    moment = (centred.T @ centred).double() / len(x)
    means, crosses = [], []
    for some in y.split(AT_ONCE, dim=1):
        held = some.float()
        means.append(held.mean(0))
        crosses.append(centred.T @ (held - means[-1]))
    y_mean, cross = torch.cat(means), torch.cat(crosses, dim=1).double() / len(x)
    unit = moment.diagonal().mean() * torch.eye(x.shape[1], dtype=torch.float64)
    weights = [torch.linalg.solve(moment + strength * unit, cross).float() for strength in strengths]
    return [Probes(w, y_mean - x_mean @ w) for w in weights]


def best_fit(
    x: Float[Tensor, "row d"],
    y: Bool[Tensor, "row predicate"],
    x_select: Float[Tensor, "other d"],
    y_select: Bool[Tensor, "other predicate"],
) -> Probes:
    """The fit whose strength explains held-out predicates best."""
    held_out = y_select.float()
    return min(fits(x, y), key=lambda probes: (probes(x_select) - held_out).square().mean().item())


def phi_within_ply(
    a: Bool[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"], ply: Int[Tensor, " row"]
) -> Float[Tensor, " predicate"]:
    """The correlation of detections and truth once both have lost their mean at each ply; 0 for any clock.

    0 where the detections never vary within a ply, nan where the truth never does.
    """
    above = torch.full((1, a.shape[1]), 0.5).numpy()
    return torch.from_numpy(_judged(a.float().numpy(), above, y.numpy(), ply.numpy())[1][0]).float()


def _judged(
    scores: Float[np.ndarray, "row predicate"],
    tried: Float[np.ndarray, "threshold predicate"],
    y: Bool[np.ndarray, "row predicate"],
    ply: Int[np.ndarray, " row"],
) -> tuple[Float[np.ndarray, "threshold predicate"], Float[np.ndarray, "threshold predicate"]]:
    """F1 and within-ply phi of what exceeds each threshold; the thresholds ascend."""
    rows = np.maximum(np.bincount(ply), 1.0)
    fired = np.zeros((len(rows), len(tried) + 1, y.shape[1]), np.int32)
    both = np.zeros(fired.shape[1:], np.int64)
    held = np.zeros((len(rows), y.shape[1]), np.int64)
    _tally(scores, tried, y.view(np.uint8), ply, fired, both, held)
    above = fired[:, ::-1].cumsum(1)[:, -2::-1].astype(np.float64)  # from the highest threshold down
    hits = both[::-1].cumsum(0)[-2::-1].astype(np.float64)
    share = held / rows[:, None]
    spread = (held * (1 - share)).sum(0)
    norms = np.sqrt((above * (1 - above / rows[:, None, None])).sum(0) * spread)
    excess = hits - (above * share[:, None]).sum(0)
    phi = np.divide(excess, norms, out=np.zeros_like(excess), where=norms > 1e-6)
    with np.errstate(invalid="ignore"):
        return 2 * hits / (above.sum(0) + held.sum(0)), np.where(spread > 1e-6, phi, np.nan)


@kernel
def _tally(scores, tried, y, ply, fired, both, held):
    """Rows by how many thresholds their score exceeds: of each ply, those where the predicate holds, and these."""
    for row in range(scores.shape[0]):
        at = ply[row]
        for p in range(scores.shape[1]):
            exceeded = 0
            while exceeded < tried.shape[0] and scores[row, p] > tried[exceeded, p]:
                exceeded += 1
            fired[at, exceeded, p] += 1
            both[exceeded, p] += y[row, p]
            held[at, p] += y[row, p]


def f1(a: Bool[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"]) -> Float[Tensor, " predicate"]:
    """2 TP / (2 TP + FP + FN); nan where there is nothing to find and nothing was found."""
    return 2 * counts(a & y) / (counts(a) + counts(y))


def counts(held: Bool[Tensor, "row predicate"]) -> Int[Tensor, " predicate"]:
    """How often each holds; torch's own sum of truth values takes forty times as long."""
    return torch.from_numpy(held.numpy().sum(0, dtype=np.int64))


class Thresholds(NamedTuple):
    """For every predicate: where its F1 and where its within-ply phi are highest."""

    f1: Float[Tensor, " predicate"]
    phi: Float[Tensor, " predicate"]


def best_thresholds(
    scores: Float[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"], ply: Int[Tensor, " row"]
) -> Thresholds:
    low, high = scores.min(0).values, scores.max(0).values
    tried = torch.stack([low + (high - low) * i / (THRESHOLDS + 1) for i in range(1, THRESHOLDS + 1)])
    judged = _judged(scores.numpy(), tried.numpy(), y.numpy(), ply.numpy())
    best = [
        torch.from_numpy(np.nan_to_num(each, nan=-1).astype(np.float32)).max(0).indices for each in judged
    ]
    return Thresholds(*(tried.gather(0, level[None])[0] for level in best))
