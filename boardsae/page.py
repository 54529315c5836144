"""A report as one HTML file that needs nothing else: no network, no server, and scripts only to sort and to search."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boardsae import charts, files
from boardsae.cards import Card, Effect, Estimate
from boardsae.metrics import METRICS
from boardsae.records import by_square
from boardsae.report import Report, values
from games import draw
from games.core import Game

MEGABYTES = 10.0
HEADLINE = (
    *("coverage@1", "cov_x@1", "found@1", "reconstruction@1"),
    *("explained_variance@1", "kl_increase@1", "l0@1", "alive@1"),
)
FRONTIERS = ("coverage@1", "cov_x@1", "reconstruction@1", "explained_variance@1")
LINES = {"always_on": "a", "clock": "c", "probe_oracle": "p"}  # controls that are drawn, and their letters
STRIPS = ("coverage@1", "cov_x@1", "found@1", "reconstruction@1", "explained_variance@1", "kl_increase@1")
ARROWS = {"up": "↑", "down": "↓", "": ""}
WEAK = 0.2  # a difference of shares that is not drawn as strong, however small the others are
NOTHING = "\N{EN DASH}"


class Cell(NamedTuple):
    """A cell of a table: what is read, what it is sorted by, a bar behind it, a card that it leads to."""

    text: str
    key: float | str | None = None
    bar: float | None = None
    link: str | None = None


class Column(NamedTuple):
    title: str
    meaning: str


def write(reports: Sequence[Report], path: Path, force: bool = False) -> None:
    text = html(reports)
    if (size := len(text.encode()) / 1e6) > MEGABYTES:
        raise ValueError(
            f"expected a page of at most {MEGABYTES:g} MB, got {size:.1f} MB; choose a lower --top"
        )
    files.write_text(path, text, force)


def html(reports: Sequence[Report]) -> str:
    """One report, or two side by side."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=PackageLoader("boardsae", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    drawn = lambda make: lambda *given: Markup(make(*given))  # noqa: E731 - SVG, whose makers escape
    boards = Boards()
    pages.filters |= {"figure": figure, "interval": interval, "span": span, "percent": percent}
    pages.globals |= {
        "METRICS": METRICS,
        "ARROWS": ARROWS,
        "HEADLINE": HEADLINE,
        "identity": identity,
        "strip": drawn(strip),
        "frontiers": lambda: [(title, Markup(chart)) for title, chart in frontiers(reports)],
        "found": drawn(found_board),
        "map": drawn(map_board),
        "example": drawn(boards.example),
        "pieces": drawn(boards.pieces),
        "histogram": drawn(histogram),
        "plies": drawn(plies),
        "effect": drawn(effect_board),
        "scale": drawn(charts.scale),
    }
    columns = list(columns_of(reports))
    return pages.get_template("page.html").render(
        reports=reports, columns=columns, rows=list(rows(reports)), headline=reports[0].game.board
    )


def figure(value: float | None) -> str:
    """A number as short as it can be read."""
    if value is None:
        return NOTHING
    if value == int(value) or abs(value) >= 100:
        return minus(f"{value:,.0f}")
    places = 1 if abs(value) >= 10 else 3 if abs(value) >= 0.01 else 4
    return minus(f"{value:.{places}f}".replace("-0.0000", "0.0000"))


def minus(text: str) -> str:
    return text.replace("-", charts.MINUS)


def percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def span(estimate: Estimate) -> str:
    """The interval of a share, in hundredths as well."""
    return f"{100 * estimate.low:.0f}\N{EN DASH}{100 * estimate.high:.0f}"


def interval(cell: dict[str, Any]) -> str:
    if cell.get("low") is None or cell["low"] == cell["high"]:
        return ""
    return f"{figure(cell['low'])} to {figure(cell['high'])}"


def identity(reports: Sequence[Report], report: Report, feature: int) -> str:
    """The anchor of a card."""
    return f"{'ab'[list(reports).index(report)]}-{feature}"


# Charts of the summary.


def strip(reports: Sequence[Report], report: Report, metric: str) -> str:
    """Where the metric lies between some controls; of two reports on the same scale."""
    cell = report.record["metrics"][metric]
    beside = {LINES[name]: value for name, value in levels(report, metric).items()}
    if metric not in STRIPS or cell["value"] is None or not beside:
        return ""
    known = [own[metric] for each in reports if metric in (own := values(each.record))]
    return charts.strip(cell["value"], cell["low"], cell["high"], beside, [*known, *beside.values()])


def levels(report: Report, metric: str) -> dict[str, float]:
    """What the controls that are drawn have of a metric."""
    held = {record["subject"]["name"]: values(record).get(metric) for record in report.controls}
    return {name: value for name in LINES if (value := held.get(name)) is not None}


def frontiers(reports: Sequence[Report]) -> Iterator[tuple[str, str]]:
    """The metrics of all runs of the task over L0, those of the page marked."""
    known = [each for report in reports for each in report.neighbours]
    for metric in FRONTIERS:
        marks = {
            each.name: charts.Mark(each.values["l0@1"], each.values[metric], each.name, each.line, each.own)
            for each in sorted(known, key=lambda each: each.own)  # what is marked wins
            if metric in each.values and "l0@1" in each.values
        }
        if len(marks) > 1 or (marks and levels(reports[0], metric)):
            title = METRICS[metric].title
            yield title, charts.frontier(list(marks.values()), levels(reports[0], metric), f"{title} over L0")


