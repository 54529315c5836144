"""SAEs judged by what the model makes of their output, and the local one they are compared with (Braun et al. 2024)."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.saes import by_hand
from boardsae.saes.base import SAE, Downstream, Outcome, Recipe, Saved, Step


def kl(clean: Float[Tensor, "row token"], spliced: Float[Tensor, "row token"]) -> Float[Tensor, ""]:
    """KL(model || model with the SAE spliced in), nats a row, as in the paper's code; its text has it the other way."""
    log_p, log_q = clean.log_softmax(-1), spliced.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


class Local(SAE):
    """f = ReLU(x W_enc + b_enc) without b_dec in the encoder,  loss = mean ||x - x_hat||^2 + l1 * mean sum_i f_i.

    The baseline of the paper. Deviations, here and in e2e and e2e_ds: decoder norms are kept by projection and not
    inside the forward pass, inputs are scaled by one scalar, and the start is tied. The paper divides both terms by d,
    which changes nothing but the learning rate's meaning.
    """

    name = "local"
    sparsity = "l1"

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe, *, l1: float = 0.09):
        super().__init__(d, features, random, recipe)
        self.l1 = l1

    @property
    def bias(self) -> Float[Tensor, " feature"]:
        return self.b_enc

    def penalty(self, f: Float[Tensor, "row feature"], progress: float) -> Float[Tensor, ""]:
        return self.l1 * self.ramp(progress) * f.sum(-1).mean()

    def loss(self, step: Step) -> Outcome:
        f = self.encode(step.x)
        x_hat = self.decode(f)
        terms = {"error": self.error(step.x, x_hat, squared=True), "l1": self.penalty(f, step.progress)}
        return Outcome(terms, f, x_hat)

    def by_hand(self, step: Step) -> Outcome:
        slope = self.l1 * self.ramp(step.progress)
        passed = by_hand.step(self, step.x, slope=slope, centred=False)
        terms = {"error": passed.error, "l1": slope * passed.total.sum() / len(step.x)}
        return Outcome(terms, passed.f, passed.x_hat, fired=passed.fired)

    def saved(self) -> Saved:
        """In the layout that takes b_dec from x first: the same features, with b_enc + b_dec W_enc for b_enc."""
        tensors = self.tensors("W_enc", "b_enc", "W_dec", "b_dec")
        tensors["b_enc"] = (self.b_enc + self.b_dec @ self.W_enc).detach()
        return Saved("standard", tensors)


class E2E(Local):
    """loss = KL(p || p with x_hat in the place of x) + l1 * mean sum_i f_i; x_hat need not resemble x."""

    name = "e2e"
    needs: ClassVar[tuple[str, ...]] = ("tail",)

    def spliced(self, step: Step) -> tuple[Tensor, Tensor, Downstream, Downstream]:
        assert step.tail is not None, "declared in needs"
        assert step.clean is not None, "declared in needs"
        f = self.encode(step.x)
        x_hat = self.decode(f)
        return f, x_hat, step.tail(x_hat), step.clean

    def loss(self, step: Step) -> Outcome:
        f, x_hat, after, clean = self.spliced(step)
        return Outcome({"kl": kl(clean.logits, after.logits), "l1": self.penalty(f, step.progress)}, f, x_hat)
