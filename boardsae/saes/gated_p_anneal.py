"""Gated features whose gate is penalised with a falling power (Karvonen et al. 2024)."""

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.saes.annealing import Annealer
from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.by_hand import Powers
from boardsae.saes.gated import Gated


class GatedPAnneal(Gated):
    """The loss of gated with lambda_s * mean sum_i g_i^(p_s) for its L1 term; p and lambda as in p_anneal."""

    name = "gated_p_anneal"

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        l1: float = 0.045,
        p_end: float = 0.2,
        updates: int = 10,
    ):
        super().__init__(d, features, random, recipe, l1=l1)
        self.annealer = Annealer(l1, p_end, updates, recipe)

    def penalty(self, opened: Float[Tensor, "row feature"], progress: float) -> Float[Tensor, ""]:
        return self.ramp(progress) * self.annealer.penalty(opened)

    def charge(self, progress: float) -> tuple[float, Powers | None]:
        return 0.0, self.annealer.charge(self.ramp(progress))

    @torch.no_grad()
    def after_step(self, step: Step, outcome: Outcome) -> None:
        self.annealer.after_step(step, outcome)
        super().after_step(step, outcome)
