"""Out and in: games and SAEs as other programs read them, SAEs of other libraries, and a mock run of any."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from boardsae import DEFAULT_TASK
from boardsae.cli.app import app
from boardsae.cli.saes import TaskName
from boardsae.progress import say


@app.command()
def export(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Games that generate-data made, a run, or an SAE of a library."),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            help="Of games: txt, jsonl, or pgn for chess [default: txt]."
            " Of an SAE: saelens, dictionary_learning, sparsify or saebench-json [default: saelens]."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of games: train, select or report [default: all three].")
    ] = None,
    games: Annotated[int | None, typer.Option(help="At most so many games.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Of games a file [default: standard output]; of an SAE a folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write games as text, or an SAE as another library reads it.

    saebench-json writes the scores of a run as SAEBench's tables read them.
    """
    from boardsae import foreign

    if foreign.is_sae(folder) or (folder / "spec.json").exists():
        if out is None or split is not None or games is not None:
            raise ValueError(
                "expected --out DIR for an SAE, and neither --split nor --games, which are of games"
            )
        from boardsae import exports

        print(exports.export(folder, format or "saelens", out, force))
        return
    from boardsae import data, files
    from boardsae.export import export as lines

    written = lines(data.load(folder), format or "txt", split, games)
    if out is None:
        sys.stdout.writelines(written)
    else:
        files.write_text(out, written, force)
        print(out)


@app.command("import")
def import_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="An SAE of SAELens, dictionary_learning or sparsify.")
    ],
    task: TaskName = DEFAULT_TASK,
    layer: Annotated[
        int | None, typer.Option(help="After which block [default: what its files say, else the task's].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to [default: results/TASK/imported/NAME].")] = None,
) -> None:
    """Take in an SAE of another library as a run, which can be scored and ranked.

    Its L0 and explained variance are measured, and told where its files claim others. Nothing in the files is run.
    """
    from boardsae import imports

    made = imports.take_in(folder, task, out, layer)
    print(made)
    say(f"next: boardsae score {made}")


@app.command()
def check(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A run, an SAE of another library, file.py:factory, or a variant's name."
        ),
    ],
    task: TaskName = DEFAULT_TASK,
) -> None:
    """Try an SAE on a few games, in seconds, and say in words what is wrong with it.

    Shapes, dtype, the same twice, each row by itself, saved and loaded, a toy score. A variant is trained for a moment
    first. Exits 2 where something is wrong.
    """
    from boardsae import trial

    faults = 0
    for look in trial.trial(target, task):
        word = "ok" if look.fault is None else "WRONG"
        print(f"{word:<6} {look.name:<20} {look.fault or look.note}".rstrip())
        faults += look.fault is not None
    if faults:
        raise typer.Exit(2)
