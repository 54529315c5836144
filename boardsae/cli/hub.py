"""The Hugging Face Hub: models and runs sent there and taken from there."""

from pathlib import Path
from typing import Annotated

import typer

from boardsae.cli.app import app
from boardsae.progress import say

Repository = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository on the Hub.")]


@app.command()
def push(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A model of train-gpt, a run, or a folder of runs.")
    ],
    repository: Repository,
    revision: Annotated[
        str, typer.Option(metavar="BRANCH", help="The branch; it is made where there is none.")
    ] = "main",
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository for your eyes only.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace whatever the branch holds.")] = False,
) -> None:
    """Publish a model, a run or a folder of runs on the Hugging Face Hub.

    One commit with what belongs to the folder, a model card written from the records, and a manifest that fetch
    verifies. Prints the commit. Needs `pip install 'boardsae[hub]'` and `hf auth login`.
    """
    from boardsae import push

    commit = push.push(folder, repository, revision, private, force)
    print(commit)
    say(f"next: boardsae fetch {repository} --revision {commit}")


@app.command()
def fetch(
    repository: Repository,
    revision: Annotated[
        str | None, typer.Option(help="A commit, a tag or a branch [default: the latest commit].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to [default: hub/OWNER/NAME].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what was fetched there before.")] = False,
) -> None:
    """Take a model, a run or a folder of runs from the Hugging Face Hub, as push put them there.

    Every file is verified, and no other kinds of files are taken. A killed call is finished by repeating it.
    A fetched run is scored like any other, a fetched model is a task.
    """
    from boardsae import fetch

    folder, commit = fetch.fetch(repository, revision, out, force)
    say(f"{repository} --revision {commit}")
    print(folder)
