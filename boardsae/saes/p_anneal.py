"""A penalty whose power falls during training: from L1 towards counting (Karvonen et al. 2024)."""

import torch

from boardsae.saes import by_hand
from boardsae.saes.annealing import Annealer
from boardsae.saes.base import SAE, Outcome, Recipe, Step


class PAnneal(SAE):
    """f as in standard,  loss = mean ||x - x_hat||^2 + lambda_s * mean sum_i f_i^(p_s),

    where p_s falls from 1 to `p_end` in `updates` stairs and lambda_s starts as `l1` and keeps the penalty continuous.
    Deviations: tied start, a rising penalty and a squared error, as for all variants of the common recipe;
    `--recipe paper-2024` trains as the paper's code did.
    """

    name = "p_anneal"
    sparsity = "l1"

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        l1: float = 0.035,
        p_end: float = 0.2,
        updates: int = 10,
    ):
        super().__init__(d, features, random, recipe)
        self.annealer = Annealer(l1, p_end, updates, recipe)

    def loss(self, step: Step) -> Outcome:
        f = self.encode(step.x)
        x_hat = self.decode(f)
        penalty = self.ramp(step.progress) * self.annealer.penalty(f)
        return Outcome({"error": self.error(step.x, x_hat), "l_p": penalty}, f, x_hat)

    def by_hand(self, step: Step) -> Outcome | None:
        if not self.recipe.squared:
            return None
        powers = self.annealer.charge(self.ramp(step.progress))
        passed = by_hand.step(self, step.x, powers=powers)
        sums = passed.charged / len(step.x)
        terms = {"error": passed.error, "l_p": powers.penalty(sums)}
        return Outcome(terms, passed.f, passed.x_hat, fired=passed.fired, powers=sums)

    @torch.no_grad()
    def after_step(self, step: Step, outcome: Outcome) -> None:
        self.annealer.after_step(step, outcome)
        super().after_step(step, outcome)
