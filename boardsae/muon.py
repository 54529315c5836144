"""Muon (Jordan et al. 2024): the momentum of a matrix, made nearly orthogonal, is the step.

Every direction of a weight matrix then moves alike. Short runs on our boards get much further with it than with AdamW
(LOG.md). For hidden matrices alone; embeddings and vectors stay with AdamW.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

QUINTIC = (
    3.4445,
    -4.7750,
    2.0315,
)  # steep at 0, so that five rounds suffice; singular values end near 1, not at it
ROUNDS = 5


def orthogonal(matrix: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """About U V^T of the matrix U S V^T, by Newton-Schulz rounds X <- a X + b (X X^T) X + c (X X^T)^2 X."""
    a, b, c = QUINTIC
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = len(x) > x.shape[1]
    x = x.mT if tall else x
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(
        self, matrices: Iterable[Tensor], lr: float = 0.03, momentum: float = 0.95, weight_decay: float = 0.1
    ):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                mean = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(mean, group["momentum"])  # Nesterov's look ahead
                shape = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(orthogonal(ahead), alpha=-group["lr"] * shape)
