"""A task of tests: a GPT of a few layers with the weights that it starts with, and a few thousand games."""

import games
from boardsae import generate, gpt, tasks
from boardsae.activations import alphabet
from boardsae.files import write_json


def opened(folder, count=3000, layer=0, game="othello6", layers=3):
    dataset = generate.from_policy(game, count, 0, "uniform", 1, folder / "data")
    vocabulary, room = alphabet(games.load(game))
    model = gpt.GPT(gpt.Shape(game, vocabulary, room - 1, layers, 16, 2), seed=0).eval()
    task = tasks.Task("made", str(folder / "model"), layer, game, count, 0, None, str(folder / "data"))
    games_hash = dataset.manifest["files"]["moves.npy"]["sha256"]
    return tasks.Open(
        task, model, folder / "model", dataset, {"model": gpt.identity(model), "games": games_hash}
    )


def kept(folder):
    """The same as the folder of a model, whose name is that of its task."""
    made = opened(folder)
    made.folder.mkdir()
    gpt.save(made.model, made.folder, {"recipe": {"data": made.task.data}})
    write_json(made.folder / "gate.json", {"layer": 0})
    return str(made.folder)
