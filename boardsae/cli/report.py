"""The report page."""

from pathlib import Path
from typing import Annotated

import typer

from boardsae import DEFAULT_TASK
from boardsae.cli.app import app
from boardsae.cli.saes import TaskName
from boardsae.progress import say

Target = Annotated[
    str, typer.Argument(metavar="TARGET", help="A run, an SAE of another library, or file.py:factory.")
]


@app.command()
def report(
    target: Target,
    beside: Annotated[
        str | None, typer.Argument(metavar="TARGET2", help="Another one, to be laid beside it.")
    ] = None,
    task: TaskName = DEFAULT_TASK,
    top: Annotated[
        int | None, typer.Option(help="Features that get a card [default: 50, or 25 of each of two].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page [default: report.html in the run, or here for two].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds.")] = False,
) -> None:
    """Look at what an SAE found: one HTML page with its scores and, for its best features, boards.

    The page needs no network and no server. A run without scores is scored first.
    """
    from boardsae import page, targets
    from boardsae import report as facts

    path = (
        out or (Path(target) if beside is None and targets.is_ours(Path(target)) else Path()) / "report.html"
    )
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; --force replaces it")
    path.parent.mkdir(parents=True, exist_ok=True)  # before the work, which takes a while
    asked = [each for each in (target, beside) if each is not None]
    page.write(facts.reports(asked, task, facts.TOP // len(asked) if top is None else top), path, force)
    print(path)
    say(f"next: open {path} in a browser")
