"""Drawings: the right thing on the right square, and nothing that breaks a log or a page."""

import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest

from games import draw
from games.draw import Picture, svg, text

SVG = "{http://www.w3.org/2000/svg}"
SIX = Picture(6, "........o.....ox....xxx.............", last=("c2",), hints=("b2", "e5"))
START = Picture(8, "RNBQKBNR" + "P" * 8 + "." * 32 + "p" * 8 + "rnbqkbnr", upward=True)
CAPTURE = START._replace(last=("e2", "e4"), hints=("e3", "e7"), heat={"e4": 1.0, "a7": 0.5, "h8": 0.01})


def drawn(picture: Picture) -> Counter:
    """(shape, ink, x, y) of every piece in the SVG."""
    groups = [
        group for group in ET.fromstring(svg(picture)).iter(f"{SVG}g") if group.find(f"{SVG}use") is not None
    ]
    return Counter(
        (use.get("href").removeprefix("#boardsae-"), group.get("fill"), int(use.get("x")), int(use.get("y")))
        for group in groups
        for use in group.findall(f"{SVG}use")
    )


def changes(before: Picture, after: Picture) -> set[str]:
    """The lines of an SVG that another lacks."""
    return set(svg(after).splitlines()) - set(svg(before).splitlines())


def test_othello_reads_in_a_log():
    assert text(SIX, colour=False).splitlines() == [
        "   a  b  c  d  e  f",
        "1  .  .  .  .  .  .",
        "2  .  + [O] .  .  .",
        "3  .  .  O  X  .  .",
        "4  .  .  X  X  X  .",
        "5  .  .  .  .  +  .",
        "6  .  .  .  .  .  .",
    ]


def test_chess_reads_in_a_log_with_heat_in_tenths():
    assert text(CAPTURE, colour=False).splitlines() == [
        "8  r   n   b   q   k   b   n   r",
        "7  p5  p   p   p   p + p   p   p",
        "6  .   .   .   .   .   .   .   .",
        "5  .   .   .   .   .   .   .   .",
        "4  .   .   .   .  [.9] .   .   .",
        "3  .   .   .   .   +   .   .   .",
        "2  P   P   P   P  [P ] P   P   P",
        "1  R   N   B   Q   K   B   N   R",
        "   a   b   c   d   e   f   g   h",
    ]


@pytest.mark.parametrize("picture", [SIX, START, CAPTURE, START._replace(last=("d2", "d4"))])
def test_colour_adds_nothing_to_the_width(picture):
    assert "\x1b" not in text(picture, colour=False)
    bare = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text(picture, colour=True).splitlines()]
    boards = [line for line in bare if line[0].isdigit()]
    letters = next(line for line in bare if not line[0].isdigit())
    assert {len(line) for line in boards} == {2 + 3 * picture.size}
    assert [letters.index(letter) for letter in "abcdefgh"[: picture.size]] == list(
        range(3, len(boards[0]), 3)
    )


def test_colour_marks_the_last_move_and_heat_on_their_squares():
    row = next(line for line in text(SIX, colour=True).splitlines() if line.startswith("2"))
    assert [f"48;5;{draw.LAST};" in cell for cell in row.split("\x1b[0m")[:6]] == [False] * 2 + [True] + [
        False
    ] * 3
    row = next(line for line in text(CAPTURE, colour=True).splitlines() if line.startswith("4"))
    cells = row.split("\x1b[0m")
    assert [f"48;5;{draw.WASH[-1]};" in cell for cell in cells[:8]] == [False] * 4 + [True] + [False] * 3
    assert cells[4].endswith("[ ]")


