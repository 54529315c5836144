"""The leaderboard: every variant at fixed L0, controls beside it, and what could not be counted. From records alone."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from boardsae import Broken, entries, files, records
from boardsae.entries import L0, Entry
from boardsae.frontier import Cell
from boardsae.records import Found
from boardsae.tables import FORMATS, Table, comma_separated
from games.core import no_such

AT = (10.0, 20.0, 40.0, 80.0)
HEADLINE = (
    "coverage",
    "cov_x",
    "reconstruction",
    "explained_variance",
    "found",
    "ce_increase",
    "legal_mass_loss",
    "alive",
)
SEEDS = 3  # that a published number needs
ON_SCREEN = 4  # of them: a terminal has 110 columns
NOTHING = "-"
COLUMNS = (
    *("task", "entry", "control", "metric", "at_l0", "value", "low", "high", "seed_sd"),
    *("seeds", "runs", "trials", "measured_from", "measured_to", "reason"),
)


class View(NamedTuple):
    """What is asked for: metrics by name or id (without any, the headline), L0s, what to sort by, which variants."""

    metrics: tuple[str, ...] = ()
    at: tuple[float, ...] = AT
    sort: str | None = None
    variants: tuple[str, ...] = ()


EVERYTHING = View()


class Board(NamedTuple):
    """One task's entries and the ids of the metrics shown."""

    task: str
    entries: list[Entry]
    metrics: list[str]
    l0: str  # the id of the metric that curves are drawn over
    view: View
    found: Found


def board(found: Found, task: str, view: View, headline: Sequence[str] = HEADLINE) -> Board:
    """Refuses metrics that the records do not know and variants that nobody does; the headline may lack some."""
    from boardsae.saes import VARIANTS

    mine = found.of(task)
    made = entries.entries(mine)
    known = sorted({entry.variant for entry in made} | set(VARIANTS))
    for variant in view.variants:
        if variant not in known:
            raise ValueError(no_such("variant", variant, known))
    current = entries.versions(mine)
    asked = view.metrics or [name for name in headline if name in current]
    metrics = [entries.metric_of(mine, name) for name in asked]
    kept = [entry for entry in made if entry.control or not view.variants or entry.variant in view.variants]
    by_name = sorted(kept, key=lambda entry: entry.name)
    return Board(task, by_name, metrics, current.get(L0, L0), view, mine)


def tables(shown: Board) -> list[Table]:
    """What a board says, table by table. One metric has a column for every L0; several have a table for every L0."""
    curves = [entry for entry in shown.entries if entry.has_frontier(shown.l0)]
    others = [entry for entry in shown.entries if entry not in curves]
    read = [fixed for fixed in shown.view.at if is_reached(shown, curves, fixed)]
    beyond = [f"{fixed:g}" for fixed in shown.view.at if curves and fixed not in read]
    parts = [overview(shown, beyond)] if shown.entries else []
    if curves and len(shown.metrics) == 1:
        parts.append(over_l0(shown, curves))
    elif curves:
        parts += [at_l0(shown, curves, fixed) for fixed in read]
    if shown.entries:
        parts.append(at_own_l0(shown, others))
    return [*parts, *filter(None, (left_out(shown), missing(shown)))]


def is_reached(shown: Board, curves: Sequence[Entry], fixed: float) -> bool:
    """Whether some curve can be read at that L0."""
    cells = (entry.at(metric, shown.l0, fixed) for entry in curves for metric in shown.metrics)
    return any(cell.value is not None for cell in cells)


def left_out(shown: Board) -> Table | None:
    """What lies there and does not count, and why."""
    lines = [f"{each.path}: {each.reason}" for each in shown.found.left_out]
    for name, metrics in entries.stale(shown.found).items():
        lines.append(
            f"{name}: {', '.join(metrics)} is of another version; boardsae score --force measures it anew"
        )
    return Table(f"{shown.task}: left out", ["what and why"], [[line] for line in lines]) if lines else None


