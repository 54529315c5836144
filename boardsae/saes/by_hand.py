"""Gradients by hand of what most variants minimise, with few passes over the features and none that autograd keeps.

    f = select(ReLU((x - b_dec) W_enc + b_enc)),  x_hat = f W_dec + b_dec,  mean ||x - x_hat||^2 + charges on f

It takes five products, which are in bfloat16 where the hardware multiplies it faster; so are the features. The biases
join the first product. Where few features are active, the other four multiply those alone (`sparse`). Autograd stays
the reference: tests compare the two.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boardsae.saes import sparse
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
    wanted: tuple[float, float]  # p, and another

    def penalty(self, sums: Float[Tensor, " power"]) -> Float[Tensor, ""]:
        """What the features of these sums are charged in all: slope / p * sum f^p."""
        return self.slope / self.p * sums[0]


class Gradients(NamedTuple):
    """Of an encoder that takes nothing from x, and of a decoder."""

    w_enc: Float[Tensor, "d feature"]
    b_enc: Float[Tensor, " feature"]
    w_dec: Float[Tensor, "feature d"]
    charged: Float[Tensor, " power"]


class Code:
    """The features of some rows, multiplied in the faster way: all of them, or the active ones alone."""

    def __init__(self, f: Float[Tensor, "row feature"]):
        self.f, self.active = f, sparse.few(f)

    def decoded(self, w_dec: Float[Tensor, "feature d"]) -> Float[Tensor, "row d"]:
        if self.active is None:
            return (self.f @ w_dec.to(self.f.dtype)).float()
        return sparse.decoded(self.active, w_dec)

    def gradients(
        self,
        x: Float[Tensor, "row d"],
        back: Float[Tensor, "row d"],
        w_dec: Float[Tensor, "feature d"],
        slope: float = 0.0,
        powers: Powers | None = None,
    ) -> Gradients:
        """From the gradient by what was decoded. Each active feature of a row is charged `slope`, or by its power."""
        if self.active is None:
            return densely(self.f, x, back, w_dec, slope, powers)
        return sparsely(self.active, x, back, w_dec, slope, powers)


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
    f = encoded(sae, x).relu_()
    code = Code(f if select is None else select(f))
    x_hat = code.decoded(sae.W_dec) + sae.b_dec
    left = x_hat - x
    back = left * (2 / len(x))
    found = code.gradients(x, back, sae.W_dec, slope / len(x), shared(powers, len(x)))
    sae.b_enc.grad = found.b_enc
    give(sae, found, back.sum(0), centred)
    error = left.square().sum() / len(x)
    return Passed(code.f, x_hat, error, code.f.sum(0, dtype=torch.float32), found.charged)


def give(sae: SAE, found: Gradients, by_x_hat: Float[Tensor, " d"], centred: bool = True) -> None:
    """Sets the gradients of both matrices and of b_dec, which a `centred` encoder takes from x first."""
    if centred:
        found.w_enc.addr_(sae.b_dec, found.b_enc, alpha=-1)
        by_x_hat.addmv_(sae.W_enc, found.b_enc, alpha=-1)
    sae.W_enc.grad, sae.b_dec.grad = found.w_enc, by_x_hat
    if sae.W_dec.requires_grad:
        sae.W_dec.grad = found.w_dec


def encoded(sae: SAE, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
    """x W_enc + bias, in the numbers that products are taken in."""
    kind = torch.bfloat16 if sae.bf16 else torch.float32
    return torch.addmm(sae.bias.to(kind), x.to(kind), sae.W_enc.to(kind))


def shared(powers: Powers | None, rows: int) -> Powers | None:
    """The charge of one row of so many, of which the mean is charged."""
    return None if powers is None else powers._replace(slope=powers.slope / rows)


def densely(
    f: Float[Tensor, "row feature"],
    x: Float[Tensor, "row d"],
    back: Float[Tensor, "row d"],
    w_dec: Float[Tensor, "feature d"],
    slope: float,
    powers: Powers | None,
) -> Gradients:
    """By products over all features; the charge joins one of them."""
    back, charge = back.to(f.dtype), f.new_full((len(w_dec),), slope)
    by_f = torch.addmm(charge, back, w_dec.to(f.dtype).T)
    charged = torch.zeros(2)
    if powers is None:
        by_f = torch.ops.aten.threshold_backward(by_f, f, 0)
    else:
        charged = charge_by_power(by_f, f, powers)
    sums = by_f.sum(0, dtype=torch.float32)
    return Gradients((x.to(f.dtype).T @ by_f).float(), sums, (f.T @ back).float(), charged)


def sparsely(
    active: sparse.Active,
    x: Float[Tensor, "row d"],
    back: Float[Tensor, "row d"],
    w_dec: Float[Tensor, "feature d"],
    slope: float,
    powers: Powers | None,
) -> Gradients:
    """The same, by the active features alone."""
    values = torch.from_numpy(active.values)
    charge, charged = torch.full_like(values, slope), torch.zeros(2)
    if powers is not None:
        charge += powers.slope * values.pow(powers.p - 1)
        charged = torch.stack([values.pow(p).sum() for p in powers.wanted])
    return Gradients(*sparse.gradients(active, charge, back, x, w_dec), charged)


def charge_by_power(by_f: Tensor, f: Tensor, powers: Powers) -> Float[Tensor, " power"]:
    """Adds the charge to the gradients of active features, clears the others, answers with the wanted sums of powers.

    Bfloat16 knows 32,768 numbers from 0 up: on a CPU their powers are looked up.
    """
    if f.dtype != torch.bfloat16 or f.device.type != "cpu":
        values = f.float()
        charged = by_f + powers.slope * values.pow(powers.p - 1)  # at 0 it is infinite, and not taken
        by_f.copy_(charged.where(f > 0, 0))
        return torch.stack([values.pow(p).sum() for p in powers.wanted])
    known = torch.arange(1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()
    slopes = powers.slope * known.pow(powers.p - 1)
    slopes[0] = 0.0
    first, second = (known.pow(p).numpy() for p in powers.wanted)
    gradients, features = (tensor.view(torch.int16).numpy().view(np.uint16) for tensor in (by_f, f))
    return torch.tensor(_charge(gradients, features, slopes.numpy(), first, second))


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
