"""Which squares are found by whom: the F1 of every square's predicates, drawn on the board."""

import math
import textwrap
from collections.abc import Sequence
from itertools import compress
from statistics import fmean
from typing import Any

from boardsae.entries import Entry
from boardsae.evidence import family
from boardsae.leaderboard import Board
from boardsae.looks import by_family, figure
from boardsae.records import Run, by_square, on_board

BOARD_AT = 20.0  # L0 near which the runs on the boards were picked
FOUND = 0.8  # F1 of a predicate that counts as found


def on_boards(board: Board) -> Any:
    """Which squares each entry finds: the mean F1 of its predicates there, in the runs nearest to one L0."""
    known = [entry for mine in by_family(board.entries).values() for entry in mine]
    drawn = [entry for entry in known if any(squares(run) for run in entry.runs)]
    tables = [mean_board(nearest(board, entry)) for entry in drawn]
    lowest = min(value for table in tables for line in table for value in line if not math.isnan(value))
    columns = min(6, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    whole = figure(max(6.6, 1.75 * columns + 1.2), 2.0 * rows + 0.9)
    axes = whole.subplots(rows, columns, squeeze=False).flatten().tolist()
    for empty in axes[len(drawn) :]:
        empty.set_visible(False)
    look = {"cmap": "cividis", "vmin": math.floor(lowest * 10) / 10, "vmax": 1.0}
    images = [_draw_board(place, table, look) for place, table in zip(axes, tables, strict=False)]
    for place, entry in zip(axes, drawn, strict=False):
        l0s = [l0 for run in nearest(board, entry) if (l0 := run.value(board.l0)) is not None]
        name = textwrap.fill(entry.name, 22, break_long_words=False)
        place.set_title(f"{name}\nL0 {fmean(l0s):.0f}" if l0s else name, fontsize=8)
        if family(board.task) == "chess":
            place.invert_yaxis()  # White's side below, as chess players draw it
    whole.colorbar(images[0], ax=axes, shrink=0.8, label="mean F1")
    title = f"{board.task}: which squares are found by whom, near L0 {BOARD_AT:g}"
    whole.suptitle(
        f"{title}\n100 F1 of the predicates of each square; framed above {100 * FOUND:.0f}", fontsize=11
    )
    return whole


def mean_board(picked: Sequence[Run]) -> list[list[float]]:
    """(row, column) of the mean over runs, row 1 first; nan where nothing was measured."""
    found = [values for run in picked if (values := squares(run))]
    size = max(int(square[1:]) for values in found for square in values)
    names = [[f"{column}{row}" for column in "abcdefgh"[:size]] for row in range(1, size + 1)]
    held = [[[values[name] for values in found if name in values] for name in line] for line in names]
    return [[fmean(values) if values else math.nan for values in line] for line in held]


def _draw_board(axes: Any, table: Sequence[Sequence[float]], look: dict[str, Any]) -> Any:
    size, middle = len(table), (look["vmin"] + look["vmax"]) / 2
    for row, line in enumerate(table):
        for column, value in enumerate(line):
            if math.isnan(value):
                continue
            ink = "black" if value > middle else "white"
            axes.text(
                column, row, f"{100 * value:.0f}", color=ink, fontsize=36 / size, ha="center", va="center"
            )
            if value > FOUND:
                corner = (column - 0.42, row - 0.42)
                axes.add_patch(rectangle(corner, 0.84))
    axes.set_xticks(range(size), "abcdefgh"[:size], fontsize=6)
    axes.set_yticks(range(size), range(1, size + 1), fontsize=6)
    axes.tick_params(length=0)
    return axes.imshow(table, **look)


def rectangle(corner: tuple[float, float], side: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, side, side, fill=False, linewidth=0.9)


def nearest(board: Board, entry: Entry) -> list[Run]:
    """Of each seed the run whose L0 is nearest to the one that all boards are drawn at."""

    def distance(run: Run) -> float:
        l0 = run.value(board.l0)
        return abs(math.log(l0 / BOARD_AT)) if l0 else math.inf

    return [min((run for run in entry.runs if run.seed == seed), key=distance) for seed in entry.seeds()]


def squares(run: Run) -> dict[str, float]:
    """The mean F1 of every square's predicates of what stands there, the ones that coverage is about."""
    if "predicates" not in run.record:
        return {}
    return by_square(compress(run.record["predicates"], on_board(run.record)), "f1")
