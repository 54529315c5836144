"""Positions as pictures: a board for the terminal, and the same board as SVG."""

from collections.abc import Mapping
from html import escape
from typing import NamedTuple


class Picture(NamedTuple):
    """What a drawing needs to know of a position; squares are named "a1", column letter and row number.

    `cells` holds one character per square, a1 b1 c1 ... first: Othello's discs are "x" (black) and "o"
    (white), chess pieces the letters of a FEN ("K" white, "k" black), "." is empty. An `upward` board is
    drawn for chess, chequered and with row 1 at the bottom; any other for Othello, green, with row 1 on top.
    """

    size: int
    cells: str
    upward: bool = False
    last: tuple[str, ...] = ()  # the last move: its square, or where from and where to
    hints: tuple[str, ...] = ()  # legal moves, as dots; on a taken square as a ring
    heat: Mapping[str, float] | None = None  # a value in [0, 1] per square, as a colour wash


def _rows(picture: Picture) -> list[list[tuple[str, str]]]:
    """(square, its content), row by row from the top of the drawing."""
    size, cells = picture.size, picture.cells
    rows = [[("abcdefgh"[c] + str(r + 1), cells[r * size + c]) for c in range(size)] for r in range(size)]
    return rows[::-1] if picture.upward else rows


def _check(picture: Picture) -> None:
    size, cells, heat = picture.size, picture.cells, picture.heat or {}
    if size not in (6, 8):
        raise ValueError(f"expected a board of 6 or 8 squares a side, got {size!r}")
    if len(cells) != size * size:
        raise ValueError(
            f"expected {size * size} cells on a {size}x{size} board, got {len(cells)}: {cells!r}"
        )
    if unknown := sorted({*cells} - {*FILLED, "."}):
        raise ValueError(f"expected cells out of '{''.join(FILLED)}.', got {unknown[0]!r}")
    names = {square for row in _rows(picture) for square, _ in row}
    for square in (*picture.last, *picture.hints, *heat):
        if square not in names:
            raise ValueError(f"expected a square between a1 and {'abcdefgh'[size - 1]}{size}, got {square!r}")
    for square, value in heat.items():
        if not 0 <= value <= 1:
            raise ValueError(f"expected heat between 0 and 1, got {value!r} on {square}")


FILLED = dict(zip("xoPNBRQKpnbrqk", "●●♟♞♝♜♛♚♟♞♝♜♛♚", strict=True))
WHITES = "oPNBRQK"
OUTLINED = FILLED | dict(zip(WHITES, "○♙♘♗♖♕♔", strict=True))


def text(picture: Picture, colour: bool) -> str:
    """A board of three characters a square, without a final newline.

    Plain, it reads well in a log: X and O or the letters of a FEN, the last move in brackets, "+" a hint
    ("n+" on a taken square), and in a heat map each square's heat in tenths. In colour, it is for a terminal
    that knows the 256 ANSI colours.
    """
    _check(picture)
    square = _painted if colour else _plain
    wide = 3 if colour or picture.heat is None else 4
    lines = [
        f"{row[0][0][1]} " + "".join(square(picture, name, cell) for name, cell in row)
        for row in _rows(picture)
    ]
    letters = "  " + "".join(f" {letter} ".ljust(wide) for letter in "abcdefgh"[: picture.size])
    lines = [*lines, letters] if picture.upward else [letters, *lines]
    return "\n".join(line.rstrip() for line in lines)


def _plain(picture: Picture, name: str, cell: str) -> str:
    hint, last = name in picture.hints, name in picture.last
    symbol = "+" if hint and cell == "." else cell.upper() if cell in "xo" else cell
    heat = ""
    if picture.heat is not None:
        heat = f"{min(9, int(10 * picture.heat.get(name, 0))) or ' '}"
    taken = "+" if hint and cell != "." else "]" if last else " "
    return ("[" if last else " ") + symbol + heat + taken


# Numbers of the 256 colours, all grounds dark enough for white ink and light enough for black.
INK_BLACK, INK_WHITE = 16, 231
GROUNDS = {False: (29, 65), True: (60, 103)}  # by `upward`: dark squares, light ones
LAST = 136
# Grounds for fifths of heat; lightness falls at each step, so that they read in grey too.
WASH = (255, 223, 216, 209, 202, 166)


