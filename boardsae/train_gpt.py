"""Training a board GPT: from transcripts to weights, resumed at the very step where it was killed.

A model folder holds `request.json` (what was asked for), `checkpoint.safetensors` (weights, moments, step) while it
trains, `log.csv`, and at the end `model.safetensors` and `model.json`. What a step sees depends only on the seed and
the step, so that on a CPU the weights of a resumed run are bit for bit those of an uninterrupted one.
"""

import json
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from boardsae import Broken, data, gpt
from boardsae.files import read_json, write_json, write_text
from boardsae.muon import Muon
from boardsae.play import Batch, batch_of, by_ply, totals
from boardsae.progress import progress, say
from games.core import no_such

OBJECTIVES = ("next", "soft")
EVALUATE_GAMES = 1000
LOG_EVERY = 500  # steps
CHECKPOINT_SECONDS = 60


class Recipe(NamedTuple):
    """What is trained on what, and how; all of it is recorded."""

    data: str
    size: str
    objective: str  # "next": the move that was played; "soft": the exact policy, uniform over the legal moves
    tokens: int
    batch: int = 256  # games
    lr: float = 0.02  # of Muon
    lr_others: float = 2e-3  # of AdamW
    weight_decay: float = 0.1
    warmup: float = 0.02  # share of the steps
    decay: float = 0.6  # share of the steps, the last ones
    bf16: bool = True
    seed: int = 0


def cross_entropy(logits: Float[Tensor, "game ply move"], batch: Batch, objective: str) -> Float[Tensor, ""]:
    """Mean over the plies that have a next move: against that move, or against all legal ones alike."""
    log_p = logits.log_softmax(-1)
    counts = batch.legal.sum(-1)
    if objective == "soft":
        each = -(log_p * batch.legal).sum(-1) / counts.clamp(min=1)
    else:
        each = -log_p.gather(-1, batch.played[..., None])[..., 0]
    live = counts > 0
    return (each * live).sum() / live.sum()


