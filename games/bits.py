"""Bit tricks for the kernels, and where their machine code is kept.

Kernels are compiled once by numba. Its cache cannot see that a function called from another file has changed,
so the cache folder is named by a hash of every source file in `games/`: edited code never meets old machine code.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, config, event
from numba.extending import intrinsic


def _cache_folder() -> Path:
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + numba.__version__.encode())
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path.home() / ".cache" / "boardsae")
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base):
            pass
    except OSError:  # a read-only home: compile for this machine's temporary folder instead
        base = Path(tempfile.gettempdir()) / f"boardsae-{os.getuid()}"
    return base / f"kernels-{digest.hexdigest()[:12]}"


CACHE = _cache_folder()
config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]

kernel = njit(cache=True, nogil=True)  # called from Python; threads run side by side
inline = njit(forceinline=True)  # without forceinline LLVM keeps the calls and does not vectorise


class _Announcement(event.Listener):
    """Says once in a process that kernels are being compiled: only the first runs on a machine get here."""

    said = False

    def on_start(self, event: event.Event) -> None:
        if not self.said:
            sys.stderr.write("compiling kernels, which are kept for the next time\n")
        self.said = True

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _Announcement())


# numba turns uint64 combined with int64 into float64: every constant and shift count below is a uint64.
ZERO, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _popcount(_context, _word):
    return types.uint64(types.uint64), lambda _c, builder, _s, args: builder.ctpop(args[0])


def _lowest(_context, _word):
    return types.uint64(types.uint64), lambda _c, builder, _s, args: builder.cttz(args[0], cgutils.false_bit)


def _zeros_above(_context, _word):
    return types.uint64(types.uint64), lambda _c, builder, _s, args: builder.ctlz(args[0], cgutils.false_bit)


def _unpack(_context, out, _at, _word):
    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        lanes = builder.bitcast(args[2], ir.VectorType(ir.IntType(1), 64))
        spread = builder.zext(lanes, ir.VectorType(ir.IntType(8), 64))
        place = builder.gep(array.data, [args[1]])
        builder.store(spread, builder.bitcast(place, ir.PointerType(spread.type)), align=1)
        return context.get_dummy_value()

    return types.void(out, types.int64, types.uint64), codegen


popcount: Any = intrinsic(_popcount)  # the number of set bits, one instruction
lowest: Any = intrinsic(_lowest)  # the index of the lowest set bit, 64 for a word without any
zeros_above: Any = intrinsic(_zeros_above)  # how many zeros stand above the highest set bit
unpack: Any = intrinsic(_unpack)  # unpack(out, at, word): its bits as the 64 bytes of `out.flat` from `at` on


@inline
def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@inline
def stream(seed, game):
    """As `games.core.stream`; a draw is `state += GOLDEN; bits = mix(state)`."""
    return mix(mix(seed) + game)


@inline
def below(n, bits):
    return ((bits >> np.uint64(32)) * n) >> np.uint64(32)


@inline
def _halve(word, base, n, width):
    """One step of the binary search: move past the lower half of the window if it holds at most n set bits."""
    low = popcount((word >> base) & ((ONE << width) - ONE))
    above = np.uint64(n >= low)
    return base + above * width, n - above * low


@inline
def nth(word, n):
    """The index of the n-th set bit of a word, counted from the lowest as 0; branch-free, 63 where there is none."""
    base, n = _halve(word, ZERO, n, np.uint64(32))
    base, n = _halve(word, base, n, np.uint64(16))
    base, n = _halve(word, base, n, np.uint64(8))
    base, n = _halve(word, base, n, np.uint64(4))
    base, n = _halve(word, base, n, np.uint64(2))
    base, n = _halve(word, base, n, np.uint64(1))
    return base


@kernel
def expand(words, first, bit, out):
    """Spreads bits into bytes: columns first[i] to first[i + 1] of `out` are the bits `bit` of plane i.

    A plane with 64 of them has them in order. The rows of `out` must lie one behind the other.
    """
    for r in range(words.shape[0]):
        for i in range(words.shape[1]):
            word = words[r, i]
            if first[i + 1] - first[i] == 64:
                unpack(out, r * out.shape[1] + first[i], word)
            else:
                for p in range(first[i], first[i + 1]):
                    out[r, p] = np.uint8((word >> bit[p]) & ONE)


@kernel
def pick(words, plane, bit, out):
    """As `expand`, of some columns alone: column c of `out` is bit[c] of plane[c]."""
    for r in range(words.shape[0]):
        for c in range(len(plane)):
            out[r, c] = np.uint8((words[r, plane[c]] >> bit[c]) & ONE)
