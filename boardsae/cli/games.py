"""Games: made, proved and shown."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from boardsae.cli.app import app
from boardsae.cli.engines import Address, EngineName, is_on_ray
from boardsae.progress import say

GameName = Annotated[str, typer.Argument(metavar="GAME", help="othello, othello6, chess or chess-pgn.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that generate-data made.")]


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
    engine: EngineName = "local",
    address: Address = None,
) -> None:
    """Play games, or read them from PGN, into a folder.

    The folder gets moves, splits and a manifest. A killed call is finished by repeating it.
    """
    from boardsae import generate

    folder, threads = out or Path("data") / game, workers if workers is not None else os.cpu_count() or 1
    on_ray = is_on_ray(engine, address)
    if on_ray and workers is not None:
        raise ValueError(
            "--workers counts threads of this machine; on Ray every free core of the cluster plays"
        )
    if pgn is not None:
        if on_ray:
            raise ValueError("--pgn reads one file, which this machine does alone; leave --engine away")
        if policy is not None or seed:
            raise ValueError(
                "--pgn reads games as they are; --policy and --seed are for games that are played here"
            )
        made = generate.from_pgn(game, games, pgn, threads, folder, force)
    elif on_ray:
        from boardsae.ray_engine import plays_on_ray

        cluster = plays_on_ray(address or "auto")
        made = generate.from_policy(game, games, seed, policy, threads, folder, force, cluster)
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
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A game, a variant or a metric.")],
    index: Annotated[int, typer.Option(help="Which game.")] = 0,
    ply: Annotated[int | None, typer.Option(help="After how many moves [default: 20, or the end].")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Transcripts [default: data/GAME, else games played now].")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Also draw it into this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Draw a position of a game and say what holds there, or explain a variant or a metric."""
    import games

    if name not in games.NAMES:
        from boardsae import explain
        from games.core import no_such

        if not explain.knows(name):
            known = (*games.NAMES, *explain.VARIANTS, *explain.METRICS)
            raise ValueError(no_such("game, variant or metric", name, known))
        for option, value in (("ply", ply), ("data", data), ("svg", svg)):
            if value is not None:
                raise ValueError(f"--{option} is of a position, and {name} is no game; leave it out")
        print("\n".join(explain.lines(name)).rstrip())
        return
    from boardsae.show import position

    shown = position(name, index, ply, data)
    print(shown.text(colour=sys.stdout.isatty()))
    if svg is not None:
        shown.write_svg(svg, force)
        say(f"drawn into {svg}")


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="games, predicates, tasks, models, variants or metrics.")
    ],
    game: Annotated[str | None, typer.Argument(metavar="GAME", help="Every predicate of this game.")] = None,
) -> None:
    """List what there is, tab-separated."""
    from boardsae.listing import LISTS
    from games.core import no_such

    if what not in LISTS:
        raise ValueError(no_such("list", what, LISTS))
    if game is not None and what != "predicates":
        raise ValueError(f"expected GAME after predicates alone, got {game!r} after {what}")
    for line in LISTS[what](game):
        print(line)
