"""The gate: does the model play by the rules, and does it hold the board? No score counts without it.

By ply, on games that it was not trained on: loss, distance from the exact policy, top-1 legal rate, mass on legal
moves, F1 of the legal set. By layer: linear probes for every group of predicates, for the model and for its twin of
random weights, which shows what the architecture alone gives away.

The squares of Othello are read in two frames: whose a disc is as the player to move sees it, or by the parity of the
ply, which is another thing once somebody had to pass. The 2024 paper's code has the latter, and the moves that a model
reads do not say who passed. The verdict takes the frame that is read best on the select games, as it takes the layer.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

import games
from boardsae import data, gpt
from boardsae.activations import after_each_block, check_reads, scored
from boardsae.files import read_json, sha256, write_json
from boardsae.models import in_words, schooling
from boardsae.play import by_ply, is_exact, totals
from boardsae.probes import best_fit, best_thresholds, counts, f1, phi_within_ply
from boardsae.progress import progress
from games.core import Game, Transcripts, predicates

GAMES = {"train": 2000, "select": 500, "report": 1000}
ENOUGH = 50  # positives and negatives that a predicate needs to be probed
BARS = {"top1_legal": 0.995, "legal_mass": 0.98, "board_accuracy": 0.97}
PROBED = 2e8  # rows * predicates of the training games, at most: a game of long games and many predicates has fewer


def gate(
    folder: Path, games_folder: Path | None = None, device: torch.device | None = None
) -> dict[str, Any]:
    """Measures the model in the folder, on the games that it was trained on or others, and writes gate.json there."""
    model, facts = gpt.load(folder), read_json(folder / "model.json")
    dataset = data.load(games_folder or Path(facts["recipe"]["data"]))
    check_fits(model.shape, folder, dataset)
    twin = gpt.GPT(model.shape, seed=1).eval()
    if device is not None:
        model, twin = model.to(device), twin.to(device)
    moves = {split: dataset.transcripts(split, n).moves for split, n in GAMES.items()}
    for split, some in moves.items():
        if len(some) < 100:
            raise ValueError(
                f"expected 100 games or more in the {split} split of {dataset.folder}, got {len(some)}"
            )
    play = by_ply(model, dataset.game, moves["report"], is_exact(dataset))
    asked = {
        split: questions(dataset.game, some, model.shape.context)
        for split, some in few_enough(dataset.game, moves).items()
    }
    layers = {}
    bar = progress("probing", 2 * model.shape.layers, "layers")
    probed = torch.stack([enough(some.y) for some in asked.values()]).all(0)
    for name, each in (("trained", model), ("random", twin)):
        layers[name] = []
        streams = (after_each_block(each, some.moves) for some in asked.values())
        for layer, found in enumerate(zip(*streams, strict=True)):
            x = dict(zip(asked, found, strict=True))
            layers[name].append({"layer": layer} | probe(x, dataset.game, asked, probed))
            bar.update(1)
    bar.close()
    record = verdict(play, layers) | {
        "trained_with": schooling(facts)._asdict(),
        "model": sha256(folder / "model.safetensors"),
        "games": dataset.manifest["files"]["moves.npy"]["sha256"],
        "counts": {split: len(some.moves) for split, some in asked.items()},
        "unit": "characters" if "text" in dataset.arrays else "plies",
        "by_ply": play,
        "by_layer": layers,
    }
    write_json(folder / "gate.json", record)
    return record


def check_fits(shape: gpt.Shape, folder: Path, dataset: data.Dataset) -> None:
    """Whether the model reads the games: their tokens, and as many of them as it is to be judged on."""
    if dataset.game.name != shape.game:
        raise ValueError(f"{folder} plays {shape.game}, {dataset.folder} holds {dataset.game.name}")
    check_reads(shape, dataset.game, folder)


def few_enough(
    game: Game, moves: dict[str, Shaped[np.ndarray, "game ply"]]
) -> dict[str, Shaped[np.ndarray, "game ply"]]:
    """As many games as probes have memory for."""
    size = moves["train"].shape[1] * len(predicates(game)) * GAMES["train"]
    share = min(1.0, PROBED / size)
    return {split: some[: max(100, int(share * GAMES[split]))] for split, some in moves.items()}


def verdict(play: dict[str, list[float]], layers: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The figures that the bars are for, whether they are reached, and the layer that holds the board best.

    Layer and frame are chosen on the select games and the accuracy is that of the report games.
    """
    reached = totals(play)
    best = max(range(len(layers["trained"])), key=lambda i: layers["trained"][i]["board_accuracy_select"])
    board = layers["trained"][best]
    reached["board_accuracy"] = board["board_accuracy"]
    missed = {name: bar for name, bar in BARS.items() if reached[name] < bar}
    return {
        "passes": not missed,
        "missed": missed,
        "layer": best,
        "frame": board["frame"],
        "frames": board["frames"],
        "totals": reached,
    }


