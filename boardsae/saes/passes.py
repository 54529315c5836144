"""Passes over all features on a CPU: what torch takes several for, done in one, with sums in float32.

Torch clears bfloat16 in one pass, widens all of it to float32 in a second and sums it in a third: at 4,096 rows of
1,024 features that takes as long as two of the five products of a step. Where it compares, or clears by truth values,
a million features take it a millisecond or more.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boardsae.saes.top import WHOLE
from games.bits import kernel

ONE, HALF, SIXTEEN = np.uint32(1), np.uint32(0x7FFF), np.uint32(16)  # of what is rounded away
NEGATIVE, INFINITE = np.uint32(0x8000), np.uint32(0xFF80)  # beyond it only what is no number
UNSIGNED = np.uint32(0x7FFF)


def rectified(z: Float[Tensor, "row feature"]) -> Float[Tensor, " feature"]:
    """Clears in place what is below 0; answers with the sums over the rows."""
    if z.device.type != "cpu":
        return z.relu_().sum(0, dtype=torch.float32)
    sums = torch.zeros(z.shape[1])
    if z.dtype == torch.bfloat16:
        _rectify(bits(z), sums.numpy())
    else:
        _rectify_wide(z.numpy(), sums.numpy())
    return sums


def let_through(
    by_f: Float[Tensor, "row feature"], f: Float[Tensor, "row feature"]
) -> Float[Tensor, " feature"]:
    """Clears in place the gradients of features that are not active; answers with the sums over the rows."""
    if by_f.device.type != "cpu":
        torch.ops.aten.threshold_backward.grad_input(by_f, f, 0, grad_input=by_f)  # in one pass
        return by_f.sum(0, dtype=torch.float32)
    sums = torch.zeros(f.shape[1])
    if by_f.dtype == torch.bfloat16:
        _let_through(bits(by_f), bits(f), sums.numpy())
    else:
        _let_through_wide(by_f.numpy(), f.numpy(), sums.numpy())
    return sums


def charged(
    by_f: Float[Tensor, "row feature"],
    f: Float[Tensor, "row feature"],
    slope: float,
    powers: tuple[float, float],
) -> tuple[Float[Tensor, " feature"], Float[Tensor, " power"]]:
    """The same with slope * f^(p - 1) added to the gradients of active features, p the first of the `powers`.

    And the sums of both powers of f over all rows and features. Bfloat16 knows 32,768 numbers from 0 up: on a CPU
    their powers are looked up.
    """
    p = powers[0]
    if by_f.device.type != "cpu":
        by_f.add_(f.pow(p - 1), alpha=slope)  # at 0 it is infinite, and cleared
        return let_through(by_f, f), torch.stack([power_sum(f, power) for power in powers])
    if by_f.dtype != torch.bfloat16:
        values = f.float()
        more = by_f + slope * values.pow(p - 1)  # at 0 it is infinite, and not taken
        by_f.copy_(more.where(f > 0, 0))
        return by_f.sum(0, dtype=torch.float32), torch.stack([values.pow(power).sum() for power in powers])
    sums, slopes = torch.zeros(f.shape[1]), np.float32(slope) * all_to_the(p - 1)
    first, second = map(all_to_the, powers)
    found = _charge(bits(by_f), bits(f), slopes, first, second, sums.numpy())
    return sums, torch.tensor(found)


def power_sum(f: Float[Tensor, "row feature"], power: float) -> Float[Tensor, ""]:
    """Of all features. A norm of every feature takes one pass, in float32; the norm of all could be beyond it."""
    return torch.linalg.vector_norm(f, power, 0, dtype=torch.float32).pow(power).sum()


@lru_cache(maxsize=8)  # a power stays for many steps
def all_to_the(power: float) -> np.ndarray:
    """What bfloat16 knows from 0 up, to a power; 0 at 0."""
    known = torch.arange(1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()
    made = known.pow(power)
    made[0] = 0.0
    return made.numpy()


def active_rows(f: Float[Tensor, "row feature"]) -> Float[Tensor, " feature"]:
    """How many rows each feature is active in."""
    if f.device.type != "cpu":
        return (f > 0).sum(0).float()
    counts = np.zeros(f.shape[1], np.int32)
    _count_positive(f.view(WHOLE[f.dtype]).numpy(), counts)
    return torch.from_numpy(counts).float()


def least(f: Float[Tensor, "row feature"]) -> Float[Tensor, ""]:
    """The smallest value of an active feature, infinite where none is active."""
    if f.device.type != "cpu":
        return f.where(f > 0, torch.inf).min().float()
    found = _least_positive(f.view(WHOLE[f.dtype]).numpy())
    whole = torch.tensor(found, dtype=WHOLE[f.dtype])
    return whole.view(f.dtype).float() if found else torch.tensor(torch.inf)


def jumped(
    z: Float[Tensor, "row feature"], theta: Float[Tensor, " feature"], half: float
) -> tuple[Float[Tensor, "row feature"], Float[Tensor, "row feature"], Tensor]:
    """What exceeds its threshold, 1 wherever z is nearer to it than `half`, and how many exceed theirs."""
    wide = z.float()
    if z.device.type != "cpu":
        active, near = wide > theta, (wide - theta).abs() < half
        return z * active, near.to(z.dtype), active.sum()
    near = torch.empty_like(wide)
    wide = wide.clone() if wide is z else wide
    count = _jump(wide.numpy(), theta.detach().numpy(), np.float32(half), near.numpy())
    return wide.to(z.dtype), near.to(z.dtype), torch.tensor(count)


def bits(values: Tensor) -> np.ndarray:
    assert values.dtype == torch.bfloat16, values.dtype  # kernels would read twice as far
    return values.view(torch.int16).numpy().view(np.uint16)


# Conditions are factors: with branches numba's loops do not become vectors.
@kernel
def _rectify(z, sums):
    for i in range(z.shape[0]):
        row = z[i]
        for j in range(row.shape[0]):
            held = np.uint32(row[j])
            held = held * np.uint32((held < NEGATIVE) | (held > INFINITE)) & UNSIGNED
            row[j] = np.uint16(held)
            sums[j] += np.uint32(held << SIXTEEN).view(np.float32)


@kernel
def _let_through(by_f, f, sums):
    for i in range(f.shape[0]):
        gradients, features = by_f[i], f[i]
        for j in range(features.shape[0]):
            held = np.uint32(gradients[j]) * np.uint32(features[j] != 0)
            gradients[j] = np.uint16(held)
            sums[j] += np.uint32(held << SIXTEEN).view(np.float32)


@kernel
def _rectify_wide(z, sums):
    for i in range(z.shape[0]):
        row = z[i]
        for j in range(row.shape[0]):
            held = np.float32(0) if row[j] <= 0 else row[j]  # also -0, but not what is no number
            row[j] = held
            sums[j] += held


@kernel
def _let_through_wide(by_f, f, sums):
    for i in range(f.shape[0]):
        gradients, features = by_f[i], f[i]
        for j in range(features.shape[0]):
            held = np.float32(0) if features[j] <= 0 else gradients[j]
            gradients[j] = held
            sums[j] += held


@kernel
def _count_positive(bits, counts):
    for i in range(bits.shape[0]):
        row = bits[i]
        for j in range(row.shape[0]):
            counts[j] += np.int32(row[j] > 0)


@kernel
def _least_positive(bits):
    """0 where none is."""
    top = np.int64(1) << 31
    least = top
    for row in bits:
        for j in range(row.shape[0]):
            value = np.int64(row[j])
            least = min(least, value + (value <= 0) * top)
    return 0 if least >= top else least


@kernel
def _jump(z, theta, half, near):
    active = 0
    for i in range(z.shape[0]):
        row, close = z[i], near[i]
        for j in range(row.shape[0]):
            above = row[j] - theta[j]
            close[j] = np.float32(abs(above) < half)
            active += above > 0
            row[j] = row[j] if not above <= 0 else np.float32(0)
    return active


@kernel
def _charge(by_f, f, slopes, first, second, sums):
    a = b = 0.0
    places = np.empty(f.shape[1], np.int32)
    for i in range(f.shape[0]):
        gradients, features = by_f[i], f[i]
        active = 0
        for j in range(features.shape[0]):
            places[active] = j  # overwritten by the next, unless it is active
            active += features[j] != 0
        for j in range(features.shape[0]):
            gradients[j] *= np.uint16(features[j] != 0)
        for at in range(active):
            j = places[at]
            held = features[j]
            gradient = np.uint32(np.uint32(gradients[j]) << SIXTEEN).view(np.float32)
            more = np.float32(gradient + slopes[held])
            whole = more.view(np.uint32)
            gradients[j] = np.uint16((whole + HALF + ((whole >> SIXTEEN) & ONE)) >> SIXTEEN)  # to nearest
            sums[j] += more
            a += first[held]
            b += second[held]
    return a, b
