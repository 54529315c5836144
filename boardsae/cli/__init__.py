"""The command line: parse, call one function, print a path. Heavy imports wait until a command needs them."""

from boardsae.cli import foreign, games, models, pages, report, saes, scores
from boardsae.cli.app import app, main

__all__ = ["app", "foreign", "games", "main", "models", "pages", "report", "saes", "scores"]