class Questions(NamedTuple):
    """Games of a split, and what probes are asked about them."""

    moves: Shaped[np.ndarray, "game ply"]
    y: Bool[Tensor, "row predicate"]
    ply: Int[Tensor, " row"]


def questions(game: Game, moves: Shaped[np.ndarray, "game ply"], context: int) -> Questions:
    rows = scored(game, moves, context).rows
    y = games.truth(Transcripts(game.name, moves), rows)
    return Questions(moves, torch.from_numpy(y), torch.from_numpy(rows[:, 1].copy()))


def probe(
    x: dict[str, Float[Tensor, "row d"]],
    game: Game,
    asked: dict[str, Questions],
    probed: Bool[Tensor, " predicate"],
) -> dict[str, Any]:
    """What linear probes of these activations find: by group the mean F1 and within-ply phi, and the whole board."""
    y = {split: some.y for split, some in asked.items()}
    ply = {split: some.ply for split, some in asked.items()}
    probes = best_fit(x["train"], y["train"], x["select"], y["select"])
    select, report = probes(x["select"]), probes(x["report"])
    thresholds = best_thresholds(select, y["select"], ply["select"])
    scores = {
        "f1": f1(report > thresholds.f1, y["report"]),
        "phi": phi_within_ply(report > thresholds.phi, y["report"], ply["report"]),
    }
    columns = predicates(game)
    groups: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(predicate.group for predicate in columns):
        held = torch.tensor([predicate.group == group for predicate in columns]) & probed
        if held.any():
            groups[group] = {name: values[held].nanmean().item() for name, values in scores.items()}
            groups[group]["predicates"] = int(held.sum())
    accuracies = {name: board_accuracy(game, name, select, y["select"]) for name in game.frames}
    frame = max(accuracies, key=lambda name: accuracies[name])
    found = {name: board_accuracy(game, name, report, y["report"]) for name in accuracies}
    return {
        "board_accuracy_select": accuracies[frame],
        "board_accuracy": found[frame],
        "frame": frame,
        "frames": found,
        "groups": groups,
    }


def enough(y: Bool[Tensor, "row predicate"]) -> Bool[Tensor, " predicate"]:
    held = counts(y)
    return (held >= ENOUGH) & (len(y) - held >= ENOUGH)


def board_accuracy(
    game: Game, frame: str, scores: Float[Tensor, "row predicate"], y: Bool[Tensor, "row predicate"]
) -> float:
    """The share of squares whose state has the highest of its probes' scores: mine, theirs or empty, or the piece."""
    groups = np.array([predicate.group for predicate in predicates(game)])
    columns = np.concatenate([np.flatnonzero(groups == kind) for kind in game.frames[frame]])
    places = torch.from_numpy(columns.reshape(-1, game.size**2))
    said, true = (each[:, places].max(1).indices for each in (scores, y))  # argmax takes ten times as long
    return (said == true).float().mean().item()


def told(record: dict[str, Any]) -> str:
    """What the gate found, in three lines."""
    totals, layer = record["totals"], record["layer"]
    rates = f"top-1 legal {totals['top1_legal']:.2%}, legal mass {totals['legal_mass']:.2%}"
    play = rates + (f", {totals['gap']:.4f} nats above the exact policy" if "gap" in totals else "")
    board = f"a linear probe after layer {layer} reads {totals['board_accuracy']:.2%} of the squares"
    if len(read := record.get("frames", {})) > 1:  # which gates of before did not tell apart
        board += f" ({', '.join(f'{accuracy:.2%} by the {name}' for name, accuracy in read.items())})"
    missed = ", ".join(f"{name} below {bar:.1%}" for name, bar in record["missed"].items())
    verdict = "passes the gate" if record["passes"] else f"does not pass the gate: {missed}"
    return f"{in_words(record)}\n{play}; {board}\n{verdict}"