def _painted(picture: Picture, name: str, cell: str) -> str:
    hint, last, heat = name in picture.hints, name in picture.last, picture.heat
    symbol = FILLED.get(cell, "•" if hint else " ")
    ink = INK_WHITE if cell in WHITES else INK_BLACK
    left, right = "[]" if last and heat is not None else "  "
    if heat is None:
        ground = LAST if last else GROUNDS[picture.upward][(ord(name[0]) + ord(name[1])) % 2]
    else:
        # White glyphs would vanish on so pale a board: black ink for both sides, one outlined and one filled.
        ground, ink, symbol = WASH[round(5 * heat.get(name, 0))], INK_BLACK, OUTLINED.get(cell, symbol)
    if hint and cell != ".":
        right = "•"
    return f"\x1b[48;5;{ground};38;5;{ink}m{left}{symbol}{right}\x1b[0m"


SQUARE, MARGIN, EDGE = 40, 20, 4  # a square's side, the margin that holds the coordinates, and the other one


def _circle(x: float, y: float, radius: float) -> str:
    half = f"a{radius} {radius} 0 1 0"
    return f"M{x - radius} {y}{half} {2 * radius} 0{half}-{2 * radius} 0z"


# A piece is its silhouette and the lines drawn on it, in a square of 40.
SHAPES = {
    "x": (_circle(20, 20, 16), ""),
    "o": (_circle(20, 20, 16), ""),
    "p": (
        "M11 35v-3c0-3 2.5-4.5 4-6.5 1.2-1.7 1.8-3.6 2-6h-3v-2.5h3.2"
        + "a5.2 5.2 0 1 1 5.6 0h3.2v2.5h-3c.2 2.4.8 4.3 2 6 1.5 2 4 3.5 4 6.5v3z",
        "",
    ),
    "n": (
        "M11 35v-2.5C11 27.5 18 26 18.8 20.2 16.5 22.3 14.5 22 12.8 24 11.8 25.3 10.3 26.2 8.8"
        + " 25.2 7 24 6 22.3 6.8 20.4 8.5 16.5 10 14.8 11.2 11.6L11 5.5 15.5 8 18 5 20 8.3"
        + "C27 10.5 31 18 30.5 32.5V35z",
        "M14.3 13.7l.8-.3M9 22l.3-.4M21.5 12C25.5 15.5 27 21 26.8 28",
    ),
    "b": (
        "M20 7.5C12 13 10 20 15.5 24.5L15 28.5c-.8 2-5.5 2-5.5 4.5V35h21v-2c0-2.5-4.7-2.5-5.5-4.5l-.5-4"
        + "C30 20 28 13 20 7.5z"
        + _circle(20, 5.5, 2),
        "M15.5 24.5h9M24 12.5l-4.5 6",
    ),
    "r": (
        "M9 35v-3.5l3-1.5 1.5-13-3.5-3V6h4.5v3h3.25V6h4.5v3h3.25V6H30v8l-3.5 3L28 30l3 1.5V35z",
        "M13.5 17h13M12 30h16",
    ),
    "q": (
        "M10 35v-2.5l2-1.5-1.5-5.5L5.5 12l6 8 1.5-12 4.5 11L20 6.5 22.5 19 27 8l1.5 12 6-8L29.5 25.5 28 31"
        + "l2 1.5V35z"
        + "".join(_circle(x, y, 2) for x, y in ((5.5, 11), (13, 7.5), (20, 6), (27, 7.5), (34.5, 11))),
        "M10.5 25.5c6-1.5 13-1.5 19 0M12 31c5-1 11-1 16 0",
    ),
    "k": (
        "M10 35v-2.5l2-1.5-1-5C6 23 5 19.5 6.5 16.5 8.5 12.5 15.5 11.5 18.7 15.8V8.8H15.5V6.2h3.2V3h2.6"
        + "v3.2h3.2v2.6h-3.2v7C24.5 11.5 31.5 12.5 33.5 16.5 35 19.5 34 23 29 26l-1 5 2 1.5V35z",
        "M11 26c6-1.5 12-1.5 18 0M20 16.5v8M12 31c5-1 11-1 16 0",
    ),
}
WHITE = 'fill="#fff" stroke="#222" color="#222"'
BLACK = 'fill="#2a2a2a" stroke="#111" color="#eee"'


class Colours(NamedTuple):
    """Of a board: its squares, its dark squares or lines, and the frame and the tint of the last move."""

    light: str
    dark: str
    frame: str
    tint: str


CHEQUERED = Colours("#f1e7d5", "#b58f68", "#1f5fbf", "#ffe98a")
GREEN = Colours("#3d8b5f", "#2a6444", "#ffd84d", "#5da06a")
# Under heat both boards are pale, so that a colour means the same on any square. One hue that only darkens
# reads in grey and to the colour-blind.
PALE = Colours("#fbfaf8", "#e9e6df", "#1f5fbf", "none")
HEAT = "#d9480f"


def _colours(picture: Picture) -> Colours:
    return PALE if picture.heat is not None else CHEQUERED if picture.upward else GREEN


