"""Tables are what the records say: every run counted or left out by name, nothing invented, nothing dropped."""

import csv
import io
import json
import math
import re
import shutil

import made_records
import pytest
from made_records import HASHES, cell, record_of, score, write, write_all, write_controls, write_run

from boardsae import claims, entries, leaderboard, records
from boardsae.claimed import Group
from boardsae.frontier import Cell
from boardsae.leaderboard import View, words


@pytest.fixture
def root(tmp_path):
    """Two variants of four sparsities and three seeds, and controls."""
    for variant in ("standard", "topk"):
        for l0 in made_records.L0S:
            for seed in range(3):
                write_run(tmp_path, variant, l0, seed)
    write_controls(tmp_path)
    return tmp_path


def cells(root, **view):
    (board,) = leaderboard.boards(root, view=View(**view))
    rows = csv.DictReader(io.StringIO(leaderboard.written([board], "csv")))
    return {(row["entry"], row["metric"], row["at_l0"]): row for row in rows}


def test_a_cell_is_the_mean_over_seeds_on_the_line_that_the_records_draw(root):
    found = cells(root)[("topk", "coverage@1", "20")]
    assert float(found["value"]) == pytest.approx(
        score("topk", 20, 1), rel=1e-5
    )  # seed 1 is the mean of 0, 1, 2
    assert float(found["low"]) == pytest.approx(float(found["value"]) - 0.02, rel=1e-5)
    assert float(found["seed_sd"]) == pytest.approx(0.01, rel=1e-4)
    assert (found["seeds"], found["runs"], found["trials"], found["control"]) == ("3", "12", "12", "0")


def test_outside_of_what_was_measured_stands_the_reason_and_no_number(root):
    found = cells(root, at=(4.0, 200.0))
    for at in ("4", "200"):
        row = found[("standard", "cov_x@1", at)]
        assert (row["value"], row["low"], row["seed_sd"]) == ("", "", "")
        assert row["reason"] == "measured from L0 8.0 to 96.0 only"


def test_a_seed_that_does_not_reach_there_is_not_counted(root):
    shutil.rmtree(root / "othello6-v1" / "topk" / "k=8.0" / "seed=2")
    found = cells(root)[("topk", "coverage@1", "10")]
    assert found["seeds"] == "2"
    assert float(found["value"]) == pytest.approx(score("topk", 10, 0.5), rel=1e-5)


def test_controls_stand_in_every_view(root):
    for view in (View(), View(variants=("topk",)), View(("coverage",))):
        (board,) = leaderboard.boards(root, view=view)
        for format in ("text", "md", "latex", "html"):
            assert "clock *" in leaderboard.written([board], format)
    assert "standard" not in {name for name, *_ in cells(root, variants=("topk",))}
    shutil.rmtree(root / "othello6-v1" / "controls")
    assert "No controls yet" in leaderboard.written(leaderboard.boards(root), "md")


def test_raw_and_corrected_coverage_stand_side_by_side(root):
    text = leaderboard.written(leaderboard.boards(root), "text")
    assert re.search(r"coverage@1\S* .?\s*cov_x@1", text)


def test_fine_tuned_runs_are_named_so_however_many_they_are(tmp_path):
    write_run(tmp_path, "topk", 8.0, 0, kl_finetune=0.0)
    for seed in range(3):
        write_run(tmp_path, "topk", 16.0, seed, kl_finetune=0.1)
    (board,) = leaderboard.boards(tmp_path)
    assert {entry.name: len(entry.runs) for entry in board.entries} == {"topk": 1, "topk kl_finetune=0.1": 3}


def test_runs_that_differ_in_more_than_sparsity_and_seed_are_entries_of_their_own(root):
    for l0 in made_records.L0S:
        write_run(root, "topk", l0, 0, {"k": l0, "aux": 0.0})
    write_run(root, "topk", 8.0, 5, {"k": 8.0}, d_sae=2048)
    (board,) = leaderboard.boards(root)
    names = {entry.name: len(entry.runs) for entry in board.entries if not entry.control}
    assert names == {"standard": 12, "topk": 12, "topk aux=0.0": 4, "topk d_sae=2048": 1}
    rows = cells(root)
    assert (
        rows[("topk d_sae=2048", "coverage@1", "")]["value"] == f"{score('topk', 8, 5):.6g}"
    )  # at its own L0


