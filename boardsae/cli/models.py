"""GPTs: trained and put to the test."""

from pathlib import Path
from typing import Annotated

import typer

from boardsae.cli.app import app
from boardsae.cli.games import GameName
from boardsae.progress import say


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
