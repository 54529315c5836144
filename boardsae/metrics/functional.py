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
from boardsae.play import Batch

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


def judged(logits: Float[Tensor, "game ply token"], batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """At every token: log probabilities, CE of the one played, mass on legal ones, whether the top is legal."""
    log_p = logits.log_softmax(-1)
    ce = -log_p.gather(-1, batch.played[..., None])[..., 0]
    mass = (log_p.exp() * batch.legal).sum(-1)
    top = batch.legal.gather(-1, log_p.argmax(-1, keepdim=True))[..., 0].float()
    return log_p, ce, mass, top


@torch.no_grad()
def by_game(
    model: GPT,
    layer: int,
    batch: Batch,
    x: Float[Tensor, "game ply d"],
    spliced: Float[Tensor, "game ply d"],
    mean: Float[Tensor, " d"],
    ablations: Float[Tensor, "game 2"] | None = None,
) -> Float[Tensor, "game 10"]:
    """Sums over each game's positions; the last two columns, which no SAE changes, may be given."""
    live = batch.live.double()
    log_p, ce, mass, top = judged(model.tail(x, layer), batch)
    log_q, ce_spliced, mass_spliced, top_spliced = judged(model.tail(spliced, layer), batch)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)
    if ablations is None:
        ce_zero = judged(model.tail(torch.zeros_like(x), layer), batch)[1]
        ce_mean = judged(model.tail(mean.expand_as(x), layer), batch)[1]
        ablations = torch.stack([(ce_zero * live).sum(1), (ce_mean * live).sum(1)], dim=1)
    columns = (torch.ones_like(ce), ce, ce_spliced, kl, mass, mass_spliced, top, top_spliced)
    return torch.cat([torch.stack([(c * live).sum(1) for c in columns], dim=1), ablations.double()], dim=1)


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
