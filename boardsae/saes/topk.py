"""The k largest features of every row, and an auxiliary loss that revives the dead ones (Gao et al. 2024)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boardsae.saes import by_hand
from boardsae.saes.base import FIT, SAE, Outcome, Recipe, Saved, Step, places_of
from boardsae.saes.product import product
from boardsae.saes.top import keep_top


class TopK(SAE):
    """f = TopK_k(ReLU((x - b_dec) W_enc + b_enc)),  loss = mean ||x - x_hat||^2 + aux * AuxK [+ multi * error at 4k].

    AuxK = ||e - e_hat||^2 / ||e - mean(e)||^2, where e = x - x_hat is not differentiated and e_hat is decoded,
    without b_dec, from the `k_aux` (d / 2) largest pre-activations among features that were silent for
    `dead_after` rows. `multi` adds the error of the 4k largest, 1/8 in the paper, whose codes then serve for any k.

    Deviations: one scalar scales the inputs where the paper normalises every row; dead after 200,000 rows and not
    10 million tokens, since our runs are shorter.
    """

    name = "topk"
    sparsity = "k"

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
        multi: float = 0.0,
    ):
        if not 1 <= k <= features:
            raise ValueError(f"expected k from 1 to the {features} features, got {k}")
        super().__init__(d, features, random, recipe)
        self.k, self.aux, self.dead_after, self.multi = k, aux, dead_after, multi

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        return keep_top(self.pre(x).relu(), self.k)

    def loss(self, step: Step) -> Outcome:
        pre = self.pre(step.x)
        f = keep_top(pre.relu(), self.k)
        x_hat = self.decode(f)
        terms = {"error": self.error(step.x, x_hat, squared=True)}
        if self.aux:
            terms["aux"] = self.aux * revival(self, step.x, x_hat, self.dead(self.dead_after))
        if self.multi:
            wide = self.decode(keep_top(pre.relu(), min(4 * self.k, self.features)))
            terms["multi"] = self.multi * self.error(step.x, wide, squared=True)
        return Outcome(terms, f, x_hat)

    def by_hand(self, step: Step) -> Outcome | None:
        if self.multi:
            return None
        passed = by_hand.step(self, step.x, lambda f: keep_top(f, self.k, own=True))
        terms = {"error": passed.error}
        if self.aux:
            aux = self.aux * revival(self, step.x, passed.x_hat, self.dead(self.dead_after))
            if aux.requires_grad:
                aux.backward()
            terms["aux"] = aux.detach()
        return Outcome(terms, passed.f, passed.x_hat, fired=passed.fired)

    def saved(self) -> Saved:
        return Saved("topk", self.tensors("W_enc", "b_enc", "W_dec", "b_dec"), self.k)


def revival(
    sae: SAE, x: Float[Tensor, "row d"], x_hat: Float[Tensor, "row d"], asleep: Bool[Tensor, " feature"]
) -> Float[Tensor, ""]:
    """How badly the features that are asleep rebuild alone what the others missed; 0 while none is asleep."""
    places = places_of(asleep)
    if not len(places):
        return x.new_zeros(())
    missed = (x - x_hat).detach()
    bias = sae.b_enc - sae.b_dec @ sae.W_enc
    pre = product(x, sae.W_enc[:, places], sae.bf16) + bias[places]
    f = keep_top(pre.relu(), min(sae.d // 2, len(places)))
    left = (missed - f @ sae.W_dec[places]).square().sum()
    return left / ((missed - missed.mean(0)).square().sum() + FIT)
