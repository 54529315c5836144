"""Models, runs and results up to a hub and down from it."""

from pathlib import Path
from typing import Annotated

import typer

from boardsae.cli.app import app
from boardsae.progress import say

Repository = Annotated[
    str, typer.Argument(metavar="OWNER/NAME", help="A repository of the Hugging Face Hub.")
]


@app.command()
def push(
    target: Annotated[
        Path, typer.Argument(metavar="DIR", help="A model folder, a run, or a folder of runs.")
    ],
    repository: Repository,
    revision: Annotated[str, typer.Option(help="The branch that gets the commit.")] = "main",
    private: Annotated[bool, typer.Option("--private", help="If the repository is made now.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace whatever it holds.")] = False,
) -> None:
    """Upload a model, a run or results, with a card made from their records, as one commit."""
    from boardsae import hub

    pushed = hub.push(target, repository, revision, private, force)
    print(pushed.commit)
    say(f"next: boardsae fetch {pushed.repository} --revision {pushed.commit}")


@app.command()
def fetch(
    repository: Repository,
    revision: Annotated[
        str | None, typer.Option(help="A commit, tag or branch [default: the newest commit].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to [default: fetched/NAME].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds.")] = False,
) -> None:
    """Download a model, a run or results, and prove every file by its hash."""
    from boardsae import hub

    folder, commit = hub.fetch(repository, revision, out, force)
    print(folder)
    say(f"commit {commit}; next: boardsae {'gate' if (folder / 'model.json').exists() else 'score'} {folder}")
