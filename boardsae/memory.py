"""Memory that is freed stays with the process.

A training step frees and asks again for arrays of many megabytes. glibc hands each of them back to the system and gets
it anew, page by page, zeroed: a quarter of the time of a step was spent there.
"""

import contextlib
import ctypes

TRIM, TOP_PAD, MMAP = (
    -1,
    -2,
    -3,
)  # names of <malloc.h>: when to give back, what to ask for beyond, what to map alone


def keep_freed() -> None:
    """For processes that are ours. Where the C library is another one nothing changes."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, size in ((MMAP, 1 << 25), (TRIM, (1 << 31) - 1), (TOP_PAD, 1 << 26)):
            mallopt(name, size)
