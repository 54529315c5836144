"""One set of pre-activations decides which features are active, another how strongly (Rajamanoharan et al. 2024a)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boardsae.saes.base import SAE, Outcome, Recipe, Saved, Step
from boardsae.saes.product import product


class Gated(SAE):
    """u = (x - b_dec) W_enc,  f = 1[u + b_gate > 0] ReLU(exp(r_mag) u + b_mag),

    loss = ||x - x_hat||^2 + l1 * sum_i g_i + ||x - sg(W_dec)(g) - sg(b_dec)||^2,  g = ReLU(u + b_gate),

    means over rows. The last term, whose decoder is not differentiated, is all that teaches the gate to be useful.
    Adam has beta1 = 0, as in the paper's code. Deviation: tied start and a rising penalty, as for all variants.
    """

    name = "gated"
    sparsity = "l1"
    betas = (0.0, 0.999)
    levels = ("b_gate", "b_mag", "b_dec")

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe, *, l1: float = 0.09):
        super().__init__(d, features, random, recipe)
        self.l1 = l1
        self.b_gate = self.b_enc
        del self.b_enc
        self.b_mag = nn.Parameter(torch.zeros(features))
        self.r_mag = nn.Parameter(torch.zeros(features))

    def both(
        self, x: Float[Tensor, "row d"]
    ) -> tuple[Float[Tensor, "row feature"], Float[Tensor, "row feature"]]:
        """The features, and the gate's own pre-activations."""
        u = product(x, self.W_enc, self.bf16) - self.b_dec @ self.W_enc
        gate = u + self.b_gate
        return (u * self.r_mag.exp() + self.b_mag).relu() * (gate > 0), gate

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        return self.both(x)[0]

    def penalty(self, opened: Float[Tensor, "row feature"], progress: float) -> Float[Tensor, ""]:
        return self.l1 * self.ramp(progress) * opened.sum(-1).mean()

    def loss(self, step: Step) -> Outcome:
        f, gate = self.both(step.x)
        x_hat, opened = self.decode(f), gate.relu()
        by_gate = product(opened, self.W_dec.detach(), self.bf16) + self.b_dec.detach()
        terms = {
            "error": self.error(step.x, x_hat, squared=True),
            "l1": self.penalty(opened, step.progress),
            "gate": self.error(step.x, by_gate, squared=True),
        }
        return Outcome(terms, f, x_hat, opened)

    def saved(self) -> Saved:
        return Saved("gated", self.tensors("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"))
