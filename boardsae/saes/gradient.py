"""The k features of a row that matter most to the model's loss (Olmo et al. 2024)."""

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.saes import passes
from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.product import product
from boardsae.saes.top import keep_top
from boardsae.saes.topk import TopK


class Gradient(TopK):
    """z = ReLU((x - b_dec) W_enc + b_enc),  selected are the k largest of z (1 + beta |g W_dec^T|),

    where g is the gradient of the model's next-move loss by x, divided by its mean norm. The values kept are those of
    z; the loss is that of topk. The gradient knows the next move, so that scores select by z alone, as topk does; what
    both ways give on held-out rows is in boardsae.json, and `boardsae score` prints it.

    Deviations: the paper gives neither beta nor how the gradient is scaled, and no code is public; both are ours.
    """

    name = "gradient"
    needs = ("grad",)

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        k: int = 16,
        beta: float = 1.0,
        aux: float = 1 / 32,
        dead_after: int = 200_000,
    ):
        super().__init__(d, features, random, recipe, k=k, aux=aux, dead_after=dead_after)
        self.beta = beta

    def encode_as_trained(
        self, x: Float[Tensor, "row d"], grad: Float[Tensor, "row d"]
    ) -> Float[Tensor, "row feature"]:
        return self.select(self.pre(x).relu(), grad)

    def select(
        self, z: Float[Tensor, "row feature"], grad: Float[Tensor, "row d"]
    ) -> Float[Tensor, "row feature"]:
        with torch.no_grad():
            unit = grad / grad.norm(dim=1).mean().clamp(min=1e-12)
            weight = 1 + self.beta * product(unit, self.W_dec.T, self.bf16).abs()
            kept = keep_top(z * weight, self.k, own=True)
        if z.requires_grad:
            return z * (kept > 0)
        passes.let_through(z, kept.to(z.dtype))
        return z

    def loss(self, step: Step) -> Outcome:
        assert step.grad is not None, "declared in needs"
        f = self.select(self.pre(step.x).relu(), step.grad)
        return self.outcome(step, f, self.decode(f))

    def by_hand(self, step: Step) -> Outcome:
        assert step.grad is not None, "declared in needs"
        grad = step.grad
        return self.kept_by_hand(step, lambda f: self.select(f, grad))