def found_board(report: Report, groups: Sequence[str], score: str) -> str:
    of_groups = [each for each in report.record["predicates"] if each["group"] in groups]
    whose = "the best feature" if score == "f1" else "a linear probe"
    title = f"F1 of {whose} for {' and '.join(groups)} at every square"
    return charts.found_board(by_square(of_groups, score), *shape(report.game), title)


# Charts of a card.


def map_board(report: Report, card: Card, title: str) -> str:
    full = max(WEAK, *(abs(value) for each in card.maps.values() for value in each.values()))
    text = f"Feature {card.feature}: how much likelier {title} is, in hundredths"
    return charts.change_board(card.maps[title], *shape(report.game), text, full)


class Boards:
    """Examples as SVG without the shapes of their pieces, which stand once for the whole page."""

    def __init__(self) -> None:
        self.shapes: set[str] = set()

    def example(self, card: Card, place: int) -> str:
        example = card.examples[place]
        title = f"Game {example.game} after {example.ply} plies, {example.to_move} to move"
        drawn = draw.svg(example.picture, title=title).replace(' xmlns="http://www.w3.org/2000/svg"', "")
        before, defined, after = re.split(r"<defs>(.*?)</defs>\n", drawn, flags=re.DOTALL)
        self.shapes |= set(re.findall(r'<g id=".*?</g>', defined, re.DOTALL))
        return before + after

    def pieces(self) -> str:
        return f'<svg class="pieces" aria-hidden="true"><defs>{"".join(sorted(self.shapes))}</defs></svg>'


def histogram(card: Card) -> str:
    held = card.histogram
    title = f"Feature {card.feature}: positions by activation where it fires"
    return charts.bars([held.holds, held.fails], ["holds", "fails"], "0", figure(held.top), title)


def plies(card: Card) -> str:
    title = f"Feature {card.feature}: share of positions where it fires, by ply"
    return charts.bars([card.by_ply], ["holds"], "ply 1", f"ply {len(card.by_ply)}", title)


def effect_board(report: Report, card: Card, effect: Effect) -> str:
    full = max(WEAK / 4, *(abs(value) for value in effect.squares.values()))
    title = f"Without feature {card.feature}: change of the next move's chance, in hundredths"
    return charts.change_board(effect.squares, *shape(report.game), title, full)


def shape(game: Game) -> tuple[int, bool]:
    """How a board is drawn: its size, and whether row 1 is at the bottom."""
    return game.size, game.picture(game.start()).upward


# The table of predicates.


def columns_of(reports: Sequence[Report]) -> Iterator[Column]:
    yield Column("predicate", "what is true or false of a position")
    yield Column("group", "its kind")
    if len(reports) == 2:
        yield from (
            Column(f"F1 {side}", f"of the best feature of {side}, chosen on select, judged on report")
            for side in "AB"
        )
        yield Column(f"B {charts.MINUS} A", "difference of F1")
        yield from (Column(f"phi {side}", "within-ply correlation; 0 for any clock") for side in "AB")
    else:
        yield Column("F1", "of the best feature, chosen on select, judged on report")
        yield Column("precision", "of the feature's yes, how often it is right")
        yield Column("recall", "of the positions where it holds, how many the feature finds")
        yield Column("MCC", "Matthews' correlation")
        yield Column("phi", "within-ply correlation of the best feature by it; 0 for any clock")
    yield Column("ceiling", "the same within-ply correlation for a linear probe")
    yield Column("base rate", "how often the predicate holds")
    yield Column("always-on", "F1 of a detector that always says yes")
    yield from (Column(f"feature{side}", "the best one by F1") for side in sides(reports))


def sides(reports: Sequence[Report]) -> list[str]:
    return [" A", " B"] if len(reports) == 2 else [""]


def rows(reports: Sequence[Report]) -> Iterator[list[Cell]]:
    """One for each predicate, which all reports of a task have in the same order."""
    shown = [{card.feature for card in report.cards} for report in reports]
    for each in zip(*(report.record["predicates"] for report in reports), strict=True):
        first = each[0]
        row = [Cell(first["name"], first["name"]), Cell(first["group"], first["group"])]
        if len(each) == 2:
            known = [held["f1"] for held in each if held["f1"] is not None]
            gain = known[1] - known[0] if len(known) == 2 else None
            row += [number(held["f1"], True) for held in each]
            row += [Cell(signed(gain), gain), *(number(held["phi"]) for held in each)]
        else:
            row += [
                number(first["f1"], True),
                *(number(first[name]) for name in ("precision", "recall", "mcc")),
            ]
            row.append(number(first["phi"]))
        row += [number(first[name]) for name in ("ceiling", "base_rate", "always_on")]
        for held, report, there in zip(each, reports, shown, strict=True):
            feature = held["feature"]
            link = identity(reports, report, feature) if feature in there else None
            row.append(Cell(str(feature), feature, link=link))
        yield row


def number(value: float | None, bar: bool = False) -> Cell:
    text = NOTHING if value is None else minus(f"{value:.3f}")
    return Cell(text, value, bar=value if bar else None)


def signed(value: float | None) -> str:
    return NOTHING if value is None else minus(f"{value:+.3f}")
