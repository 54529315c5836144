"""The command line: parse, call one function, print a path. Heavy imports wait until a command needs them."""

from boardsae.cli import foreign, games, hub, models, pages, report, saes, scores
from boardsae.cli.app import app, main

__all__ = ["app", "foreign", "games", "hub", "main", "models", "pages", "report", "saes", "scores"]