def test_runs_that_do_not_count_are_named_with_the_reason(root):
    task = root / "othello6-v1"
    (task / "topk/k=8.0/seed=0/scores.json").unlink()
    (task / "topk/k=8.0/seed=1/scores.json").write_text("{")
    for mark in ("scores.json", "boardsae.json"):
        (task / "topk/k=8.0/seed=2" / mark).unlink()
        (task / "topk/k=16.0/seed=0" / mark).unlink()
    write(task / "topk/k=16.0/seed=0/error.json", {"error": "the loss is NaN at step 20"})
    write(task / "topk/k=16.0/seed=1/scores.json", record_of("topk", 16.0, 1, schema=0))
    write(task / "topk/k=16.0/seed=2/scores.json", record_of("topk", 16.0, 2, comparable=False))
    other = record_of("topk", 32.0, 0, hashes=HASHES | {"model": "c" * 64})
    write(task / "topk/k=32.0/seed=0/scores.json", other)
    write(task / "topk/k=32.0/seed=1/scores.json", {"schema": 1, "task": "othello6-v1", "subject": {}})
    reasons = {str(each.path): each.reason for each in records.find(root).left_out}
    assert len(reasons) == 8
    for place, part in {
        "k=8.0/seed=0": "trained, not scored",
        "k=8.0/seed=1": "is not JSON",
        "k=8.0/seed=2": "half trained",
        "k=16.0/seed=0": "failed: the loss is NaN at step 20",
        "k=16.0/seed=1": "expected a record of schema 1, got 0",
        "k=16.0/seed=2": "not comparable",
        "k=32.0/seed=0": "another model than the rest of the task",
        "k=32.0/seed=1": "lacks metrics",
    }.items():
        assert part in reasons[f"othello6-v1/topk/{place}"], place
    text = leaderboard.written(leaderboard.boards(root), "text")
    assert all(path in text for path in reasons)
    assert cells(root)[("topk", "coverage@1", "40")]["runs"] == "4"


def test_versions_are_not_mixed(root):
    record = record_of("topk", 8.0, 0)
    record["metrics"]["coverage@0"] = record["metrics"].pop("coverage@1")
    write(root / "othello6-v1/topk/k=8.0/seed=0/scores.json", record)
    rows = cells(root, at=(10.0,))
    assert {metric for _, metric, _ in rows if metric.startswith("coverage@")} == {"coverage@1"}
    assert rows[("topk", "coverage@1", "10")]["seeds"] == "2"
    assert rows[("topk", "cov_x@1", "10")]["seeds"] == "3"
    assert "topk: coverage@0 is of another version" in leaderboard.written(leaderboard.boards(root), "text")


def test_a_value_that_is_missing_stays_missing(root):
    for seed in range(3):
        for l0 in made_records.L0S:
            record = record_of("topk", l0, seed)
            record["metrics"]["cov_x@1"] = cell(None, reason="no predicate has 50 positives")
            write(root / f"othello6-v1/topk/k={l0}/seed={seed}/scores.json", record)
    row = cells(root)[("topk", "cov_x@1", "20")]
    assert (row["value"], row["reason"]) == ("", "no run with a value and an L0 above 0")
    for format in ("text", "md", "csv", "latex", "html"):
        assert "nan" not in leaderboard.written(leaderboard.boards(root), format).lower().replace("nano", "")


def test_best_first_and_by_name(root):
    (board,) = leaderboard.boards(root, view=View(("coverage",)))
    curves = [entry for entry in board.entries if not entry.control]
    assert [row[0] for row in leaderboard.over_l0(board, curves).rows] == ["topk", "standard"]
    (board,) = leaderboard.boards(root, view=View(("coverage",), sort="name"))
    assert [row[0] for row in leaderboard.over_l0(board, curves).rows] == ["standard", "topk"]


def test_lower_is_better_turns_the_order_round(root, monkeypatch):
    monkeypatch.setattr(leaderboard, "arrow", lambda _: "↓")
    (board,) = leaderboard.boards(root, view=View(("coverage",)))
    curves = [entry for entry in board.entries if not entry.control]
    assert [row[0] for row in leaderboard.over_l0(board, curves).rows] == ["standard", "topk"]


def test_arrows_point_where_the_metrics_table_says():
    assert leaderboard.heading("coverage@1") == "coverage@1 ↑"
    assert leaderboard.heading("ce_increase@1") == "ce_increase@1 ↓"
    assert leaderboard.heading("l0@1") == "l0@1"


def test_figures_in_words():
    assert words(Cell(0.7123, 0.7, 0.72, 0.0041, 3)) == "0.712 ±.010 (.004)"
    assert words(Cell(0.01234, seeds=1)) == "0.0123"
    assert words(Cell(37.25, 36.0, 38.0, 1.5, 3)) == "37.2 ±1.0 (1.5)"
    assert words(Cell(None, reason="why")) == "-"


