"""Muon (Jordan et al. 2024): the momentum of a matrix, made nearly orthogonal, is the step.

Every direction of a weight matrix then moves alike. Short runs on our boards get much further with it than with AdamW
(LOG.md). For hidden matrices alone; embeddings and vectors stay with AdamW.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.devices import bf16_pays

QUINTIC = (
    3.4445,
    -4.7750,
    2.0315,
)  # steep at 0, so that five rounds suffice; singular values end near 1, not at it
ROUNDS = 5


def orthogonal(matrices: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
    """About U V^T of each matrix U S V^T, by Newton-Schulz rounds X <- a X + b (X X^T) X + c (X X^T)^2 X."""
    a, b, c = QUINTIC
    x = matrices.bfloat16() if bf16_pays(matrices.device) else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT.contiguous() if tall else x
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(
        self, matrices: Iterable[Tensor], lr: float = 0.03, momentum: float = 0.95, weight_decay: float = 0.1
    ):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike = defaultdict[torch.Size, list[Tensor]](list)  # taken together: few large products
            for weight in group["params"]:
                alike[weight.shape].append(weight)
            for (rows, columns), weights in alike.items():
                steps = orthogonal(torch.stack([self.ahead(each, group["momentum"]) for each in weights]))
                length = max(1.0, rows / columns) ** 0.5
                for weight, step in zip(weights, steps, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(step, alpha=-group["lr"] * length)

    def ahead(self, weight: Tensor, momentum: float) -> Tensor:
        """The gradient with the momentum that it joins: Nesterov's look ahead."""
        assert weight.grad is not None, "a step follows a gradient"
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum)
