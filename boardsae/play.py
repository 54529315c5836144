"""How well a model plays by the rules: what it predicts at every ply beside what is legal there."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from games.core import Game


class Batch(NamedTuple):
    """Inputs, and for each of them what follows: the move played, and which moves are legal (none after the end)."""

    tokens: Int[Tensor, "game ply"]
    played: Int[Tensor, "game ply"]
    legal: Bool[Tensor, "game ply move"]


def batch_of(game: Game, moves: Shaped[np.ndarray, "game ply"]) -> Batch:
    """The token at index p is the p + 1-th move: a reader of it knows p + 1 plies."""
    games, plies = len(moves), moves.shape[1] - 1
    rows = np.stack([np.repeat(np.arange(games), plies), np.tile(np.arange(1, plies + 1), games)], axis=1)
    lengths = (moves != 0).sum(axis=1)
    rows[:, 1] = np.minimum(rows[:, 1], lengths[rows[:, 0]])  # after the end nothing is legal
    legal = game.legal_moves(moves, rows).reshape(games, plies, -1)
    tokens = torch.from_numpy(moves.astype(np.int64))
    return Batch(tokens[:, :-1], tokens[:, 1:], torch.from_numpy(legal))


@torch.no_grad()
def by_ply(
    model: torch.nn.Module, game: Game, moves: Shaped[np.ndarray, "game ply"]
) -> dict[str, list[float]]:
    """Means over the games at each number of plies read, from 1; `live` counts the games that go on there."""
    sums = torch.zeros(6, moves.shape[1] - 1, dtype=torch.float64)
    for first in range(0, len(moves), 128):
        batch = batch_of(game, moves[first : first + 128])
        log_p = model(batch.tokens).log_softmax(-1)
        legal, counts = batch.legal, batch.legal.sum(-1)
        live = (counts > 0).float()
        p = log_p.exp()
        chosen = p > 0.5 / counts.clamp(min=1)[..., None]  # half of what the exact policy gives a legal move
        facts = (
            torch.ones_like(live),
            -log_p.gather(-1, batch.played[..., None])[..., 0],
            -(log_p * legal).sum(-1) / counts.clamp(min=1) - counts.clamp(min=1).log(),
            legal.gather(-1, p.argmax(-1, keepdim=True))[..., 0].float(),
            (p * legal).sum(-1),
            2 * (chosen & legal).sum(-1) / (chosen.sum(-1) + counts).clamp(min=1),
        )
        sums += torch.stack([(fact * live).sum(0) for fact in facts]).double()
    names = ("loss", "gap", "top1_legal", "legal_mass", "legal_f1")
    means = (sums[1:] / sums[0].clamp(min=1)).tolist()
    return {"live": sums[0].tolist(), **dict(zip(names, means, strict=True))}


def totals(play: dict[str, list[float]]) -> dict[str, float]:
    """The means over all plies, each counted as often as games go on there."""
    return {
        name: float(np.average(values, weights=play["live"]))
        for name, values in play.items()
        if name != "live"
    }
