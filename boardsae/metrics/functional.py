"""What the model loses when an SAE's output takes the place of its activations, from sums over games.

Rows are the tokens that have a next one, scored or not. CE is that of the token played; KL is KL(model || spliced
model). Ablations put zeros, or the mean activation, in the same places.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.gpt import GPT
from boardsae.play import Ruled

NAMES = (
    "rows",
    "ce",
    "ce_spliced",
    "kl",
    "mass",
    "mass_spliced",
    "legal",
    "legal_spliced",
    "ce_zero",
    "ce_mean",
)


def judged(log_p: Float[Tensor, "game ply token"], games: Ruled) -> tuple[Tensor, Tensor, Tensor]:
    """At every token: CE of the one played, mass on legal ones, whether the top is legal."""
    ce = -log_p.gather(-1, games.read.following[..., None])[..., 0]
    mass = (log_p.exp() * games.legal).sum(-1)
    top = games.legal.gather(-1, log_p.argmax(-1, keepdim=True))[..., 0].float()
    return ce, mass, top


@torch.no_grad()
def by_game(
    model: GPT,
    layer: int,
    games: Ruled,
    x: Float[Tensor, "game ply d"],
    spliced: Float[Tensor, "game ply d"],
    mean: Float[Tensor, " d"],
    known: Float[Tensor, "game 10"] | None = None,
) -> Float[Tensor, "game 10"]:
    """Sums over each game's positions. Those that no SAE changes are taken from another SAE's, if they are `known`."""

    def log_probabilities(at: Tensor) -> Tensor:
        return model.tail(at, layer).log_softmax(-1)

    log_p, log_q = log_probabilities(x), log_probabilities(spliced)
    ce, mass, top = judged(log_q, games)
    columns = {
        "ce_spliced": ce,
        "kl": (log_p.exp() * (log_p - log_q)).sum(-1),
        "mass_spliced": mass,
        "legal_spliced": top,
    }
    if known is None:
        columns |= dict(zip(("ce", "mass", "legal"), judged(log_p, games), strict=True))
        columns["rows"] = torch.ones_like(ce)
        for name, instead in (("ce_zero", torch.zeros_like(x)), ("ce_mean", mean.expand_as(x))):
            columns[name] = judged(log_probabilities(instead), games)[0]
    live = games.read.goes_on.double()
    sums = {name: (column * live).sum(1) for name, column in columns.items()}
    if known is not None:
        sums = dict(zip(NAMES, known.unbind(1), strict=True)) | sums
    return torch.stack([sums[name] for name in NAMES], dim=1)


def scores(sums: Float[np.ndarray, "*place 10"]) -> dict[str, Any]:
    """From sums (..., 10)."""
    rows, ce, ce_spliced, kl, mass, mass_spliced, top, top_spliced, zero, mean = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "ce_increase@1": (ce_spliced - ce) / rows,
            "kl_increase@1": kl / rows,
            "loss_recovered_zero@1": (zero - ce_spliced) / (zero - ce),
            "loss_recovered_mean@1": (mean - ce_spliced) / (mean - ce),
            "legal_mass_loss@1": (mass - mass_spliced) / rows,
            "top1_legal_loss@1": (top - top_spliced) / rows,
        }
