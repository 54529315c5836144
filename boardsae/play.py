"""How well a model plays by the rules: what it predicts after every token beside what is legal there.

A token is a move, or a character of `chess-pgn`. Of a character it is legal what goes on with the text of some legal
move. The distance from the exact policy, `gap`, is known where all legal moves were played with the same chance.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from boardsae.activations import Reading, alphabet, reading, written
from boardsae.data import Dataset
from games.core import Game

AT_ONCE = 128  # games in one pass, fewer where there are many tokens to choose from
LOGITS = 2**20  # in one pass: they stay near the core


class Ruled(NamedTuple):
    """Games as they are read, and which tokens the rules allow after each one (none after the end)."""

    read: Reading
    legal: Bool[Tensor, "game token symbol"]


def pairs_of(game: Game, moves: Shaped[np.ndarray, "game ply"]) -> Reading:
    """Each token but the last, with the one that follows it."""
    tokens, _ = written(game, moves)
    return reading(tokens, tokens.shape[1] - 1)


def ruled(game: Game, moves: Shaped[np.ndarray, "game ply"]) -> Ruled:
    """The token at index p is the p + 1-th move or character: a reader of it knows p + 1 of them."""
    return Ruled(pairs_of(game, moves), torch.from_numpy(legal_next(game, moves)))


def legal_next(game: Game, moves: Shaped[np.ndarray, "game ply"]) -> Bool[np.ndarray, "game token symbol"]:
    text, at = written(game, moves)
    if at is not None:
        from games.chess.continuations import legal_symbols

        return legal_symbols(moves, text)[:, :-1]
    games, plies = len(moves), moves.shape[1] - 1
    rows = np.stack([np.repeat(np.arange(games), plies), np.tile(np.arange(1, plies + 1), games)], axis=1)
    lengths = (moves != 0).sum(axis=1)
    rows[:, 1] = np.minimum(rows[:, 1], lengths[rows[:, 0]])  # after the end nothing is legal
    return game.legal_moves(moves, rows).reshape(games, plies, -1)


def is_exact(dataset: Dataset) -> bool:
    """Whether the policy of the games is known at every token: moves, all legal ones with the same chance."""
    policy = dataset.manifest["request"].get("policy")
    uniform = bool(policy) and all(style["epsilon"] == 1 for style in policy["styles"])
    return uniform and "text" not in dataset.arrays


def at_once(game: Game, tokens: int) -> int:
    """How many games of so many tokens a model reads in one pass."""
    return min(AT_ONCE, max(1, LOGITS // (alphabet(game)[0] * tokens)))


@torch.no_grad()
def by_ply(
    model: torch.nn.Module, game: Game, moves: Shaped[np.ndarray, "game ply"], exact: bool = True
) -> dict[str, list[float]]:
    """Means over the games at each number of tokens read, from 1; `live` counts the games that go on there."""
    device = next(model.parameters(), torch.empty(0)).device
    sums = torch.zeros(6, pairs_of(game, moves[:1]).tokens.shape[1], dtype=torch.float64)
    each = at_once(game, sums.shape[1])
    for first in range(0, len(moves), each):
        read, legal = ruled(game, moves[first : first + each])
        read, legal = read.on(device), legal.to(device)
        log_p = model(read.tokens).log_softmax(-1)
        counts, live = legal.sum(-1).clamp(min=1), read.goes_on.float()
        p = log_p.exp()
        chosen = p > 0.5 / counts[..., None]  # half of what the same chance for all gives a legal move
        facts = (
            torch.ones_like(live),
            -log_p.gather(-1, read.following[..., None])[..., 0],
            -(log_p * legal).sum(-1) / counts - counts.log(),
            legal.gather(-1, p.argmax(-1, keepdim=True))[..., 0].float(),
            (p * legal).sum(-1),
            2 * (chosen & legal).sum(-1) / (chosen.sum(-1) + counts),
        )
        sums += torch.stack([(fact * live).sum(0) for fact in facts]).cpu()
    names = ("loss", "gap", "top1_legal", "legal_mass", "legal_f1")
    means = dict(zip(names, (sums[1:] / sums[0].clamp(min=1)).tolist(), strict=True))
    return {"live": sums[0].tolist()} | {name: mean for name, mean in means.items() if exact or name != "gap"}


def totals(play: dict[str, list[float]]) -> dict[str, float]:
    """The means over all tokens, each counted as often as games go on there."""
    return {
        name: float(np.average(values, weights=play["live"]))
        for name, values in play.items()
        if name != "live"
    }
