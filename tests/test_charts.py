"""Charts: whole SVG, numbers where they belong, and nothing that colour alone says."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from boardsae import charts

EVERY = {f"{column}{row}": 0.0 for column in "abcdef" for row in range(1, 7)}


def texts(svg):
    """(text, x, y) of all that is written."""
    found = [each for each in ElementTree.fromstring(svg).iter("text") if each.text]
    return [(each.text, float(each.get("x")), float(each.get("y"))) for each in found]


def lightness(colour):
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.3 * red + 0.59 * green + 0.11 * blue


def test_cividis_only_gets_lighter():
    shades = [lightness(charts.cividis(i / 50)) for i in range(51)]
    assert shades == sorted(shades)
    assert charts.cividis(-1) == charts.CIVIDIS[0]
    assert charts.cividis(2) == charts.CIVIDIS[-1]
    assert charts.cividis(0.5) == charts.CIVIDIS[3]


@pytest.mark.parametrize(("upward", "y"), [(False, 3 * 30 + 19), (True, 2 * 30 + 19)])
def test_a_change_stands_on_its_square_with_its_sign(upward, y):
    svg = charts.change_board(EVERY | {"b4": -0.254}, 6, upward, "change", full=0.5)
    assert (f"{charts.MINUS}25", 45, y) in texts(svg)
    assert not [text for text, *_ in texts(svg) if text in ("0", "+0")]
    assert svg.count(f'fill="{charts.LESS}" fill-opacity="0.46"') == 1


def test_found_squares_say_hundredths():
    written = [text for text, *_ in texts(charts.found_board({"a1": 1.0, "b1": 0.376}, 6, False, "found"))]
    assert ".38" in written
    assert "1" in written


def test_titles_are_escaped():
    for svg in (
        charts.found_board({}, 6, False, "<b>&"),
        charts.bars([[1, 2]], ["holds"], "<0", "&1", "<b>&"),
        charts.frontier([charts.Mark(10, 0.5, "<i>", "a", True)], {"<u>": 0.2}, "<b>&"),
        charts.strip(0.5, 0.4, 0.6, {"<a>": 0.1}, [0.1, 0.5]),
        charts.scale(),
    ):
        ElementTree.fromstring(svg)


def test_bars_stack_to_the_top():
    svg = charts.bars([[1, 0, 2], [1, 0, 4]], ["holds", "fails"], "0", "9", "bars")
    rects = [each.attrib for each in ElementTree.fromstring(svg).iter("rect")]
    assert [each["class"] for each in rects] == ["holds", "fails", "holds", "fails"]
    heights = [float(each["height"]) for each in rects]
    assert heights[2] == pytest.approx(2 * heights[0], abs=0.02)
    assert heights[2] + heights[3] == pytest.approx(76, abs=0.02)
    assert float(rects[3]["y"]) == pytest.approx(4, abs=0.02)


def test_bars_of_nothing_are_an_axis():
    assert "<rect" not in charts.bars([[0, 0]], ["holds"], "0", "0", "nothing")


def test_a_frontier_joins_a_line_by_l0_and_leaves_silent_saes_out():
    marks = [
        charts.Mark(40, 0.6, "c", "x"),
        charts.Mark(10, 0.2, "a", "x"),
        charts.Mark(20, 0.4, "b", "x", True),
    ]
    svg = charts.frontier([*marks, charts.Mark(0, 0.9, "silent", "x")], {"clock": 0.3}, "frontier")
    path = re.search(r'class="line own" d="M([^"]+)"', svg)[1]
    points = [tuple(map(float, point.split())) for point in path.split("L")]
    assert len(points) == 3
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.2)  # log L0
    assert points[0][1] - points[1][1] == pytest.approx(points[1][1] - points[2][1], abs=0.2)
    assert svg.count("<circle") == 3
    assert "silent" not in svg
    level = float(re.search(r'class="level" d="M\d+ ([\d.]+)H', svg)[1])
    assert points[1][1] < level < points[0][1]
    assert charts.frontier([charts.Mark(0, 0.9, "silent", "x")], {}, "nothing") == ""


def test_labels_of_equal_levels_do_not_cover_each_other():
    svg = charts.frontier([charts.Mark(10, 1.0, "a", "x")], {"one": 0.0, "two": 0.0, "three": 0.01}, "levels")
    heights = [y for text, _, y in texts(svg) if text in ("one", "two", "three")]
    assert all(a - b >= 11 for a, b in pairwise(heights))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.43, 0.47), (-0.02, 3.1), (0.5, 0.5), (0, 0), (120, 9000)]
)
def test_ticks_are_few_and_hold_everything(low, high):
    ticks = charts.nice(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 7


@pytest.mark.parametrize(("low", "high"), [(12, 50), (1, 2000), (30, 33), (0.4, 90)])
def test_l0s_lie_within_and_are_few(low, high):
    found = charts.l0s(low, high)
    assert all(low <= l0 <= high for l0 in found)
    assert len(found) <= 6
    assert found == sorted(found)
    assert low == 30 or len(found) >= 2


def test_a_strip_puts_letters_beside_each_other():
    svg = charts.strip(0.5, 0.45, 0.55, {"a": 0.0, "c": 0.0, "p": 1.0}, [0.0, 0.5, 1.0])
    places = {text: x for text, x, _ in texts(svg)}
    assert places["c"] - places["a"] >= 8
    assert places["p"] == 192
    (circle,) = ElementTree.fromstring(svg).iter("circle")
    assert float(circle.get("cx")) == 100