def test_what_the_layer_has_no_place_for_is_not_missing(tmp_path):
    write_run(tmp_path, "topk", 8.0, 0, record=record_of("topk", 8.0, 0, task="chess-v3"), task="chess-v3")
    text = leaderboard.written(leaderboard.boards(tmp_path), "text")
    assert "no e2e," in text
    assert "e2e_ds" not in text


def test_tuned_runs_do_not_stand_for_plain_ones(root):
    shutil.rmtree(root / "othello6-v1" / "topk")
    write_run(root, "topk", 8.0, 0)
    for seed in range(3):
        write_run(root, "topk", 8.0, seed, kl_finetune=0.1)
    assert "topk has 1 of 3 seeds" in leaderboard.written(leaderboard.boards(root), "text")


def test_the_screen_fits_a_terminal(root):
    shown = leaderboard.boards(root, headline=leaderboard.HEADLINE[: leaderboard.ON_SCREEN])
    assert max(map(len, leaderboard.written(shown, "text").splitlines())) <= 110


def test_variants_that_lack_runs_are_named_with_the_command(root):
    shutil.rmtree(root / "othello6-v1" / "topk")
    write_run(root, "topk", 8.0, 0)
    text = leaderboard.written(leaderboard.boards(root), "text")
    assert "topk has 1 of 3 seeds" in text
    assert "no gated" in text
    assert "no topk" not in text
    assert "boardsae sweep benchmarks/othello6_v1.py makes what is missing" in text
    assert "standard has" not in text
    assert "e2e_ds" in text
    asked = leaderboard.boards(root, view=View(variants=("topk",)))
    assert "missing" not in leaderboard.written(asked, "text")
    asked = leaderboard.boards(root, view=View(variants=("topk", "gated")))
    text = leaderboard.written(asked, "text")
    assert "no gated\n" in text
    assert "1 of 3 seeds" not in text


def test_the_saes_of_controls_are_no_runs(root):
    folder = root / "othello6-v1/controls/pca"
    folder.mkdir()
    write(folder / "spec.json", {"task": "othello6-v1"})
    write(folder / "boardsae.json", {"trials": 1})
    assert records.find(root).left_out == []


def test_a_control_of_another_model_does_not_count(root):
    folder = root / "othello6-v1" / "controls"
    held = json.loads((folder / "scores.json").read_text())
    held["controls"][0]["hashes"] = HASHES | {"games": "d" * 64}
    write(folder / "scores.json", held)
    found = records.find(root)
    assert [run.spec["name"] for run in found.runs if run.control] == ["clock", "perfect"]
    assert "another games" in found.left_out[0].reason


def test_check_fails_when_the_committed_table_differs(root, run):
    assert run(f"leaderboard {root} --check")[0] == 1
    code, out, _ = run(f"leaderboard {root} --write")
    assert code == 0
    assert [line.rsplit("/", 1)[1] for line in out.splitlines()] == ["leaderboard.md", "leaderboard.csv"]
    assert run(f"leaderboard {root} --check")[0] == 0
    record = record_of("topk", 8.0, 0)
    record["metrics"]["coverage@1"]["value"] += 0.001
    write(root / "othello6-v1/topk/k=8.0/seed=0/scores.json", record)
    code, _, err = run(f"leaderboard {root} --check")
    assert code == 1
    assert "leaderboard.csv is not what the records say" in err
    assert "boardsae leaderboard" in err


def test_a_quickstart_changes_no_committed_table(root, run):
    run(f"leaderboard {root} --write")
    write_run(root / "quickstart", "topk", 8.0, 0, rows=500)
    (root / "quickstart/othello6-v1/topk/half").mkdir()
    write(root / "quickstart/othello6-v1/topk/half/spec.json", {"task": "othello6-v1"})
    assert run(f"leaderboard {root} --check")[0] == 0
    assert "topk rows=500" in run(f"leaderboard {root}")[1]


def test_tables_are_of_the_folder_that_holds_the_tasks(root, run):
    run(f"leaderboard {root} --write")
    for inside in ("othello6-v1", "othello6-v1/topk/k=8.0/seed=0"):
        for option in ("--check", "--write"):
            code, _, err = run(f"leaderboard {root / inside} {option}")
            assert (code, "give the folder that holds those of the tasks" in err) == (2, True), err