def steps_of(recipe: Recipe, context: int) -> int:
    return max(1, recipe.tokens // (recipe.batch * context))


def moves_at(
    moves: Shaped[np.ndarray, "game ply"], recipe: Recipe, step: int
) -> Shaped[np.ndarray, "some ply"]:
    """The games of a step: every epoch is a new order of all games, drawn from the seed."""
    first = step * recipe.batch
    places = np.arange(first, first + recipe.batch)
    orders = {
        epoch: order_of(len(moves), recipe.seed, epoch) for epoch in np.unique(places // len(moves)).tolist()
    }
    return moves[[orders[p // len(moves)][p % len(moves)] for p in places.tolist()]]


@lru_cache(maxsize=2)
def order_of(games: int, seed: int, epoch: int) -> Int[np.ndarray, " game"]:
    return np.random.default_rng([seed, epoch]).permutation(games)


def pace(recipe: Recipe, progress: float) -> float:
    """The share of the learning rate: a linear warm-up, a plateau, and a straight line down to nothing."""
    return min(progress / recipe.warmup, (1 - progress) / recipe.decay, 1.0)


def make_optimizers(model: gpt.GPT, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, unembedding and vectors."""
    inner = {name for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks.")}
    matrices = [p for name, p in model.named_parameters() if name in inner]
    others = [p for name, p in model.named_parameters() if name not in inner]
    return [
        Muon(matrices, recipe.lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(others, recipe.lr_others, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def checked(name: str, recipe: Recipe) -> data.Dataset:
    """The transcripts of the recipe, after every mistake that can be seen before the first step."""
    if not name.startswith("othello"):
        raise ValueError(f"expected othello or othello6, got {name!r}; GPTs of chess are yet to come")
    for kind, text, known in (("size", recipe.size, gpt.SIZES), ("objective", recipe.objective, OBJECTIVES)):
        if text not in known:
            raise ValueError(no_such(kind, text, known))
    if recipe.tokens < 1:
        raise ValueError(f"expected tokens to be 1 or more, got {recipe.tokens}")
    dataset = data.load(Path(recipe.data))
    if dataset.game.name != name:
        raise ValueError(f"expected {name} games, {recipe.data} holds {dataset.game.name}")
    for split in ("train", "select"):
        if not dataset.manifest["splits"][split]["games"]:
            raise ValueError(f"{recipe.data} has no game in its {split} split; generate more games")
    return dataset


def train(name: str, recipe: Recipe, folder: Path) -> Iterator[dict[str, float]]:
    """Trains into the folder, from its checkpoint where there is one; yields a row at every evaluation."""
    dataset = checked(name, recipe)
    game, moves = dataset.game, dataset.transcripts("train").moves
    held_out = dataset.transcripts("select").moves[:EVALUATE_GAMES]
    layers, width, heads = gpt.SIZES[recipe.size]
    shape = gpt.Shape(game.name, len(game.moves), game.max_plies - 1, layers, width, heads)
    model = gpt.GPT(shape, recipe.seed)
    optimizers = make_optimizers(model, recipe)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    steps = steps_of(recipe, shape.context)
    request = recipe._asdict() | {"games": dataset.manifest["files"]["moves.npy"]["sha256"]}
    begin(folder, request)
    first, rows, seconds = resume(folder, model, optimizers)
    bar = progress("training", steps, "steps", done=first)
    started = saved = time.monotonic()
    for step in range(first, steps):
        groups = (group for optimizer in optimizers for group in optimizer.param_groups)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate * pace(recipe, (step + 0.5) / steps)
        batch = batch_of(game, moves_at(moves, recipe, step))
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            logits = model(batch.tokens)
        loss = cross_entropy(logits, batch, recipe.objective)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        bar.update(1)
        last = step + 1 == steps
        log, save = last or (step + 1) % LOG_EVERY == 0, last or time.monotonic() - saved > CHECKPOINT_SECONDS
        if (log or save) and not torch.isfinite(loss):
            problem = f"the loss is {loss.item()} at step {step + 1}; the last checkpoint is kept"
            raise ValueError(f"{problem}; repeat with a lower learning rate and another --out")
        elapsed = seconds + time.monotonic() - started
        if log:
            tokens = (step + 1) * recipe.batch * shape.context
            row = {
                "step": step + 1,
                "tokens": tokens,
                "seconds": round(elapsed, 1),
                "train_loss": loss.item(),
            }
            rows.append(row | totals(by_ply(model, game, held_out)))
            yield rows[-1]
        if save:
            checkpoint(folder, model, optimizers, step + 1, rows, elapsed)
            saved = time.monotonic()
    bar.close()
    gpt.save(model, folder, {"recipe": recipe._asdict(), "games": request["games"], "held_out": rows[-1]})


def told(row: dict[str, float]) -> str:
    return (
        f"step {row['step']:,}: loss {row['loss']:.4f}, {row['gap']:.4f} nats above the exact policy,"
        f" top-1 legal {row['top1_legal']:.2%}, legal mass {row['legal_mass']:.2%}"
    )


def begin(folder: Path, request: dict[str, Any]) -> None:
    """The folder, for this recipe on these games alone."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / "request.json"
    if asked.exists() and read_json(asked) != request:
        raise FileExistsError(
            f"{folder} holds a model of another recipe or other games, see {asked}; choose another --out"
        )
    write_json(asked, request)


def checkpoint(
    folder: Path,
    model: gpt.GPT,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    rows: list[dict[str, float]],
    seconds: float,
) -> None:
    """All that the next step depends on, in one file that appears whole; the log beside it, for people."""
    from safetensors.torch import save_file

    tensors = dict(model.state_dict())
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    for optimizer in optimizers:
        for parameter, moments in optimizer.state.items():
            tensors |= {f"{moment} {names[parameter]}": tensor for moment, tensor in moments.items()}
    unfinished = folder / "checkpoint.safetensors.tmp"
    save_file(tensors, unfinished, {"step": str(step), "seconds": str(seconds), "rows": json.dumps(rows)})
    unfinished.replace(folder / "checkpoint.safetensors")
    if rows:
        lines = [",".join(rows[0]), *(",".join(f"{value:.6g}" for value in row.values()) for row in rows)]
        write_text(folder / "log.csv", "\n".join(lines) + "\n")


def resume(
    folder: Path, model: gpt.GPT, optimizers: list[torch.optim.Optimizer]
) -> tuple[int, list[dict[str, float]], float]:
    """Puts model and optimizers where the checkpoint left them: the step, the rows and the seconds so far."""
    from safetensors import SafetensorError, safe_open

    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, [], 0.0
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict({name: tensors.pop(name) for name in model.state_dict()})
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise Broken(f"{path} is not a checkpoint of this model: {error}") from None
    parameters = dict(model.named_parameters())
    owners = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    for moment, name in (key.split(" ", 1) for key in tensors):
        owners[parameters[name]].state[parameters[name]][moment] = tensors[f"{moment} {name}"]
    say(f"going on at step {facts['step']} of {folder}")
    return int(facts["step"]), json.loads(facts["rows"]), float(facts["seconds"])
