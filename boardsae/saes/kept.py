"""What variants that keep a number of features share: AuxK (Gao et al. 2024), which wakes those that fell asleep."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boardsae.saes import by_hand
from boardsae.saes.base import FIT, SAE, Outcome, Recipe, Step, places_of
from boardsae.saes.product import product
from boardsae.saes.top import keep_top


class Kept(SAE):
    """k features a row, of the row or on average, and `aux` times AuxK, whose formula stands in topk."""

    sparsity = "k"

    def __init__(
        self,
        d: int,
        features: int,
        random: torch.Generator,
        recipe: Recipe,
        *,
        k: int,
        aux: float,
        dead_after: int,
    ):
        if not 1 <= k <= features:
            raise ValueError(f"expected k from 1 to the {features} features, got {k}")
        super().__init__(d, features, random, recipe)
        self.k, self.aux, self.dead_after = k, aux, dead_after

    def asleep(self) -> Bool[Tensor, " feature"]:
        return self.dead(self.dead_after)

    def revival(self, x: Float[Tensor, "row d"], x_hat: Float[Tensor, "row d"]) -> dict[str, Tensor]:
        """The term of AuxK, where there is one; 0 while no feature is asleep."""
        if not self.aux:
            return {}
        places = places_of(self.asleep())
        if not len(places):
            return {"aux": x.new_zeros(())}
        missed = (x - x_hat).detach()
        pre = product(x, self.W_enc[:, places], self.bf16) + self.bias[places]
        f = keep_top(pre.relu(), min(self.d // 2, len(places)))
        left = (missed - f @ self.W_dec[places]).square().sum()
        return {"aux": self.aux * (left / ((missed - missed.mean(0)).square().sum() + FIT))}

    def outcome(self, step: Step, f: Float[Tensor, "row feature"], x_hat: Float[Tensor, "row d"]) -> Outcome:
        """Of the features that were kept and what they rebuild."""
        error = self.error(step.x, x_hat, squared=True)
        return Outcome({"error": error} | self.revival(step.x, x_hat), f, x_hat)

    def kept_by_hand(self, step: Step, select: by_hand.Select) -> Outcome:
        """The same by hand, from the `select` of features."""
        return self.with_revival(step, by_hand.step(self, step.x, select))

    def with_revival(self, step: Step, passed: by_hand.Passed) -> Outcome:
        """The outcome of a step by hand once the gradient of AuxK, which is autograd's, is added."""
        terms = self.revival(step.x, passed.x_hat)
        for term in terms.values():
            if term.requires_grad:
                term.backward()
        told = {"error": passed.error} | {name: term.detach() for name, term in terms.items()}
        return Outcome(told, passed.f, passed.x_hat, fired=passed.fired)
