"""Which positions are read and which are scored, and what the model holds there: the one place where rows are chosen.

A model that reads moves holds at index p the state after p + 1 plies. A model that reads characters holds it where the
next move is about to be written, which `at` of the dataset tells. A row (game, plies played) is scored from the first
ply on, up to the model's context, and never in the padding. SAEs train on all tokens of a game, scored or not.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

import games
from boardsae.data import Dataset
from boardsae.gpt import GPT, Shape
from boardsae.splits import SPLITS
from games.core import Game


def scored_rows(moves: Shaped[np.ndarray, "game ply"], context: int) -> Int[np.ndarray, "row 2"]:
    """The rows of `Game.words` and of `activations`, in the same order for both."""
    game, ply = np.nonzero(moves[:, :context])
    return np.stack([game, ply + 1], axis=1)


def scored_characters(
    at: Int[np.ndarray, "game played"], context: int
) -> tuple[Int[np.ndarray, "row 2"], Int[np.ndarray, " row"]]:
    """The rows of games read as text, and the character at which the model holds each."""
    game, ply = np.nonzero((at >= 0) & (at < context) & (np.arange(at.shape[1]) > 0))
    return np.stack([game, ply], axis=1), at[game, ply].astype(np.int64)


def written(
    game: Game, moves: Shaped[np.ndarray, "game ply"]
) -> tuple[Shaped[np.ndarray, "game token"], Int[np.ndarray, "game played"] | None]:
    """Games as a model reads them: their moves, or their characters and `at` which of them each ply is known."""
    notation = game.notation(moves)
    return (notation["text"], notation["at"]) if "text" in notation else (moves, None)


def alphabet(game: Game) -> tuple[int, int]:
    """How many tokens there are, and how many a game has room for."""
    tokens, at = written(game, np.zeros((1, game.max_plies), np.min_scalar_type(len(game.moves))))
    if at is None:
        return len(game.moves), game.max_plies
    from games.chess.notation import SYMBOLS

    return len(SYMBOLS), tokens.shape[1]


def check_reads(shape: Shape, game: Game, where: Path) -> None:
    """Whether a model reads a game: all of its tokens, and as many as there may be before the last."""
    vocabulary, room = alphabet(game)
    if shape.vocabulary != vocabulary:
        raise ValueError(
            f"expected a vocabulary of {vocabulary}, that of {game.name}, got {shape.vocabulary} in {where}"
        )
    if shape.context < room - 1:
        raise ValueError(
            f"expected a context of {room - 1} or more, as games of {game.name} need, got {shape.context} in {where}"
        )


class Scored(NamedTuple):
    tokens: Shaped[np.ndarray, "game token"]
    rows: Int[np.ndarray, "row 2"]
    at: Int[np.ndarray, " row"]  # the token at which the model holds the row


def scored(game: Game, moves: Shaped[np.ndarray, "game ply"], context: int) -> Scored:
    """The rows of some games that a model of this context is scored on, and where it holds each."""
    tokens, at = written(game, moves)
    if at is not None:
        return Scored(tokens[:, :context], *scored_characters(at, context))
    rows = scored_rows(moves, context)
    return Scored(tokens[:, :context], rows, rows[:, 1] - 1)


def after_each_block(
    model: GPT, moves: Shaped[np.ndarray, "game ply"], batch: int = 256
) -> Iterator[Float[Tensor, "row d"]]:
    """The residual stream after each block in turn, at every scored row.

    No block runs twice: meanwhile all positions stay on the device, 4 bytes * positions * width.
    """
    game, context, device = games.load(model.shape.game), model.shape.context, model.later.device
    parts = [scored(game, moves[i : i + batch], context) for i in range(0, len(moves), batch)]
    with torch.no_grad():
        streams = [
            model.body(torch.from_numpy(some.tokens.astype(np.int64)).to(device), -1) for some in parts
        ]
    for block in model.blocks:
        with torch.no_grad():
            streams = [block(x, model.later) for x in streams]
            rows = [x[some.rows[:, 0], some.at].cpu() for x, some in zip(streams, parts, strict=True)]
        yield torch.cat(rows)


def tokens_of(dataset: Dataset, split: str) -> Shaped[np.ndarray, "game token"]:
    """The games of a split as a model reads them: characters where the dataset has them, moves otherwise."""
    kept = dataset.arrays.get("text", dataset.moves)
    return np.asarray(kept[dataset.split == SPLITS.index(split)])


def lengths(tokens: Shaped[np.ndarray, "game token"]) -> Int[np.ndarray, " game"]:
    """Tokens of each game up to its padding, which is 0 in either notation: no move, or a space."""
    there = tokens != 0
    return np.where(there.any(1), tokens.shape[1] - there[:, ::-1].argmax(1), 0)


class Reading(NamedTuple):
    """Games cut at a model's context."""

    tokens: Int[Tensor, "game token"]
    live: Bool[Tensor, "game token"]  # rows for training; the rest is padding
    following: Int[Tensor, "game token"]
    goes_on: Bool[Tensor, "game token"]  # where something follows

    def on(self, device: torch.device) -> "Reading":
        return Reading(*(sent(part, device) for part in self))


def sent(part: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device. A GPU fetches it from pinned memory while the CPU goes on."""
    if device.type == "cuda":
        return part.pin_memory().to(device, non_blocking=True)
    return part.to(device)


def reading(tokens: Shaped[np.ndarray, "game token"], context: int) -> Reading:
    whole = torch.from_numpy(tokens.astype(np.int64))
    following = torch.cat([whole[:, 1:], torch.zeros_like(whole[:, :1])], 1)
    place, length = torch.arange(whole.shape[1]), torch.from_numpy(lengths(tokens))[:, None]
    each = (whole, place < length, following, place + 1 < length)
    return Reading(*(part[:, :context] for part in each))


@lru_cache(maxsize=2)
def order(games: int, epoch: int, seed: int = 0) -> Int[np.ndarray, " game"]:
    """In which order an epoch of training reads the games: the same for every SAE, a GPT's by its seed."""
    return np.random.default_rng([seed, epoch]).permutation(games)
