"""The k largest features of every row, and an auxiliary loss that revives the dead ones (Gao et al. 2024)."""

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.saes.base import Outcome, Recipe, Saved, Step
from boardsae.saes.kept import Kept
from boardsae.saes.top import keep_top


class TopK(Kept):
    """f = TopK_k(ReLU((x - b_dec) W_enc + b_enc)),  loss = mean ||x - x_hat||^2 + aux * AuxK [+ multi * error at 4k].

    AuxK = ||e - e_hat||^2 / ||e - mean(e)||^2, where e = x - x_hat is not differentiated and e_hat is decoded,
    without b_dec, from the d / 2 largest pre-activations among features that were silent for `dead_after` rows.
    `multi` adds the error of the 4k largest, 1/8 in the paper, whose codes then serve for any k.

    Deviations: one scalar scales the inputs where the paper normalises every row; dead after 200,000 rows and not
    10 million tokens, since our runs are shorter.
    """

    name = "topk"

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
        super().__init__(d, features, random, recipe, k=k, aux=aux, dead_after=dead_after)
        self.multi = multi

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        return keep_top(self.pre(x).relu(), self.k)

    def loss(self, step: Step) -> Outcome:
        pre = self.pre(step.x)
        f = keep_top(pre.relu(), self.k)
        outcome = self.outcome(step, f, self.decode(f))
        if self.multi:
            wide = self.decode(keep_top(pre.relu(), min(4 * self.k, self.features)))
            outcome.terms["multi"] = self.multi * self.error(step.x, wide, squared=True)
        return outcome

    def by_hand(self, step: Step) -> Outcome | None:
        return None if self.multi else self.kept_by_hand(step, lambda f: keep_top(f, self.k, own=True))

    def saved(self) -> Saved:
        return Saved("topk", self.tensors("W_enc", "b_enc", "W_dec", "b_dec"), self.k)
