"""GPTs: trained and put to the test."""

from pathlib import Path
from typing import Annotated, Any

import typer

from boardsae.cli.app import app
from boardsae.cli.games import GameName
from boardsae.progress import say


@app.command()
def train_gpt(
    game: GameName,
    size: Annotated[
        str | None,
        typer.Option(help="nano, small, medium, base or paper [default: that of --start-from, or small]."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="next: the move played; soft: the exact policy [default: that of --start-from, or next]."
        ),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(help="How many to train on, repeated games included [default: 20,000,000]."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="As many tokens as this takes here, about, instead of --tokens.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Transcripts [default: data/GAME].")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    batch: Annotated[int | None, typer.Option(help="Games a step [default: about 2,000 tokens].")] = None,
    optimizer: Annotated[str, typer.Option(help="Of the blocks' matrices: muon or adamw.")] = "muon",
    lr: Annotated[
        float | None, typer.Option(help="Learning rate of it [default: 0.02 of muon, 0.002 of adamw].")
    ] = None,
    lr_others: Annotated[float, typer.Option(help="Learning rate of AdamW, for all else.")] = 0.004,
    seed: Annotated[int, typer.Option(help="Of the first weights and the order of the games.")] = 0,
    start_from: Annotated[
        str | None,
        typer.Option(
            help="A reference model or a folder of train-gpt, to train further [default: new weights]."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where to [default: models/GAME].")] = None,
) -> None:
    """Train a GPT on the moves of a game, or on the characters of chess-pgn; then its gate.

    It reads the training split of --data. A killed call is finished by repeating it, to the same weights on a CPU.
    Several GPUs: torchrun --nproc-per-node 2 -m boardsae train-gpt ...
    """
    from boardsae import beginning, ranks, train_gpt
    from boardsae.devices import bf16_pays, device_of

    if tokens is not None and minutes is not None:
        raise ValueError("expected --tokens or --minutes, got both")
    usual = train_gpt.usual(optimizer)
    folder, chosen = out or Path("models") / game, device_of(ranks.device_name(device))
    recipe = train_gpt.Recipe(
        str(data or Path("data") / game),
        size or beginning.size_of(start_from),
        objective or beginning.objective_of(start_from),
        20_000_000 if tokens is None else tokens,
        train_gpt.usual_batch(game) if batch is None else batch,
        lr=usual.lr if lr is None else lr,
        lr_others=lr_others,
        weight_decay=usual.weight_decay,
        bf16=bf16_pays(chosen),
        seed=seed,
        minutes=minutes,
        optimizer=optimizer,
        start=start_from,
    )
    joined = ranks.join(chosen)
    if minutes is not None:
        recipe = train_gpt.paced(game, recipe, folder, chosen, joined)
    for row in train_gpt.train(game, recipe, folder, chosen, joined):
        say(train_gpt.told(row))
    ranks.leave(joined)  # before the gate, for which the other processes would have to wait
    if joined.writes:
        finish(folder, chosen)
        print(folder)


def finish(folder: Path, device: Any) -> None:
    """The figures of a trained model and its gate, unless it has them."""
    from boardsae import checkpoints, gate, plots
    from boardsae.files import read_json, sha256

    plots.curves_figure(checkpoints.log_of(folder), folder.name, folder / "curves.png")
    record = folder / "gate.json"
    if record.exists() and read_json(record)["model"] == sha256(folder / "model.safetensors"):
        return
    try:
        found = gate.gate(folder, device=device)
    except ValueError as error:
        say(f"no gate: {error}")
        return
    plots.gate_figure(found, folder.name, folder / "gate.png")
    say(gate.told(found))


@app.command()
def gate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model that train-gpt made.")],
    data: Annotated[
        Path | None, typer.Option(help="Transcripts [default: the ones it was trained on].")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Measure whether a model knows the rules and holds the board.

    Writes gate.json and gate.png beside the model: play by ply, and linear probes by layer for the model and for
    a twin of random weights.
    """
    from boardsae import gate, plots
    from boardsae.devices import device_of

    record = gate.gate(folder, data, device_of(device))
    plots.gate_figure(record, folder.name, folder / "gate.png")
    say(gate.told(record))
    print(folder / "gate.json")


@app.command()
def import_model(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A state dict, or a folder with config.json.")],
    game: Annotated[str, typer.Option(help="What it plays, of `boardsae list games`.")],
    out: Annotated[Path, typer.Option(help="Where to.")],
    data: Annotated[
        Path | None, typer.Option(help="Transcripts to judge it on [default: data/GAME].")
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(help="gelu or gelu_new, where no config.json says it [default: gelu]."),
    ] = None,
) -> None:
    """Take in a GPT of TransformerLens or of Hugging Face, such as Othello-GPT or ChessGPT.

    With its gate, from `boardsae gate`, it is a task like any model folder.
    """
    from boardsae import model_formats

    model_formats.adopt(path, game, str(data or Path("data") / game), activation, out)
    print(out)


@app.command()
def export_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder or a reference model.")],
    layout: Annotated[str, typer.Option("--format", help="transformer-lens or hugging-face.")],
    out: Annotated[Path, typer.Option(help="Where to.")],
) -> None:
    """Write a GPT as TransformerLens or Hugging Face read it: model.safetensors and config.json."""
    from boardsae import gpt, model_formats, models

    model_formats.write(gpt.load(models.folder_of(model)), layout, out)
    print(out)
