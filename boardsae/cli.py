"""The command line: parse, call one function, print a path. Heavy imports wait until a command needs them."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from boardsae import Broken, __version__
from boardsae.progress import say

app = typer.Typer(
    help="Did your sparse autoencoder find the board? Transcripts of exact board games, with the truth about them.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would triple the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

GameName = Annotated[str, typer.Argument(metavar="GAME", help="othello, othello6, chess or chess-pgn.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that generate-data made.")]


def version(asked: bool) -> None:
    if asked:
        print(f"boardsae {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


@app.command()
def generate_data(
    game: GameName,
    games: Annotated[
        int | None, typer.Option(help="How many [default: 200,000 othello, 50,000 chess].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Game i depends only on the seed and i.")] = 0,
    policy: Annotated[str | None, typer.Option(help="uniform; for chess also greedy or mixture.")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads [default: all cores].")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to [default: data/GAME].")] = None,
    pgn: Annotated[
        Path | None, typer.Option(help="Read real chess games: FILE.pgn, .pgn.gz or .pgn.zst.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds.")] = False,
) -> None:
    """Play games, or read them from PGN, into a folder.

    The folder gets moves, splits and a manifest. A killed call is finished by repeating it.
    """
    from boardsae import generate

    folder, threads = out or Path("data") / game, workers if workers is not None else os.cpu_count() or 1
    if pgn is not None:
        if policy is not None or seed:
            raise ValueError(
                "--pgn reads games as they are; --policy and --seed are for games that are played here"
            )
        made = generate.from_pgn(game, games, pgn, threads, folder, force)
    else:
        made = generate.from_policy(game, games, seed, policy, threads, folder, force)
    print(folder)
    say(generate.summary(made))
    say(f"next: boardsae verify {folder} · boardsae show {game} --data {folder}")


@app.command()
def verify(
    folder: Folder,
    sample: Annotated[
        int, typer.Option(help="Games to replay by the slow rules; the kernels replay all.")
    ] = 100,
    full: Annotated[
        bool, typer.Option("--full", help="Replay every game by the slow rules; takes long.")
    ] = False,
) -> None:
    """Prove a folder of games sound, or name its fault.

    Hashes, legality of every game, disjoint splits, truth rebuilt. Exits 3 at the first fault.
    """
    from boardsae.verify import verify as check

    if sample < 1:
        raise ValueError(f"expected --sample to be 1 or more, got {sample}")
    check(folder, None if full else sample)
    print(f"{folder} is sound")


@app.command()
def export(
    folder: Folder,
    format: Annotated[str, typer.Option(help="txt, jsonl, or pgn for chess.")] = "txt",
    split: Annotated[str | None, typer.Option(help="train, select or report [default: all three].")] = None,
    games: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file [default: standard output].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write games as txt, jsonl or pgn."""
    from boardsae import data, files
    from boardsae.export import export as lines

    written = lines(data.load(folder), format, split, games)
    if out is None:
        sys.stdout.writelines(written)
    else:
        files.write_text(out, written, force)
        print(out)


@app.command()
def train_gpt(
    game: GameName,
    size: Annotated[str, typer.Option(help="nano, small, base or paper.")] = "small",
    objective: Annotated[str, typer.Option(help="next: the move played; soft: the exact policy.")] = "next",
    tokens: Annotated[int, typer.Option(help="How many to train on, repeated games included.")] = 20_000_000,
    data: Annotated[Path | None, typer.Option(help="Transcripts [default: data/GAME].")] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights and the order of the games.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where to [default: models/GAME].")] = None,
) -> None:
    """Train a GPT on the moves of othello or othello6.

    It reads the training split of --data. A killed call is finished by repeating it, to the same weights.
    """
    from boardsae import train_gpt

    folder = out or Path("models") / game
    recipe = train_gpt.Recipe(str(data or Path("data") / game), size, objective, tokens, seed=seed)
    for row in train_gpt.train(game, recipe, folder):
        say(train_gpt.told(row))
    print(folder)


@app.command()
def gate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model that train-gpt made.")],
    data: Annotated[
        Path | None, typer.Option(help="Transcripts [default: the ones it was trained on].")
    ] = None,
) -> None:
    """Measure whether a model knows the rules and holds the board.

    Writes gate.json and gate.png beside the model: play by ply, and linear probes by layer for the model and for
    a twin of random weights.
    """
    from boardsae import gate, plots

    record = gate.gate(folder, data)
    plots.gate_figure(record, folder.name, folder / "gate.png")
    say(gate.told(record))
    print(folder / "gate.json")


@app.command()
def show(
    game: GameName,
    index: Annotated[int, typer.Option(help="Which game.")] = 0,
    ply: Annotated[int | None, typer.Option(help="After how many moves [default: 20, or the end].")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Transcripts [default: data/GAME, else games played now].")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw it into this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Draw a position and say what holds there."""
    from boardsae.show import position

    shown = position(game, index, ply, data)
    print(shown.text(colour=sys.stdout.isatty()))
    if svg is not None:
        shown.write_svg(svg, force)
        say(f"drawn into {svg}")


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="games|predicates", help="What to list.")],
    game: Annotated[str | None, typer.Argument(metavar="GAME", help="Every predicate of this game.")] = None,
) -> None:
    """List games or predicates, tab-separated."""
    from boardsae.listing import LISTS
    from games.core import no_such

    if what not in LISTS:
        raise ValueError(no_such("list", what, LISTS))
    for line in LISTS[what](game):
        print(line)


def main() -> None:
    """Runs the command line; what a user can cause is one line and an exit code, never a traceback."""
    try:
        app()
    except Broken as fault:
        fail(str(fault), 3)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        fail(text, 1 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else 2)
    except ValueError as error:
        fail(str(error), 2)


def fail(text: str, code: int) -> NoReturn:
    say(f"error: {text}")
    raise SystemExit(code)
