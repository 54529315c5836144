"""Passes over features in bfloat16 on a CPU: what torch takes a pass each for, done in one, with sums in float32.

Torch clears in one pass, widens the whole array to float32 in a second and sums it in a third: at 4,096 rows of 1,024
features that takes as long as two of the five products of a step.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from games.bits import kernel

ONE, HALF, SIXTEEN = np.uint32(1), np.uint32(0x7FFF), np.uint32(16)
NEGATIVE, INFINITE = np.uint32(0x8000), np.uint32(0xFF80)  # beyond it only what is no number


def rectified(z: Float[Tensor, "row feature"]) -> Float[Tensor, " feature"]:
    """Clears in place what is below 0; answers with the sums over the rows."""
    if not here(z):
        return z.relu_().sum(0, dtype=torch.float32)
    sums = torch.zeros(z.shape[1])
    _rectify(bits(z), sums.numpy())
    return sums


def let_through(
    by_f: Float[Tensor, "row feature"], f: Float[Tensor, "row feature"]
) -> Float[Tensor, " feature"]:
    """Clears in place the gradients of features that are not active; answers with the sums over the rows."""
    if not here(by_f):
        by_f.mul_(f > 0)
        return by_f.sum(0, dtype=torch.float32)
    sums = torch.zeros(f.shape[1])
    _let_through(bits(by_f), bits(f), sums.numpy())
    return sums


def charged(
    by_f: Float[Tensor, "row feature"], f: Float[Tensor, "row feature"], slope: float, powers: tuple[float, float]
) -> tuple[Float[Tensor, " feature"], Float[Tensor, " power"]]:
    """The same with slope * f^(p - 1) added to the gradients of active features, p the first of the `powers`.

    And the sums of both powers of f over all rows and features. Bfloat16 knows 32,768 numbers from 0 up: on a CPU
    their powers are looked up.
    """
    p = powers[0]
    if not here(by_f):
        values = f.float()
        more = by_f + slope * values.pow(p - 1)  # at 0 it is infinite, and not taken
        by_f.copy_(more.where(f > 0, 0))
        return by_f.sum(0, dtype=torch.float32), torch.stack([values.pow(power).sum() for power in powers])
    known = torch.arange(1 << 15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16).float()
    slopes = slope * known.pow(p - 1)
    slopes[0] = 0.0
    first, second = (known.pow(power).numpy() for power in powers)
    sums = torch.zeros(f.shape[1])
    found = _charge(bits(by_f), bits(f), slopes.numpy(), first, second, sums.numpy())
    return sums, torch.tensor(found)


def here(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.bfloat16


def bits(values: Tensor) -> np.ndarray:
    return values.view(torch.int16).numpy().view(np.uint16)


# Conditions are factors: with branches numba's loops do not become vectors.
@kernel
def _rectify(z, sums):
    for i in range(z.shape[0]):
        row = z[i]
        for j in range(row.shape[0]):
            held = np.uint32(row[j])
            held *= np.uint32((held < NEGATIVE) | (held > INFINITE))
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
def _charge(by_f, f, slopes, first, second, sums):
    a = b = 0.0
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            held = f[i, j]
            if held == 0:
                by_f[i, j] = 0
                continue
            gradient = np.uint32(np.uint32(by_f[i, j]) << SIXTEEN).view(np.float32)
            more = np.float32(gradient + slopes[held])
            whole = more.view(np.uint32)
            by_f[i, j] = np.uint16((whole + HALF + ((whole >> SIXTEEN) & ONE)) >> SIXTEEN)  # to nearest
            sums[j] += more
            a += first[held]
            b += second[held]
    return a, b
