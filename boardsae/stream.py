"""Activations as SAEs are trained on them: shuffled, and a function of the step alone, so that any step can be resumed.

The training games of a task, in a fixed random order, are read in chunks of whole games. The rows of a chunk are
shuffled and cut into batches; what is left over is dropped. All SAEs of a stream see the same rows.
A variant that needs the model's tail gets whole games instead, about as many rows a step.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from boardsae import tasks
from boardsae.activations import scored_rows
from boardsae.gpt import GPT
from boardsae.saes.base import Downstream

CHUNK = 4096  # games
AT_ONCE = 256  # games in one forward pass
HELD_OUT = 32_768  # rows


class Batch(NamedTuple):
    x: Float[Tensor, "row d"]
    grad: Float[Tensor, "row d"] | None = None
    tail: "Tail | None" = None
    clean: Downstream | None = None


class Tail:
    """From activations in the place of the model's own, at every live position of some games, to what follows."""

    def __init__(
        self,
        model: GPT,
        layer: int,
        x: Float[Tensor, "game ply d"],
        live: Bool[Tensor, "game ply"],
        scale: float,
    ):
        self.model, self.layer, self.x, self.live, self.scale = model, layer, x, live, scale

    def __call__(self, x_hat: Float[Tensor, "row d"]) -> Downstream:
        x = self.x.clone()
        x[self.live] = x_hat.float() * self.scale
        later, logits = self.model.residuals(x, self.layer)
        return Downstream(logits[self.live], [each[self.live] / self.scale for each in later])


class Stream:
    """Batches of activations after a layer of a task's model, divided by `scale`."""

    def __init__(
        self,
        opened: tasks.Open,
        layer: int,
        batch: int,
        needs: tuple[str, ...] = (),
        scaled: bool = True,
        site: str = "residual",
        seed: int = 0,
    ):
        self.model, self.needs = opened.model.requires_grad_(False), needs
        self.layer, self.batch, self.site, self.seed = layer, batch, site, seed
        self.context = opened.model.shape.context
        self.dataset = opened.dataset
        self.moves = opened.dataset.transcripts("train").moves
        if len(self.moves) < 10:
            raise ValueError(
                f"expected 10 training games or more in {opened.dataset.folder}, got {len(self.moves)}"
            )
        self.chunk = min(CHUNK, len(self.moves))
        first = self.rows(self.order(0)[: self.chunk][:AT_ONCE])
        self.scale = first.square().sum(-1).mean().sqrt().item() if scaled else 1.0
        self.first = first / self.scale

    def order(self, epoch: int) -> Int[np.ndarray, " game"]:
        return np.random.default_rng([self.seed, epoch]).permutation(len(self.moves))

    @torch.no_grad()
    def rows(
        self, games: Int[np.ndarray, " game"], moves: Shaped[np.ndarray, "game ply"] | None = None
    ) -> Tensor:
        """The raw activations of some training games, or of other moves."""
        held = self.moves if moves is None else moves
        return torch.cat([self.read(held[games[i : i + AT_ONCE]]) for i in range(0, len(games), AT_ONCE)])

    def read(self, moves: Shaped[np.ndarray, "game ply"]) -> Float[Tensor, "row d"]:
        tokens, live = self.positions(moves)
        site = self.model.neurons if self.site == "neurons" else self.model.body
        return site(tokens, self.layer)[live]

    def positions(
        self, moves: Shaped[np.ndarray, "game ply"]
    ) -> tuple[Int[Tensor, "game ply"], Bool[Tensor, "game ply"]]:
        """Tokens, and at which positions they are rows."""
        tokens = torch.from_numpy(moves[:, : self.context].astype(np.int64))
        live = torch.zeros(tokens.shape, dtype=torch.bool)
        rows = torch.from_numpy(scored_rows(moves, self.context))
        live[rows[:, 0], rows[:, 1] - 1] = True
        return tokens, live

    def held_out(self, rows: int = HELD_OUT) -> Float[Tensor, "row d"]:
        """About so many rows of the select games."""
        moves = self.dataset.transcripts("select").moves
        games = np.arange(min(len(moves), -(-rows // self.context)))
        return self.rows(games, moves)[:rows] / self.scale

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """From step number `first` on, without end; chunks before it are counted, not read."""
        step, epoch = 0, 0
        while True:
            order = self.order(epoch)
            for number, start in enumerate(range(0, len(order) - self.chunk + 1, self.chunk)):
                games = order[start : start + self.chunk]
                steps = self.steps_in(games)
                if step + steps > first:
                    yield from self.chunk_batches(games, (epoch, number), max(0, first - step))
                step += steps
            epoch += 1

    def steps_in(self, games: Int[np.ndarray, " game"]) -> int:
        if "tail" in self.needs:
            return max(1, len(games) // self.games_at_once)
        return max(1, int((self.moves[games][:, : self.context] != 0).sum()) // self.batch)

    @property
    def games_at_once(self) -> int:
        return max(1, round(self.batch / self.context))

    def chunk_batches(
        self, games: Int[np.ndarray, " game"], place: tuple[int, int], skip: int
    ) -> Iterator[Batch]:
        """The batches of one chunk, all but the first few."""
        steps = self.steps_in(games)
        if "tail" in self.needs:
            for i in range(skip, steps):
                yield self.whole_games(
                    self.moves[games[i * self.games_at_once : (i + 1) * self.games_at_once]]
                )
            return
        if "grad" in self.needs:
            parts = [
                self.with_grad(self.moves[games[i : i + AT_ONCE]]) for i in range(0, len(games), AT_ONCE)
            ]
            x, grad = (torch.cat(each) for each in zip(*parts, strict=True))
        else:
            x, grad = self.rows(games), None
        shuffled = np.random.default_rng([self.seed, 1, *place]).permutation(len(x))
        for i in range(skip, steps):
            some = torch.from_numpy(shuffled[i * self.batch : (i + 1) * self.batch])
            yield Batch(x[some] / self.scale, None if grad is None else grad[some] * self.scale)

    def with_grad(self, moves: Shaped[np.ndarray, "game ply"]) -> tuple[Tensor, Tensor]:
        """Activations, and the gradient by them of the next-move loss summed over all positions."""
        tokens, live = self.positions(moves)
        with torch.no_grad():
            x = self.model.body(tokens, self.layer)
        x.requires_grad_()
        played = torch.from_numpy(moves[:, 1 : self.context + 1].astype(np.int64))
        log_p = self.model.tail(x, self.layer)[:, : played.shape[1]].log_softmax(-1)
        each = -log_p.gather(-1, played[..., None])[..., 0]
        (grad,) = torch.autograd.grad((each * (played != 0)).sum(), x)
        return x.detach()[live], grad[live]

    def whole_games(self, moves: Shaped[np.ndarray, "game ply"]) -> Batch:
        tokens, live = self.positions(moves)
        grad = self.with_grad(moves)[1] * self.scale if "grad" in self.needs else None
        with torch.no_grad():
            x = self.model.body(tokens, self.layer)
            tail = Tail(self.model, self.layer, x, live, self.scale)
            rows = x[live] / self.scale
            return Batch(rows, grad, tail, tail(rows))
