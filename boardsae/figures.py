"""Figures of records: metrics over L0 and against each other, boards, training curves. PNG and SVG of each."""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from boardsae.boards import on_boards, squares
from boardsae.entries import Entry, name_of
from boardsae.leaderboard import Board, arrow
from boardsae.looks import GREY, Style, figure, finish, grid, panels, plain_log, styles, title_of
from boardsae.records import Run

LABEL = 0.045  # the height of a label, of that of the axes
LINES = ("always_on", "clock", "random_gpt", "neurons", "probe_oracle")  # controls that are drawn across
PAIRS = (
    ("coverage", "reconstruction"),
    ("coverage", "cov_x"),
    ("coverage", "legal_mass_loss"),
    ("explained_variance", "coverage"),
    ("explained_variance", "cov_x"),
    ("ce_increase", "reconstruction"),
)
SMALL = ("ce_increase", "kl_increase", "legal_mass_loss", "top1_legal_loss")  # span decades: logarithmic
LOW = -0.05  # where an axis of shares may begin
LOGGED = {"explained_variance": "explained variance", "l0": "L0", "dead_share": "dead share"}  # of log.csv


def draw_all(boards: Sequence[Board], folder: Path) -> list[Path]:
    """Every figure that the records have figures for; of the same records the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for board in boards:
        for name, drawn in figures_of(board):
            for ending in ("png", "svg"):
                paths.append(folder / f"{board.task}-{name}.{ending}")
                save(drawn, paths[-1])
    return paths


def save(drawn: Any, path: Path) -> None:
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "boardsae"}):  # names of shapes, which are random without
        drawn.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


def figures_of(board: Board) -> Iterator[tuple[str, Any]]:
    for metric in board.metrics:
        if any(entry.has_frontier(board.l0) and entry.marks(metric, board.l0) for entry in board.entries):
            yield f"frontier-{name_of(metric)}", over_l0(board, metric)
    ids = {name_of(metric): metric for metric in board.metrics}
    for x, y in PAIRS:
        if (
            x in ids
            and y in ids
            and any(trained(entry) and any(pairs(entry, ids[x], ids[y])) for entry in board.entries)
        ):
            yield f"{y}-against-{x}", against(board, ids[x], ids[y])
    if any(squares(run) for entry in board.entries for run in entry.runs):
        yield "boards", on_boards(board)
    if any(logged(run) for entry in board.entries for run in entry.runs):
        yield "curves", curves(board)


def over_l0(board: Board, metric: str) -> Any:
    """A metric over L0: the mean over seeds, a band for the interval over games, a mark for each run."""
    drawn = [
        entry for entry in board.entries if entry.has_frontier(board.l0) and entry.marks(metric, board.l0)
    ]
    style = styles(drawn)
    marks = [p for entry in drawn for p in entry.marks(metric, board.l0)]
    logged = name_of(metric) in SMALL and all(p.value > 0 for p in marks)
    shown = panels(drawn)
    whole, places = grid(len(shown), 7.2, 4.8)
    for axes, (title, mine) in zip(places, shown, strict=True):
        for entry in drawn:
            _draw_curve(axes, board, entry, metric, style[entry.name], entry in mine)
        axes.set_xscale("log")
        plain_log(axes)
        if logged:
            axes.set_yscale("log")
        _draw_lines(axes, board, metric, min(p.value for p in marks) / 2 if logged else -math.inf)
        axes.set_title(title, fontsize=11)
        finish(axes)
    whole.supxlabel("L0, active features a position", fontsize=11)
    whole.supylabel(f"{metric} {arrow(metric)}", fontsize=11)
    hidden = cut(places, 1, [p.value for p in marks])
    below = f"; {hidden} runs far below 0 are not shown" if hidden else ""
    whole.suptitle(f"{board.task}: {title_of(metric)} over L0{below}", fontsize=12)
    return whole


def _draw_curve(axes: Any, board: Board, entry: Entry, metric: str, style: Style, mine: bool) -> None:
    l0s = entry.l0s(board.l0)
    steps = [l0s[0] * (l0s[-1] / l0s[0]) ** (i / 60) for i in range(61)] if l0s and l0s[0] > 0 else []
    read = [(at, entry.at(metric, board.l0, at)) for at in steps]
    seeds = max((cell.seeds for _, cell in read), default=0)
    cells = [
        (at, cell) for at, cell in read if cell.value is not None and cell.seeds == seeds
    ]  # else it would jump
    xs = [at for at, _ in cells]
    if not mine:
        axes.plot(xs, [cell.value for _, cell in cells], color=GREY, linewidth=0.9, zorder=1)
        return
    axes.plot(xs, [cell.value for _, cell in cells], linestyle=style.dash, color=style.colour, zorder=3)
    banded = [
        (at, cell.low, cell.high) for at, cell in cells if cell.low is not None and cell.high is not None
    ]
    if banded:
        axes.fill_between(*zip(*banded, strict=True), color=style.colour, alpha=0.15, linewidth=0, zorder=2)
    points = entry.marks(metric, board.l0)
    axes.plot(
        [p.l0 for p in points],
        [p.value for p in points],
        style.marker,
        color=style.colour,
        markersize=4,
        zorder=4,
    )
    axes.plot([], [], linestyle=style.dash, marker=style.marker, color=style.colour, label=entry.name)


def _draw_lines(axes: Any, board: Board, metric: str, lowest: float) -> None:
    """Some controls, at whatever L0 they have, as thin lines across; those that lie close together share a label."""
    found = []
    for entry in board.entries:
        value = entry.own(metric).value
        if entry.control and entry.variant in LINES and value is not None and value >= lowest:
            found.append((value, entry.variant))
            axes.axhline(value, color="#777777", linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    for value, names in close(sorted(found), axes):
        at = {"x": 1.0, "y": value, "transform": axes.get_yaxis_transform()}
        axes.text(s=", ".join(names), ha="right", va="bottom", fontsize=8, color="#555555", zorder=6, **at)


def close(found: Sequence[tuple[float, str]], axes: Any) -> list[tuple[float, list[str]]]:
    """The names of rising values, together where labels would touch; each with the highest value of its own."""
    labels: list[tuple[float, list[str]]] = []
    for value, name in found:
        ends = [axes.transData.transform((1, end))[1] for end in (labels[-1][0] if labels else value, value)]
        if labels and ends[1] - ends[0] < LABEL * axes.bbox.height:
            labels[-1] = value, [*labels[-1][1], name]
        else:
            labels.append((value, [name]))
    return labels


def against(board: Board, x: str, y: str) -> Any:
    """One metric against another, a mark for each run."""
    drawn = [entry for entry in board.entries if trained(entry) and any(pairs(entry, x, y))]
    style = styles(drawn)
    shown = panels(drawn)
    whole, places = grid(len(shown), 6.6, 5.2)
    for axes, (title, mine) in zip(places, shown, strict=True):
        for entry in drawn:
            found = list(pairs(entry, x, y))
            look = style[entry.name]
            if entry in mine:
                label = {"label": entry.name, "alpha": 0.8, "zorder": 3}
                axes.plot(*zip(*found, strict=True), look.marker, color=look.colour, markersize=5.5, **label)
            else:
                axes.plot(*zip(*found, strict=True), ".", color=GREY, markersize=4, zorder=1)
        axes.set_title(title, fontsize=11)
        finish(axes)
    whole.supxlabel(f"{x} {arrow(x)}", fontsize=11)
    whole.supylabel(f"{y} {arrow(y)}", fontsize=11)
    hidden = [cut(places, side, [pair[side] for e in drawn for pair in pairs(e, x, y)]) for side in (0, 1)]
    everything = [pair for entry in drawn if not entry.control for pair in pairs(entry, x, y)]
    rho = rank_correlation(everything)
    agreement = (
        f"rank correlation {rho:.2f} over {len(everything)} runs"
        if rho is not None
        else "too few runs to compare"
    )
    below = f"; {sum(hidden)} runs far below 0 are not shown" if any(hidden) else ""
    whole.suptitle(f"{board.task}: {title_of(y)} against {title_of(x)}\n{agreement}{below}", fontsize=11)
    return whole


def cut(places: Sequence[Any], side: int, values: Sequence[float]) -> int:
    """Ends axes of shares at 0 where some runs lie far below; answers with how many are then not seen."""
    if max(values) > 1.05 or min(values) > LOW:
        return 0
    for axes in places:
        (axes.set_xlim if side == 0 else axes.set_ylim)(LOW, 1.05)
    return sum(value < LOW for value in values)


def trained(entry: Entry) -> bool:
    """Whether these are runs of a sweep; controls that cheat would fill the figure with empty space."""
    return not any(run.control for run in entry.runs)


def pairs(entry: Entry, x: str, y: str) -> Iterator[tuple[float, float]]:
    for run in entry.runs:
        a, b = run.value(x), run.value(y)
        if a is not None and b is not None:
            yield a, b


def rank_correlation(found: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's, where it exists."""
    from scipy.stats import spearmanr

    if len(found) < 3 or any(len(set(side)) == 1 for side in zip(*found, strict=True)):
        return None
    return float(spearmanr(found)[0])  # type: ignore[arg-type]


