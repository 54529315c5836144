"""What a score is measured on: a game, a model, the place in it where SAEs sit, and games that are cut in three.

A named task is fixed for good: model and games are pinned by hash, and another choice is another version. A folder
of train-gpt is a task as well, under the folder's name.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from boardsae import Broken, data, generate, gpt, models
from boardsae.files import read_json
from boardsae.progress import say
from games.core import no_such


class Task(NamedTuple):
    name: str
    model: str  # a reference model or a folder
    layer: int  # SAEs read the residual stream after this block
    game: str
    games: int
    seed: int  # of the games
    moves: str | None  # SHA-256 of the games' moves.npy; None where nothing is pinned
    data: str  # the folder of the games
    policy: str | None = None  # that plays them; the game's own


# fmt: off
# game, games, seed, SHA-256 of the moves, folder, policy
OTHELLO6 = ("othello6", 200_000, 0, "54222ab42fadf349cce8e703fe0453e670f5e52d65bfa22a4ba32afbd5a553af",
            "data/othello6", None)
OTHELLO = ("othello", 200_000, 0, "3777252540634d6ef3b1bea27b99d0b830845f7ebd1d714e732e12657220b235",
           "data/othello", None)
CHESS = ("chess", 50_000, 0, "80485e8b13835f19c1873953ab31317a1433b93f5a31d1e70c1083c32a26d37d",
         "data/chess-uniform", "uniform")
CHESS_PGN = ("chess-pgn", 50_000, 0, "e9805ba06c1219b04de2948be6c4703190146ca046acb1204e49431bb489b616",
             "data/chess-pgn", None)
TASKS = {
    task.name: task
    for task in (
        Task("othello6-v1", "othello6-v1", 1, *OTHELLO6),
        Task("othello6-v2", "othello6-v2", 3, *OTHELLO6),
        Task("othello-v1", "othello-v1", 1, *OTHELLO),
        Task("othello-v2", "othello-v2", 3, *OTHELLO),
        Task("chess-v2", "chess-v2", 3, *CHESS),
        Task("chess-v3", "chess-v3", 5, *CHESS),
        Task("chess-pgn-v1", "chess-pgn-v1", 1, *CHESS_PGN),
    )
}
# fmt: on


class Open(NamedTuple):
    """A task with its model and games at hand."""

    task: Task
    model: gpt.GPT
    folder: Path  # of the model
    dataset: data.Dataset
    hashes: dict[str, str]  # of the model's parameters ("model") and of the games ("games")


def of(name: str) -> Task:
    """The task of that name, or the one that a model folder is."""
    if name in TASKS:
        return TASKS[name]
    folder = Path(name)
    if not (folder / "model.json").exists():
        raise ValueError(f"{no_such('task', name, TASKS)}; a folder of train-gpt will do as well")
    facts, gate = read_json(folder / "model.json"), models.gate_of(folder)
    try:
        game, games, layer = facts["shape"]["game"], facts["recipe"]["data"], gate["layer"]
    except (KeyError, TypeError) as error:
        raise Broken(
            f"{folder} is no model of train-gpt: its model.json or gate.json lacks {error}"
        ) from None
    many = generate.DEFAULT_GAMES.get(game, generate.OTHERS)
    return Task(folder.name, str(folder), layer, game, many, 0, None, games)


def open_task(task: Task) -> Open:
    """Loads model and games. Games that are missing are played, which takes seconds."""
    folder = models.folder_of(task.model)
    dataset = transcripts(task)
    model = gpt.load(folder)
    found = dataset.manifest["files"]["moves.npy"]["sha256"]
    if task.moves is not None and found != task.moves:
        raise Broken(
            f"the games in {task.data} are not those of {task.name}: expected SHA-256 {task.moves}, got {found};"
            f" move the folder away and {command(task)} makes them again"
        )
    if task.moves is None and found != (own := read_json(folder / "model.json").get("games", found)):
        say(
            f"warning: {task.name} was trained on other games, SHA-256 {own}, than those in {task.data}, {found};"
            " SAEs and scores are of these"
        )
    return Open(task, model, folder, dataset, {"model": gpt.identity(model), "games": found})


def transcripts(task: Task) -> data.Dataset:
    folder = Path(task.data)
    if not (folder / "manifest.json").exists():
        say(f"no games in {folder} yet: {command(task)}")
        threads = os.cpu_count() or 1
        return generate.from_policy(task.game, task.games, task.seed, task.policy, threads, folder)
    dataset = data.load(folder)
    if dataset.game.name != task.game:
        raise ValueError(f"{task.name} is {task.game}, {folder} holds {dataset.game.name}")
    return dataset


def check_layer(layer: int, opened: Open) -> None:
    layers = opened.model.shape.layers
    if not 0 <= layer < layers:
        raise ValueError(f"expected a layer from 0 to {layers - 1}, those of {opened.task.name}, got {layer}")


def has_later(layer: int, shape: gpt.Shape) -> bool:
    """Whether a block lies between the layer and the last one."""
    return layer + 2 < shape.layers


def command(task: Task) -> str:
    policy = f" --policy {task.policy}" if task.policy else ""
    return f"boardsae generate-data {task.game}{policy} --games {task.games} --seed {task.seed} --out {task.data}"


def provenance(opened: Open) -> dict[str, Any]:
    """What every record says about what it was measured on."""
    return {"task": opened.task.name, "layer": opened.task.layer, **opened.hashes}
