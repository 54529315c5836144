"""Nested dictionaries: every prefix of the features must rebuild the activation (Bussmann et al. 2025)."""

from itertools import pairwise

import torch
from torch import Tensor

from boardsae.saes import passes
from boardsae.saes.base import Outcome, Step
from boardsae.saes.batch_topk import BatchTopK
from boardsae.saes.by_hand import Code, Gradients, Passed, encoded, give

SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 17 / 32)  # of the features, group by group


class Matryoshka(BatchTopK):
    """The selection of batch_topk over all features at once; x_hat^(g) is decoded from the first g groups,

    loss = mean over g of mean ||x - x_hat^(g)||^2 + aux * AuxK on the error of all groups.

    Deviation: every prefix weighs the same and their mean is taken once, where the authors' code does so twice.
    """

    name = "matryoshka"

    def groups(self) -> list[slice]:
        """The places of each group's features."""
        shares = torch.tensor(SHARES).cumsum(0)
        ends = [max(1, round(self.features * share)) for share in shares.tolist()]
        return [slice(first, end) for first, end in pairwise([0, *ends])]

    def loss(self, step: Step) -> Outcome:
        f = self.select(self.pre(step.x).relu(), step.progress)
        x_hat, errors = self.b_dec.expand_as(step.x), list[Tensor]()
        for group in self.groups():
            x_hat = x_hat + f[:, group] @ self.W_dec[group]
            errors.append(self.error(step.x, x_hat, squared=True))
        terms = {"error": torch.stack(errors).mean()}
        return Outcome(terms | self.revival(step.x, x_hat), f, x_hat)

    def by_hand(self, step: Step) -> Outcome:
        return self.with_revival(step, self.passed(step))

    @torch.no_grad()
    def passed(self, step: Step) -> Passed:
        """From the last group to the first: a group's features are in the error of every prefix from theirs on."""
        f, groups = self.select(encoded(self, step.x), step.progress), self.groups()
        total = passes.rectified(f)
        codes = [Code(f[:, group].contiguous()) for group in groups]
        x_hat, missed = self.b_dec.expand_as(step.x), list[Tensor]()
        for code, group in zip(codes, groups, strict=True):
            x_hat = x_hat + code.decoded(self.W_dec[group])
            missed.append(x_hat - step.x)
        share, back, found = 1 / (len(step.x) * len(groups)), torch.zeros_like(step.x), list[Gradients]()
        for code, group, left in reversed([*zip(codes, groups, missed, strict=True)]):
            back.add_(left, alpha=2 * share)
            found.insert(0, code.gradients(step.x, back, self.W_dec[group]))
        by_enc, by_bias, by_dec, charged = zip(*found, strict=True)
        self.b_enc.grad = torch.cat(by_bias)
        whole = Gradients(torch.cat(by_enc, 1), self.b_enc.grad, torch.cat(by_dec), charged[0])
        give(self, whole, back.sum(0))
        error = share * torch.stack([left.square().sum() for left in missed]).sum()
        return Passed(f, x_hat, error, total, whole.charged)