def test_the_command_line(root, run, tmp_path):
    code, out, _ = run(f"leaderboard {root} --metric coverage --at-l0 16,32 --variant topk")
    assert code == 0
    assert re.search(r"^topk +3 +0\.679 ±\.020 \(\.010\) +0\.749", out, re.M)
    assert run(f"leaderboard {root} --html --out {tmp_path / 'board.html'}")[0] == 0
    assert (tmp_path / "board.html").read_text().startswith("<!doctype html>")
    for line, said in {
        "--metric coverag": "no metric in these records 'coverag'",
        "--variant topkk": "no variant 'topkk'",
        "--task othello": "no task in these results 'othello'",
        "--at-l0 10,x": "expected L0s such as 10,20,40, got '10,x'",
        "--at-l0 0": "expected L0s above 0",
        "--md --csv": "expected one format",
    }.items():
        code, _, err = run(f"leaderboard {root} {line}")
        assert (code, said in err) == (2, True), (line, err)


def test_figures_by_the_command_line(root, run, tmp_path):
    code, out, _ = run(f"leaderboard {root} --metric coverage --figures {tmp_path / 'drawn'}")
    assert code == 0
    names = {line.rsplit("/", 1)[1] for line in out.splitlines()}
    assert {"othello6-v1-frontier-coverage.png", "othello6-v1-boards.svg", "othello6-v1-curves.png"} <= names
    assert all((tmp_path / "drawn" / name).exists() for name in names)


def test_an_empty_folder_says_what_to_do(tmp_path, run):
    (tmp_path / "results").mkdir()
    for folder in ("results", "nowhere"):
        code, out, err = run(f"leaderboard {tmp_path / folder}")
        assert (code, out) == (2, "")
        assert "boardsae quickstart" in err


def test_a_folder_of_failures_only(tmp_path, run):
    folder = tmp_path / "othello6-v1/topk/k=8/seed=0"
    folder.mkdir(parents=True)
    write(folder / "spec.json", {"task": "othello6-v1"})
    write(folder / "error.json", {"error": "no disk"})
    code, out, _ = run(f"leaderboard {tmp_path}")
    assert code == 0
    assert "failed: no disk" in out


def test_a_control_of_other_settings_is_told_from_the_runs_of_its_variant(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "frozen_decoder", 8.0, seed)
    subject = {"name": "frozen_decoder", "variant": "frozen_decoder", "options": {"k": 16}, "d_sae": 1536}
    control = record_of("frozen_decoder", 16.0, 0, subject=subject | {"rows": 2000, "layer": 1})
    (tmp_path / "othello6-v1" / "controls").mkdir()
    write(tmp_path / "othello6-v1" / "controls" / "scores.json", {"controls": [control]})
    usual, other = entries.entries(records.find(tmp_path))
    assert (usual.name, len(usual.runs)) == ("frozen_decoder", 2)
    assert (other.name.split()[:2], len(other.runs)) == (["frozen_decoder", "d_sae=1536"], 1)
    assert usual.control
    assert other.control
    assert claims.entry_of([usual, other], Group("frozen_decoder")) is usual


def test_a_folder_in_which_nothing_can_be_read(tmp_path, run):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.json").write_text("{")
    code, out, err = run(f"leaderboard {tmp_path}")
    assert (code, out) == (3, "")
    assert f"error: no run in {tmp_path} can be read: run: " in err


def test_latex_and_html_escape_names(root):
    write_run(root, "topk", 8.0, 7, {"k": 8.0}, recipe="<b>&_100%")
    (board,) = leaderboard.boards(root)
    assert "&lt;b&gt;&amp;_100%" in leaderboard.written([board], "html")
    assert r"\&\_100\%" in leaderboard.written([board], "latex")


def test_somebody_elses_sae_is_an_entry_under_its_name(root):
    folder = root / "mine"
    folder.mkdir()
    write(folder / "scores.json", record_of("x", 20.0, 0, subject={"name": "mine.py:make"}))
    assert cells(root)[("mine.py:make", "coverage@1", "")]["value"] == f"{score('x', 20, 0):.6g}"


def test_l0_is_read_at_own_l0_for_entries_of_one_sparsity(tmp_path):
    write_all(tmp_path, seeds=1)
    (entry,) = (e for e in entries.entries(records.find(tmp_path)) if e.name == "clock")
    assert entry.own("coverage@1").value == pytest.approx(0.3 + 0.1 * math.log(1 / 8))


def test_an_l0_that_no_curve_reaches_has_no_table(root):
    (board,) = leaderboard.boards(root, view=View(at=(20.0, 5000.0)))
    found = leaderboard.tables(board)
    titles = [table.title for table in found]
    assert f"{board.task} at L0 20" in titles
    assert not any("5000" in title for title in titles)
    assert found[0].note.endswith("No curve reaches L0 5000.")
