"""How figures tell entries apart: a colour, a marker and a dash each, and a panel for each family.

Colours are those of Okabe and Ito, told apart without colour vision. Beyond eight entries a figure has a panel for each
family, with all others in grey behind it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from boardsae.entries import Entry, name_of
from boardsae.saes import BASELINES

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    *("#000000", "#e69f00", "#56b4e9", "#009e73"),
    *("#b8a800", "#0072b2", "#d55e00", "#cc79a7"),
)
GREY = "#b5b5b5"
COLOURS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK, YELLOW)
MARKERS = "osD^vPX*"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))
FAMILIES = {
    "penalties": ("standard", "p_anneal", "jumprelu"),
    "gates": ("gated", "gated_p_anneal"),
    "top k": ("topk", "batch_topk", "matryoshka"),
    "choice and gradient": ("mutual_choice", "feature_choice", "gradient"),
    "end to end": ("local", "e2e", "e2e_ds"),
    "controls": BASELINES,
}
TOGETHER = 8  # entries that one panel can hold


class Style(NamedTuple):
    colour: str
    marker: str
    dash: Any


def figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("figures need matplotlib, which is not installed: pip install matplotlib") from None
    return Figure(figsize=(width, height), layout="constrained")


def family(entry: Entry) -> str:
    if entry.control:
        return "controls"
    return next((name for name, variants in FAMILIES.items() if entry.variant in variants), "others")


def by_family(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """The entries of every family, in the order of FAMILIES."""
    held = {name: [entry for entry in entries if family(entry) == name] for name in (*FAMILIES, "others")}
    held["controls"] = held.pop("controls")  # last
    return {name: mine for name, mine in held.items() if mine}


def styles(entries: Sequence[Entry]) -> dict[str, Style]:
    """Of every entry by its name: different from each other within any eight of neighbouring families."""
    known = [entry for mine in by_family(entries).values() for entry in mine]
    return {
        entry.name: Style(COLOURS[at % 8], MARKERS[at % 8], DASHES[(at + at // 8) % 8])
        for at, entry in enumerate(known)
    }


def panels(entries: Sequence[Entry]) -> list[tuple[str, list[Entry]]]:
    """All entries in one panel, or a panel for each family."""
    return [("", list(entries))] if len(entries) <= TOGETHER else list(by_family(entries).items())


def grid(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """A figure with so many equal panels, at most three in a row, and their axes."""
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    whole = figure(width if count == 1 else 3.9 * columns, height if count == 1 else 3.3 * rows)
    axes = whole.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten().tolist()
    for empty in axes[count:]:
        empty.set_visible(False)
    for lowest in axes[:count][-columns:]:
        lowest.tick_params(labelbottom=True)
    return whole, axes[:count]


def title_of(metric: str) -> str:
    from boardsae.metrics import METRICS

    return METRICS[metric].title if metric in METRICS else name_of(metric).replace("_", " ")


def plain_log(axes: Any) -> None:
    """Ticks such as 10, 20, 50 and not powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def finish(axes: Any, legend: bool = True) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    if legend:
        axes.legend(framealpha=0.85, edgecolor="none", fontsize=8.5, handlelength=2.8)
