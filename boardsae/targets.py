"""What can be scored: a run, an SAE of another library, a folder of them, `file.py:factory`, an object."""

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from boardsae import foreign, plugins, runs
from boardsae.coder import Coder
from boardsae.subject import Subject, read_foreign, read_run


def folders(target: str) -> list[Path]:
    """The runs that a target names: itself, or all below it."""
    root = Path(target)
    if not target or not root.exists():
        raise FileNotFoundError(
            f"no {target or repr(target)}; give a run, a folder of runs, an SAE of another library, or file.py:factory"
        )
    if root.is_file():
        raise ValueError(f"{target} is a file; give the folder that holds it, or file.py:factory")
    found = [run for run in runs.runs(root) if runs.CONTROLS_FOLDER not in run.relative_to(root).parts]
    if not found:
        raise ValueError(f"no runs in {target}; boardsae train-sae and boardsae sweep make some")
    return found


def saes(target: str) -> list[Path]:
    """The runs that a target names; where there are none, the SAEs of other libraries."""
    root = Path(target)
    return folders(target) if is_ours(root) else foreign.found(root) or folders(target)


def is_ours(root: Path) -> bool:
    """Whether a folder is a run or holds some; any other is somebody's own, and nothing is written there."""
    return next(runs.runs(root), None) is not None


def read(folder: Path) -> tuple[Path | None, Subject]:
    """The subject in a folder that `saes` found, and where its record belongs."""
    return (folder, read_run(folder)) if is_ours(folder) else (None, read_foreign(folder))


def is_factory(target: str) -> bool:
    file, colon, name = target.rpartition(":")
    return bool(colon and name.isidentifier() and (file.endswith(".py") or not Path(target).exists()))


def made_by(target: str) -> Subject:
    """What the factory of `file.py:factory` or `package.module:factory` gives, with or without being called."""
    source, _, name = target.rpartition(":")
    try:
        found = getattr(loaded(source), name)
        coder = found if hasattr(found, "encode") and not isinstance(found, type) else found()
    except (ImportError, SyntaxError, AttributeError) as error:
        raise ValueError(f"{target} cannot be loaded: {type(error).__name__}: {error}") from None
    except (Exception, SystemExit) as error:  # whatever somebody else's code raises
        raise ValueError(f"{target} failed: {type(error).__name__}: {error}") from None
    return of(coder, name=target)


def loaded(source: str) -> Any:
    """A module by file or by name, which may lie in the folder where the command was given."""
    plugins.look_in(Path(source).parent if source.endswith(".py") else Path())
    if not source.endswith(".py"):
        return importlib.import_module(source)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a .py file has a loader"
    assert spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def of(coder: Any, name: str) -> Subject:
    """A live object as a subject; its directions are those of W_dec, else what it decodes single features to."""
    for verb in ("encode", "decode"):
        if not callable(getattr(coder, verb, None)):
            raise ValueError(
                f"expected an object with encode and decode, got {type(coder).__name__} without {verb}"
            )
    return Subject(coder, {"name": name, "variant": name}, directions(coder))


@torch.no_grad()
def directions(coder: Coder) -> Tensor | None:
    """The decoder's rows: one a feature."""
    weights = getattr(coder, "W_dec", None)
    return weights.detach().float() if isinstance(weights, Tensor) and weights.ndim == 2 else None


class Target(NamedTuple):
    """Something to be scored. Of many SAEs each is read when its turn comes, since all would fill the memory."""

    name: str
    folder: Path | None  # where its record belongs, if it is a run of ours
    task: str | None  # that it was trained on, if it says
    read: Callable[[], Subject]


def found(targets: Iterable[str]) -> Iterator[Target]:
    """Everything that the targets name. What a target names by itself is read at once: its fault is the command's."""
    for target in targets:
        if is_factory(target):
            subject = made_by(target)
            yield Target(target, None, None, lambda subject=subject: subject)
        elif foreign.is_sae(Path(target)) and not is_ours(Path(target)):
            subject = read_foreign(Path(target))
            yield Target(target, None, None, lambda subject=subject: subject)
        else:
            for folder in saes(target):
                ours = folder if is_ours(folder) else None
                yield Target(
                    str(folder), ours, ours and runs.task_of(ours), lambda folder=folder: read(folder)[1]
                )
