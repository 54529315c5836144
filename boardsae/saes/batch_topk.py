"""The k largest features a row, on average over the batch (Bussmann et al. 2024)."""

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.saes import passes
from boardsae.saes.base import Outcome, Recipe, Saved, Step
from boardsae.saes.kept import Kept
from boardsae.saes.top import keep_largest


class BatchTopK(Kept):
    """Training keeps the rows * k largest of all ReLU((x - b_dec) W_enc + b_enc) of the batch; afterwards a feature is
    active above one threshold, chosen on held-out rows so that the mean L0 is k.

    loss = mean ||x - x_hat||^2 + aux * AuxK, with AuxK as in topk. Deviations from the authors' code: an encoder bias,
    a residual that is not differentiated, and a threshold that is measured at the end instead of averaged on the way.
    """

    name = "batch_topk"
    levels = ("b_enc", "b_dec", "threshold")

    threshold: Tensor  # of every feature, in use once training has ended; before that a running estimate

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        k: int = 16,
        aux: float = 1 / 32,
        dead_after: int = 200_000,
    ):
        super().__init__(d, features, random, recipe, k=k, aux=aux, dead_after=dead_after)
        self.register_buffer("threshold", torch.zeros(features))

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        z = self.pre(x).relu()
        return z * (z > self.threshold)

    def select(self, z: Float[Tensor, "row feature"], progress: float) -> Float[Tensor, "row feature"]:
        """What training keeps of a batch; z may be overwritten where no gradient is asked of it."""
        return keep_largest(z, self.k * len(z), own=not z.requires_grad)

    def loss(self, step: Step) -> Outcome:
        f = self.select(self.pre(step.x).relu(), step.progress)
        return self.outcome(step, f, self.decode(f))

    def by_hand(self, step: Step) -> Outcome:
        return self.kept_by_hand(step, lambda f: self.select(f, step.progress))

    @torch.no_grad()
    def after_step(self, step: Step, outcome: Outcome) -> None:
        least = passes.least(outcome.f.detach())
        moved = self.threshold.lerp(least.expand_as(self.threshold), 0.01)
        self.threshold.copy_(moved.where(least.isfinite(), self.threshold))
        super().after_step(step, outcome)

    @torch.no_grad()
    def finish(self, x: Float[Tensor, "row d"]) -> None:
        """The threshold that leaves k features a row on the held-out rows."""
        z = self.pre(x).relu()
        self.threshold.copy_(level(z, self.k * len(z)).expand_as(self.threshold))

    def saved(self) -> Saved:
        return Saved("jumprelu", self.tensors("W_enc", "b_enc", "W_dec", "b_dec", "threshold"))


def level(z: Float[Tensor, "..."], n: int) -> Float[Tensor, ""]:
    """A threshold that the n largest values pass: halfway to the next one, 0 where fewer are positive."""
    values = z.detach().flatten()
    if n >= len(values):
        return z.new_zeros(())
    top = values.topk(n + 1).values[-2:] if n else torch.stack([2 * values.max(), values.max()])
    return top.mean().clamp(min=0)
