"""From targets to records on disk: what is scored stays, what fails is told, all of a hook share its evidence.

Several SAEs are scored at once, each by one thread: the kernels and torch leave the interpreter to the others while
they work. A second thread would gain one SAE nothing, and change the last digits of its scores.
"""

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from boardsae import DEFAULT_TASK, Broken, dictionary, runs, tasks
from boardsae.coder import Coder, in_words
from boardsae.evidence import Evidence
from boardsae.files import appearing, read_json, write_record
from boardsae.metrics import METRICS
from boardsae.progress import progress, say
from boardsae.scorer import Scorer
from boardsae.subject import Subject, check_width
from boardsae.targets import Target, found, of
from games.core import no_such

Each = TypeVar("Each")
Made = TypeVar("Made")
Record = dict[str, Any]


class Desk:
    """Scorers by hook, opened when first needed, by one thread for all."""

    def __init__(self, opened: tasks.Open, limit: int | None = None):
        self.opened, self.limit = opened, limit
        self.scorers: dict[tuple[int, str], Scorer] = {}
        self.opening = threading.Lock()

    def scorer(self, subject: Subject) -> Scorer:
        layer = subject.facts.get("layer")
        layer = self.opened.task.layer if layer is None else layer
        tasks.check_layer(layer, self.opened)
        variant = runs.VARIANTS.get(subject.facts.get("variant", ""))
        key = (layer, variant.site if variant else "residual")
        if key not in self.scorers:
            self.scorers[key] = scorer = Scorer(Evidence(self.opened, *key, limit=self.limit))
            if key[1] != "residual":  # what neurons are held against is what the residual stream holds
                residual = (layer, "residual")
                if residual not in self.scorers:
                    self.scorers[residual] = Scorer(Evidence(self.opened, *residual, limit=self.limit))
                scorer.share(self.scorers[residual])
        return self.scorers[key]

    def score(self, subject: Subject) -> dict[str, Any]:
        with self.opening:
            scorer = self.scorer(subject)
            check_width(subject, scorer.evidence)
            scorer.prepare()
        return scorer.score(subject)


def score(
    sae: Coder, task: str = DEFAULT_TASK, limit: int | None = None, name: str = "yours"
) -> dict[str, Any]:
    """The record of any object with encode and decode; nothing is written."""
    check_limit(limit)
    record = Desk(tasks.open_task(tasks.of(task)), limit).score(of(sae, name))
    record.pop("counts")
    return record


def check_limit(limit: int | None) -> None:
    if limit is not None and limit < FEWEST:
        raise ValueError(f"expected a limit of {FEWEST} games or more, got {limit}")


def score_targets(
    targets: Sequence[str], task: str | None, limit: int | None = None, force: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every target's name and record; a record of {"error"} for those that cannot be scored.

    `task` is for those that have none of their own.
    """
    asked = [each._replace(task=task_for(each, task)) for each in found(targets)]
    records = [None if each.folder is None or force or limit else known(each.folder) for each in asked]
    waiting = [each for each, record in zip(asked, records, strict=True) if record is None]
    bar = progress("scoring", len(asked), "SAEs", len(asked) - len(waiting))
    desks = desks_of(dict.fromkeys(str(each.task) for each in waiting), limit)

    def made(each: Target) -> Record:
        desk = desks[str(each.task)]
        if isinstance(desk, Exception):
            return {"error": str(desk)}
        try:
            subject = each.read()
        except Exception as error:  # one broken SAE of many is a row with its error
            return {"error": str(error)}
        return scored(desk, subject, each.folder if not limit else None)

    with closing(side_by_side(made, waiting)) as fresh:
        for each, record in zip(asked, records, strict=True):
            if record is None:
                record = next(fresh)
                bar.update(1)
            yield each.name, record
    bar.close()


def task_for(target: Target, asked: str | None) -> str:
    """Its own; else the one that is asked for, or the usual one."""
    if target.task and asked and Path(target.task).name != Path(asked).name:
        raise ValueError(f"{target.name} is of {target.task}, not {asked}; leave --task out")
    return target.task or asked or DEFAULT_TASK


def desks_of(names: Iterable[str], limit: int | None) -> dict[str, Desk | Exception]:
    """A desk for every task; where some cannot be opened, why, which is an error where none can."""
    found: dict[str, Desk | Exception] = {}
    for name in names:
        try:
            found[name] = Desk(tasks.open_task(tasks.of(name)), limit)
        except (OSError, ValueError, Broken) as error:
            found[name] = error
    faults = [desk for desk in found.values() if isinstance(desk, Exception)]
    if faults and len(faults) == len(found):
        raise faults[0]
    return found


def known(folder: Path) -> Record | None:
    """What `kept` says, or why it cannot be read."""
    try:
        return kept(folder)
    except Broken as fault:
        return {"error": f"{fault}; --force scores it again"}


def side_by_side(make: Callable[[Each], Made], waiting: Sequence[Each]) -> Generator[Made]:
    """What is made of each, in order: as many at once as torch has threads, each on one of them."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(max(1, min(threads, len(waiting))))
    torch.set_num_threads(1)
    try:
        yield from pool.map(make, waiting)
    except KeyboardInterrupt:
        say("stopping as soon as what has begun is scored; the same command goes on")
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def kept(folder: Path) -> dict[str, Any] | None:
    """The record that a run has already, unless a metric has a newer version since and the weights are at hand."""
    if not (folder / "scores.json").exists():
        return None
    record = read_json(folder / "scores.json")
    held = record.get("metrics", {}).keys()
    known = {name.split("@")[0] for name in held}  # what another game has is not missing here
    asked = {
        name
        for name, metric in METRICS.items()
        if not metric.across and (not metric.family or name.split("@")[0] in known)
    }
    if not asked <= held and dictionary.has_weights(folder):
        say(f"{folder} was scored with other versions of the metrics; scoring it again")
        return None
    return record


def scored(desk: Desk, subject: Subject, folder: Path | None) -> dict[str, Any]:
    """The record of a subject, also on disk if it is a run: counts first, scores last."""
    try:
        if folder is not None:
            check_hashes(folder, desk.opened.hashes)
        record = desk.score(subject)
    except Exception as error:  # whatever somebody else's SAE or metric raises: the others are scored
        return {"error": in_words(error)}
    tables = record.pop("counts")
    if folder is not None:
        with appearing(folder / "counts.npz") as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **tables)
        write_record(folder / "scores.json", record)
    return record


