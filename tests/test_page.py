"""The page: whole, of one file, safe with any name; and used in a real browser as a person uses it."""

import re
from html.parser import HTMLParser

import headless
import pytest
from made_records import cell

import games
from boardsae import cards, page
from boardsae.report import Neighbour, Report
from games.draw import Picture

GAME = games.load("othello6")
SQUARES = [f"{column}{row}" for row in range(1, 7) for column in "abcdef"]
ODD = "<script>alert('x')</script> & \"y\""
VOID = {"meta", "link", "input", "br", "rect", "path", "circle", "use"}


def metrics(coverage):
    known = {"coverage@1": cell(coverage), "cov_x@1": cell(coverage - 0.2), "l0@1": cell(16.0, 0.1)}
    return known | {"kl_increase@1": cell(None, reason="it has no decoder"), "found@1": cell(3.0)}


def predicates(shift):
    """F1 falls along the board; the last one has none."""
    for group in ("mine", "theirs", "legal"):
        for place, square in enumerate(SQUARES):
            f1 = None if (group, square) == ("theirs", "f6") else (0.9 - 0.02 * place) * shift
            rates = dict.fromkeys(
                ("precision", "recall", "mcc", "phi", "ceiling", "base_rate", "always_on"), 0.5
            )
            names = {"name": f"{square} is {group}", "group": group, "feature": 100 + place}
            yield names | rates | {"f1": f1, "probe_f1": 0.8, "threshold": 0.1, "null": None}


def card(feature, predicate):
    rate = cards.Estimate(0.913, 0.9, 0.92)
    told = cards.Detection(predicate, "mine", 0.1, 0.87, 0.8, rate, rate)
    picture = Picture(6, "." * 14 + "ox..xo" + "." * 16, last=("c3",))
    example = cards.Example(2.5, 12, 7, "black", picture)
    maps = {title: dict.fromkeys(SQUARES, 0.1) for title in ("mine", "just played")}
    histogram = cards.Histogram(2.5, [0] * 10 + [5] * 10, [4] * 10 + [0] * 10)
    effect = cards.Effect(16, 0.25, [("d2", 0.5, 0.25), ("e3", 0.125, 0.375)], dict.fromkeys(SQUARES, 0.01))
    return cards.Card(feature, 0.25, 1.5, [told], maps, [example] * 6, histogram, [0.5] * 31, effect)


def made(name="topk k=16 seed=0", coverage=0.7, shift=1.0, features=4):
    record = {
        "task": "othello6-v1", "site": "residual", "layer": 1, "rows": 30000, "comparable": True,
        "games": {"report": 1000}, "hashes": {"model": "a" * 64, "games": "b" * 64},
        "subject": {"name": name, "variant": "topk", "d_sae": 1024},
        "metrics": metrics(coverage), "predicates": list(predicates(shift)),
        "made_with": {"boardsae": "0.1", "commit": "abc", "date": "2026-01-01", "machine": "Linux"},
    }  # fmt: skip
    controls = [
        record | {"subject": {"name": control}, "metrics": metrics(0.3)} for control in ("always_on", "clock")
    ]
    values = {"coverage@1": coverage, "l0@1": 16.0}
    near = [
        Neighbour("standard", "standard", {"coverage@1": 0.5, "l0@1": 30.0}),
        Neighbour(name, "topk", values, True),
    ]
    shown = [card(100 + place, f"{SQUARES[place]} is mine") for place in range(features)]
    return Report(name, GAME, record, controls, near, shown)


