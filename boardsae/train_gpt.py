"""Training a board GPT: from transcripts to weights, resumed at the very step where it was killed.

A model folder holds `request.json` (what was asked for), `checkpoint.safetensors` (weights, moments, step) while it
trains, `log.csv`, and at the end `model.safetensors` and `model.json`. What a step sees depends only on the seed and
the step, so that on a CPU the weights of a resumed run are bit for bit those of an uninterrupted one.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

import games
from boardsae import checkpoints, data, gpt
from boardsae.activations import Reading, alphabet, order, sent
from boardsae.beginning import first_model, started_from
from boardsae.checkpoints import Reached
from boardsae.files import alone_in, read_json, write_json
from boardsae.model_formats import refuse_models
from boardsae.optimizers import OPTIMIZERS, optimizers_of, usual
from boardsae.play import by_ply, is_exact, pairs_of, ruled, totals
from boardsae.progress import progress
from boardsae.ranks import ALONE, Ranks
from games.core import no_such

OBJECTIVES = ("next", "soft")
CPU = torch.device("cpu")
EVALUATE_TOKENS = 60_000  # of held-out games
STEP_TOKENS = 2048  # the most in a step, unless asked: a short training learns most in many small steps
LOG_EVERY = 2000  # steps, or a tenth of a short run
LOOK_EVERY = 20  # steps: whether all is finite, and a new loss for the bar
OLDER = {"minutes": None, "optimizer": "muon", "start": None}  # than these options
HASHED = {"games": "other games", "started_from": "other first weights"}  # told without their hashes
TIMED = 6  # steps that tell how many fit into some minutes


class Recipe(NamedTuple):
    """What is trained on what, and how; all of it is recorded."""

    data: str
    size: str
    objective: (
        str  # "next": the token that was played; "soft": the exact policy, uniform over the legal moves
    )
    tokens: int
    batch: int  # games
    lr: float = OPTIMIZERS["muon"].lr  # of the blocks' matrices
    lr_others: float = 4e-3  # of all else, which AdamW trains
    weight_decay: float = OPTIMIZERS["muon"].weight_decay
    warmup: float = 0.02  # share of the steps
    decay: float = 0.6  # share of the steps, the last ones
    bf16: bool = True
    seed: int = 0
    minutes: float | None = None  # what `tokens` was measured to take; None where the tokens were asked for
    optimizer: str = "muon"  # of the blocks' matrices
    start: str | None = (
        None  # the reference model or folder whose weights are the first ones; None draws them
    )


def summed_loss(
    logits: Float[Tensor, "game token symbol"], read: Reading, legal: Tensor | None = None
) -> Float[Tensor, ""]:
    """Cross-entropy at the tokens that have a next one: with it or, where they are given, with all legal ones alike."""
    log_p = logits.log_softmax(-1)
    if legal is None:
        each = -log_p.gather(-1, read.following[..., None])[..., 0]
    else:
        each = -(log_p * legal).sum(-1) / legal.sum(-1).clamp(min=1)
    return (each * read.goes_on).sum()


def usual_batch(name: str) -> int:
    """Games of a step, where nobody asked for another number of them."""
    _, room = alphabet(games.load(name))
    return STEP_TOKENS // (room - 1)


def steps_of(recipe: Recipe, context: int) -> int:
    return max(1, recipe.tokens // (recipe.batch * context))


def moves_at(
    moves: Shaped[np.ndarray, "game ply"], recipe: Recipe, step: int
) -> Shaped[np.ndarray, "some ply"]:
    """The games of a step: every epoch is a new order of all games, drawn from the seed."""
    first = step * recipe.batch
    places = np.arange(first, first + recipe.batch)
    epochs = np.unique(places // len(moves)).tolist()
    orders = {epoch: order(len(moves), epoch, recipe.seed) for epoch in epochs}
    return moves[[orders[p // len(moves)][p % len(moves)] for p in places.tolist()]]


def pace(recipe: Recipe, progress: float) -> float:
    """The share of the learning rate: a linear warm-up, a plateau, and a straight line down to nothing."""
    return min(progress / recipe.warmup, (1 - progress) / recipe.decay, 1.0)


def checked(name: str, recipe: Recipe) -> data.Dataset:
    """The transcripts of the recipe, after every mistake that can be seen before the first step."""
    usual(recipe.optimizer)
    for kind, text, known in (("size", recipe.size, gpt.SIZES), ("objective", recipe.objective, OBJECTIVES)):
        if text not in known:
            raise ValueError(no_such(kind, text, known))
    if recipe.tokens < 1:
        raise ValueError(f"expected tokens to be 1 or more, got {recipe.tokens}")
    if recipe.batch < 1:
        raise ValueError(f"expected batch to be 1 game or more, got {recipe.batch}")
    for option in ("minutes", "lr", "lr_others"):
        value = getattr(recipe, option)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"expected --{option.replace('_', '-')} to be a number above 0, got {value}")
    if not 0 <= recipe.seed < 2**63:
        raise ValueError(f"expected a seed from 0 to 2**63 - 1, got {recipe.seed}")
    dataset = data.load(Path(recipe.data))
    if dataset.game.name != name:
        raise ValueError(f"expected {name} games, {recipe.data} holds {dataset.game.name}")
    if recipe.objective == "soft" and not is_exact(dataset):
        raise ValueError(
            f"expected games of moves that a uniform policy played, for the exact policy of objective soft;"
            f" {recipe.data} holds others: --objective next, or generate-data GAME --policy uniform"
        )
    for split in ("train", "select"):
        if not dataset.manifest["splits"][split]["games"]:
            raise ValueError(f"{recipe.data} has no game in its {split} split; generate more games")
    return dataset


class Training:
    """A model, its optimizers and its games, and one step."""

    def __init__(self, dataset: data.Dataset, recipe: Recipe, device: torch.device, ranks: Ranks):
        self.dataset, self.game, self.recipe = dataset, dataset.game, recipe
        self.device, self.ranks = device, ranks
        self.moves = dataset.transcripts("train").moves
        vocabulary, room = alphabet(self.game)
        self.held_out = dataset.transcripts("select", max(16, EVALUATE_TOKENS // room)).moves
        shape = gpt.Shape(self.game.name, vocabulary, room - 1, *gpt.SIZES[recipe.size])
        self.model = first_model(shape, recipe.start, recipe.seed).to(device)
        self.read: dict[str, Any] = {"games": dataset.manifest["files"]["moves.npy"]["sha256"]}
        self.read |= started_from(recipe.start, self.model)
        self.optimizers = optimizers_of(
            self.model, recipe.optimizer, recipe.lr, recipe.weight_decay, recipe.lr_others
        )
        self.rates = [group["lr"] for group in self.groups()]
        self.steps = steps_of(recipe, shape.context)
        self.tokens_a_step = recipe.batch * shape.context
        self.finite = torch.ones((), dtype=torch.bool, device=device)  # until a gradient was not

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for, by which a folder knows its training again."""
        return self.recipe._asdict() | self.read

    def groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def take(self, step: int) -> Tensor:
        """One step of training; answers with its loss."""
        for group, rate in zip(self.groups(), self.rates, strict=True):
            group["lr"] = rate * pace(self.recipe, (step + 0.5) / self.steps)
        mine = moves_at(self.moves, self.recipe, step)[self.ranks.rank :: self.ranks.world]
        read, legal = self.batch(mine)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            logits = self.model(read.tokens)
        loss = summed_loss(logits, read, legal) / self.ranks.total(read.goes_on.sum())
        self.model.zero_grad()
        loss.backward()
        self.ranks.add_gradients(self.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.finite &= norm.isfinite()
        return self.ranks.total(loss.detach())

    def batch(self, moves: Shaped[np.ndarray, "game ply"]) -> tuple[Reading, Tensor | None]:
        """Games on the device; what is legal is asked for only where it is learnt from."""
        if self.recipe.objective == "next":
            return pairs_of(self.game, moves).on(self.device), None
        read, legal = ruled(self.game, moves)
        return read.on(self.device), sent(legal, self.device)

    def check_finite(self, step: int, loss: Tensor, folder: Path) -> None:
        """A model that lost its numbers stops here; the folder's last checkpoint is from before."""
        weights = (parameter.isfinite().all() for parameter in self.model.parameters())
        if not torch.stack([self.finite, loss.isfinite(), *weights]).all():  # asks the device once
            kept = f" and another --out; {folder} keeps its last checkpoint" if is_under_way(folder) else ""
            raise FloatingPointError(
                f"the loss or a weight is no longer finite at step {step}; train again with a lower --lr{kept}"
            )

    def row(self, step: int, loss: Tensor, seconds: float) -> dict[str, float]:
        """What the log says of a step."""
        facts = {"step": step, "tokens": step * self.tokens_a_step, "seconds": round(seconds, 1)}
        play = by_ply(self.model, self.game, self.held_out, is_exact(self.dataset))
        return facts | {"train_loss": loss.item()} | totals(play)


def train(
    name: str, recipe: Recipe, folder: Path, device: torch.device = CPU, ranks: Ranks = ALONE
) -> Iterator[dict[str, float]]:
    """Trains into the folder, from its checkpoint where there is one; yields a row at every evaluation."""
    training = Training(checked(name, recipe), recipe, device, ranks)
    if not ranks.writes:
        yield from to_the_end(training, folder)
        return
    with alone_in(folder):
        begin(folder, training.request)
        yield from to_the_end(training, folder)


def to_the_end(training: Training, folder: Path) -> Iterator[dict[str, float]]:
    """All steps after those of the checkpoint; the model is written when they are taken."""
    model, steps, ranks = training.model, training.steps, training.ranks
    reached = checkpoints.resume(folder, model, training.optimizers)
    first, seconds, rows = reached or Reached(0, 0.0, [])
    size = training.tokens_a_step
    bar = progress("training", steps * size, "tokens", done=first * size) if ranks.writes else None
    log_every = min(LOG_EVERY, max(1, steps // 10))
    started = saved = time.monotonic()
    for step in range(first + 1, steps + 1):
        loss = training.take(step - 1)
        log = step % log_every == 0 or step == steps
        save = ranks.writes and (step == steps or time.monotonic() - saved > checkpoints.SECONDS)
        if log or save or step % LOOK_EVERY == 0:
            training.check_finite(step, loss, folder)
        if bar is None:
            continue
        elapsed = seconds + time.monotonic() - started
        if log:
            rows.append(training.row(step, loss, elapsed))
            yield rows[-1]
        if log or step % LOOK_EVERY == 0:
            bar.set_postfix_str(noted(loss, rows))
        bar.update(size)
        if save:
            checkpoints.write(folder, model, training.optimizers, Reached(step, elapsed, rows))
            saved = time.monotonic()
    if bar is not None:
        bar.close()
        checkpoints.write_log(folder, rows)
        facts = {"recipe": training.recipe._asdict(), **training.read, "held_out": rows[-1]}
        gpt.save(model, folder, facts)


def paced(
    name: str, recipe: Recipe, folder: Path, device: torch.device = CPU, ranks: Ranks = ALONE
) -> Recipe:
    """The recipe with as many tokens as its minutes allow: those that the folder was begun with, or measured."""
    assert recipe.minutes is not None, "only minutes need a pace"
    if (folder / "request.json").exists():
        begun = read_json(folder / "request.json")
        if begun.get("minutes") == recipe.minutes:
            return recipe._replace(tokens=begun["tokens"])
    training = Training(checked(name, recipe), recipe._replace(tokens=10**12), device, ranks)
    loss = training.take(0).item()  # the first one compiles and allocates
    began = time.monotonic()
    for step in range(1, 1 + TIMED):
        loss = training.take(step).item()
    a_step = (time.monotonic() - began) / TIMED
    began = time.monotonic()
    training.row(1, torch.tensor(loss), 0)
    an_evaluation = time.monotonic() - began
    steps = (60 * recipe.minutes - 10 * an_evaluation) / (a_step + an_evaluation / LOG_EVERY)
    decided = torch.tensor(max(1, round(steps)) if ranks.writes else 0, device=device)
    tokens = int(ranks.total(decided).item()) * training.tokens_a_step
    return recipe._replace(tokens=tokens)


def noted(loss: Tensor, rows: list[dict[str, float]]) -> str:
    """How training stands, for the bar."""
    last = rows[-1] if rows else {}
    shown = [f"loss {loss.item():.3f}"]
    shown += [f"gap {last['gap']:.3f}"] if "gap" in last else []
    return ", ".join(shown + ([f"legal mass {last['legal_mass']:.1%}"] if last else []))


def told(row: dict[str, float]) -> str:
    gap = f", {row['gap']:.4f} nats above the exact policy" if "gap" in row else ""
    return (
        f"step {row['step']:,}: loss {row['loss']:.4f}{gap},"
        f" top-1 legal {row['top1_legal']:.2%}, legal mass {row['legal_mass']:.2%}"
    )


def begin(folder: Path, request: dict[str, Any]) -> None:
    """The folder, for this recipe on these games alone; one in which nothing was kept is free for another."""
    asked = folder / "request.json"
    if not asked.exists():
        refuse_models(folder)
    elif is_under_way(folder) and (held := OLDER | read_json(asked)) != request:
        differs = [
            HASHED.get(name, f"{name} {held.get(name)}")
            for name in request
            if held.get(name) != request[name]
        ]
        raise FileExistsError(f"{folder} was begun with {', '.join(differs)}; choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(asked, request)


def is_under_way(folder: Path) -> bool:
    """Whether the folder keeps anything of a training."""
    return any((folder / name).exists() for name in (checkpoints.FILE, "model.safetensors"))
