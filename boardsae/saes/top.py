"""The largest values, of every row or of a whole batch: exact, and on a CPU many times as fast as sorting.

Bits of values above 0, read as whole numbers, have the same order, and those of the others are below them. Of equal
values the first are kept. Elsewhere than on a CPU torch's own topk does the work.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from games.bits import kernel

WHOLE = {torch.float32: torch.int32, torch.bfloat16: torch.int16}  # as wide
BELOW = {
    torch.float32: 1 << 22,
    torch.bfloat16: 1 << 6,
}  # half the way from a number's bits to those of its half
BINS = 1 << 16


def keep_top(values: Float[Tensor, "row feature"], k: int, own: bool = False) -> Float[Tensor, "row feature"]:
    """The k largest of every row, 0 elsewhere; negative ones are never among them. `own` values are overwritten."""
    if values.device.type != "cpu" or values.dtype not in WHOLE:
        top, places = values.topk(k, dim=-1, sorted=False)
        return torch.zeros_like(values).scatter_(-1, places, top.clamp(min=0))
    return masked(
        values, lambda bits: _keep_rows(bits.reshape(-1, bits.shape[-1]), k, BELOW[values.dtype]), own
    )


def keep_each(
    values: Float[Tensor, "row feature"], ks: Int[Tensor, " row"], own: bool = False
) -> Float[Tensor, "row feature"]:
    """The k largest of every row, 0 elsewhere, each row with a k of its own."""
    if values.device.type != "cpu" or values.dtype not in WHOLE:
        order = values.detach().argsort(dim=-1, descending=True, stable=True)
        places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
        return values.clamp(min=0) * (torch.empty_like(order).scatter_(-1, order, places) < ks[:, None])
    return masked(values, lambda bits: _keep_each(bits, ks.numpy()), own)


def keep_largest(
    values: Float[Tensor, "row feature"], n: int, own: bool = False
) -> Float[Tensor, "row feature"]:
    """The n largest of all rows together, 0 elsewhere."""
    n = min(n, values.numel())
    if values.device.type != "cpu" or values.dtype not in WHOLE:
        top, places = values.flatten().topk(n, sorted=False)
        return torch.zeros_like(values).flatten().scatter(0, places, top.clamp(min=0)).view_as(values)
    shift = 15 if values.dtype == torch.float32 else 0
    return masked(values, lambda bits: _keep_largest(bits.reshape(-1), n, shift), own)


def masked(values: Tensor, clear: Any, own: bool) -> Tensor:
    """The values with what `clear` clears at 0; gradients flow to those that stay."""
    kept = values if own else values.detach().clone(memory_format=torch.contiguous_format)
    clear(kept.view(WHOLE[kept.dtype]).numpy())
    return values * (kept > 0) if values.requires_grad else kept


@kernel
def _keep_rows(bits, k, below):
    """Clears all but the k largest of every row. A little below the last row's bound is a good guess for the next's."""
    held = np.empty(bits.shape[1], bits.dtype)
    guess = np.int64(1)
    for row in bits:
        found = _reaching(row, guess, held)
        step = below
        while found < k and guess > 1:  # too high
            step *= 4
            guess = max(np.int64(1), guess - step)
            found = _reaching(row, guess, held)
        bound = guess
        if found > k:
            bound = _bound(held[:found], k, guess)
        held[0] = bound
        _cut(row, held[0], k)
        guess = max(np.int64(1), bound - below)


@kernel
def _keep_each(bits, ks):
    held = np.empty(bits.shape[1], bits.dtype)
    for i in range(len(bits)):
        found = _reaching(bits[i], np.int64(1), held)
        if ks[i] == 0:
            bits[i] = 0
            continue
        held[0] = _bound(held[:found], ks[i], np.int64(1)) if found > ks[i] else 1
        _cut(bits[i], held[0], ks[i])


@kernel
def _reaching(row, bound, held):
    """Holds what reaches the bound, one after the other; answers with how many do."""
    found = 0
    for value in row:
        held[found] = value  # overwritten by the next, unless it does
        found += value >= bound
    return found


@kernel
def _cut(values, bound, k):
    """Clears what does not reach the bound, and of what equals it the last ones where more than k would stay.

    The bound is as wide as the values: they are compared as vectors then.
    """
    kept = np.int32(0)
    for j in range(values.shape[0]):
        keep = values[j] >= bound
        values[j] *= keep
        kept += np.int32(keep)
    last = len(values) - 1
    while kept > k:
        if values[last] == bound:
            values[last] = 0
            kept -= 1
        last -= 1


@kernel
def _bound(held, k, low):
    """The largest number that k of them reach, as they do `low`, by halving."""
    high = np.int64(held[0])
    for value in held:
        high = max(high, np.int64(value))
    while low < high:
        middle = (low + high + 1) >> 1
        reached = 0
        for value in held:
            reached += value >= middle
        if reached >= k:
            low = middle
        else:
            high = middle - 1
    return low


@kernel
def _keep_largest(bits, n, shift):
    """Clears all but the n largest: a histogram of the upper bits finds the bin of the bound, one of the rest it."""
    counts = np.zeros(BINS, np.int64)
    for value in bits:
        if value > 0:
            counts[value >> shift] += 1
    bin, above = _bin_of(counts, n, 0)
    bound = bin
    if shift:
        counts[:] = 0
        for value in bits:
            if value > 0 and value >> shift == bin:
                counts[value & ((1 << shift) - 1)] += 1
        low, above = _bin_of(counts, n, above)
        bound = (bin << shift) + low
    wide = np.empty(1, bits.dtype)
    wide[0] = max(bound, np.int64(1))
    _cut(bits, wide[0], n)


@kernel
def _bin_of(counts, n, above):
    """The highest bin with which n are reached, and how many lie above it; bin 0 where there are fewer."""
    bin = len(counts) - 1
    while bin > 0 and above + counts[bin] < n:
        above += counts[bin]
        bin -= 1
    return bin, above
