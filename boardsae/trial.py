"""A mock run: whether an SAE can be scored, and a variant trained, before hours are spent on it.

Every look answers with a fault in words, or with None. A variant of the zoo or of a plug-in is trained for a moment
first, so that its trained self can be looked at like any other SAE.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from boardsae import dictionary, foreign, targets, tasks, train_sae
from boardsae.coder import Checked, in_words
from boardsae.dictionary import Dictionary
from boardsae.evidence import Evidence
from boardsae.runs import Spec
from boardsae.saes import VARIANTS
from boardsae.scorer import Scorer
from boardsae.scoring import Desk
from boardsae.subject import Subject, check_width, read_run

GAMES = 40  # of each split
ROWS = 20_000  # that a variant is trained on
FEATURES = 64


class Look(NamedTuple):
    """One thing that was looked at, and what is wrong with it, if anything is."""

    name: str
    fault: str | None
    note: str = ""


def trial(target: str, task: str) -> Iterator[Look]:
    """All looks, up to the first fault that makes the others pointless."""
    opened = tasks.open_task(tasks.of(task))
    with tempfile.TemporaryDirectory() as folder:
        try:
            subject = found(target, task, opened, Path(folder))
        except Exception as error:  # whatever a variant or an SAE of somebody else raises
            yield Look("found and read", in_words(error))
            return
        yield Look("found and read", None, str(subject.facts["name"]))
        scorer = Desk(opened, GAMES).scorer(subject)
        for name, look in LOOKS.items():
            fault = attempted(look, subject, scorer.evidence)
            yield Look(name, fault)
            if fault is not None:
                return
        yield toy_score(scorer, subject)


def found(target: str, task: str, opened: tasks.Open, folder: Path) -> Subject:
    """The one subject that a target names; a variant trained for a moment."""
    if target in VARIANTS:
        spec = Spec(task, target, d_sae=FEATURES, rows=ROWS)
        (error,) = train_sae.train([(spec, folder / "run")], opened, device="cpu").values()
        if error is not None:
            raise FloatingPointError(error)
        return read_run(folder / "run")
    if targets.is_factory(target):
        return targets.made_by(target)
    several = targets.saes(target)
    if len(several) > 1:
        raise ValueError(
            f"expected one SAE, got {target} with {len(several)}; choose one, such as {several[0]}"
        )
    return targets.read(several[0])[1]


def attempted(
    look: "Callable[[Subject, Tensor], str | None]", subject: Subject, evidence: Evidence
) -> str | None:
    """The fault that a look finds, or that stopped it."""
    try:
        check_width(subject, evidence)
        return look(subject, evidence.select.x[:512])
    except Exception as error:  # whatever somebody else's code raises
        return in_words(error)


def shapes(subject: Subject, x: Tensor) -> str | None:
    """Of many rows and of one, and of directions."""
    coder = subject.coder
    counts = []
    for some in (x, x[:1]):
        f, x_hat = told(coder.encode(some)), told(coder.decode(coder.encode(some)))
        if f.ndim != 2 or len(f) != len(some):
            return f"encode: expected shape ({len(some)}, features), got {tuple(f.shape)}"
        if x_hat.shape != some.shape:
            return f"decode: expected shape {tuple(some.shape)}, got {tuple(x_hat.shape)}"
        counts.append(f.shape[1])
    if counts[0] != counts[1]:
        return f"encode: expected as many features of one row as of many, got {counts[1]} and {counts[0]}"
    if subject.directions is not None and len(subject.directions) != counts[0]:
        return f"W_dec: expected a row for each of the {counts[0]} features, got {len(subject.directions)}"
    return None


def told(value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"expected a torch.Tensor, got {type(value).__name__}")
    return value


def types(subject: Subject, x: Tensor) -> str | None:
    f = told(subject.coder.encode(x))
    for name, values in (("encode", f), ("decode", told(subject.coder.decode(f)))):
        if values.dtype != x.dtype:
            return f"{name}: expected {x.dtype}, as x is, got {values.dtype}"
        if not torch.isfinite(values).all():
            return f"{name}: expected numbers, got {int((~torch.isfinite(values)).sum())} that are not finite"
    return None


def determinism(subject: Subject, x: Tensor) -> str | None:
    before = x.clone()
    first, again = subject.coder.encode(x), subject.coder.encode(x)
    if not torch.equal(x, before):
        return "encode: expected x to be left as it is, and it was changed"
    differing = int((first != again).any(1).sum())
    if differing:
        return f"encode: expected the same features twice, {differing} of {len(x)} rows differ; is dropout or noise on?"
    return None


def rows_alone(subject: Subject, x: Tensor) -> str | None:
    Checked(subject.coder, x)
    return None


def save_and_load(subject: Subject, x: Tensor) -> str | None:
    """Of what is ours or another library's; an object of yours is never saved."""
    sae = subject.coder
    if not isinstance(sae, Dictionary):
        return None
    with tempfile.TemporaryDirectory() as name:
        dictionary.write(Path(name), sae.saved, {})
        again = Dictionary(foreign.read(Path(name)).saved)
    if not torch.equal(again.encode(x), sae.encode(x)):
        return "expected the same features after saving and loading, and they differ"
    return None


LOOKS: dict[str, Callable[[Subject, Tensor], str | None]] = {
    "shapes": shapes,
    "dtype": types,
    "the same twice": determinism,
    "each row by itself": rows_alone,
    "saved and loaded": save_and_load,
}
SHOWN = ("l0@1", "explained_variance@1", "coverage@1")


def toy_score(scorer: Scorer, subject: Subject) -> Look:
    """A score on a few games: no number to compare, but every part of the scorer has run."""
    try:
        metrics = scorer.score(subject)["metrics"]
    except Exception as error:  # also of a metric of somebody else
        return Look("a toy score", in_words(error))
    values = {name: metrics[name]["value"] for name in SHOWN}
    silent = values["l0@1"] == 0
    note = ", ".join(f"{name} {value:.3f}" for name, value in values.items() if value is not None)
    return Look(
        "a toy score", f"expected features that fire, got none on {GAMES} games" if silent else None, note
    )
