"""Shapes are checked under pytest alone: jaxtyping and beartype wrap the modules that hold no compiled code.

numba cannot compile a wrapped function. The hook takes a package for all that is in it, so the public functions
that it should see stand in modules and not in an `__init__`.
"""

import sys
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent


def plain_modules() -> list[str]:
    paths = [path for folder in ("games", "boardsae") for path in sorted((ROOT / folder).rglob("*.py"))]
    compiled = ("import numba", "@kernel", "@inline")
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if path.name not in ("__init__.py", "__main__.py")
        and path.parent.name != "cli"
        and "jaxtyping" in (source := path.read_text())  # elsewhere it would only slow the rules down
        and not any(mark in source for mark in compiled)
    ]


install_import_hook(plain_modules(), "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

hypothesis.settings.register_profile("boardsae", deadline=None, derandomize=True)  # shared machines stall
hypothesis.settings.load_profile("boardsae")


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command line: exit code, stdout, stderr."""
    from boardsae import cli

    def call(line):
        monkeypatch.setattr(sys, "argv", ["boardsae", *line.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def in_float32(monkeypatch):
    """Activations as scores read them, also where bfloat16 is faster."""
    monkeypatch.setattr("boardsae.stream.bf16_pays", lambda _: False)
