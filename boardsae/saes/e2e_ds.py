"""End-to-end SAEs that must also lead to the same residual streams downstream (Braun et al. 2024)."""

from typing import ClassVar

import torch

from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.e2e import E2E, kl


class E2EDownstream(E2E):
    """loss = KL / 2 + l1 * mean sum_i f_i + downstream / P * sum_k mean ||x_k - x_hat_k||^2

    over the P residual streams after later blocks, the last one excepted, as in the paper's code. A layer with no
    block between it and the last is refused: P would be 0, and the loss that of e2e. Deviation: distances are not
    divided by d but by the scale of the inputs.
    """

    name = "e2e_ds"
    needs: ClassVar[tuple[str, ...]] = ("tail", "later")

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
        pairs = list(zip(clean.later, after.later, strict=True))[:-1]
        errors = torch.stack([self.error(x, y, squared=True) for x, y in pairs])
        terms = {
            "kl": kl(clean.logits, after.logits) / 2,
            "l1": self.penalty(f, step.progress),
            "downstream": self.downstream * errors.mean(),
        }
        return Outcome(terms, f, x_hat)
