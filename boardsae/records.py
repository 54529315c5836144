"""What lies in a folder of results: runs with their scores, controls, and what cannot be counted and why.

A directory is a run if it holds one of the files of `boardsae.runs`; of these JSON is read here, and counts when asked.
results/<task>/controls/scores.json holds the records of a task's controls, results/<task>/matching.csv what
`boardsae match` found of pairs of runs.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from boardsae import Broken
from boardsae.files import read_json
from boardsae.runs import CONTROLS_FOLDER, MARKS, SCHEMA, task_of
from games.core import no_such

MATCHING = "matching.csv"
SQUARE = re.compile(r"\b[a-h][1-8]\b")  # in the name of a predicate
ALIKE = "seed_similarity@1"  # the metric that it gives a run


class Run(NamedTuple):
    """A run with scores. `spec` is what identifies it, `record` is its scores.json."""

    path: Path
    spec: dict[str, Any]
    record: dict[str, Any]
    trials: int = 1  # runs that were made to find this one, itself included
    control: bool = False

    @property
    def seed(self) -> int:
        return self.spec.get("seed") or 0

    def value(self, metric: str) -> float | None:
        return self.record["metrics"].get(metric, {}).get("value")


class LeftOut(NamedTuple):
    path: Path  # relative to the folder of results, so that a committed table does not depend on where it was made
    task: str | None
    reason: str


class Found(NamedTuple):
    runs: list[Run]
    left_out: list[LeftOut]

    def tasks(self) -> list[str]:
        return sorted(
            {run.record["task"] for run in self.runs} | {each.task for each in self.left_out if each.task}
        )

    def of(self, task: str) -> "Found":
        if task not in self.tasks():
            raise ValueError(no_such("task in these results", task, self.tasks()))
        runs = [run for run in self.runs if run.record["task"] == task]
        return Found(runs, [each for each in self.left_out if each.task in (task, None)])


def find(root: Path) -> Found:
    """All that is below the folder. Runs on another model or other games than most of their task are left out."""
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; boardsae sweep or boardsae quickstart make one")
    runs, left_out = [], []
    for path in sorted({mark.parent for name in MARKS for mark in root.rglob(name)}):
        if any(parent.name == CONTROLS_FOLDER for parent in path.parents):
            continue  # the SAEs that some controls are, scored with the others
        try:
            runs += controls_in(path) if path.name == CONTROLS_FOLDER else [run_in(path)]
        except (Broken, Unscored) as fault:
            left_out.append(LeftOut(path, task_of(path), str(fault)))
    if not runs and not left_out:
        raise FileNotFoundError(f"no runs in {root}; boardsae sweep or boardsae quickstart make some")
    for table in sorted(root.rglob(MATCHING)):
        add_matches(runs, table)
    kept, left_out = of_one_kind(runs, left_out)
    return Found(kept, [each._replace(path=each.path.relative_to(root)) for each in left_out])


def published(root: Path) -> Found:
    """What lies in the folders of the tasks, DIR/TASK/. Runs elsewhere, such as a quickstart's, are somebody's own."""
    found = find(root)
    runs = [run for run in found.runs if run.path.relative_to(root).parts[:1] == (run.record["task"],)]
    left_out = [each for each in found.left_out if each.task is None or each.path.parts[:1] == (each.task,)]
    if not runs and not left_out:
        raise ValueError(
            f"expected runs in {root}/TASK/..., got none; give the folder that holds those of the tasks"
        )
    return Found(runs, left_out)


class Unscored(Exception):
    """Why a directory has no scores that count."""


def run_in(path: Path) -> Run:
    """The scored run in a directory; else what is wrong with it and what to do."""
    if not (path / "scores.json").exists():
        raise Unscored(missing(path))
    return run_of(path, comparable(whole(path / "scores.json")))


def run_of(path: Path, record: dict[str, Any]) -> Run:
    """A record with what the files beside it say of its run."""
    spec = record["subject"] | (read_json(path / "spec.json") if (path / "spec.json").exists() else {})
    trained = read_json(path / "boardsae.json") if (path / "boardsae.json").exists() else {}
    return Run(path, spec, record, int(trained.get("trials") or 1))


def on_board(record: dict[str, Any]) -> np.ndarray:
    """Which predicates the headline is about: whose disc or piece stands where, of which a null is measured."""
    return np.array([each["null"] is not None for each in record["predicates"]])


def by_square(predicates: Iterable[dict[str, Any]], score: str) -> dict[str, float]:
    """The mean of a score over the predicates of each square, those that never hold (a pawn on a1) left out."""
    held: dict[str, list[float]] = {}
    for each in predicates:
        if (square := SQUARE.search(each["name"])) and each[score] is not None and each.get("base_rate") != 0:
            held.setdefault(square[0], []).append(each[score])
    return {square: fmean(some) for square, some in held.items()}


def counts_of(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The tables by game beside a record, all or some."""
    try:
        with (path / "counts.npz").open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in names or held.files}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise Broken(
            f"{path / 'counts.npz'} cannot be read: {error}; boardsae score --force {path} makes it again"
        ) from None


