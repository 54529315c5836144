"""A threshold of its own for every feature, learnt under a penalty on the count (Rajamanoharan et al. 2024b)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boardsae.saes import passes
from boardsae.saes.base import SAE, Outcome, Recipe, Saved, Step
from boardsae.saes.by_hand import Code, encoded, give


class Jump(torch.autograd.Function):
    """z * 1[z > theta] and 1[z > theta], with straight-through gradients to theta by a window of width eps:

    d(z 1[z > theta]) / d theta = -theta / eps,  d 1[z > theta] / d theta = -1 / eps   where |z - theta| < eps / 2,
    d(z 1[z > theta]) / dz = 1[z > theta],       d 1[z > theta] / dz = 0.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, eps: float) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        active = z > theta
        ctx.save_for_backward(active, ((z - theta).abs() < eps / 2), theta)
        ctx.eps = eps
        return z * active, active.to(z.dtype)

    @staticmethod
    def backward(ctx: Any, by_f: Tensor, by_count: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        active, near, theta = ctx.saved_tensors
        by_theta = -(near * (by_f * theta + by_count)).sum(0) / ctx.eps
        return by_f * active, by_theta, None


class JumpReLU(SAE):
    """z = (x - b_dec) W_enc + b_enc,  f = z 1[z > theta],  loss = mean ||x - x_hat||^2 + l0 * mean sum_i 1[f_i > 0].

    Deviations from Gemma Scope: the window `eps` and the first thresholds `theta` are wider, since our runs have a
    hundredth of the steps. Inputs are scaled to the same mean squared norm.
    """

    name = "jumprelu"
    sparsity = "l0"
    betas = (0.0, 0.999)
    levels = ("b_enc", "b_dec", "threshold")

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        l0: float = 0.0007,
        eps: float = 0.03,
        theta: float = 0.03,
    ):
        super().__init__(d, features, random, recipe)
        self.l0, self.eps = l0, eps
        self.threshold = nn.Parameter(torch.full((features,), theta))

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        z = self.pre(x)
        return z.relu() * (z > self.threshold)

    def loss(self, step: Step) -> Outcome:
        f, count = Jump.apply(self.pre(step.x), self.threshold, self.eps)  # type: ignore[misc]
        x_hat = self.decode(f)
        penalty = self.l0 * self.ramp(step.progress) * count.sum(-1).mean()
        return Outcome({"error": self.error(step.x, x_hat, squared=True), "l0_penalty": penalty}, f, x_hat)

    @torch.no_grad()
    def by_hand(self, step: Step) -> Outcome:
        """A threshold learns from the rows near it: sum_near by_f is W_dec . (near^T back), one product for all."""
        rows, strength = len(step.x), self.l0 * self.ramp(step.progress)
        f, near, active = passes.jumped(encoded(self, step.x), self.threshold, self.eps / 2)
        fired, code = passes.rectified(f) > 0, Code(f)
        x_hat = code.decoded(self.W_dec) + self.b_dec
        left = x_hat - step.x
        back = left * (2 / rows)
        found = code.gradients(step.x, back, self.W_dec)
        by_near = (self.W_dec * (near.T @ back.to(f.dtype))).sum(1)
        counted = passes.rectified(near) * strength / rows
        self.threshold.grad = -(self.threshold * by_near + counted) / self.eps
        self.b_enc.grad = found.b_enc
        give(self, found, back.sum(0))
        penalty = strength * active / rows
        terms = {"error": left.square().sum() / rows, "l0_penalty": penalty}
        return Outcome(terms, f, x_hat, fired=fired)

    @torch.no_grad()
    def after_step(self, step: Step, outcome: Outcome) -> None:
        self.threshold.clamp_(min=0)  # features are not negative
        super().after_step(step, outcome)

    def saved(self) -> Saved:
        return Saved("jumprelu", self.tensors("W_enc", "b_enc", "W_dec", "b_dec", "threshold"))
