"""Arrays that come and go cost no new pages once freed memory is kept."""

import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import numpy as np
from boardsae.memory import keep_freed
if sys.argv[1] == "keep":
    keep_freed()
def faults():
    for _ in range(20):
        np.empty(4_000_000, np.float32).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = faults()
print(faults() - first)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the setting")
def test_freed_memory_is_used_again():
    found = {
        word: int(subprocess.run([sys.executable, "-c", COUNT, word], capture_output=True, check=True).stdout)
        for word in ("keep", "leave")
    }
    assert found["keep"] < max(1000, found["leave"] / 4)
