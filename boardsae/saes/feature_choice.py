"""Every feature chooses its rows: as many as a Zipf law of its rank allows (Ayonrinde 2024)."""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boardsae.saes.base import Recipe
from boardsae.saes.batch_topk import level
from boardsae.saes.choice import zipf
from boardsae.saes.mutual_choice import MutualChoice
from boardsae.saes.top import keep_each


class FeatureChoice(MutualChoice):
    """Two phases: mutual choice for the first `phase` of the run, during which densities are measured; then feature i
    keeps the m_i largest of its own values in the batch, m_i = rows * (Zipf share of its rank), sum m_i = rows * k.

    A feature may use less than its budget where its values are 0. At scoring feature i is active above a threshold of
    its own, which lets it fire on held-out rows as often as its budget says.

    Deviations: no code of the paper is public. The length of the first phase and ranks by running density are ours.
    """

    name = "feature_choice"

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        k: int = 16,
        aux_zipf: float = 1 / 32,
        phase: float = 0.8,
    ):
        if not 0 <= phase <= 1:
            raise ValueError(f"expected phase from 0 to 1, got {phase}")
        super().__init__(d, features, random, recipe, k=k, aux_zipf=aux_zipf)
        self.phase = phase

    def budgets(self, rows: int) -> Int[Tensor, " feature"]:
        """m_i: rows that each feature may choose."""
        ranks = self.density.argsort(descending=True, stable=True).argsort()
        return budgets_by_rank(self.features, self.k, rows, self.density.device)[ranks]

    def select(self, z: Float[Tensor, "row feature"], progress: float) -> Float[Tensor, "row feature"]:
        return super().select(z, progress) if progress < self.phase else chosen(z, self.budgets(len(z)))

    @torch.no_grad()
    def finish(self, x: Float[Tensor, "row d"]) -> None:
        z = self.pre(x).relu()
        budgets = self.budgets(len(z)).tolist()
        self.threshold.copy_(torch.stack([level(z[:, i], m) for i, m in enumerate(budgets)]))


@lru_cache  # the same at every step
def budgets_by_rank(features: int, k: int, rows: int, device: torch.device) -> Int[Tensor, " rank"]:
    """The cumulated Zipf law is rounded, so that the sum is right."""
    ends = zipf(features, float(k * rows), float(rows)).cumsum(0).round().long()
    return torch.diff(ends, prepend=ends.new_zeros(1)).to(device)


def chosen(z: Float[Tensor, "row feature"], budgets: Int[Tensor, " feature"]) -> Float[Tensor, "row feature"]:
    """The m_i largest of every column, 0 elsewhere."""
    return keep_each(z.T.contiguous(), budgets, own=not z.requires_grad).T.contiguous()
