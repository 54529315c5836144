"""ReLU features under an L1 penalty (Bricken et al. 2023; the baseline of Karvonen et al. 2024)."""

import torch

from boardsae.saes import by_hand
from boardsae.saes.base import SAE, Outcome, Recipe, Step


class Standard(SAE):
    """f = ReLU((x - b_dec) W_enc + b_enc),  loss = mean ||x - x_hat||^2 + l1 * mean sum_i f_i.

    Deviations: tied start and a penalty that rises over the first tenth of the run; neither was in the paper of 2024,
    whose error was also not squared. `--recipe paper-2024` trains as it did.
    """

    name = "standard"
    sparsity = "l1"

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe, *, l1: float = 0.09):
        super().__init__(d, features, random, recipe)
        self.l1 = l1

    def loss(self, step: Step) -> Outcome:
        f = self.encode(step.x)
        x_hat = self.decode(f)
        penalty = self.l1 * self.ramp(step.progress) * f.sum(-1).mean()
        return Outcome({"error": self.error(step.x, x_hat), "l1": penalty}, f, x_hat)

    def by_hand(self, step: Step) -> Outcome | None:
        if not self.recipe.squared:
            return None
        slope = self.l1 * self.ramp(step.progress)
        passed = by_hand.step(self, step.x, slope=slope)
        terms = {"error": passed.error, "l1": slope * passed.total.sum() / len(step.x)}
        return Outcome(terms, passed.f, passed.x_hat, fired=passed.fired)
