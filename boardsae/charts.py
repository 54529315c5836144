"""Small charts and boards of numbers as SVG, for a page that is light or dark, on paper, and needs no colour.

What has a meaning has a shape or a number too. Inks are classes of the page's style sheet; fills of heat are fixed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

CIVIDIS = ("#00224e", "#26456e", "#575d6d", "#7d7c78", "#a69d75", "#d3c164", "#fee838")
LESS, MORE = "#4a98d0", "#e08214"  # told apart without colour vision; signs say it too
SQUARE, MARGIN = 30, 14
MINUS = "\N{MINUS SIGN}"  # as wide as a plus


class Mark(NamedTuple):
    """A point of a frontier; `line` joins points of the same line, `own` is what the page is about."""

    x: float
    y: float
    label: str
    line: str
    own: bool = False


def cividis(share: float) -> str:
    """The colour map of Nunez et al. 2018, between seven of its colours."""
    place = min(max(share, 0.0), 1.0) * (len(CIVIDIS) - 1)
    low = min(int(place), len(CIVIDIS) - 2)
    a, b = (tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in CIVIDIS[low : low + 2])
    return "#" + "".join(f"{round(p + (q - p) * (place - low)):02x}" for p, q in zip(a, b, strict=True))


def found_board(values: Mapping[str, float], size: int, upward: bool, title: str) -> str:
    """Shares from 0 to 1, written in hundredths."""
    cells = {}
    for square, value in values.items():
        ink = "#fff" if value < 0.6 else "#111"
        cells[square] = (f'fill="{cividis(value)}"', f"{value:.2f}".lstrip("0") if value < 1 else "1", ink)
    return board(cells, size, upward, title)


def change_board(values: Mapping[str, float], size: int, upward: bool, title: str, full: float) -> str:
    """Differences of shares, in hundredths with their sign; `full` is the difference of the strongest colour."""
    cells = {}
    for square, value in values.items():
        strength = min(abs(value) / full, 1.0) if full else 0.0
        fill = f'fill="{MORE if value > 0 else LESS}" fill-opacity="{0.9 * strength:.2f}"'
        hundredths = round(100 * value)
        if strength < 0.03 and not hundredths:
            continue  # neither colour nor number would be seen
        text = f"{hundredths:+d}".replace("-", MINUS) if hundredths else ""
        cells[square] = (fill, text, "#111")
    return board(cells, size, upward, title)


def board(cells: Mapping[str, tuple[str, str, str]], size: int, upward: bool, title: str) -> str:
    """Squares with a fill, a text and its ink."""
    side = SQUARE * size
    parts = [
        f'<svg class="squares" role="img" viewBox="0 0 {side + MARGIN} {side + MARGIN}">',
        f"<title>{escape(title)}</title>",
        f'<g transform="translate({MARGIN} 0)"><rect class="ground" width="{side}" height="{side}"/>',
    ]
    for square, (fill, text, ink) in cells.items():
        x = SQUARE * "abcdefgh".index(square[0])
        y = SQUARE * (size - int(square[1]) if upward else int(square[1]) - 1)
        parts.append(f'<rect x="{x}" y="{y}" width="{SQUARE}" height="{SQUARE}" {fill}/>')
        if text:
            parts.append(
                f'<text fill="{ink}" x="{x + SQUARE / 2:g}" y="{y + SQUARE / 2 + 4:g}">{text}</text>'
            )
    lines = "".join(f"M{SQUARE * i} 0v{side}M0 {SQUARE * i}h{side}" for i in range(size + 1))
    parts.append(f'<path class="grid" d="{lines}"/>')
    for i in range(size):
        middle, row = SQUARE * i + SQUARE / 2, size - i if upward else i + 1
        parts.append(f'<text class="name" x="{middle:g}" y="{side + 11}">{"abcdefgh"[i]}</text>')
        parts.append(f'<text class="name" x="-7" y="{middle + 3.5:g}">{row}</text>')
    return "".join([*parts, "</g></svg>"])


def bars(stacks: Sequence[Sequence[float]], names: Sequence[str], left: str, right: str, title: str) -> str:
    """Stacked bars, looks by `names`; at both ends of the axis what it begins and ends with."""
    wide, high = 300, 80
    count = max(len(stacks[0]), 1)
    step, top = wide / count, max((sum(values) for values in zip(*stacks, strict=True)), default=0) or 1
    gap = min(1.5, step / 3)
    parts = [f'<svg class="bars" role="img" viewBox="0 0 {wide} {high + 16}"><title>{escape(title)}</title>']
    for i in range(len(stacks[0])):
        base = float(high)
        for stack, name in zip(stacks, names, strict=True):
            tall = (high - 4) * stack[i] / top
            base -= tall
            if stack[i]:
                box = f'x="{i * step + gap / 2:.2f}" y="{base:.2f}" width="{step - gap:.2f}" height="{tall:.2f}"'
                parts.append(f'<rect class="{name}" {box}/>')
    parts.append(f'<path class="axis" d="M0 {high + 0.5}h{wide}"/>')
    parts.append(f'<text class="tick" x="0" y="{high + 13}">{escape(left)}</text>')
    parts.append(f'<text class="tick end" x="{wide}" y="{high + 13}">{escape(right)}</text>')
    return "".join([*parts, "</svg>"])


def frontier(marks: Sequence[Mark], levels: Mapping[str, float], title: str) -> str:
    """Values over L0 on a logarithmic axis, runs of a line joined; controls as dashed lines across."""
    wide, high, left, bottom = 270, 190, 38, 26
    known = [mark for mark in marks if mark.x > 0]
    if not known:
        return ""
    spans, heights = [math.log10(mark.x) for mark in known], [*(mark.y for mark in known), *levels.values()]
    x_low, x_high = min(spans) - 0.1, max(spans) + 0.1
    ticks = nice(min(heights), max(heights))
    y_low, y_high = ticks[0], ticks[-1]
    at_x = lambda x: left + (wide - left - 8) * (math.log10(x) - x_low) / (x_high - x_low)  # noqa: E731
    at_y = lambda y: 8 + (high - bottom - 8) * (y_high - y) / (y_high - y_low)  # noqa: E731
    parts = [f'<svg class="frontier" role="img" viewBox="0 0 {wide} {high}"><title>{escape(title)}</title>']
    for tick in ticks:
        parts.append(f'<path class="grid" d="M{left} {at_y(tick):.1f}H{wide - 8}"/>')
        parts.append(f'<text class="tick end" x="{left - 6}" y="{at_y(tick) + 4:.1f}">{tick:.6g}</text>')
    for l0 in l0s(10**x_low, 10**x_high):
        parts.append(f'<text class="tick middle" x="{at_x(l0):.1f}" y="{high - 8}">{l0:g}</text>')
    parts += _levels(levels, at_y, left, wide - 8)
    for line in dict.fromkeys(mark.line for mark in known):
        joined = sorted((mark.x, mark.y) for mark in known if mark.line == line)
        own = " own" if any(mark.own for mark in known if mark.line == line) else ""
        path = "L".join(f"{at_x(x):.1f} {at_y(y):.1f}" for x, y in joined)
        parts.append(f'<path class="line{own}" d="M{path}"/>')
    for mark in sorted(known, key=lambda mark: mark.own):
        look = 'class="point own" r="6"' if mark.own else 'class="point" r="3"'
        where = f'cx="{at_x(mark.x):.1f}" cy="{at_y(mark.y):.1f}"'
        parts.append(f"<circle {look} {where}><title>{escape(mark.label)}</title></circle>")
    return "".join([*parts, "</svg>"])


def _levels(
    levels: Mapping[str, float], at_y: Callable[[float], float], left: float, right: float
) -> list[str]:
    """Dashed lines; a label that would fall on another one moves up."""
    parts, taken = [], math.inf
    for name, value in sorted(levels.items(), key=lambda item: item[1]):
        y = at_y(value)
        taken = min(y - 3, taken - 11)
        parts.append(f'<path class="level" d="M{left} {y:.1f}H{right}"/>')
        parts.append(f'<text class="tick end" x="{right}" y="{taken:.1f}">{escape(name)}</text>')
    return parts


def l0s(low: float, high: float) -> list[float]:
    """Round numbers between two others, as many as are easily read along a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for units in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 6), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        finer = [
            unit * 10**decade for decade in decades for unit in units if low <= unit * 10**decade <= high
        ]
        if len(finer) > 6:
            break
        found = finer
    return found


