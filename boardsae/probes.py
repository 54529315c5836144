"""Linear probes: what a line through the activations says about every predicate at once.

A probe is ridge regression on the predicate's 0 or 1, solved exactly for all predicates together. Its threshold is
chosen on other games than it is reported on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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
    x_mean, y_mean = x.mean(0), y.float().mean(0)
    centred = x - x_mean
    moment = (centred.T @ centred).double() / len(x)
    cross = (centred.T @ (y.float() - y_mean)).double() / len(x)
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


class Plies:
    """Truth that detections are judged against within each ply; what does not depend on them is summed once."""

    def __init__(self, y: Bool[Tensor, "row predicate"], ply: Int[Tensor, " row"]):
        self.y = y
        self.at = torch.zeros(int(ply.max()) + 1, len(ply))
        self.at[ply, torch.arange(len(ply))] = 1
        self.rows = self.at.sum(1).clamp(min=1).double()[:, None]
        self.held = (self.at @ y.float()).double()  # (ply, predicate)
        self.spread = (self.held * (1 - self.held / self.rows)).sum(0)

    def judge(
        self, a: Bool[Tensor, "row predicate"]
    ) -> tuple[Float[Tensor, " predicate"], Float[Tensor, " predicate"]]:
        """F1 and within-ply phi of detections."""
        fired = (self.at @ a.float()).double()
        hits = (a & self.y).sum(0)
        spread = (fired * (1 - fired / self.rows)).sum(0)
        norms = (spread * self.spread).sqrt()
        both = hits - (fired * self.held / self.rows).sum(0)
        phi = torch.where(norms > 1e-6, both / norms, 0.0)
        return 2 * hits / (fired.sum(0) + self.held.sum(0)), torch.where(self.spread > 1e-6, phi, torch.nan)


def phi_within_ply(
    a: Bool[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"], ply: Int[Tensor, " row"]
) -> Float[Tensor, " predicate"]:
    """The correlation of detections and truth once both have lost their mean at each ply; 0 for any clock.

    0 where the detections never vary within a ply, nan where the truth never does.
    """
    return Plies(y, ply).judge(a)[1].float()


def f1(a: Bool[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"]) -> Float[Tensor, " predicate"]:
    """2 TP / (2 TP + FP + FN); nan where there is nothing to find and nothing was found."""
    return 2 * (a & y).sum(0) / (a.sum(0) + y.sum(0))


class Thresholds(NamedTuple):
    """For every predicate: where its F1 and where its within-ply phi are highest."""

    f1: Float[Tensor, " predicate"]
    phi: Float[Tensor, " predicate"]


def best_thresholds(
    scores: Float[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"], ply: Int[Tensor, " row"]
) -> Thresholds:
    low, high = scores.min(0).values, scores.max(0).values
    plies, best = Plies(y, ply), [(torch.full_like(low, -2.0), low)] * 2
    for i in range(1, THRESHOLDS + 1):
        tried = low + (high - low) * i / (THRESHOLDS + 1)
        judged = [values.nan_to_num(-1).float() for values in plies.judge(scores > tried)]
        best = [
            (torch.maximum(top, new), torch.where(new > top, tried, at))
            for (top, at), new in zip(best, judged, strict=True)
        ]
    return Thresholds(best[0][1], best[1][1])
