"""A task of tests: 6x6 Othello, a GPT of two layers with the weights that it starts with, a few thousand games."""

from boardsae import generate, gpt, tasks


def opened(folder, games=3000, layer=0):
    dataset = generate.from_policy("othello6", games, 0, "uniform", 1, folder / "data")
    model = gpt.GPT(gpt.Shape("othello6", 33, 31, 2, 16, 2), seed=0).eval()
    task = tasks.Task("made", "othello6", str(folder / "model"), layer, games, 0, None, str(folder / "data"))
    games_hash = dataset.manifest["files"]["moves.npy"]["sha256"]
    return tasks.Open(
        task, model, folder / "model", dataset, {"model": gpt.identity(model), "games": games_hash}
    )