class Tags(HTMLParser):
    """Fails on a tag that is closed and not open; keeps attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("reports", [[made()], [made(), made("standard l1=0.1 seed=0", 0.5, 0.5)]])
def test_a_page_is_whole_and_needs_nothing_else(reports):
    text = page.html(reports)
    tags = Tags(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    outside = [each for each in tags.attributes if each[1] in ("src", "srcset", "href", "action", "data")]
    assert outside
    assert all(value.startswith("#") or value == "data:," for _, _, value in outside)
    ids = [value for _, name, value in tags.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for _, _, value in outside if value.startswith("#")}
    assert {"boardsae-x", "boardsae-o"} <= links
    assert links <= set(ids)
    assert "NaN" not in text
    assert "None" not in text


def test_names_are_text_wherever_they_stand():
    report = made(ODD)
    record = report.record | {"predicates": [report.record["predicates"][0] | {"name": f"a1 {ODD}"}]}
    shown = [card(100, ODD)]
    controls = [each | {"subject": {"name": ODD}} for each in report.controls]
    near = [Neighbour(ODD, ODD, {"coverage@1": 0.5, "l0@1": 20.0}, True)]
    text = page.html([report._replace(record=record, cards=shown, controls=controls, neighbours=near)])
    assert "alert('x')" not in text.replace("alert(&#39;x&#39;)", "")
    assert text.count("<script>") == 1
    assert sum(ODD in each for each in Tags(text).text) >= 5


def test_what_is_missing_has_a_reason_or_a_dash():
    text = "".join(Tags(page.html([made()])).text)
    assert "it has no decoder" in text
    bare = made()._replace(controls=[], cards=[], neighbours=[])
    text = "".join(Tags(page.html([bare])).text)
    assert "The controls of othello6-v1 are not there yet: boardsae score" in text
    assert "No feature tells anything" in text
    assert "Every run of this task" not in text


def test_the_same_facts_give_the_same_page():
    assert page.html([made()]) == page.html([made()])


def test_a_page_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MEGABYTES", 0.1)
    with pytest.raises(ValueError, match=r"expected a page of at most 0.1 MB, got .* choose a lower --top"):
        page.write([made()], tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_a_page_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        page.write([made()], path)
    page.write([made()], path, force=True)
    assert path.read_text().endswith("</html>\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\N{EN DASH}"), (0, "0"), (2.0, "2"), (0.71234, "0.712"), (0.00123, "0.0012"), (12.345, "12.3"),
     (1234.5, "1,234"), (-0.5, "\N{MINUS SIGN}0.500"), (-0.00001, "0.0000"), (1.0, "1")],
)  # fmt: skip
def test_figures_are_short(value, text):
    assert page.figure(value) == text


def test_two_runs_are_told_apart_by_their_difference():
    reports = [made(), made("other", 0.5, 0.5)]
    titles = [column.title for column in page.columns_of(reports)]
    first = dict(zip(titles, next(page.rows(reports)), strict=True))
    assert (first["F1 A"].key, first["F1 B"].key) == (0.9, 0.45)
    assert first[f"B {page.charts.MINUS} A"].text == "\N{MINUS SIGN}0.450"
    assert (first["feature A"].link, first["feature B"].link) == ("a-100", "b-100")


needs_browser = pytest.mark.skipif(headless.executable() is None, reason="no Chromium or Chrome was found")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with headless.Browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """The page in a browser; nothing may be complained of, before or after."""
    page.write([made()], tmp_path / "report.html")
    browser.resize(1280, 900)
    browser.open(tmp_path / "report.html")
    yield browser
    assert browser.faults == []


ROWS = "[...document.querySelectorAll('#table tbody tr:not([hidden])')].map(row => row.cells[{}].textContent)"


def column(browser, place):
    return browser.run(ROWS.format(place))


@needs_browser
def test_headings_sort_by_keyboard(opened):
    """F1 is the third column: worst first, then best first as at the start; what has none is last either way."""
    assert opened.run("document.querySelectorAll('#table th')[2].ariaSort") == "descending"
    names = column(opened, 0)
    assert len(names) == 72  # the headline's groups are shown first
    opened.run("document.querySelectorAll('#table thead button')[2].focus()")
    for state, best_first in (("ascending", False), ("descending", True)):
        opened.press("Enter")
        scores = column(opened, 2)
        assert scores.pop() == "\N{EN DASH}"
        assert scores == sorted(scores, key=float, reverse=best_first)
        assert opened.run("document.querySelectorAll('#table th')[2].ariaSort") == state
    opened.run("document.querySelectorAll('#table thead button')[0].click()")
    assert column(opened, 0) == sorted(names)
    assert opened.run("document.querySelectorAll('#table th')[2].ariaSort") is None


@needs_browser
def test_what_is_focused_is_seen(opened):
    opened.run("document.querySelector('#search').focus()")
    opened.press("Tab")
    outline = "getComputedStyle(document.activeElement)"
    assert opened.run(f"{outline}.outlineStyle") == "solid"
    assert float(opened.run(f"{outline}.outlineWidth").removesuffix("px")) >= 2


@needs_browser
def test_a_feature_is_followed_and_the_search_gives_way(opened):
    opened.run("document.querySelector('#search').value = 'f6'; search.dispatchEvent(new Event('input'))")
    assert column(opened, 0) == ["f6 is mine", "f6 is theirs"]
    assert opened.run("document.querySelector('#count').textContent") == "2 of 108"
    assert opened.run("document.querySelectorAll('.card:not([hidden])').length") == 0
    assert opened.run("document.querySelector('#none').hidden") is False
    opened.run("document.querySelector('#table a[href=\"#a-101\"]').click()")
    opened.run("new Promise(done => setTimeout(done, 100))")
    assert opened.run("location.hash") == "#a-101"
    assert opened.run("document.activeElement.id") == "a-101"
    top, high = opened.run("(({top}) => [top, innerHeight])(document.activeElement.getBoundingClientRect())")
    assert 0 < top < high
    assert opened.run("document.querySelectorAll('.card:not([hidden])').length") == 4


@needs_browser
def test_discs_are_seen_whatever_is_hidden(opened):
    """Their shapes stand once in the page, in none of the boards."""
    discs = "[...document.querySelectorAll('.card:not([hidden]) .examples use')].map(disc => disc.getBBox().width)"
    assert len(widths := opened.run(discs)) == 4 * 6 * 4
    assert min(widths) > 30
    opened.run("document.querySelector('#search').value = 'd1'; search.dispatchEvent(new Event('input'))")
    assert len(widths := opened.run(discs)) == 6 * 4
    assert min(widths) > 30


@needs_browser
def test_groups_are_chosen_and_a_slash_searches(opened):
    opened.run("group.value = 'legal'; group.dispatchEvent(new Event('change'))")
    assert set(column(opened, 1)) == {"legal"}
    opened.press("/")
    assert opened.run("document.activeElement.id") == "search"
    assert opened.run("search.value") == ""


@needs_browser
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out_of_a_narrow_screen(opened, width, tmp_path):
    opened.resize(width, 844)
    assert opened.run("document.documentElement.scrollWidth") == width
    opened.photograph(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    cut = "[...document.querySelectorAll('.card')].filter(card => card.scrollWidth > card.clientWidth).length"
    assert opened.run(cut) == 0


@needs_browser
def test_two_runs_stand_side_by_side_or_one_above_the_other(browser, tmp_path):
    page.write([made(), made("other", 0.5, 0.5)], tmp_path / "two.html")
    browser.open(tmp_path / "two.html")
    tops = (
        "[...document.querySelectorAll('.column')].map(each => Math.round(each.getBoundingClientRect().top))"
    )
    browser.resize(1280, 900)
    assert len(set(browser.run(tops))) == 1
    browser.resize(390, 844)
    assert len(set(browser.run(tops))) == 2
    assert browser.run("document.documentElement.scrollWidth") == 390
    assert browser.faults == []


@needs_browser
def test_a_browser_would_tell_of_faults(browser, tmp_path):
    """The other tests look at `faults`; here is one that shows there, for which the page's own rules are wide open."""
    (tmp_path / "bad.html").write_text("<script>console.error('no'); missing()</script>")
    browser.open(tmp_path / "bad.html")
    assert len(browser.faults) == 2
    browser.faults.clear()