def add_matches(runs: Sequence[Run], table: Path) -> None:
    """Gives every run the mean cosine of its features with those of the same run at other seeds."""
    by_folder = {
        run.path.relative_to(table.parent).as_posix(): run for run in runs if table.parent in run.path.parents
    }
    found: dict[str, list[float]] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            for name in (row["one"], row["other"]) if row["kind"] == "seeds" else ():
                found.setdefault(name, []).append(float(row["matched"]))
    for name, values in found.items():
        if name in by_folder:
            cell = {"value": fmean(values), "low": None, "high": None, "split": None, "reason": None}
            by_folder[name].record["metrics"][ALIKE] = cell


def missing(path: Path) -> str:
    if (path / "error.json").exists():
        return f"failed: {read_json(path / 'error.json').get('error', 'no reason was kept')}"
    if (path / "boardsae.json").exists():
        return "trained, not scored; boardsae score does it"
    return "half trained; the command that began it goes on with it"


def whole(path: Path) -> dict[str, Any]:
    """The record in a file, if there is one and it is of this schema."""
    return checked(path, read_json(path))


def checked(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    if record.get("error"):
        raise Unscored(f"scoring failed: {record['error']}")
    if record.get("schema") != SCHEMA:
        raise Unscored(
            f"expected a record of schema {SCHEMA}, got {record.get('schema')!r}; boardsae score --force makes it"
        )
    lacking = [name for name in ("task", "subject", "metrics") if name not in record]
    if lacking:
        raise Broken(f"{path} is no record: it lacks {', '.join(lacking)}")
    return record


def comparable(record: dict[str, Any]) -> dict[str, Any]:
    """The record, if it may stand beside others."""
    if record.get("comparable") is False:
        raise Unscored(
            "scored on fewer games (--limit), not comparable; boardsae score --force does it again"
        )
    return record


def controls_in(path: Path) -> list[Run]:
    """One run for each control, named by its subject."""
    held = read_json(path / "scores.json")
    records: Sequence[dict[str, Any]] = held.get("controls", [held])
    named = [comparable(checked(path / "scores.json", record)) for record in records]
    return [Run(path, record["subject"], record, control=True) for record in named]


def of_one_kind(runs: Sequence[Run], left_out: Sequence[LeftOut]) -> Found:
    """Keeps the runs that share model and games with most of their task."""
    kinds: dict[str, Counter[tuple[str, str]]] = {}
    for run in runs:
        kinds.setdefault(run.record["task"], Counter())[kind(run)] += 1
    usual = {task: counted.most_common(1)[0][0] for task, counted in kinds.items()}
    others = [
        LeftOut(run.path, task, differing(kind(run), usual[task]))
        for run in runs
        if kind(run) != usual[task := run.record["task"]]
    ]
    return Found([run for run in runs if kind(run) == usual[run.record["task"]]], [*left_out, *others])


def kind(run: Run) -> tuple[str, str]:
    hashes = run.record.get("hashes", {})
    return str(hashes.get("model")), str(hashes.get("games"))


def differing(mine: tuple[str, str], usual: tuple[str, str]) -> str:
    names = [name for name, a, b in zip(("model", "games"), mine, usual, strict=True) if a != b]
    return f"measured on another {' and other '.join(names)} than the rest of the task"
