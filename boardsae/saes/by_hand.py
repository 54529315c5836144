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
    wanted: tuple[float, float]


class Gradients(NamedTuple):
    """Of an encoder that takes nothing from x, and of a decoder."""

    w_enc: Float[Tensor, "d feature"]
    b_enc: Float[Tensor, " feature"]
    w_dec: Float[Tensor, "feature d"]
    charged: Float[Tensor, " power"]


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
    bias = sae.b_enc - sae.b_dec @ sae.W_enc if centred else sae.b_enc
    f = torch.addmm(bias.to(kind), given, sae.W_enc.to(kind)).relu_()
    if select is not None:
        f = select(f)
    active = sparse.few(f)
    w_dec = sae.W_dec.to(kind) if active is None else sae.W_dec
    decoded = (f @ w_dec).float() if active is None else sparse.decoded(active, w_dec)
    x_hat = decoded + sae.b_dec
    left = x_hat - x
    back, slope = left * (2 / rows), slope / rows
    if powers is not None:
        powers = powers._replace(slope=powers.slope / rows)
    if active is None:
        found = densely(w_dec, given, f, back, slope, powers)
    else:
        found = sparsely(w_dec, x, active, back, slope, powers)
    by_dec = back.sum(0)
    if centred:
        found.w_enc.addr_(sae.b_dec, found.b_enc, alpha=-1)
        by_dec.addmv_(sae.W_enc, found.b_enc, alpha=-1)
    sae.W_enc.grad, sae.b_enc.grad, sae.b_dec.grad = found.w_enc, found.b_enc, by_dec
    if sae.W_dec.requires_grad:
        sae.W_dec.grad = found.w_dec
    error = left.square().sum() / rows
    return Passed(f, x_hat, error, f.sum(0, dtype=torch.float32), found.charged)


def densely(
    w_dec: Float[Tensor, "feature d"],
    given: Float[Tensor, "row d"],
    f: Float[Tensor, "row feature"],
    back: Float[Tensor, "row d"],
    slope: float,
    powers: Powers | None,
) -> Gradients:
    """By products over all features; the charge joins one of them."""
    back, charge = back.to(f.dtype), f.new_full((len(w_dec),), slope)
    by_f = torch.addmm(charge, back, w_dec.T)
    charged = torch.zeros(2)
    if powers is None:
        by_f = torch.ops.aten.threshold_backward(by_f, f, 0)
    else:
        charged = charge_by_power(by_f, f, powers)
    sums = by_f.sum(0, dtype=torch.float32)
    return Gradients((given.T @ by_f).float(), sums, (f.T @ back).float(), charged)


def sparsely(
    w_dec: Float[Tensor, "feature d"],
    x: Float[Tensor, "row d"],
    active: sparse.Active,
    back: Float[Tensor, "row d"],
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