def check_hashes(folder: Path, asked: dict[str, str]) -> None:
    """A run is scored on the model and the games that it was trained on."""
    held = read_json(folder / "spec.json").get("hashes") or {}
    for name, expected in asked.items():
        if held.get(name) != expected:
            raise Broken(
                f"{folder} was trained on another {name}: expected SHA-256 {expected}, got {held.get(name)}"
            )


FEWEST = 20  # games of each split that a quick look takes
HEADLINE = (
    ("l0@1", "L0", "{:.1f}"),
    ("coverage@1", "coverage", "{:.3f}"),
    ("cov_x@1", "beyond chance", "{:.3f}"),
    ("found@1", "found", "{:.0f}"),
    ("reconstruction@1", "board", "{:.3f}"),
    ("explained_variance@1", "explained", "{:.3f}"),
    ("kl_increase@1", "KL", "{:.4f}"),
    ("alive@1", "alive", "{:.0%}"),
)


Columns = Sequence[tuple[str, str, str]]
NAME = 44  # characters of a name in the table


def columns(asked: str) -> Columns:
    """Of metrics by id or name, with commas between."""
    by_name = {identity.split("@")[0]: identity for identity in METRICS} | {name: name for name in METRICS}
    for name in asked.split(","):
        if name not in by_name:
            raise ValueError(no_such("metric", name, METRICS))
    chosen = [by_name[name] for name in ("l0", *asked.split(","))]
    return [(identity, METRICS[identity].title[:13], "{:.4f}") for identity in dict.fromkeys(chosen)]


def table(records: Sequence[tuple[str, dict[str, Any]]], shown: Columns = HEADLINE) -> Iterator[str]:
    """A row an SAE: the headline metrics, each with half of its interval."""
    above, names = apart([name for name, _ in records])
    width = min(NAME, max((len(name) for name in (above, *names)), default=0))
    yield f"{shortened(above, width):<{width}} " + " ".join(f"{title:>13}" for _, title, _ in shown)
    for name, (_, record) in zip(names, records, strict=True):
        short = shortened(name, width)
        if "error" in record:
            yield f"{short:<{width}} not scored: {record['error']}"
        else:
            yield f"{short:<{width}} " + " ".join(f"{cell(record, *each):>13}" for each in shown)


def apart(names: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all paths among the names lie in, and the names without it."""
    paths = [name for name in names if os.sep in name]
    if len(paths) < 2 or len({os.path.isabs(path) for path in paths}) > 1:
        return "", list(names)
    above = os.path.join(os.path.commonpath([os.path.dirname(path) for path in paths]), "")
    return above, [name.removeprefix(above) for name in names]


def shortened(name: str, width: int) -> str:
    """A name that is too long loses its middle: runs are told apart by the variant in front and the seed at the end."""
    over = len(name) - width
    head = 3 * width // 4
    return name if over <= 0 else f"{name[:head]}…{name[head + over + 1 :]}"


def cell(record: dict[str, Any], metric: str, _title: str, form: str) -> str:
    held = record["metrics"].get(metric, {})
    if held.get("value") is None:
        return "-"
    text = form.format(held["value"])
    if held.get("low") is None or held["high"] - held["low"] == 0:
        return text
    half = form.format((held["high"] - held["low"]) / 2)
    return f"{text} ±{half.removeprefix('0') if half.startswith('0.') else half}"


def details(record: dict[str, Any]) -> Iterator[str]:
    """Every metric of one record, with its interval or the reason why it has no value."""
    measured = {name: metric for name, metric in METRICS.items() if name in record["metrics"]}
    width = max((len(metric.title) for metric in measured.values()), default=0)
    for name, metric in measured.items():
        held = record["metrics"][name]
        arrow = {"up": "↑", "down": "↓"}.get(metric.direction, " ")
        if held["value"] is None:
            yield f"{metric.title:<{width}} {arrow} {'-':>9}  {held['reason']}"
            continue
        span = "" if held["low"] is None else f"[{held['low']:.4f}, {held['high']:.4f}]"
        yield f"{metric.title:<{width}} {arrow} {held['value']:>9.4f}  {span:<20} {name}"


def both_ways(folder: Path) -> Iterator[str]:
    """Of a run whose training selects by what scores must not see: what either way gave on held-out rows."""
    held = read_json(folder / "boardsae.json") if runs.is_trained(folder) else {}
    for name in ("as_scored", "as_trained"):
        if name in held:
            l0, explained = held[name]["l0"], held[name]["explained_variance"]
            yield f"{name.replace('_', ' '):<10} L0 {l0:.1f}, explained variance {explained:.4f} on held-out rows"
