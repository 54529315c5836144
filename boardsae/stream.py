"""Activations as SAEs are trained on them: shuffled, and a function of the step alone, so that any step can be resumed.

The training games of a task, in a fixed random order, are read in chunks of whole games. The rows of a chunk are
shuffled and cut into batches; what is left over is dropped. All SAEs of a stream see the same rows.
A variant that needs the model's tail gets whole games instead, about as many rows a step.
"""

import copy
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from boardsae import tasks
from boardsae.activations import Reading, lengths, order, reading, tokens_of
from boardsae.devices import bf16_pays
from boardsae.gpt import GPT
from boardsae.saes.base import Downstream

CHUNK = 131_072  # tokens that are shuffled together
AT_ONCE = 8192  # tokens in one forward pass
HELD_OUT = 32_768  # rows


class Feed(NamedTuple):
    """What a stream is made for. Runs that agree in it train together."""

    layer: int
    batch: int
    needs: tuple[str, ...] = ()
    scaled: bool = True
    site: str = "residual"


class Tail:
    """From activations in the place of the model's own, at every live position of some games, to what follows."""

    def __init__(self, model: GPT, layer: int, x: Float[Tensor, "game token d"], read: Reading, scale: float):
        self.model, self.layer, self.x, self.live, self.scale = model, layer, x, read.live, scale

    def __call__(self, x_hat: Float[Tensor, "row d"]) -> Downstream:
        x = self.x.clone()
        x[self.live] = x_hat.float() * self.scale
        return self.follow(x)

    @cached_property
    @torch.no_grad()
    def clean(self) -> Downstream:
        """What follows from the model's own activations; computed once for all SAEs, and only where one asks."""
        return self.follow(self.x)

    def follow(self, x: Float[Tensor, "game token d"]) -> Downstream:
        with fast_products(x.device):
            later, logits = self.model.residuals(x, self.layer)
        return Downstream(logits[self.live], [each[self.live] / self.scale for each in later])


