"""Which games train, select and report: by the key of a game, so that no split depends on how many games there are.

A key is equal for games that are the same up to board symmetry (`Game.keys`). The first game of each key belongs to
the split that its key draws; later ones are duplicates and belong to none. So the splits share no game, and the
first N of 2N games are split as N games are. Keys are read in blocks: memory does not grow with the games.
"""

from concurrent.futures import Executor

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from boardsae.files import ArrayReader

SPLITS = ("train", "select", "report", "duplicate")
SHARES = (0.9, 0.05, 0.05)
DUPLICATE = SPLITS.index("duplicate")
AT_ONCE = 1 << 19  # keys sorted together by a thread: some 40 MB, however many games there are

Keys = UInt64[np.ndarray, " game"] | ArrayReader


def split_of(keys: UInt64[np.ndarray, " game"]) -> UInt8[np.ndarray, " game"]:
    """The split that each key draws. A key's upper bits are uniform, since it is a hash."""
    bounds = np.cumsum(SHARES[:-1])
    return np.searchsorted(bounds, (keys >> np.uint64(11)) * 2.0**-53, side="right").astype(np.uint8)


def splits(
    keys: Keys, repeated: Int[np.ndarray, " some"], first: int, last: int
) -> UInt8[np.ndarray, " block"]:
    """The splits of games `first` to `last`, of which those in `repeated` (ascending) are duplicates."""
    out = split_of(keys[first:last])
    low, high = np.searchsorted(repeated, [first, last])
    out[repeated[low:high] - first] = DUPLICATE
    return out


def repeats(
    keys: Keys, pool: Executor | None = None, at_once: int = AT_ONCE
) -> tuple[Int[np.ndarray, " some"], int]:
    """The games whose key an earlier game has, ascending, and how many different keys there are.

    Keys are compared in classes of about `at_once`, all games of a key in the same class, by the pool's threads.
    """
    parts = -(-len(keys) // at_once)

    def repeats_of(part: int) -> tuple[np.ndarray, int]:
        games, some = class_of(keys, part, parts, at_once)
        order = np.argsort(some, kind="stable")
        again = some[order[1:]] == some[order[:-1]]
        return games[order[1:][again]], len(some) - int(again.sum())

    found = list((pool.map if pool else map)(repeats_of, range(parts)))
    return np.sort(np.concatenate([games for games, _ in found])), sum(different for _, different in found)


def class_of(
    keys: Keys, part: int, parts: int, at_once: int
) -> tuple[Int[np.ndarray, " some"], UInt64[np.ndarray, " some"]]:
    """The games whose key leaves the remainder `part`, and their keys, gathered block by block."""
    games, some = [], []
    for first in range(0, len(keys), at_once):
        block = keys[first : first + at_once]
        hits = np.flatnonzero(block % np.uint64(parts) == part)
        games.append(hits + first)
        some.append(block[hits])
    return np.concatenate(games), np.concatenate(some)