def missing(shown: Board) -> Table | None:
    """Variants of the zoo that have fewer runs than a published table needs, and the command that makes them.

    Whoever asks for some variants learns only which of these have no runs at all. Dictionaries without a sparsity
    are in no sweep: they stand among the controls. Nor is what the task's layer has no place for.
    """
    from boardsae import gpt, models, tasks
    from boardsae.saes import VARIANTS

    task = tasks.TASKS.get(shown.task)
    later = task is None or tasks.has_later(task.layer, gpt.shape_of(models.folder_of(task.model)))
    swept = [
        name
        for name, variant in VARIANTS.items()
        if variant.sparsity and (later or "later" not in variant.needs)
    ]
    found = dict.fromkeys(shown.view.variants or swept, 0)
    for entry in reversed(shown.entries):  # of a variant's entries the usual one is the first
        if entry.variant in found and not all(run.control for run in entry.runs):
            found[entry.variant] = len(entry.seeds())
    few = [f"{variant} has {seeds} of {SEEDS} seeds" for variant, seeds in found.items() if 0 < seeds < SEEDS]
    if shown.view.variants:
        few = []
    none = [f"no {variant}" for variant, seeds in found.items() if not seeds]
    command = f"boardsae sweep {sweep_of(shown.task)} makes what is missing."
    lines = textwrap.wrap(", ".join(none + few), 100)
    return Table(f"{shown.task}: missing", ["runs"], [[line] for line in lines], command) if lines else None


def sweep_of(task: str) -> str:
    """The file of the runs of a task's published table."""
    return f"benchmarks/{task.replace('-', '_')}.py"


def at_l0(shown: Board, curves: Sequence[Entry], fixed: float) -> Table:
    cells = {entry.name: [entry.at(metric, shown.l0, fixed) for metric in shown.metrics] for entry in curves}
    rows = [
        [label(entry), str(max(cell.seeds for cell in cells[entry.name])), *map(words, cells[entry.name])]
        for entry in ordered(shown, curves, lambda entry, metric: entry.at(metric, shown.l0, fixed))
    ]
    return Table(f"{shown.task} at L0 {fixed:g}", ["variant", "seeds", *map(heading, shown.metrics)], rows)


def over_l0(shown: Board, curves: Sequence[Entry]) -> Table:
    (metric,) = shown.metrics
    rows = [
        [
            label(entry),
            str(len(entry.seeds())),
            *(words(entry.at(metric, shown.l0, at)) for at in shown.view.at),
        ]
        for entry in ordered(
            shown, curves, lambda entry, metric: entry.at(metric, shown.l0, shown.view.at[0])
        )
    ]
    header = ["variant", "seeds", *(f"L0 {at:g}" for at in shown.view.at)]
    return Table(f"{shown.task}: {heading(metric)}", header, rows)


def at_own_l0(shown: Board, others: Sequence[Entry]) -> Table:
    """Controls, and entries that were trained at one sparsity only, which have no frontier."""
    rows = [
        [label(entry), span(entry.l0s(shown.l0)), *(words(entry.own(metric)) for metric in shown.metrics)]
        for entry in ordered(shown, others, lambda entry, metric: entry.own(metric))
    ]
    note = "" if any(entry.control for entry in others) else "No controls yet: boardsae score makes them."
    return Table(f"{shown.task} at their own L0", ["variant", "L0", *map(heading, shown.metrics)], rows, note)


def overview(shown: Board, beyond: Sequence[str] = ()) -> Table:
    """What was trained, how often, and where its curve begins and ends; some L0s lie beyond all curves."""
    rows = []
    for entry in shown.entries:
        counts = (len(entry.seeds()), len(entry.runs), sum(run.trials for run in entry.runs))
        features, trained = (entry.runs[0].spec.get(name) for name in ("d_sae", "rows"))
        facts = [f"{value:,}" if isinstance(value, int) else NOTHING for value in (features, trained)]
        rows.append([label(entry), *map(str, counts), span(entry.l0s(shown.l0)), *facts])
    header = ["variant", "seeds", "runs", "trials", "L0", "features", "rows trained"]
    note = f"{HOW}\nNo curve reaches L0 {', '.join(beyond)}." if beyond else HOW
    return Table(f"{shown.task}: {measured_on(shown.found)}", header, rows, note)


def span(l0s: Sequence[float]) -> str:
    ends = [f"{l0:.1f}" for l0 in (l0s[0], l0s[-1])] if l0s else [NOTHING]
    return "-".join(dict.fromkeys(ends))


def measured_on(found: Found) -> str:
    hashes = next((run.record.get("hashes", {}) for run in found.runs), {})
    return ", ".join(f"{name} {value[:12]}" for name, value in sorted(hashes.items())) or "no scores yet"


HOW = (
    "± half of the 95% interval over games (sd over seeds); * a control.\n"
    "Interpolated in log L0 between runs, never outside of what was measured."
)