def svg(picture: Picture, pixels: int = 400, title: str = "") -> str:
    """A self-contained picture, `pixels` wide and high; equal ids are equal shapes: a page may hold many."""
    _check(picture)
    corner = {
        square: (SQUARE * c, SQUARE * r)
        for r, row in enumerate(_rows(picture))
        for c, (square, _) in enumerate(row)
    }
    whole = SQUARE * picture.size + MARGIN + EDGE
    box = f'width="{pixels}" height="{pixels}" viewBox="0 0 {whole} {whole}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {box}>',
        f"<title>{escape(title or ('Chess' if picture.upward else 'Othello') + ' position')}</title>",
        f'<g transform="translate({MARGIN} {EDGE if picture.upward else MARGIN})">',
        *_board(picture),
        *_marks(picture, corner),
        *_pieces(picture, corner),
        *_coordinates(picture),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _board(picture: Picture) -> list[str]:
    side, colours, places = SQUARE * picture.size, _colours(picture), range(picture.size)
    if picture.upward:
        dark = [(SQUARE * c, SQUARE * r) for r in places for c in places if (r + c) % 2]
        path = "".join(f"M{x} {y}h{SQUARE}v{SQUARE}h-{SQUARE}z" for x, y in dark)
        pattern = [f'<path fill="{colours.dark}" shape-rendering="crispEdges" d="{path}"/>']
    else:
        path = "".join(f"M{SQUARE * i} 0v{side}M0 {SQUARE * i}h{side}" for i in places[1:])
        pattern = [f'<path stroke="{colours.dark}" d="{path}"/>']
        dots = [(x, y) for y in (2 * SQUARE, side - 2 * SQUARE) for x in (2 * SQUARE, side - 2 * SQUARE)]
        pattern += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colours.dark}"/>' for x, y in dots]
    return [f'<rect width="{side}" height="{side}" fill="{colours.light}"/>', *pattern]


def _marks(picture: Picture, corner: Mapping[str, tuple[int, int]]) -> list[str]:
    """What lies under the pieces: heat, last move and hints."""
    cells, colours = {square: cell for row in _rows(picture) for square, cell in row}, _colours(picture)
    marks = []
    for square, value in sorted((picture.heat or {}).items()):
        x, y = corner[square]
        heat = f'fill="{HEAT}" fill-opacity="{value:.3f}"'
        marks.append(f'<rect x="{x}" y="{y}" width="{SQUARE}" height="{SQUARE}" {heat}/>')
    for square in picture.last:
        x, y = corner[square]
        frame = f'fill="{colours.tint}" stroke="{colours.frame}" stroke-width="3"'
        side = SQUARE - 3  # the frame's middle line: the frame stays inside the square
        marks.append(f'<rect x="{x + 1.5}" y="{y + 1.5}" width="{side}" height="{side}" {frame}/>')
    for square in picture.hints:
        x, y = corner[square]
        look = 'r="5"' if cells[square] == "." else 'r="17.5" fill="none" stroke="#000" stroke-width="3"'
        marks.append(f'<circle cx="{x + SQUARE // 2}" cy="{y + SQUARE // 2}" {look} opacity=".4"/>')
    return marks


def _pieces(picture: Picture, corner: Mapping[str, tuple[int, int]]) -> list[str]:
    pieces = [(square, cell) for row in _rows(picture) for square, cell in row if cell != "."]
    parts = ["<defs>"]
    for kind in sorted({cell.lower() for _, cell in pieces}):
        outline, lines = SHAPES[kind]
        inner = f'<path d="{lines}" fill="none" stroke="currentColor"/>' if lines else ""
        parts.append(f'<g id="boardsae-{kind}"><path d="{outline}"/>{inner}</g>')
    parts.append("</defs>")
    for is_white, look in ((True, WHITE), (False, BLACK)):
        parts.append(f'<g {look} stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round">')
        for square, cell in pieces:
            if (cell in WHITES) == is_white:
                x, y = corner[square]
                parts.append(f'<use href="#boardsae-{cell.lower()}" x="{x}" y="{y}"/>')
        parts.append("</g>")
    return parts


def _coordinates(picture: Picture) -> list[str]:
    row_y = {row[0][0][1]: SQUARE * r + SQUARE // 2 + 4 for r, row in enumerate(_rows(picture))}
    letter_y = SQUARE * picture.size + 14 if picture.upward else -7
    return [
        '<g fill="#808080" font-family="sans-serif" font-size="12" text-anchor="middle">',
        *(f'<text x="-10" y="{y}">{number}</text>' for number, y in row_y.items()),
        *(
            f'<text x="{SQUARE * c + SQUARE // 2}" y="{letter_y}">{letter}</text>'
            for c, letter in enumerate("abcdefgh"[: picture.size])
        ),
        "</g>",
    ]
