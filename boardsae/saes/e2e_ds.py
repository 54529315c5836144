"""End-to-end SAEs that must also lead to the same residual streams downstream (Braun et al. 2024)."""

import torch

from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.e2e import E2E, kl


class E2EDownstream(E2E):
    """loss = KL / 2 + l1 * mean sum_i f_i + downstream / P * sum_k mean ||x_k - x_hat_k||^2

    over the P residual streams after later blocks, the last one excepted, as in the paper's code. Before the last
    block P is 0 and the term vanishes. Deviation: distances are not divided by d but by the scale of the inputs.
    """

    name = "e2e_ds"

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        l1: float = 0.3,
        downstream: float = 1.0,
    ):
        super().__init__(d, features, random, recipe, l1=l1)
        self.downstream = downstream

    def loss(self, step: Step) -> Outcome:
        f, x_hat, after, clean = self.spliced(step)
        terms = {"kl": kl(clean.logits, after.logits) / 2, "l1": self.penalty(f, step.progress)}
        pairs = list(zip(clean.later, after.later, strict=True))[:-1]
        if pairs:
            errors = torch.stack([self.error(x, y, squared=True) for x, y in pairs])
            terms["downstream"] = self.downstream * errors.mean()
        return Outcome(terms, f, x_hat)
