"""Nested dictionaries: every prefix of the features must rebuild the activation (Bussmann et al. 2025)."""

import torch
from torch import Tensor

from boardsae.saes.base import Outcome, Step
from boardsae.saes.batch_topk import BatchTopK

SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 17 / 32)  # of the features, group by group


class Matryoshka(BatchTopK):
    """The selection of batch_topk over all features at once; x_hat^(g) is decoded from the first g groups,

    loss = mean over g of mean ||x - x_hat^(g)||^2 + aux * AuxK on the error of all groups.

    Deviation: every prefix weighs the same and their mean is taken once, where the authors' code does so twice.
    """

    name = "matryoshka"

    def ends(self) -> list[int]:
        """Where the groups end."""
        shares = torch.tensor(SHARES).cumsum(0)
        return [max(1, round(self.features * share)) for share in shares.tolist()]

    def loss(self, step: Step) -> Outcome:
        pre = self.pre(step.x)
        f = self.select(pre.relu(), step.progress)
        x_hat, first, errors = self.b_dec.expand_as(step.x), 0, list[Tensor]()
        for end in self.ends():
            x_hat = x_hat + f[:, first:end] @ self.W_dec[first:end]
            errors.append(self.error(step.x, x_hat, squared=True))
            first = end
        terms = {"error": torch.stack(errors).mean()}
        if self.aux:
            terms["aux"] = self.aux * self.revival(step.x, x_hat)
        return Outcome(terms, f, x_hat)
