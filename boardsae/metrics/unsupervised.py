"""How an SAE codes and rebuilds activations, from sums over games."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NAMES = ("rows", "active", "sse", "sst", "norm_hat", "dot", "cosine", "ratio", "sse_later", "sst_later")


def by_game(
    x: Float[Tensor, "row d"],
    f: Float[Tensor, "row feature"],
    x_hat: Float[Tensor, "row d"],
    mean: Float[Tensor, " d"],
    later: Bool[Tensor, " row"],
    mean_later: Float[Tensor, " d"],
) -> Float[Tensor, "row 10"]:
    """A row's share of every sum: 1, its L0, its squared error and spread, and how x_hat lies to x; the error and the
    spread once more if it is a later row than that of the first ply."""
    norm, norm_hat = x.norm(dim=1).clamp(min=1e-12), x_hat.norm(dim=1)
    dot = (x * x_hat).sum(1)
    sse = (x - x_hat).square().sum(1)
    columns = (
        torch.ones(len(x)),
        (f != 0).sum(1),
        sse,
        (x - mean).square().sum(1),
        norm_hat.square(),
        dot,
        dot / (norm * norm_hat.clamp(min=1e-12)),
        norm_hat / norm,
        sse * later,
        (x - mean_later).square().sum(1) * later,
    )
    return torch.stack([column.double() for column in columns], dim=1)


def scores(sums: Float[np.ndarray, "*place 10"]) -> dict[str, Any]:
    """From sums (..., 10): each score, as many as there are leading places."""
    rows, active, sse, sst, norm_hat, dot, cosine, ratio, sse_later, sst_later = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "l0@1": active / rows,
            "explained_variance@1": 1 - sse / sst,
            "explained_variance_later@1": 1 - sse_later / sst_later,
            "cosine@1": cosine / rows,
            "l2_ratio@1": ratio / rows,
            "reconstruction_bias@1": norm_hat / dot,
        }


def density(fired: Int[np.ndarray, " feature"], rows: int) -> dict[str, list[float]]:
    """How many features fire on which share of rows: a histogram over log10, silent features apart."""
    edges = np.arange(-6, 0.5, 0.5)
    shares = fired[fired > 0] / rows
    counts, _ = np.histogram(np.log10(shares), edges)
    return {"log10_edges": edges.tolist(), "features": counts.tolist(), "silent": [int((fired == 0).sum())]}
