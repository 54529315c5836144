"""What a visitor sees: leaderboards, claims put to the test, and all of it from nothing."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from boardsae.cli.app import app
from boardsae.progress import say

Results = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of runs with their scores.")]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="One task; repeat for more [default: all].")]


@app.command()
def leaderboard(
    root: Results = Path("results"),
    task: Tasks = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="One metric over all L0s; repeat for more [default: the headline]."),
    ] = None,
    at_l0: Annotated[str, typer.Option(help="L0s to read the curves at.")] = "10,20,40,80",
    sort: Annotated[str | None, typer.Option(help="A metric, or name [default: the first metric].")] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="One variant; repeat for more [default: all].")
    ] = None,
    md: Annotated[bool, typer.Option("--md", help="As Markdown.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="As CSV: one cell a line, nothing rounded away.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="As LaTeX with booktabs.")] = False,
    html: Annotated[bool, typer.Option("--html", help="As a page of HTML.")] = False,
    out: Annotated[Path | None, typer.Option(help="A file [default: standard output].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Draw the figures into this folder.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write DIR/TASK/leaderboard.md and .csv.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Fail if those files differ from the records.")
    ] = False,
) -> None:
    """Show every variant at fixed L0 with controls beside it.

    Values between two runs are interpolated in log L0, and never beyond what was measured. A cell is the mean over
    seeds, half of the 95% interval over games, and in brackets the standard deviation over seeds.
    """
    from boardsae import files
    from boardsae import leaderboard as board

    if check:
        if differing := board.differing(root, task or ()):
            raise_differing(differing, root)
        say("the committed tables are those of the records")
        return
    if write:
        for path in board.write(root, task or ()):
            print(path)
        return
    format = format_of({"md": md, "csv": csv, "latex": latex, "html": html})
    short = format == "text" and figures is None
    headline = board.HEADLINE[: board.ON_SCREEN] if short else board.HEADLINE
    view = board.View(tuple(metric or ()), l0s(at_l0), sort, tuple(variant or ()))
    boards = board.boards(root, task or (), view, headline)
    if figures is not None:
        from boardsae.figures import draw_all

        for path in draw_all(boards, figures):
            print(path)
        return
    written = board.written(boards, format)
    if out is None:
        sys.stdout.write(written)
    else:
        files.write_text(out, written, force)
        print(out)


def raise_differing(paths: list[Path], root: Path) -> None:
    for path in paths:
        say(f"{path} {'is not what the records say' if path.exists() else 'is missing'}")
    say(f"write them again: boardsae leaderboard {root} --write")
    raise SystemExit(1)


def format_of(asked: dict[str, bool]) -> str:
    chosen = [name for name, said in asked.items() if said]
    if len(chosen) > 1:
        raise ValueError(f"expected one format, got --{' and --'.join(chosen)}")
    return chosen[0] if chosen else "text"


def l0s(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"expected L0s such as 10,20,40, got {text!r}") from None
    if not all(0 < value < float("inf") for value in found):
        raise ValueError(f"expected L0s above 0, got {text!r}")
    return found


@app.command()
def claims(root: Results = Path("results")) -> None:
    """Put the papers' claims to the test.

    Writes DIR/CLAIMS.md, which claims hold on these records, and DIR/PAPER.md, the published numbers beside ours.
    """
    from boardsae import claims, published

    for page in (claims, published):
        print(page.write(root))


@app.command()
def quickstart(
    game: Annotated[str, typer.Option(help="A game that has a reference model.")] = "othello6",
    out: Annotated[Path, typer.Option(help="Where to.")] = Path("results/quickstart"),
) -> None:
    """Train, score and compare four variants: from nothing to a table in minutes.

    A killed call is finished by repeating it.
    """
    from boardsae import leaderboard
    from boardsae import quickstart as quick

    boards = quick.quickstart(game, out)
    sys.stdout.write(leaderboard.written(boards, "text"))
    say("try next:")
    for line in quick.next_steps(game, out):
        say(f"  {line}")