def test_terminal_heat_darkens_at_each_step():
    def lightness(number: int) -> float:
        if number >= 232:
            return 8 + 10 * (number - 232)
        levels = (0, 95, 135, 175, 215, 255)
        red, green, blue = (levels[(number - 16) // place % 6] for place in (36, 6, 1))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    steps = [lightness(number) for number in draw.WASH]
    assert steps == sorted(steps, reverse=True)


@pytest.mark.parametrize("picture", [SIX, START, CAPTURE])
def test_every_piece_is_drawn_once_in_its_ink_on_its_square(picture):
    expected = Counter()
    for i, cell in enumerate(picture.cells):
        row, column = divmod(i, picture.size)
        if cell != ".":
            ink = "#fff" if cell in "oPNBRQK" else "#2a2a2a"
            expected[
                cell.lower(), ink, 40 * column, 40 * (picture.size - 1 - row if picture.upward else row)
            ] += 1
    assert drawn(picture) == expected


def test_a1_is_bottom_left_in_chess_and_top_left_in_othello():
    alone = "x" + "." * 63
    assert drawn(Picture(8, alone.replace("x", "K"), upward=True)) == {("k", "#fff", 0, 280): 1}
    assert drawn(Picture(8, alone)) == {("x", "#2a2a2a", 0, 0): 1}
    numbers = [(t.text, t.get("y")) for t in ET.fromstring(svg(START)).iter(f"{SVG}text") if t.text.isdigit()]
    assert numbers[0] == ("8", "24")


def test_a_dark_square_lies_under_a1_in_chess():
    path = next(p for p in ET.fromstring(svg(START)).iter(f"{SVG}path") if p.get("shape-rendering"))
    assert "M0 280h" in path.get("d")
    assert "M280 280h" not in path.get("d")


def test_marks_change_the_svg_on_their_squares_only():
    (last,) = changes(SIX, SIX._replace(last=("c2", "a6")))
    assert 'x="1.5" y="201.5"' in last
    (dot,) = changes(START, START._replace(hints=("e3",)))
    assert 'cx="180" cy="220" r="5"' in dot
    (ring,) = changes(START, START._replace(hints=("e7",)))
    assert 'cx="180" cy="60" r="17.5"' in ring
    (wash,) = changes(START._replace(heat={}), START._replace(heat={"h1": 0.25}))
    assert 'x="280" y="280"' in wash
    assert 'fill-opacity="0.250"' in wash


def test_every_shape_used_is_defined_and_equal_ids_are_equal_shapes_on_any_board():
    shapes: dict[str, set[bytes]] = {}
    for picture in (SIX, START, CAPTURE, START._replace(cells="q" + "." * 63)):
        tree = ET.fromstring(svg(picture))
        here = {g.get("id"): ET.tostring(g) for g in tree.iter(f"{SVG}g") if g.get("id")}
        assert {use.get("href")[1:] for use in tree.iter(f"{SVG}use")} == set(here)
        for name, shape in here.items():
            shapes.setdefault(name, set()).add(shape.strip())
    assert {len(same) for same in shapes.values()} == {1}


def test_titles_are_escaped_and_never_missing():
    assert ET.fromstring(svg(SIX, title='a <b> & "c"')).findtext(f"{SVG}title") == 'a <b> & "c"'
    assert ET.fromstring(svg(SIX)).findtext(f"{SVG}title") == "Othello position"
    assert ET.fromstring(svg(START)).findtext(f"{SVG}title") == "Chess position"
    assert ET.fromstring(svg(SIX, pixels=200)).get("width") == "200"


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (Picture(7, "." * 49), "expected a board of 6 or 8 squares a side, got 7"),
        (Picture(6, "." * 35), "expected 36 cells on a 6x6 board, got 35"),
        (Picture(6, "." * 35 + "z"), "expected cells out of 'xoPNBRQKpnbrqk.', got 'z'"),
        (SIX._replace(last=("g1",)), "expected a square between a1 and f6, got 'g1'"),
        (SIX._replace(hints=("a0",)), "expected a square between a1 and f6, got 'a0'"),
        (SIX._replace(heat={"pass": 1.0}), "expected a square between a1 and f6, got 'pass'"),
        (SIX._replace(heat={"a1": 1.5}), "expected heat between 0 and 1, got 1.5 on a1"),
        (SIX._replace(heat={"a1": float("nan")}), "expected heat between 0 and 1, got nan on a1"),
    ],
)
def test_a_picture_that_makes_no_sense_is_refused_in_one_line(picture, says):
    for draws in (
        svg,
        lambda picture: text(picture, colour=False),
        lambda picture: text(picture, colour=True),
    ):
        with pytest.raises(ValueError, match=re.escape(says)):
            draws(picture)