def label(entry: Entry) -> str:
    return f"{entry.name} *" if entry.control else entry.name


def heading(metric: str) -> str:
    return f"{metric} {arrow(metric)}".rstrip()


def arrow(metric: str) -> str:
    from boardsae.metrics import METRICS

    return {"up": "↑", "down": "↓"}.get(METRICS[metric].direction, "") if metric in METRICS else ""


def ordered(shown: Board, some: Sequence[Entry], cell_of: Callable[[Entry, str], Cell]) -> list[Entry]:
    """Best first by the metric that is sorted by, the first one by default; those without a value at the end."""
    if not shown.metrics or shown.view.sort == "name":
        return list(some)
    metric = entries.metric_of(shown.found, shown.view.sort) if shown.view.sort else shown.metrics[0]
    sign = 1 if arrow(metric) == "↓" else -1

    def place(entry: Entry) -> tuple[bool, float]:
        value = cell_of(entry, metric).value
        return value is None, sign * (value or 0.0)

    return sorted(some, key=place)


def words(cell: Cell) -> str:
    """0.712 ±.010 (.004): the mean, half of the interval, the seeds' standard deviation."""
    if cell.value is None:
        return NOTHING
    digits = decimals(cell.value)
    known = cell.low is not None and cell.high is not None
    half = f" ±{short((cell.high - cell.low) / 2, digits)}" if known else ""  # type: ignore[operator]
    return f"{cell.value:.{digits}f}{half}" + (f" ({short(cell.sd, digits)})" if cell.sd is not None else "")


def short(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".removeprefix("0") if digits else f"{value:.0f}"


def decimals(value: float) -> int:
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 3 if size >= 0.1 or not size else 4


def lines(shown: Board) -> list[list[object]]:
    """Every cell in full, one a line under COLUMNS, with the reason where there is no value."""
    found = []
    for entry in shown.entries:
        l0s = entry.l0s(shown.l0)
        ends = [rounded(end) for end in (l0s[0], l0s[-1])] if l0s else [None, None]
        trials = sum(run.trials for run in entry.runs)
        places = shown.view.at if entry.has_frontier(shown.l0) else (None,)
        for metric in shown.metrics:
            for at in places:
                cell = entry.own(metric) if at is None else entry.at(metric, shown.l0, at)
                figures = [rounded(value) for value in (cell.value, cell.low, cell.high, cell.sd)]
                name = (shown.task, entry.name, int(entry.control), metric, rounded(at))
                found.append([*name, *figures, cell.seeds, len(entry.runs), trials, *ends, cell.reason])
    return found


def rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def written(boards: Sequence[Board], format: str) -> str:
    """The boards in one of FORMATS or as csv."""
    if format == "csv":
        return comma_separated(COLUMNS, [line for each in boards for line in lines(each)])
    return FORMATS[format]([table for each in boards for table in tables(each)])


def boards(
    root: Path, tasks: Sequence[str] = (), view: View = EVERYTHING, headline: Sequence[str] = HEADLINE
) -> list[Board]:
    found = records.find(root)
    return [board(found, task, view, headline) for task in tasks or tasks_in(found, root)]


def tasks_in(found: Found, root: Path) -> list[str]:
    """The tasks of the records; without any, what is wrong with what there is."""
    if not found.tasks():
        first, *others = (f"{each.path}: {each.reason}" for each in found.left_out)
        more = f", and {len(others)} more" if others else ""
        raise Broken(f"no run in {root} can be read: {first}{more}")
    return found.tasks()


def committed(root: Path, tasks: Sequence[str] = ()) -> dict[Path, str]:
    """The files that stand beside the records, and what the records say they hold."""
    found = records.published(root)
    return {
        root / each.task / f"leaderboard.{format}": written([each], format)
        for each in (board(found, task, EVERYTHING) for task in tasks or tasks_in(found, root))
        for format in ("md", "csv")
    }


def write(root: Path, tasks: Sequence[str] = ()) -> list[Path]:
    found = committed(root, tasks)
    for path, text in found.items():
        path.parent.mkdir(exist_ok=True)
        files.write_text(path, text)
    return list(found)


def differing(root: Path, tasks: Sequence[str] = ()) -> list[Path]:
    """The committed tables that are missing or say something else than the records."""
    found = committed(root, tasks)
    return [path for path, text in found.items() if not path.exists() or path.read_text() != text]