def nice(low: float, high: float) -> list[float]:
    """Round numbers, three to seven of them, from below the lowest to above the highest."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= raw)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
    assert all(a < b for a, b in pairwise(ticks)), "ticks ascend"
    return ticks


def strip(
    value: float, low: float | None, high: float | None, beside: Mapping[str, float], ends: Sequence[float]
) -> str:
    """A value and its interval on a line with its lettered company, from 0 or the lowest to the highest of `ends`."""
    wide, least, most = 200, min(0.0, *ends), max(ends)
    at = lambda x: 8 + (wide - 16) * (x - least) / ((most - least) or 1)  # noqa: E731
    told = ", ".join(f"{name} {each:.3g}" for name, each in beside.items())
    parts = [f'<svg class="strip" role="img" viewBox="0 0 {wide} 28"><title>{escape(told)}</title>']
    parts.append(f'<path class="axis" d="M8 9H{wide - 8}"/>')
    taken = -math.inf
    for name, each in sorted(beside.items(), key=lambda item: item[1]):
        taken = max(at(each), taken + 8)  # letters stand beside each other
        parts.append(f'<path class="level" d="M{at(each):.1f} 4v10"/>')
        parts.append(f'<text class="tick middle" x="{taken:.1f}" y="25">{escape(name)}</text>')
    if low is not None and high is not None:
        parts.append(f'<path class="span" d="M{at(max(low, least)):.1f} 9H{at(min(high, most)):.1f}"/>')
    return "".join([*parts, f'<circle class="point own" cx="{at(value):.1f}" cy="9" r="4.5"/></svg>'])


def scale() -> str:
    """What the colours of `change_board` say."""
    steps = [(-1 + 2 * i / 8) for i in range(9)]
    boxes = "".join(
        f'<rect x="{20 * i}" y="0" width="20" height="10" fill="{MORE if step > 0 else LESS}"'
        f' fill-opacity="{0.9 * abs(step):.2f}"/>'
        for i, step in enumerate(steps)
    )
    return (
        '<svg class="scale" role="img" viewBox="0 0 180 24"><title>less to more</title>'
        f'{boxes}<text class="tick" x="0" y="22">{MINUS} less</text>'
        '<text class="tick end" x="180" y="22">more +</text></svg>'
    )
