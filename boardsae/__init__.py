"""boardsae: did your sparse autoencoder find the board?

import boardsae
record = boardsae.score(sae, task="othello6-v2")      # any object with encode and decode
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
DEFAULT_TASK = "othello6-v2"  # here, where the command line reads it without importing torch


class Broken(Exception):
    """Files that are not what their manifest or the rules say: exit code 3."""


def __getattr__(name: str) -> Any:
    """`boardsae.score`, whose imports take seconds and wait until it is asked for."""
    if name == "score":
        return import_module("boardsae.scoring").score
    raise AttributeError(f"module 'boardsae' has no attribute {name!r}")
