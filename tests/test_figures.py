"""Figures show what the records say: the right runs, in marks that are told apart without colours."""

import builtins
import math

import made_records
import pytest
from made_records import cell, record_of, score, write, write_controls, write_run

from boardsae import boards, figures, leaderboard, looks, records
from boardsae.entries import Entry


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for variant in ("standard", "topk"):
        for l0 in made_records.L0S:
            for seed in range(2):
                write_run(folder, variant, l0, seed)
    write_controls(folder)
    return folder


@pytest.fixture(scope="module")
def board(root):
    (only,) = leaderboard.boards(root)
    return only


def test_every_figure_is_drawn_as_png_and_svg(root, tmp_path):
    shown = leaderboard.boards(
        root, view=leaderboard.View(("coverage", "reconstruction", "explained_variance"))
    )
    paths = figures.draw_all(shown, tmp_path / "figures")
    names = {path.stem.removeprefix("othello6-v1-") for path in paths}
    assert names == {
        *("frontier-coverage", "frontier-reconstruction", "frontier-explained_variance"),
        *("reconstruction-against-coverage", "coverage-against-explained_variance", "boards", "curves"),
    }
    for path in paths:
        start = path.read_bytes()[:200]
        assert start.startswith(b"\x89PNG") if path.suffix == ".png" else b"<?xml" in start
        assert path.stat().st_size > 5000
    again = figures.draw_all(shown, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_a_frontier_has_a_mark_for_each_run_and_the_mean_between_them(board):
    axes = figures.over_l0(board, "coverage@1").axes[0]
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    topk = max(marks, key=lambda line: max(line.get_ydata()))
    expected = {(l0, round(score("topk", l0, seed), 9)) for l0 in made_records.L0S for seed in range(2)}
    assert {(x, round(y, 9)) for x, y in topk.get_xydata().tolist()} == expected
    means = max(
        (line for line in axes.lines if len(line.get_xdata()) > 30), key=lambda line: max(line.get_ydata())
    )
    for x, y in means.get_xydata().tolist():
        assert y == pytest.approx(score("topk", x, 0.5))
    assert min(means.get_xdata()) >= 8
    assert max(means.get_xdata()) <= 96


def test_controls_are_drawn_across(board):
    axes = figures.over_l0(board, "coverage@1").axes[0]
    assert [text.get_text() for text in axes.texts] == ["always_on, clock"]  # one value, one label


def test_small_positive_metrics_have_a_logarithmic_axis(board):
    assert figures.over_l0(board, "ce_increase@1").axes[0].get_yscale() == "log"
    assert figures.over_l0(board, "coverage@1").axes[0].get_yscale() == "linear"


def entry(variant, control=False):
    return Entry(variant, variant, [], control)


ZOO = [entry(variant) for variants in looks.FAMILIES.values() for variant in variants]


def test_entries_of_a_panel_differ_in_colour_and_marker_and_dash():
    style = looks.styles(ZOO)
    assert len(style) == len(ZOO) > looks.TOGETHER
    for _, mine in looks.panels(ZOO):
        for part in zip(*(style[one.name] for one in mine), strict=True):
            assert len(set(map(str, part))) == len(mine)


def test_many_entries_have_a_panel_for_each_family_and_controls_come_last():
    shown = looks.panels([*ZOO, entry("clock", control=True), entry("mine.py:make")])
    assert [title for title, _ in shown] == [
        *("penalties", "gates", "top k", "choice and gradient", "end to end", "others", "controls")
    ]
    assert sum(len(mine) for _, mine in shown) == len(ZOO) + 2
    assert [title for title, _ in looks.panels(ZOO[:3])] == [""]


def test_a_board_shows_the_mean_f1_of_every_square(board):
    whole = boards.on_boards(board)
    titles = [axes.get_title() for axes in whole.axes]
    assert "topk\nL0 16" in titles  # the nearest to 20 on a logarithmic scale
    axes = whole.axes[titles.index("topk\nL0 16")]
    image = axes.images[0].get_array()
    value = score("topk", 16, 0.5)
    assert image.shape == (6, 6)
    assert image[0, 0] == pytest.approx(value)  # a1
    assert image[1, 2] == pytest.approx(value + 0.08)  # c2 is the ninth
    assert axes.texts[8].get_text() == f"{100 * (value + 0.08):.0f}"
    framed = [(round(patch.get_x() + 0.42), round(patch.get_y() + 0.42)) for patch in axes.patches]
    assert framed == [(at % 6, at // 6) for at in range(36) if min(1, value + 0.01 * at) > boards.FOUND]


def test_nearest_is_meant_on_a_logarithmic_scale(board, monkeypatch):
    monkeypatch.setattr(boards, "BOARD_AT", 23.0)  # 16 is nearer by difference, 32 by ratio
    assert "topk\nL0 32" in [axes.get_title() for axes in boards.on_boards(board).axes]


def test_the_line_of_means_has_no_jump_where_a_seed_ends(tmp_path):
    for l0 in made_records.L0S:
        write_run(tmp_path, "topk", l0, 0)
    for l0 in made_records.L0S[1:]:
        write_run(tmp_path, "topk", l0, 7)
    (board,) = leaderboard.boards(tmp_path)
    lines = figures.over_l0(board, "coverage@1").axes[0].lines
    (means,) = (line for line in lines if len(line.get_xdata()) > 30)
    assert min(means.get_xdata()) >= 16
    assert means.get_ydata()[0] == pytest.approx(score("topk", means.get_xdata()[0], 3.5))


def test_squares_count_what_stands_there_and_skip_what_was_not_measured(tmp_path):
    record = record_of("topk", 8.0, 0)
    record["predicates"] = [
        {"name": "a1 is mine", "f1": 0.2, "null": 0.1},
        {"name": "a1 is theirs", "f1": 0.6, "null": 0.0},
        {"name": "a1 is empty", "f1": 1.0, "null": None},
        {"name": "b1 is mine", "f1": None, "null": 0.1},
        {"name": "a1 is legal", "f1": 0.9, "null": None},
        {"name": "black is to move", "f1": 0.9, "null": None},
    ]
    write_run(tmp_path, "topk", 8.0, 0, record=record)
    (run,) = records.find(tmp_path).runs
    assert boards.squares(run) == {"a1": pytest.approx(0.4)}


def test_squares_of_chess_are_those_of_its_pieces(tmp_path):
    record = record_of("topk", 8.0, 0)
    record["predicates"] = [
        {"name": "a1 is mine", "f1": 0.9, "null": None},
        {"name": "a1 is theirs", "f1": 0.9, "null": None},
        {"name": "white pawn on e4 (paper)", "f1": 0.2, "null": 0.1},
        {"name": "black rook on e4 (paper)", "f1": 0.4, "null": 0.1},
    ]
    write_run(tmp_path, "topk", 8.0, 0, record=record)
    (run,) = records.find(tmp_path).runs
    assert boards.squares(run) == {"e4": pytest.approx(0.3)}


def test_rank_correlation_by_hand_and_with_ties():
    assert figures.rank_correlation([(1, 10), (2, 20), (3, 25)]) == pytest.approx(1)
    assert figures.rank_correlation([(1, 3), (2, 2), (3, 1)]) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / sqrt(4.5 * 5)
    assert figures.rank_correlation([(1, 1), (2, 3), (2, 2), (3, 4)]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert figures.rank_correlation([(1, 1), (1, 2), (1, 3)]) is None
    assert figures.rank_correlation([(1, 1), (2, 2)]) is None


def test_curves_are_those_of_the_logs(board):
    whole = figures.curves(board)
    first = whole.axes[0].lines[0].get_xydata()
    assert len(first) == 20
    assert first[3].tolist() == pytest.approx([3 * 4096, 1 - 1 / 5])
    assert [axes.get_ylabel() for axes in whole.axes] == ["explained variance", "L0"]


def test_a_control_named_like_a_swept_variant_is_not_drawn_again(board):
    topk = next(entry for entry in board.entries if entry.variant == "topk")
    control = topk._replace(runs=[topk.runs[0]._replace(control=True)])
    once, twice = (
        figures.curves(board._replace(entries=entries))
        for entries in (board.entries, [*board.entries, control])
    )
    assert [len(axes.lines) for axes in twice.axes] == [len(axes.lines) for axes in once.axes]


def test_runs_without_logs_predicates_or_values_leave_their_figures_out(tmp_path):
    for l0 in made_records.L0S:
        record = record_of("topk", l0, 0, predicates=[])
        record["metrics"]["coverage@1"] = cell(None, reason="no predicate has 50 positives")
        write_run(tmp_path, "topk", l0, 0, record=record)
    for log in tmp_path.rglob("log.csv"):
        log.unlink()
    (board,) = leaderboard.boards(tmp_path, view=leaderboard.View(("coverage", "cov_x")))
    drawn = dict(figures.figures_of(board))
    assert set(drawn) == {"frontier-cov_x"}


def test_controls_do_not_stretch_the_figure_of_two_metrics(board):
    labels = figures.against(board, "coverage@1", "cov_x@1").axes[0].get_legend_handles_labels()[1]
    assert labels == ["standard", "topk"]


def test_two_runs_are_too_few_to_compare(tmp_path):
    for l0 in made_records.L0S[:2]:
        write_run(tmp_path, "topk", l0, 0)
    (board,) = leaderboard.boards(tmp_path)
    assert "too few runs to compare" in figures.against(board, "coverage@1", "cov_x@1").get_suptitle()


def test_without_matplotlib_one_line_says_so(board, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ValueError, match="figures need matplotlib, which is not installed"):
        figures.over_l0(board, "coverage@1")


def test_a_record_of_a_failed_scoring_has_no_figure(tmp_path):
    folder = write_run(tmp_path, "topk", 8.0, 0)
    write(folder / "scores.json", {"error": "the SAE has no weights"})
    (board,) = leaderboard.boards(tmp_path)
    assert list(figures.figures_of(board)) == []
