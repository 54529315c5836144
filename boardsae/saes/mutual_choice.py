"""Rows and features choose each other: the largest values of the whole batch, within one budget (Ayonrinde 2024)."""

import torch
from jaxtyping import Bool
from torch import Tensor

from boardsae.saes import passes
from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.batch_topk import BatchTopK
from boardsae.saes.choice import MEMORY, underused


class MutualChoice(BatchTopK):
    """The forward pass of batch_topk, which spends a budget of rows * k pairs exactly, and aux_zipf for its AuxK:

    the missed error is rebuilt by features whose running density is below a fifth of what a Zipf law expects of their
    rank, and not by silent ones alone. A threshold takes the place of the choice once training has ended.

    Deviations: no code of the paper is public. The law's exponent (1), the fifth, and the form of the loss, which is
    AuxK with other features, are ours.
    """

    name = "mutual_choice"

    density: Tensor  # how often each feature fires, a running mean

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        k: int = 16,
        aux_zipf: float = 1 / 32,
    ):
        super().__init__(d, features, random, recipe, k=k, aux=aux_zipf)
        self.register_buffer("density", torch.full((features,), k / features))

    def asleep(self) -> Bool[Tensor, " feature"]:
        return underused(self.density, self.k)

    @torch.no_grad()
    def after_step(self, step: Step, outcome: Outcome) -> None:
        self.density.lerp_(passes.active_rows(outcome.f.detach()) / len(outcome.f), MEMORY)
        super().after_step(step, outcome)
