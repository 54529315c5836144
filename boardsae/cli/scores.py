"""Scores, and the question whether one SAE is better than another."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from boardsae import DEFAULT_TASK
from boardsae.cli.app import app
from boardsae.cli.engines import Address, EngineName, is_on_ray
from boardsae.progress import say

Row = tuple[str, dict[str, Any]]  # a name and its record


@app.command()
def score(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="A run, an SAE of another library, a folder of them, or file.py:factory.",
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help=f"What an SAE without a task of its own is scored on [default: {DEFAULT_TASK}].",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Games of each split, at most; such scores are not comparable.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="What the table shows, such as coverage,cov_x [default: the headline].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records, a line each.")] = False,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Show the rows that every score is read beside.")
    ] = True,
    results: Annotated[Path, typer.Option(help="Where the controls are kept.")] = Path("results"),
    force: Annotated[bool, typer.Option("--force", help="Score again what is scored.")] = False,
    engine: EngineName = "local",
    address: Address = None,
    cores: Annotated[
        int | None,
        typer.Option(min=1, help="SAEs scored at once [default: as many as cores; on Ray one a task]."),
    ] = None,
) -> None:
    """Score SAEs against the truth about the board.

    A run gets scores.json and counts.npz; what is scored already is shown as it is. An SAE of your own is anything with
    encode and decode, or a folder of SAELens, dictionary_learning or sparsify, in which nothing is written.
    """
    import torch

    from boardsae import scoring

    columns = scoring.HEADLINE if metrics is None else scoring.columns(metrics)
    scoring.check_limit(limit)
    if is_on_ray(engine, address):
        if limit is not None:
            raise ValueError("--limit is for a quick look on this machine; leave --engine away")
        from boardsae.ray_engine import score_targets

        rows = list(score_targets(targets, task, address or "auto", cores or 1, force))
    else:
        if cores is not None:
            torch.set_num_threads(cores)
        rows = list(scoring.score_targets(targets, task, limit, force))
    if as_json:
        for _, record in rows:
            print(json.dumps(record))
    else:
        beside = _controls(rows, task, results) if controls and limit is None else []
        for line in scoring.table([*rows, *beside], columns):
            print(line)
        if metrics is None and len(rows) == 1 and "error" not in rows[0][1]:
            print()
            for line in (*scoring.details(rows[0][1]), *scoring.both_ways(Path(rows[0][0]))):
                print(line)
    if limit is not None:
        say(f"scored on {limit} games of each split: not comparable with other scores, and not kept")
    if failed := [name for name, record in rows if "error" in record]:
        say(f"error: {len(failed)} of {len(rows)} could not be scored")
        raise typer.Exit(1 if len(rows) > len(failed) else 2)
    if limit is None:
        say("next: boardsae leaderboard · boardsae report TARGET")


def _controls(rows: list[Row], task: str | None, results: Path) -> list[Row]:
    """The controls of all tasks that something was scored on."""
    from boardsae import controls, evidence, tasks

    scored = [
        record["subject"].get("task", task or DEFAULT_TASK) for _, record in rows if "error" not in record
    ]
    return [
        (record["subject"]["name"], record)
        for each in dict.fromkeys(scored)
        for record in controls.records(evidence.Evidence(tasks.open_task(tasks.of(each))), results)
    ]


COMPARED = ("coverage@1", "cov_x@1", "reconstruction@1", "explained_variance@1", "kl_increase@1")


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A scored run, or a folder of them: its seeds.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What A is compared with.")],
    metric: Annotated[list[str] | None, typer.Option(help="A metric; repeat for more.")] = None,
) -> None:
    """Say whether A is better than B, on the same games at the same L0.

    Two runs are compared as they are; folders with several sparsities and seeds along their curves.
    """
    from boardsae import compare as comparing

    verdicts = comparing.verdicts(a, b, metric or COMPARED)
    print(f"{'':<28} {'A':>9} {'B':>9} {'A - B':>9}  {'95% interval':<22} at L0 {verdicts[0].l0}")
    for verdict in verdicts:
        print(comparing.told(verdict))


@app.command()
def match(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Runs with their weights, as of one task.")],
) -> None:
    """Say whether runs find the same features: across seeds, and across variants.

    Writes DIR/matching.csv.
    """
    from boardsae import matching, tables

    print(tables.text(matching.summary(matching.write(root))), end="")
    print(root / "matching.csv")
