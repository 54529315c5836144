"""From nothing to a table: what is trained, scored, drawn and said, with the slow parts played by short ones."""

import json
from pathlib import Path

import pytest
from made_records import record_of, write, write_controls

from boardsae import quickstart, runs, tasks
from boardsae.grid import grid
from boardsae.saes import VARIANTS
from boardsae.sweep import Result

TASK = "othello6-v2"


@pytest.fixture
def played(monkeypatch, tmp_path):
    """Training and scoring that take no time; answers with what was asked of them."""
    asked = {"trained": [], "scored": []}

    def sweep(specs, out, _):
        results = []
        for spec in specs:
            folder = runs.path_of(spec, out)
            failed = "the loss is NaN" if spec.variant in asked.get("failing", ()) else None
            if not runs.is_trained(folder) and not failed:
                runs.begin(folder, spec, {})
                write(folder / "boardsae.json", {"trials": 1})
                asked["trained"].append(folder)
            if failed:
                runs.begin(folder, spec, {})
                runs.fail(folder, failed)
            results.append(Result(spec, folder, failed))
        return results

    def score_targets(targets, task):
        for target in targets:
            spec = runs.spec_of(folder := tmp_path / target)
            l0 = {0.1: 50.0, 0.32: 15.0}.get(spec.options.get("l1"), spec.options.get("k"))
            record = record_of(spec.variant, float(l0), spec.seed, task=task)
            asked["scored"].append(folder)
            if spec.variant in asked.get("unscorable", ()):
                record = {"error": "values that are not finite"}
            else:
                write(folder / "scores.json", record)
            yield target, record

    monkeypatch.setattr(quickstart.sweep, "sweep", sweep)
    monkeypatch.setattr(quickstart.scoring, "score_targets", score_targets)
    monkeypatch.setattr(quickstart.tasks, "open_task", lambda task: task)
    monkeypatch.setattr(quickstart, "Evidence", lambda opened: opened)
    monkeypatch.setattr(quickstart.controls, "records", lambda _, out: write_controls(out, TASK))
    monkeypatch.setattr(quickstart, "SPARSITIES", {"standard": (0.1, 0.32), "topk": (12, 48)})
    monkeypatch.setattr(quickstart.figures, "draw_all", lambda _, folder: [folder / "frontier.png"])
    monkeypatch.setattr(quickstart.report, "reports", lambda targets, _: targets)
    monkeypatch.setattr(quickstart.page, "write", lambda made, path, **_: asked.update(page=(made, path)))
    monkeypatch.chdir(tmp_path)
    return asked


def test_it_trains_scores_and_shows(played, run):
    code, out, err = run("quickstart")
    assert code == 0
    assert len(played["trained"]) == len(played["scored"]) == 4
    assert f"{TASK} at L0 20" in out
    assert f"{TASK} at L0 40" in out
    assert " -" not in out.split("at L0 20")[1].split("at their own L0")[0].replace(
        "--", ""
    )  # every cell has a value
    assert "clock *" in out
    for said in (
        "1/4 training 4 SAEs",
        "about",
        "3/4 done in",
        "try next:",
        "boardsae sweep benchmarks/othello6_v2.py",
    ):
        assert said in err


def test_the_page_is_of_the_highest_coverage(played, run):
    run("quickstart")
    (target,), path = played["page"]
    scores = {folder: json.loads((folder / "scores.json").read_text()) for folder in played["scored"]}
    coverage = {str(folder): scores["metrics"]["coverage@1"]["value"] for folder, scores in scores.items()}
    assert Path(target).absolute() == Path(max(coverage, key=coverage.get))
    assert path.name == "report.html"


def test_a_second_call_trains_nothing(played, run):
    run("quickstart")
    run("quickstart")
    assert len(played["trained"]) == 4


def test_a_failed_run_is_named_and_the_others_go_on(played, run):
    played["failing"] = ("standard",)
    code, out, _ = run("quickstart")
    assert (code, len(played["scored"])) == (0, 2)
    assert "failed: the loss is NaN" in out


def test_what_cannot_be_scored_is_said(played, run):
    played["unscorable"] = ("topk",)
    code, out, err = run("quickstart")
    assert code == 0
    assert err.count("not scored: values that are not finite") == 2
    assert "trained, not scored" in out


def test_nothing_trained_is_an_error(played, run):
    played["failing"] = ("standard", "topk")
    code, out, err = run("quickstart")
    assert (code, out) == (1, "")
    assert "no SAE was trained; the first failed with: the loss is NaN" in err


def test_a_game_without_a_reference_model_is_refused(run):
    code, _, err = run("quickstart --game othelo6")
    assert code == 2
    assert "no game with a reference model 'othelo6'" in err


def test_what_is_trained_is_what_was_promised():
    specs = grid(quickstart.task_of("othello6"), quickstart.SPARSITIES, rows=quickstart.ROWS)
    assert {spec.variant for spec in specs} == {"standard", "p_anneal", "topk", "mutual_choice"}
    assert len(specs) == 8
    assert {tasks.of(spec.task).game for spec in specs} == {"othello6"}
    for name, values in quickstart.SPARSITIES.items():
        if VARIANTS[name].sparsity == "k":
            assert min(values) < min(quickstart.AT) < max(quickstart.AT) < max(values)


def test_what_is_next_is_of_the_game_that_was_asked_for():
    on_default, on_another = (quickstart.next_steps(game, Path("out")) for game in ("othello6", "othello"))
    assert not any("--task" in line for line in on_default)
    task = quickstart.task_of("othello")
    assert [f"--task {task}" in line for line in on_another] == [False, True, False, True, False]
    assert tasks.TASKS[task].game == "othello"