def logged(run: Run) -> list[dict[str, str]]:
    if run.control or not (run.path / "log.csv").exists():
        return []
    with (run.path / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curves(board: Board) -> Any:
    """How training went, over the rows trained on: a line for each run, a column for each family of entries."""
    read = [(entry, found) for entry in board.entries if (found := logs_of(entry))]
    drawn = [entry for entry, _ in read]
    logs = {entry.name: found for entry, found in read}
    style = styles(drawn)
    names = [name for name in LOGGED if name in logs[drawn[0].name][0][0]]
    shown = panels(drawn)
    whole = figure(max(7.2, 3.4 * len(shown)), 2.2 * len(names) + 0.8)
    places = whole.subplots(len(names), len(shown), squeeze=False, sharex=True, sharey="row")
    for down, name in enumerate(names):
        for across, (title, mine) in enumerate(shown):
            axes = places[down][across]
            for entry in mine:
                _draw_logs(axes, logs[entry.name], name, style[entry.name], entry.name)
            axes.set_yscale("log" if name == "l0" else "linear")
            axes.set_title(title if down == 0 else "", fontsize=11)
            finish(axes, legend=down == 0)
        places[down][0].set_ylabel(LOGGED[name])
        if name == "dead_share":
            places[down][0].set_ylim(0, max(0.05, places[down][0].get_ylim()[1]))
    places[0][0].xaxis.set_major_formatter(
        lambda value, _: f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k"
    )
    whole.supxlabel("rows trained on", fontsize=11)
    whole.suptitle(f"{board.task}: training", fontsize=12)
    return whole


def logs_of(entry: Entry) -> list[list[dict[str, str]]]:
    """Of the runs that have one: a control of the same name as a swept SAE comes without."""
    return [log for run in entry.runs if (log := logged(run))]


def _draw_logs(axes: Any, logs: Sequence[list[dict[str, str]]], name: str, style: Style, label: str) -> None:
    for at, log in enumerate(logs):
        points = [(float(row["rows"]), float(row[name])) for row in log if row.get(name)]
        if points:
            line = {"linestyle": style.dash, "color": style.colour, "label": label if at == 0 else None}
            axes.plot(*zip(*points, strict=True), linewidth=1, alpha=0.8, **line)
