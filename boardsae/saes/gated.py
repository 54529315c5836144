"""One set of pre-activations decides which features are active, another how strongly (Rajamanoharan et al. 2024a)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boardsae.saes import passes
from boardsae.saes.base import SAE, Outcome, Recipe, Saved, Step
from boardsae.saes.by_hand import Code, Gradients, Powers, encoded, give, shared
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
        del self.b_enc
        self.b_gate = nn.Parameter(torch.zeros(features))
        self.b_mag = nn.Parameter(torch.zeros(features))
        self.r_mag = nn.Parameter(torch.zeros(features))

    @property
    def bias(self) -> Float[Tensor, " feature"]:
        """Of the gates."""
        return self.b_gate - self.b_dec @ self.W_enc

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

    def charge(self, progress: float) -> tuple[float, Powers | None]:
        """The slope of the penalty at an open gate, by a number or by a power."""
        return self.l1 * self.ramp(progress), None

    @torch.no_grad()
    def by_hand(self, step: Step) -> Outcome:
        """Features and gates go the same way, each with its own error; the gates teach no decoder.

        f = exp(r_mag) u + b_mag where it is active, so that sum_rows by_f * u * exp(r_mag) = W_dec . (f^T back) -
        b_mag * sum_rows by_f is the gradient of r_mag.
        """
        rows, (slope, powers) = len(step.x), self.charge(step.progress)
        gate, scale = encoded(self, step.x), self.r_mag.exp()
        # From the gate and not from u, which would cost the gate's small values their digits.
        bias = self.b_mag - scale * self.b_gate
        opened = passes.rectified(gate).sum() / rows
        f = torch.addcmul(bias.to(gate.dtype), gate, scale.to(gate.dtype))
        passes.let_through(f, gate)
        fired = passes.rectified(f) > 0
        code, door = Code(f), Code(gate)
        x_hat, by_gate = (each.decoded(self.W_dec) + self.b_dec for each in (code, door))
        left, missed = x_hat - step.x, by_gate - step.x
        back = left * (2 / rows)
        found = code.gradients(step.x, back, self.W_dec)
        doors = door.gradients(step.x, missed * (2 / rows), self.W_dec, slope / rows, shared(powers, rows))
        self.b_mag.grad, self.b_gate.grad = found.b_enc, doors.b_enc
        self.r_mag.grad = (self.W_dec * found.w_dec).sum(1) - self.b_mag * found.b_enc
        both = Gradients(
            found.w_enc * scale + doors.w_enc, found.b_enc * scale + doors.b_enc, found.w_dec, doors.charged
        )
        give(self, both, back.sum(0))
        sums = doors.charged / rows
        terms = {
            "error": left.square().sum() / rows,
            "l1": slope * opened if powers is None else powers.penalty(sums),
            "gate": missed.square().sum() / rows,
        }
        return Outcome(terms, f, x_hat, gate, fired, sums)

    def saved(self) -> Saved:
        return Saved("gated", self.tensors("W_enc", "W_dec", "b_dec", "b_gate", "b_mag", "r_mag"))
