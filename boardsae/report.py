"""The facts of a report: an SAE's record, what it is read beside, what its best features do. Nothing is drawn here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boardsae import DEFAULT_TASK, Broken, entries, records, scoring, targets, tasks
from boardsae.cards import Card, cards
from boardsae.progress import progress, say
from boardsae.records import Found
from boardsae.saes import VARIANTS
from boardsae.subject import Subject
from games.core import Game

TOP = 50


class Neighbour(NamedTuple):
    """A run of the same task, as far as a frontier shows it. Those of one line differ in sparsity alone."""

    name: str
    line: str
    values: dict[str, float]  # by metric
    own: bool = False  # the SAE of the report


class Report(NamedTuple):
    name: str
    game: Game
    record: dict[str, Any]
    controls: list[dict[str, Any]]
    neighbours: list[Neighbour]
    cards: list[Card]


def reports(asked: Sequence[str], task: str = DEFAULT_TASK, top: int = TOP) -> list[Report]:
    """One for each target; what has no scores yet is scored."""
    if top < 1:
        raise ValueError(f"expected --top to be 1 or more, got {top}")
    waiting = [one(target) for target in asked]
    wanted = {subject.facts.get("task", task) for _, subject in waiting}
    if len(wanted) > 1:
        raise ValueError(f"expected SAEs of one task, got {' and '.join(sorted(wanted))}")
    desk = scoring.Desk(tasks.open_task(tasks.of(wanted.pop())))
    bar = progress("gathering facts", len(waiting), "SAEs")
    made = []
    for folder, subject in waiting:
        record = record_of(desk, folder, subject)
        name, root = name_of(subject, folder), results_of(folder, record["task"])
        found = company(root, record)
        made.append(
            Report(
                name,
                desk.opened.dataset.game,
                record,
                controls_in(found, record),
                neighbours(found, root, folder, Neighbour(name, name, values(record), own=True)),
                cards(desk.scorer(subject), subject, top),
            )
        )
        bar.update(1)
    bar.close()
    return made


def one(target: str) -> tuple[Path | None, Subject]:
    """The run or the object that a target names; of a folder with several runs, which there are."""
    if targets.is_factory(target):
        return None, targets.made_by(target)
    found = targets.saes(target)
    if len(found) > 1:
        raise ValueError(f"expected one run, got {target} with {len(found)}; choose one, such as {found[0]}")
    return targets.read(found[0])


def record_of(desk: scoring.Desk, folder: Path | None, subject: Subject) -> dict[str, Any]:
    held = scoring.kept(folder) if folder else None
    if held is None:
        say(f"scoring {folder or subject.facts['name']}")
        held = scoring.scored(desk, subject, folder)
    if "error" in held:
        raise ValueError(f"{folder or subject.facts['name']} cannot be scored: {held['error']}")
    if held["hashes"] != desk.opened.hashes:
        raise Broken(
            f"{folder} was scored on another model or other games; boardsae score --force does it again"
        )
    return held


def name_of(subject: Subject, folder: Path | None) -> str:
    """Variant, sparsity and seed of a run; of anything else what it is called."""
    facts = subject.facts
    if folder is None or facts["variant"] not in VARIANTS:
        return str(facts["name"])
    swept = VARIANTS[facts["variant"]].sparsity
    sparsity = f" {swept}={facts['options'][swept]}" if swept else ""
    return f"{facts['variant']}{sparsity} seed={facts['seed']}"


def results_of(folder: Path | None, task: str) -> Path:
    """The folder of results that a run lies in: the one that holds the folder of its task."""
    above = folder.absolute().parents if folder else ()
    return next((parent.parent for parent in above if parent.name == task), Path("results"))


def company(root: Path, record: dict[str, Any]) -> Found:
    """The scored runs and controls of the record's task, as far as they are of the same model and games."""
    try:
        found = records.find(root).of(record["task"])
    except (FileNotFoundError, ValueError):  # nothing is there to stand beside
        return Found([], [])
    same = [run for run in found.runs if run.record["hashes"] == record["hashes"]]
    return Found(same, found.left_out)


def controls_in(found: Found, record: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the controls, if they are of the same layer."""
    known = [run.record for run in found.runs if run.control and run.record["layer"] == record["layer"]]
    if not known:
        say("no controls beside it yet: boardsae score makes them")
    return known


def neighbours(found: Found, root: Path, folder: Path | None, own: Neighbour) -> list[Neighbour]:
    """All scored runs, the SAE itself among them."""
    made = [
        Neighbour(
            str(run.path.relative_to(root)),
            f"{entry.name} seed={run.seed}",
            values(run.record),
            folder is not None and run.path.samefile(folder),
        )
        for entry in entries.entries(Found([run for run in found.runs if not run.control], []))
        for run in entry.runs
    ]
    return made if any(each.own for each in made) else [*made, own]


def values(record: dict[str, Any]) -> dict[str, float]:
    """Every metric that has a value."""
    return {name: cell["value"] for name, cell in record["metrics"].items() if cell["value"] is not None}