def fast_products(device: torch.device) -> torch.autocast:
    """The model's products in bfloat16, where they are faster."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16_pays(device))


def model_on(model: GPT, device: torch.device) -> GPT:
    """The model where its activations are computed; elsewhere than on the CPU a copy, since scores read it here."""
    here = model if device.type == "cpu" else copy.deepcopy(model).to(device)
    return here.requires_grad_(False)


class Batch(NamedTuple):
    x: Float[Tensor, "row d"]
    grad: Float[Tensor, "row d"] | None = None
    tail: Tail | None = None


class Stream:
    """Batches of activations after a layer of a task's model, divided by `scale`."""

    def __init__(self, opened: tasks.Open, feed: Feed, device: torch.device):
        self.model, self.feed, self.device = model_on(opened.model, device), feed, device
        self.context = opened.model.shape.context
        self.tokens, self.select = (tokens_of(opened.dataset, split) for split in ("train", "select"))
        for split, tokens, enough in (("train", self.tokens, 10), ("select", self.select, 1)):
            if len(tokens) < enough:
                raise ValueError(
                    f"expected {enough} games or more in the {split} split of {opened.dataset.folder},"
                    f" got {len(tokens)}; generate more games"
                )
        self.lengths = lengths(self.tokens[:, : self.context])
        self.chunk = min(max(1, CHUNK // self.context), len(self.tokens))
        self.at_once = max(1, AT_ONCE // self.context)
        first = self.read(self.tokens[self.order(0)[: self.at_once]])
        self.scale = first.square().sum(-1).mean().sqrt().item() if feed.scaled else 1.0
        self.first = first / self.scale

    def order(self, epoch: int) -> Int[np.ndarray, " game"]:
        return order(len(self.tokens), epoch)

    def rows(self, games: Int[np.ndarray, " game"]) -> Float[Tensor, "row d"]:
        """The raw activations of some training games."""
        return self.read(self.tokens[games])

    def held_out(self, rows: int = HELD_OUT) -> Float[Tensor, "row d"]:
        """About so many rows of the select games."""
        return self.read(self.select[: -(-rows // self.context)])[:rows] / self.scale

    def held_out_gradient(self, rows: int = HELD_OUT) -> Float[Tensor, "row d"]:
        """The gradient at the same rows."""
        some = self.select[: -(-rows // self.context)]
        parts = [some[i : i + self.at_once] for i in range(0, len(some), self.at_once)]
        return torch.cat([self.with_grad(part)[1] for part in parts])[:rows] * self.scale

    def read(self, tokens: Shaped[np.ndarray, "game token"]) -> Float[Tensor, "row d"]:
        """The raw activations of games, game after game."""
        parts = [tokens[i : i + self.at_once] for i in range(0, len(tokens), self.at_once)]
        return torch.cat([self.read_at_once(part) for part in parts])

    @torch.no_grad()
    def read_at_once(self, tokens: Shaped[np.ndarray, "game token"]) -> Float[Tensor, "row d"]:
        read = self.reading(tokens)
        site = self.model.neurons if self.feed.site == "neurons" else self.model.body
        with fast_products(self.device):
            return site(read.tokens, self.feed.layer)[read.live].float()

    def reading(self, tokens: Shaped[np.ndarray, "game token"]) -> Reading:
        return reading(tokens, self.context).on(self.device)

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """From step number `first` on, without end; chunks before it are counted, not read."""
        step, epoch = 0, 0
        while True:
            order = self.order(epoch)
            for number, start in enumerate(range(0, len(order) - self.chunk + 1, self.chunk)):
                games = order[start : start + self.chunk]
                steps = self.steps_in(games)
                if step + steps > first:
                    cut = self.whole_games if "tail" in self.feed.needs else self.shuffled
                    yield from cut(games, (epoch, number), range(max(0, first - step), steps))
                step += steps
            epoch += 1

    def steps_in(self, games: Int[np.ndarray, " game"]) -> int:
        if "tail" in self.feed.needs:
            return max(1, len(games) // self.games_a_step)
        return max(1, int(self.lengths[games].sum()) // self.feed.batch)

    @property
    def games_a_step(self) -> int:
        return max(1, round(self.feed.batch / self.context))

    def shuffled(
        self, games: Int[np.ndarray, " game"], place: tuple[int, int], steps: range
    ) -> Iterator[Batch]:
        """The rows of a chunk in an order that belongs to its place."""
        if "grad" in self.feed.needs:
            parts = [games[i : i + self.at_once] for i in range(0, len(games), self.at_once)]
            x, grad = map(torch.cat, zip(*(self.with_grad(self.tokens[part]) for part in parts), strict=True))
        else:
            x, grad = self.rows(games), None
        mixed = torch.from_numpy(np.random.default_rng([1, *place]).permutation(len(x))).to(self.device)
        for i in steps:
            some = mixed[i * self.feed.batch : (i + 1) * self.feed.batch]
            yield Batch(x[some] / self.scale, None if grad is None else grad[some] * self.scale)

    def whole_games(
        self, games: Int[np.ndarray, " game"], _place: tuple[int, int], steps: range
    ) -> Iterator[Batch]:
        """The games of a chunk, some at each step."""
        for i in steps:
            tokens = self.tokens[games[i * self.games_a_step : (i + 1) * self.games_a_step]]
            read = self.reading(tokens)
            grad = self.with_grad(tokens)[1] * self.scale if "grad" in self.feed.needs else None
            with torch.no_grad(), fast_products(self.device):
                x = self.model.body(read.tokens, self.feed.layer)
            yield Batch(
                x[read.live] / self.scale, grad, Tail(self.model, self.feed.layer, x, read, self.scale)
            )

    def with_grad(
        self, tokens: Shaped[np.ndarray, "game token"]
    ) -> tuple[Float[Tensor, "row d"], Float[Tensor, "row d"]]:
        """Raw activations, and the gradient by them of the next-token loss summed over all positions."""
        read = self.reading(tokens)
        with torch.no_grad(), fast_products(self.device):
            x = self.model.body(read.tokens, self.feed.layer)
        x.requires_grad_()
        with fast_products(self.device):
            log_p = self.model.tail(x, self.feed.layer).log_softmax(-1)
        loss = -log_p.gather(-1, read.following[..., None])[..., 0][read.goes_on].sum()
        (grad,) = torch.autograd.grad(loss, x)
        return x.detach()[read.live], grad[read.live]
