"""Products with features of which few are active: only those are multiplied, on a CPU, in float32.

At 32 active features of 1,024, what is skipped is 97% of four of the five products of a step. Every sum runs in the
order of the rows, whatever the number of threads, so that the same step gives the same bits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from numba import njit
from torch import Tensor

from boardsae.devices import has_matrix_units
from games.bits import kernel

quick = njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # a sum of products in several lanes
MOST = 1 / 10  # share of active features; beyond it dense products in bfloat16 are as fast
MOST_OF_MATRIX_UNITS = 1 / 50  # which multiply bfloat16 ten times as fast
SAMPLE = 64  # rows
CACHED = 1 << 20  # bytes of a core's second cache


class Active(NamedTuple):
    """The active features of all rows, one after the other."""

    rows: Int[np.ndarray, " active"]
    features: Int[np.ndarray, " active"]
    values: Float32[np.ndarray, " active"]
    of_row: Int[np.ndarray, " row_and_end"]  # where the active features of a row begin
    of_feature: Int[np.ndarray, " feature_and_end"]  # where the places of a feature begin, in `by_feature`
    by_feature: Int[np.ndarray, " active"]  # the same, sorted by feature and then by row


def few(f: Float[Tensor, "row feature"]) -> Active | None:
    """The active ones, where they are few enough to be worth it."""
    if f.device.type != "cpu":
        return None
    # Of what is not active all bits are 0: -0 would count as active.
    bits = f.view(torch.int16 if f.dtype == torch.bfloat16 else torch.int32).numpy()
    bound = most(f.dtype)
    if (
        np.count_nonzero(bits[:SAMPLE]) > 2 * bound * bits[:SAMPLE].size
    ):  # far beyond it: without a count of all
        return None
    of_row, of_feature = _count(bits)
    if of_row[-1] > bound * bits.size:
        return None
    rows, features, held, by_feature = _places(bits, of_row, of_feature)
    values = torch.from_numpy(held).view(f.dtype).float().numpy()
    return Active(rows, features, values, of_row, of_feature, by_feature)


def most(dtype: torch.dtype) -> float:
    return MOST_OF_MATRIX_UNITS if dtype == torch.bfloat16 and has_matrix_units() else MOST


def decoded(active: Active, w_dec: Float[Tensor, "feature d"]) -> Float[Tensor, "row d"]:
    """f W_dec."""
    made = torch.zeros(len(active.of_row) - 1, w_dec.shape[1])
    side_by_side(
        _decode, len(made), active.features, active.values, active.of_row, array(w_dec), made.numpy()
    )
    return made


def gradients(
    active: Active,
    charge: Float[Tensor, " active"],
    back: Float[Tensor, "row d"],
    x: Float[Tensor, "row d"],
    w_dec: Float[Tensor, "feature d"],
) -> tuple[Float[Tensor, "d feature"], Float[Tensor, " feature"], Float[Tensor, "feature d"]]:
    """Of W_enc and b_enc, x^T g and the sum of g over the rows, and of W_dec, f^T back.

    g = back W_dec^T + charge for an active feature, 0 for any other.
    """
    features, d = w_dec.shape
    by_enc, by_dec, sums = torch.zeros(features, d), torch.zeros(features, d), torch.zeros(features)
    side_by_side(
        _gradients,
        features,
        *(active.rows, active.values, active.of_feature, active.by_feature),
        *map(array, (charge, back, x, w_dec, by_enc, by_dec, sums)),
    )
    return by_enc.T.contiguous(), sums, by_dec


def array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def side_by_side(part: Callable[..., None], count: int, *given: np.ndarray) -> None:
    """Runs a kernel on ranges of `count` things, one for each of torch's threads."""
    threads = torch.get_num_threads()
    bounds = [count * i // threads for i in range(threads + 1)]
    if threads == 1:
        part(0, count, *given)
    else:
        list(pool(threads).map(lambda i: part(bounds[i], bounds[i + 1], *given), range(threads)))


@lru_cache(maxsize=1)
def pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


@kernel
def _count(bits):
    rows, features = bits.shape
    of_row, of_feature = np.zeros(rows + 1, np.int64), np.zeros(features + 1, np.int64)
    for i in range(rows):
        active = 0
        for j in range(features):
            on = bits[i, j] != 0
            active += on
            of_feature[j + 1] += on
        of_row[i + 1] = of_row[i] + active
    for j in range(features):
        of_feature[j + 1] += of_feature[j]
    return of_row, of_feature


@kernel
def _places(bits, of_row, of_feature):
    active = of_row[-1]
    rows, features = np.empty(active, np.int32), np.empty(active + 1, np.int32)
    held = np.empty(active + 1, bits.dtype)
    for i in range(bits.shape[0]):
        place = of_row[i]
        for j in range(bits.shape[1]):
            features[place], held[place] = j, bits[i, j]  # overwritten by the next, unless it is active
            place += bits[i, j] != 0
        rows[of_row[i] : place] = i
    by_feature, next_of = np.empty(active, np.int32), of_feature.copy()
    for place in range(active):
        by_feature[next_of[features[place]]] = place
        next_of[features[place]] += 1
    return rows, features[:active], held[:active], by_feature


@quick
def _decode(first, last, features, values, of_row, w_dec, made):
    for i in range(first, last):
        row = made[i]
        for place in range(of_row[i], of_row[i + 1]):
            value, direction = values[place], w_dec[features[place]]
            for t in range(row.shape[0]):
                row[t] += value * direction[t]


@quick
def _gradients(
    first, last, rows, values, of_feature, by_feature, charge, back, x, w_dec, by_enc, by_dec, sums
):
    """Some rows at a time, whose `back` and `x` stay in the cache while all features ask for them."""
    at_once = max(1, CACHED // (8 * x.shape[1]))
    next_of = of_feature.copy()
    for end in range(at_once, len(x) + at_once, at_once):
        for j in range(first, last):
            direction, enc, dec = w_dec[j], by_enc[j], by_dec[j]
            at = next_of[j]
            while at < of_feature[j + 1] and rows[by_feature[at]] < end:
                place = by_feature[at]
                pull, row, value = back[rows[place]], x[rows[place]], values[place]
                g = np.float32(0)
                for t in range(row.shape[0]):
                    g += pull[t] * direction[t]
                g += charge[place]
                for t in range(row.shape[0]):
                    enc[t] += g * row[t]
                    dec[t] += value * pull[t]
                sums[j] += g
                at += 1
            next_of[j] = at
