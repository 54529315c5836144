"""Variants, metrics and games of others: from installed packages and from single files.

A package names what it brings as entry points of three groups,

    [project.entry-points."boardsae.variants"]    name = "package.module:Class"      a boardsae.saes.base.SAE
    [project.entry-points."boardsae.metrics"]     "name@1" = "package.module:metric"  a boardsae.metrics.Metric
    [project.entry-points."boardsae.games"]       name = "package.module:make"       called with the name

and a file given as `boardsae --plugin mine.py COMMAND` registers by itself: `boardsae.saes.register(Class)`,
`boardsae.metrics.register("name@1", metric)`, `games.register("name", make)`. Processes that a command starts read the
same files, which stand in the environment as BOARDSAE_PLUGINS.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from boardsae.progress import say

VARIABLE = "BOARDSAE_PLUGINS"
_loaded: set[str] = set()  # groups and files that need no second reading


def installed(kind: str, register: Callable[[str, Any], None]) -> None:
    """Registers the entry points of a kind. What cannot be loaded is left out, with the reason: other work goes on."""
    if kind in _loaded:
        return
    _loaded.add(kind)
    for point in entry_points(group=f"boardsae.{kind}"):
        try:
            register(point.name, point.load())
        except (Exception, SystemExit) as error:  # whatever somebody else's code raises
            say(f"the plug-in {point.name} = {point.value} is left out: {type(error).__name__}: {error}")


def installed_games() -> None:
    installed(
        "games", lambda name, make: import_module("games").register(name, make)
    )  # numpy waits for a need


def add(files: list[Path]) -> None:
    """Reads plug-in files now, and in every process that this one starts."""
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"no file {file}; --plugin takes a Python file")
    known = os.environ.get(VARIABLE, "").split(os.pathsep)
    os.environ[VARIABLE] = os.pathsep.join(filter(None, [*known, *(str(file.resolve()) for file in files)]))
    read_files()


def look_in(folder: Path) -> None:
    """Somebody's Python file may import what lies beside it, as it does when it is run by itself."""
    if (place := str(folder.resolve())) not in sys.path:
        sys.path.insert(0, place)


def read_files() -> None:
    """Runs the files that BOARDSAE_PLUGINS names, each once; one that fails is an error, since it was asked for."""
    for file in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if file in _loaded:
            continue
        _loaded.add(file)
        look_in(Path(file).parent)
        name = f"boardsae_plugin_{Path(file).stem}"
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ValueError(f"expected a Python file for --plugin, got {file}")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # whatever somebody else's code raises
            raise ValueError(f"the plug-in {file} failed: {type(error).__name__}: {error}") from None
