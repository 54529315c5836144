"""Matrix products of training, in bfloat16 where the hardware multiplies it faster; everything else stays float32.

Weights, sums, thresholds and statistics are float32. A trained SAE is scored in float32, whatever it was trained in.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class Product(torch.autograd.Function):
    """a @ b and its gradients, each product in bfloat16."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:  # type: ignore[override]
        a, b = a.bfloat16(), b.bfloat16()
        ctx.save_for_backward(a, b)
        return (a @ b).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        a, b = ctx.saved_tensors
        grad = grad.bfloat16()
        by_a = (grad @ b.T).float() if ctx.needs_input_grad[0] else None
        by_b = (a.T @ grad).float() if ctx.needs_input_grad[1] else None
        return by_a, by_b


def product(
    a: Float[Tensor, "row inner"], b: Float[Tensor, "inner column"], bf16: bool
) -> Float[Tensor, "row column"]:
    return Product.apply(a, b) if bf16 else a @ b  # type: ignore[return-value]
