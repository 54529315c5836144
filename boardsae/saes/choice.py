"""What mutual and feature choice share: the Zipf law of how often features should fire, and the loss it gives."""

from functools import lru_cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MEMORY = 0.01  # share of a step in the running densities
UNDERUSED = 0.2  # of its expected density: below it a feature is helped


def zipf(features: int, total: float, most: float) -> Float[Tensor, " rank"]:
    """Shares by rank, in proportion to 1 / rank and summing to `total`, where none exceeds `most`.

    What the first ranks have too much of goes to the others, again in proportion.
    """
    law = 1 / torch.arange(1, features + 1, dtype=torch.float64)
    full = torch.zeros(features, dtype=torch.bool)
    while True:
        rest = total - most * int(full.sum())
        shares = torch.where(full, most, rest * law / law[~full].sum())
        if not (over := ~full & (shares > most)).any():
            return shares
        full |= over


def underused(density: Float[Tensor, " feature"], k: int) -> Bool[Tensor, " feature"]:
    """Features that fire far less than the Zipf law expects at their rank, where k are active a row."""
    ranks = density.argsort(descending=True, stable=True).argsort()
    return density < UNDERUSED * expected(len(density), k, density.dtype, density.device)[ranks]


@lru_cache  # the same at every step
def expected(features: int, k: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, " rank"]:
    """The densities that the Zipf law gives by rank."""
    return zipf(features, min(float(k), float(features)), 1.0).to(device, dtype)
