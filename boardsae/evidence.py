"""What all SAEs of a hook are scored on: activations and truth of some games of each split, read once.

In memory: rows * (4 * width + predicates) bytes a split, and rows are at most 1,000 games * context: 90 MB for 6x6
Othello, under 1 GB for chess, whatever the number of games on disk.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import games
from boardsae import tasks
from boardsae.activations import scored_rows
from boardsae.gpt import GPT
from boardsae.play import Batch, batch_of
from games.core import Transcripts, predicates

GAMES = 1000  # of each split
SAMPLE = 500  # games whose activations give every feature's maximum
AT_ONCE = 128  # games in one pass


class Part(NamedTuple):
    """Some games of a split."""

    moves: np.ndarray
    rows: np.ndarray  # (row, 2) game and plies played
    x: Float[Tensor, "row d"]
    truth: np.ndarray  # (row, predicate) bool
    starts: np.ndarray  # (game) first row of each

    @property
    def game(self) -> np.ndarray:
        return self.rows[:, 0]

    @property
    def ply(self) -> np.ndarray:
        return self.rows[:, 1]

    @property
    def games(self) -> int:
        return len(self.moves)


class Evidence:
    def __init__(
        self,
        opened: tasks.Open,
        layer: int | None = None,
        site: str = "residual",
        model: GPT | None = None,
        limit: int | None = None,
    ):
        if opened.dataset.game.name == "chess-pgn":
            raise ValueError(
                "expected a game whose tokens are moves; SAEs on the characters of chess-pgn can be trained, not yet"
                " scored: chess has the same predicates"
            )
        self.opened, self.site = opened, site
        self.layer = opened.task.layer if layer is None else layer
        self.model = opened.model if model is None else model
        self.games = min(limit or GAMES, GAMES)
        self.columns = predicates(opened.dataset.game)
        self.group = np.array([column.group for column in self.columns])

    @cached_property
    def train(self) -> Part:
        return self.part("train")

    @cached_property
    def select(self) -> Part:
        return self.part("select")

    @cached_property
    def report(self) -> Part:
        return self.part("report")

    def part(self, split: str) -> Part:
        moves = self.opened.dataset.transcripts(split).moves[: self.games]
        if len(moves) < 20:
            raise ValueError(
                f"expected 20 games or more in the {split} split, got {len(moves)}; generate more games"
            )
        rows = scored_rows(moves, self.model.shape.context)
        truth = games.truth(Transcripts(self.opened.dataset.game.name, moves), rows)
        starts = np.searchsorted(rows[:, 0], np.arange(len(moves)))
        return Part(moves, rows, self.activations(moves, rows), truth, starts)

    @torch.no_grad()
    def activations(self, moves: np.ndarray, rows: np.ndarray) -> Float[Tensor, "row d"]:
        """The activations of the hook at rows of some games."""
        site = self.model.neurons if self.site == "neurons" else self.model.body
        tokens = torch.from_numpy(moves[:, : self.model.shape.context].astype(np.int64))
        found = []
        for first in range(0, len(moves), AT_ONCE):
            low, high = np.searchsorted(rows[:, 0], [first, first + AT_ONCE])
            game, ply = torch.from_numpy(rows[low:high].T)
            found.append(site(tokens[first : first + AT_ONCE], self.layer)[game - first, ply - 1])
        return torch.cat(found)

    @cached_property
    def sample(self) -> Float[Tensor, "row d"]:
        """Every position of some training games, for the features' maxima."""
        games = min(SAMPLE, max(1, self.train.games // 2))
        return self.train.x[: int(np.searchsorted(self.train.game, games))]

    @cached_property
    def mean(self) -> Float[Tensor, " d"]:
        return self.train.x.mean(0)

    def members(self, *groups: str) -> np.ndarray:
        """The places of the predicates of some groups."""
        return np.flatnonzero(np.isin(self.group, groups))

    @cached_property
    def board(self) -> np.ndarray:
        """The predicates that the headline is about: whose disc or piece stands where."""
        return self.members(*BOARD[family(self.opened.dataset.game.name)])

    @cached_property
    def paper_board(self) -> np.ndarray:
        return self.members(*PAPER_BOARD[family(self.opened.dataset.game.name)])

    @cached_property
    def paper_denominator(self) -> int:
        """What the paper's code divides by: for Othello the blank squares too, though they are never scored."""
        scored = len(self.paper_board)
        return scored * 3 // 2 if family(self.opened.dataset.game.name) == "othello" else scored

    @cached_property
    def batches(self) -> list[Batch]:
        """The report games as the model is judged on them."""
        moves = self.padded(self.report.moves)
        return [
            batch_of(self.opened.dataset.game, moves[i : i + AT_ONCE]) for i in range(0, len(moves), AT_ONCE)
        ]

    def padded(self, moves: np.ndarray) -> np.ndarray:
        """Moves of one ply more than the context, so that every position has a place for its next move."""
        wanted = self.model.shape.context + 1
        return np.pad(moves, ((0, 0), (0, max(0, wanted - moves.shape[1]))))[:, :wanted]


def family(name: str) -> str:
    """Chess speaks of pieces; all others, games of plug-ins too, of mine and theirs."""
    return "chess" if name.startswith("chess") else "othello"


BOARD = {"othello": ("mine", "theirs"), "chess": ("piece_paper",)}
PAPER_BOARD = {"othello": ("mine_paper", "theirs_paper"), "chess": ("piece_paper",)}
