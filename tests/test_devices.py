"""Training on a device that is none, in a process that has one."""

import subprocess
import sys
from pathlib import Path

import pretend
import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(not pretend.CAN_BE_MADE, reason="this torch knows no devices made in Python")
def test_everything_that_trains_does_so_on_a_device():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/on_a_device.py"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "skipped" not in run.stdout
