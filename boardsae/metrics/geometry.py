"""Directions: how alike they are within a dictionary and between two, and how strongly they steer the model."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from boardsae.gpt import GPT

STEERED, GAMES, RANDOM = 128, 8, 64  # features, games and random directions of a steering score
PUSH = 0.5  # of the root mean square distance of activations from their mean


def max_cosines(directions: Float[Tensor, "feature d"]) -> Float[Tensor, " feature"]:
    """Of every direction, its largest cosine with another of the same dictionary (Braun et al. 2024)."""
    unit = torch.nn.functional.normalize(directions, dim=1)
    cosines = unit @ unit.T
    return cosines.fill_diagonal_(-1).max(1).values


def matched(one: Float[Tensor, "feature d"], other: Float[Tensor, "latent d"]) -> Float[np.ndarray, " pair"]:
    """Cosines of the directions of two dictionaries, paired one to one so that their sum is the largest (Hungarian)."""
    from scipy.optimize import linear_sum_assignment

    normalize = torch.nn.functional.normalize
    cosines = (normalize(one, dim=1) @ normalize(other, dim=1).T).numpy()
    return cosines[linear_sum_assignment(cosines, maximize=True)]


@torch.no_grad()
def steering(
    model: GPT,
    layer: int,
    x: Float[Tensor, "game ply d"],
    live: Tensor,
    directions: Float[Tensor, "feature d"],
    push: float,
) -> Float[Tensor, " feature"]:
    """Mean KL(model || steered model) as `push` times a unit direction is added everywhere (after Olmo et al. 2024)."""
    log_p = model.tail(x, layer).log_softmax(-1)
    p = log_p.exp()
    unit = torch.nn.functional.normalize(directions, dim=1)
    effects = []
    for direction in unit:
        log_q = model.tail(x + push * direction, layer).log_softmax(-1)
        effects.append((p * (log_p - log_q)).sum(-1)[live].mean())
    return torch.stack(effects) if effects else torch.zeros(0)


def some(alive: Int[np.ndarray, " some"], seed: int = 0) -> Int[np.ndarray, " few"]:
    """The features that are steered: all, or as many as a draw picks."""
    if len(alive) <= STEERED:
        return alive
    return np.sort(np.random.default_rng(seed).choice(alive, STEERED, replace=False))


def random_directions(d: int, seed: int = 0) -> Float[Tensor, "feature d"]:
    return torch.randn(RANDOM, d, generator=torch.Generator().manual_seed(seed))
