"""Gradients by hand of what most variants minimise, with few passes over the features and none that autograd keeps.

    f = select(ReLU((x - b_dec) W_enc + b_enc)),  x_hat = f W_dec + b_dec,  mean ||x - x_hat||^2 + charges on f

It takes five products, which are in bfloat16 where the hardware multiplies it faster; so are the features. The biases
join the first product. Where few features are active, the other four multiply those alone (`sparse`). Autograd stays
the reference: tests compare the two.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boardsae.saes import passes, sparse
from boardsae.saes.base import SAE

Select = Callable[
    [Tensor], Tensor
]  # what stays of pre-activations, which it may overwrite; it need not rectify


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
            return self.f @ w_dec.to(self.f.dtype)
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
    f = encoded(sae, x)
    if select is not None:
        f = select(f)
    total = passes.rectified(f)
    code = Code(f)
    x_hat = code.decoded(sae.W_dec) + sae.b_dec
    left = x_hat - x
    back = left * (2 / len(x))
    found = code.gradients(x, back, sae.W_dec, slope / len(x), shared(powers, len(x)))
    sae.b_enc.grad = found.b_enc
    give(sae, found, back.sum(0), centred)
    error = torch.linalg.vector_norm(left).square() / len(x)
    return Passed(f, x_hat, error, total, found.charged)


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
    """By products over all features; the charge joins one of them. On a CPU what is turned round is the small side: a
    product that takes all features by columns would turn them first."""
    kind = f.dtype
    back, charge = back.to(kind), f.new_full((len(w_dec),), slope)
    by_f = torch.addmm(charge, back, w_dec.to(kind).T)
    if powers is None:
        sums, charged = passes.let_through(by_f, f), torch.zeros(2)
    else:
        sums, charged = passes.charged(by_f, f, powers.slope, powers.wanted)
    x = x.to(kind)
    if f.device.type == "cpu":
        by_enc, by_dec = x.T.contiguous() @ by_f, (back.T.contiguous() @ f).T.contiguous()
    else:
        by_enc, by_dec = x.T @ by_f, f.T @ back
    return Gradients(by_enc.float(), sums, by_dec.float(), charged)


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
