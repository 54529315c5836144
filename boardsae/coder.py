"""Anything with encode and decode, and what is asked of it before it is scored."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boardsae import Broken
from boardsae.metrics.codes import Codes, codes_of

ROWS = 8192  # encoded at once
DENSE = 0.25  # the share of features above which remembering costs more than encoding again
REMEMBERED = 2**28  # bytes of features that are remembered


@runtime_checkable
class Coder(Protocol):
    """All that an SAE needs in order to be scored. Each row by itself."""

    def encode(self, x: Tensor, /) -> Tensor: ...
    def decode(self, f: Tensor, /) -> Tensor: ...


class Checked:
    """A coder whose shapes and rows are watched: what it says of a row must not depend on the others."""

    def __init__(self, coder: Coder, x: Float[Tensor, "row d"]):
        self.coder, self.d = coder, x.shape[1]
        # The rows are held with their codes, so that their place in memory stays theirs.
        self.known: dict[tuple[int, int], tuple[Tensor, Codes]] = {}
        self.room = REMEMBERED
        some = x[:: max(1, len(x) // 256)][:256]
        together = self.encode(some)
        self.features = together.shape[1]
        alone = torch.cat([self.encode(half) for half in (some[:7], some[7:8], some[8:].flip(0))])
        alone[8:] = alone[8:].flip(0)
        size = together.abs().max().item() or 1.0
        differing = ((together - alone).abs().amax(1) > 1e-3 * size).nonzero()[:, 0]
        if len(differing) > 2:  # a tie may fall either way
            rows = ", ".join(map(str, differing[:5].tolist()))
            raise ValueError(
                f"expected an encoder that reads each row by itself; rows {rows} change with what else is in the batch"
            )
        self.decode(together, some)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        f = answered(self.coder.encode, x)
        if f.ndim != 2 or len(f) != len(x):
            raise ValueError(f"expected encode to give {len(x)} rows of features, got shape {tuple(f.shape)}")
        if not torch.isfinite(f.sum()):
            raise ValueError("expected features that are numbers, got values that are not finite")
        return f

    def codes(self, x: Tensor) -> Codes:
        """What encode gives, remembered: a score reads the same rows many times."""
        key = place(x)
        if key in self.known:
            return self.known[key][1]
        codes = codes_of(self.encode(x).numpy())
        if len(codes.feature) < DENSE * len(x) * codes.features and codes.bytes < self.room:
            self.room -= codes.bytes
            self.known[key] = x, codes
        return codes

    def encode_once(self, x: Tensor) -> Tensor:
        """The same as an array; of codes that are too many to be remembered it is made anew."""
        known = self.known.get(place(x))
        return self.encode(x) if known is None else torch.from_numpy(known[1].dense())

    @torch.no_grad()
    def decode(self, f: Tensor, x: Tensor) -> Tensor:
        x_hat = answered(self.coder.decode, f)
        if x_hat.shape != x.shape:
            raise ValueError(f"expected decode to give shape {tuple(x.shape)}, got {tuple(x_hat.shape)}")
        if not torch.isfinite(x_hat.sum()):
            raise ValueError("expected decode to give numbers, got values that are not finite")
        return x_hat


def place(x: Tensor) -> tuple[int, int]:
    """Which rows these are, among those that are in memory."""
    return x.data_ptr(), len(x)


def answered(verb: Callable[[Tensor], Any], given: Tensor) -> Tensor:
    """What somebody's encode or decode gives, as numbers; whatever it raises is told in a line."""
    try:
        return torch.as_tensor(verb(given)).detach().float()
    except Exception as error:
        name = getattr(verb, "__name__", "it")
        raise ValueError(f"{name} failed on shape {tuple(given.shape)}: {with_kind(error)}") from error


def in_words(error: Exception) -> str:
    """Our own errors as they are, others with their kind."""
    ours = isinstance(error, (OSError, ValueError, Broken, FloatingPointError))
    return str(error) if ours else with_kind(error)


def with_kind(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def slices(rows: int) -> list[slice]:
    return [slice(first, min(first + ROWS, rows)) for first in range(0, rows, ROWS)]


def blocks(coder: Checked, x: Float[Tensor, "row d"]) -> Iterator[np.ndarray]:
    """Features of some rows at a time, for metrics that look at all of them."""
    for some in slices(len(x)):
        yield coder.encode_once(x[some]).numpy()
