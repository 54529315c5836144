"""From nothing to a scored table in minutes: four variants, two sparsities, controls, figures, a page, what is next."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from boardsae import (
    DEFAULT_TASK,
    controls,
    figures,
    leaderboard,
    page,
    records,
    report,
    runs,
    scoring,
    sweep,
    tasks,
)
from boardsae.evidence import Evidence
from boardsae.grid import grid
from boardsae.leaderboard import Board, View
from boardsae.progress import say
from boardsae.runs import CONTROLS_FOLDER, Spec
from games.core import no_such

ROWS = 500_000
SPARSITIES = {
    "standard": (0.05, 0.16),
    "p_anneal": (0.025, 0.09),
    "topk": (12, 48),
    "mutual_choice": (12, 48),
}
AT = (20.0, 40.0)  # L0s that lie between the two sparsities of each


def quickstart(game: str, out: Path) -> list[Board]:
    """Trains, scores and draws, and answers with the leaderboard. What is done already is not done again."""
    task = task_of(game)
    specs = grid(task, SPARSITIES, rows=ROWS)
    with step(1, f"training {len(specs)} SAEs on {ROWS:,} positions each", "two minutes"):
        train(specs, out)
    with step(2, "scoring them, with controls, on games that none has seen", "a minute"):
        score_all(task, out)
    with step(3, "drawing figures", "half a minute"):
        boards = leaderboard.boards(
            out,
            [task],
            View(at=AT, variants=tuple(SPARSITIES)),
            leaderboard.HEADLINE[: leaderboard.ON_SCREEN],
        )
        drawn = figures.draw_all(boards, out / "figures")
        say(f"{len(drawn)} files in {out / 'figures'}")
    with step(4, "writing the report page of the SAE with the highest coverage", "half a minute"):
        page.write(report.reports([str(best(out, task))], task), path := out / "report.html", force=True)
        say(f"open {path} in a browser")
    return boards


def best(out: Path, task: str) -> Path:
    """The run with the highest coverage."""
    scored = [run for run in records.find(out).of(task).runs if not run.control]
    return max(scored, key=lambda run: run.value("coverage@1") or 0.0).path


def task_of(game: str) -> str:
    """The newest task of a game."""
    of_game = {task.game: name for name, task in tasks.TASKS.items()}
    if game not in of_game:
        raise ValueError(no_such("game with a reference model", game, of_game))
    return of_game[game]


def train(specs: Sequence[Spec], out: Path) -> None:
    results = sweep.sweep(specs, out, sweep.locally(sweep.usual_jobs("auto")))
    if all(result.error for result in results):
        raise FloatingPointError(f"no SAE was trained; the first failed with: {results[0].error}")


def score_all(task: str, out: Path) -> None:
    """Scores what was trained, and the controls; what cannot be scored stands below the table with the reason."""
    trained = [
        str(folder) for folder in runs.runs(out / task) if runs.is_trained(folder) and not is_control(folder)
    ]
    for name, record in scoring.score_targets(trained, task):
        if "error" in record:
            say(f"{name}: not scored: {record['error']}")
    controls.records(Evidence(tasks.open_task(tasks.of(task))), out)


def is_control(folder: Path) -> bool:
    return CONTROLS_FOLDER in folder.parts


@contextmanager
def step(number: int, what: str, lasts: str) -> Iterator[None]:
    """Says what begins and about how long it takes, and then how long it took."""
    say(f"{number}/4 {what}: about {lasts}")
    began = time.monotonic()
    yield
    say(f"{number}/4 done in {time.monotonic() - began:.0f} s")


def next_steps(game: str, out: Path) -> list[str]:
    task = task_of(game)
    on = "" if task == DEFAULT_TASK else f" --task {task}"
    return [
        f"boardsae leaderboard {out} --metric coverage --at-l0 15,20,30,40",
        f"boardsae train-sae --variant gated --rows {ROWS}{on} --out {out}/gated    # another variant on the same task",
        f"boardsae score {out}/gated    # then it stands in the table too",
        f"boardsae score mine.py:make{on}    # your own SAE: an object with encode and decode",
        f"boardsae sweep {leaderboard.sweep_of(task)}    # all variants, three seeds: an hour or more",
    ]
