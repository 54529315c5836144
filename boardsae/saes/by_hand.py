"""Gradients by hand of what most variants minimise, with few passes over the features and none that autograd keeps.

    f = select(ReLU((x - b_dec) W_enc + b_enc)),  x_hat = f W_dec + b_dec,  mean ||x - x_hat||^2 + charges on f

It takes five products, which are in bfloat16 where the hardware multiplies it faster; so are the features. The biases
join the first product and the charge the fourth. Autograd stays the reference: tests compare the two.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boardsae.saes.base import SAE
from games.bits import kernel

Select = Callable[[Tensor], Tensor]  # what stays of features, which it may overwrite


class Passed(NamedTuple):
    """What a step made on the way; the parameters hold their gradients."""

    f: Float[Tensor, "row feature"]
    x_hat: Float[Tensor, "row d"]
    error: Float[Tensor, ""]
    total: Float[Tensor, " feature"]  # sums of f over the rows
    charged: Float[Tensor, " power"]  # by `powers`, sums over all features

    @property
    def fired(self) -> Bool[Tensor, " feature"]:
        return self.total > 0


class Powers(NamedTuple):
    """A charge of slope * f^(p - 1) on each active feature, and the powers of which the sums are wanted."""

    slope: float
    p: float
    wanted: tuple[float, float]


@torch.no_grad()
def step(
    sae: SAE,
    x: Float[Tensor, "row d"],
    select: Select | None = None,
    slope: float = 0.0,
    powers: Powers | None = None,
    centred: bool = True,
) -> Passed:
    """Sets all gradients. `slope` is the charge of every active feature; `centred` encoders take b_dec from x first."""
    kind = torch.bfloat16 if sae.bf16 else torch.float32
    rows, given = len(x), x.to(kind)
    w_enc, w_dec = sae.W_enc.to(kind), sae.W_dec.to(kind)
    bias = sae.b_enc - sae.b_dec @ sae.W_enc if centred else sae.b_enc
    f = torch.addmm(bias.to(kind), given, w_enc).relu_()
    if select is not None:
        f = select(f)
    x_hat = (f @ w_dec).float() + sae.b_dec
    left = x_hat - x
    back = (left * (2 / rows)).to(kind)
    charge = torch.full((sae.features,), slope / rows, dtype=kind, device=x.device)
    by_f = torch.addmm(charge, back, w_dec.T)
    charged = torch.zeros(2)
    if powers is None:
        by_f = torch.ops.aten.threshold_backward(by_f, f, 0)
    else:
        charged = charge_by_power(by_f, f, powers._replace(slope=powers.slope / rows))
    sums = by_f.sum(0, dtype=torch.float32)
    by_enc, by_dec = (given.T @ by_f).float(), left.sum(0) * (2 / rows)
    if centred:
        by_enc.addr_(sae.b_dec, sums, alpha=-1)
        by_dec.addmv_(sae.W_enc, sums, alpha=-1)
    sae.W_enc.grad, sae.b_enc.grad, sae.b_dec.grad = by_enc, sums, by_dec
    if sae.W_dec.requires_grad:
        sae.W_dec.grad = (f.T @ back).float()
    error = left.square().sum() / rows
    return Passed(f, x_hat, error, f.sum(0, dtype=torch.float32), charged)


def charge_by_power(by_f: Tensor, f: Tensor, powers: Powers) -> Float[Tensor, " power"]:
    """Adds the charge to the gradients of active features, clears the others, answers with the wanted sums of powers.

    Bfloat16 knows 32,768 numbers from 0 up: their powers are looked up.
    """
    known = torch.arange(1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()
    slopes = powers.slope * known.pow(powers.p - 1)
    slopes[0] = 0.0
    first, second = (known.pow(p).numpy() for p in powers.wanted)
    gradients, features = (tensor.view(torch.int16).numpy().view(np.uint16) for tensor in (by_f, f))
    return torch.tensor(_charge(gradients, features, slopes.numpy(), first, second), dtype=torch.float64)


@kernel
def _charge(by_f, f, slopes, first, second):
    one, half, sixteen = np.uint32(1), np.uint32(0x7FFF), np.uint32(16)
    a = b = 0.0
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            held = f[i, j]
            if held == 0:
                by_f[i, j] = 0
                continue
            gradient = np.uint32(np.uint32(by_f[i, j]) << sixteen).view(np.float32)
            charged = np.float32(gradient + slopes[held]).view(np.uint32)
            by_f[i, j] = np.uint16((charged + half + ((charged >> sixteen) & one)) >> sixteen)  # to nearest
            a += first[held]
            b += second[held]
    return a, b
