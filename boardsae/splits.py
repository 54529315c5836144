"""Which games train, select and report: by the key of a game, so that no split depends on how many games there are.

A key is equal for games that are the same up to board symmetry (`Game.keys`). The first game of each key belongs to
the split that its key draws; later ones are duplicates and belong to none. So the splits share no game, and the
first N of 2N games are split as N games are.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, UInt8, UInt64

SPLITS = ("train", "select", "report", "duplicate")
SHARES = (0.9, 0.05, 0.05)
DUPLICATE = SPLITS.index("duplicate")
AT_ONCE = 1 << 20  # keys sorted together: about 30 MB, however many games there are


def split_of(keys: UInt64[np.ndarray, " game"]) -> UInt8[np.ndarray, " game"]:
    """The split that each key draws. A key's upper bits are uniform, since it is a hash."""
    bounds = np.cumsum(SHARES[:-1])
    return np.searchsorted(bounds, (keys >> np.uint64(11)) * 2.0**-53, side="right").astype(np.uint8)


def draw_splits(
    keys: UInt64[np.ndarray, " game"], out: UInt8[np.ndarray, " game"], at_once: int = AT_ONCE
) -> None:
    """Fills in the split of every game; all but the first game of a key are duplicates."""
    for games in classes(keys, at_once):
        order = games[np.argsort(keys[games], kind="stable")]
        out[games] = split_of(keys[games])
        out[order[1:][keys[order[1:]] == keys[order[:-1]]]] = DUPLICATE


def distinct(keys: UInt64[np.ndarray, " game"], at_once: int = AT_ONCE) -> int:
    """How many different keys there are: as many as games that are kept, if the splits share none."""
    return sum(len(np.unique(keys[games])) for games in classes(keys, at_once))


def classes(keys: UInt64[np.ndarray, " game"], at_once: int) -> Iterator[Int[np.ndarray, " some"]]:
    """The games in classes of about `at_once`, all games of a key in the same class, found block by block."""
    parts = -(-len(keys) // at_once)
    for part in range(parts):
        blocks = range(0, len(keys), at_once)
        hits = [np.flatnonzero(keys[b : b + at_once] % np.uint64(parts) == part) + b for b in blocks]
        yield np.concatenate(hits)
