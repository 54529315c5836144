"""What all SAEs of a hook are scored on: activations and truth of some games of each split, read once.

In memory: rows * (4 * width + 8 * planes) bytes a split, and rows are at most 1,000 games * context: 25 MB for 6x6
Othello, 170 MB for chess, whatever the number of games on disk.
"""

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

import games
from boardsae import tasks
from boardsae.activations import Reading, lengths, scored
from boardsae.gpt import GPT
from boardsae.metrics import chance
from boardsae.play import Ruled, at_once, ruled
from games.core import Transcripts, predicates

GAMES = 1000  # of each split
SAMPLE = 500  # games whose activations give every feature's maximum
AT_ONCE = 128  # games in one pass
SHORTEST = 2  # moves of a game, so that each has a row at which the first player is to move
LAST_OF_PAPER = 38  # plies played at the last row of chess in the paper's code: the first 20 turns of White


class Part(NamedTuple):
    """Some games of a split."""

    moves: np.ndarray
    tokens: np.ndarray  # (game, token) as the model reads them
    rows: np.ndarray  # (row, 2) game and plies played
    at: np.ndarray  # (row) the token at which the model holds it
    x: Float[Tensor, "row d"]
    truth: games.Facts
    starts: np.ndarray  # (game) first row of each

    @property
    def game(self) -> np.ndarray:
        return self.rows[:, 0]

    @property
    def ply(self) -> np.ndarray:
        return self.rows[:, 1]

    @property
    def later(self) -> Bool[Tensor, " row"]:
        """Which rows are not of a first ply."""
        return torch.from_numpy(self.ply > 1)

    @property
    def games(self) -> int:
        return len(self.moves)

    def only(self, rows: np.ndarray) -> "Part":
        """Some of its rows, of every game at least one."""
        kept = self.rows[rows]
        return self._replace(
            rows=kept,
            at=self.at[rows],
            x=self.x[torch.from_numpy(rows)],
            truth=self.truth.at(rows),
            starts=np.searchsorted(kept[:, 0], np.arange(self.games)),
        )


class Everywhere(NamedTuple):
    """Activations at every token of some games, scored or not; in order of the games."""

    x: Float[Tensor, "token d"]
    game: Int[Tensor, " token"]
    at: Int[Tensor, " token"]

    def of(self, first: int, last: int) -> tuple["Everywhere", slice]:
        """Those of some games, which are counted from the first, and where among all they are."""
        some = slice(*np.searchsorted(self.game.numpy(), [first, last]))
        return Everywhere(self.x[some], self.game[some] - first, self.at[some]), some

    def placed(
        self, values: Float[Tensor, "token d"], games: int, width: int
    ) -> Float[Tensor, "game place d"]:
        """Values at their tokens, zeros elsewhere."""
        out = values.new_zeros(games, width, values.shape[1])
        out[self.game, self.at] = values
        return out


class Evidence:
    def __init__(
        self,
        opened: tasks.Open,
        layer: int | None = None,
        site: str = "residual",
        model: GPT | None = None,
        limit: int | None = None,
    ):
        self.opened, self.site = opened, site
        self.layer = opened.task.layer if layer is None else layer
        self.model = opened.model if model is None else model
        self.games = min(limit or GAMES, GAMES)
        self.columns = predicates(opened.dataset.game)
        self.group = np.array([column.group for column in self.columns])
        self.plies = opened.dataset.game.max_plies + 1
        self._exchanged: dict[tuple[str, int], np.ndarray] = {}

    def read(self) -> None:
        """Makes everything that is otherwise made when it is first asked for."""
        for name, made in vars(Evidence).items():
            if isinstance(made, cached_property):
                getattr(self, name)

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
        moves = self.opened.dataset.transcripts(split).moves
        # A copy, which does not keep all of the split in memory.
        moves = moves[(moves != 0).sum(1) >= SHORTEST][: self.games].copy()
        if len(moves) < 20:
            raise ValueError(
                f"expected 20 games or more in the {split} split, got {len(moves)}; generate more games"
            )
        tokens, rows, at = scored(self.opened.dataset.game, moves, self.model.shape.context)
        truth = games.facts(Transcripts(self.opened.dataset.game.name, moves), rows)
        starts = np.searchsorted(rows[:, 0], np.arange(len(moves)))
        return Part(moves, tokens, rows, at, self.activations(tokens, rows[:, 0], at), truth, starts)

    @torch.no_grad()
    def activations(self, tokens: np.ndarray, game: np.ndarray, at: np.ndarray) -> Float[Tensor, "row d"]:
        """The activations of the hook at some tokens of games, in order of the games."""
        site = self.model.neurons if self.site == "neurons" else self.model.body
        found = []
        for first in range(0, len(tokens), AT_ONCE):
            low, high = np.searchsorted(game, [first, first + AT_ONCE])
            x = site(torch.from_numpy(tokens[first : first + AT_ONCE].astype(np.int64)), self.layer)
            found.append(x[torch.from_numpy(game[low:high]) - first, torch.from_numpy(at[low:high])])
        return torch.cat(found)

    def everywhere(self, part: Part, games: int) -> Everywhere:
        """The activations at all tokens of its first games: those of the rows, where every token is scored."""
        tokens, rows = part.tokens[:games], np.searchsorted(part.game, games)
        game, at = np.nonzero(np.arange(tokens.shape[1]) < lengths(tokens)[:, None])
        x = part.x[:rows] if len(game) == rows else self.activations(tokens, game, at)
        return Everywhere(x, torch.from_numpy(game), torch.from_numpy(at))

    @cached_property
    def sample(self) -> Float[Tensor, "row d"]:
        """Every position of some training games, for the features' maxima."""
        games = min(SAMPLE, max(1, self.train.games // 2))
        return self.everywhere(self.train, games).x

    @cached_property
    def reported(self) -> Everywhere:
        return self.everywhere(self.report, self.report.games)

    @cached_property
    def mean(self) -> Float[Tensor, " d"]:
        return self.train.x.mean(0)

    @cached_property
    def mean_later(self) -> Float[Tensor, " d"]:
        """Without the first plies."""
        return self.train.x[self.train.later].mean(0)

    @cached_property
    def mean_everywhere(self) -> Float[Tensor, " d"]:
        """Over all tokens of training games, scored or not."""
        return self.everywhere(self.train, self.train.games).x.mean(0)

    def exchanged(self, split: str, seed: int) -> np.ndarray:
        """For every row a row of another game, as `chance.exchanged` finds it; found once for all SAEs."""
        if (split, seed) not in self._exchanged:
            part: Part = getattr(self, split)
            self._exchanged[split, seed] = chance.exchanged(part.game, part.ply, seed)
        return self._exchanged[split, seed]

    def members(self, *groups: str) -> np.ndarray:
        """The places of the predicates of some groups."""
        return np.flatnonzero(np.isin(self.group, groups))

    @cached_property
    def board(self) -> np.ndarray:
        """The predicates that the headline is about: whose disc or piece stands where."""
        return self.members(*self.opened.dataset.game.board)

    @cached_property
    def paper_board(self) -> np.ndarray:
        return self.members(*PAPER_BOARD[family(self.opened.dataset.game.name)])

    @cached_property
    def paper_strategy(self) -> list[np.ndarray]:
        """Of chess, the predicates of each concept."""
        if family(self.opened.dataset.game.name) != "chess":
            return []
        from games.chess.planes import PAPER_STRATEGY

        return [self.members(plane) for plane in PAPER_STRATEGY.values()]

    @cached_property
    def paper_denominator(self) -> int:
        """What the paper's code divides by: for Othello the blank squares too, though they are never scored."""
        scored = len(self.paper_board)
        return scored * 3 // 2 if family(self.opened.dataset.game.name) == "othello" else scored

    @cached_property
    def paper_train(self) -> Part:
        return self.as_paper(self.train)

    @cached_property
    def paper_report(self) -> Part:
        return self.as_paper(self.report)

    def as_paper(self, part: Part) -> Part:
        """The rows of the paper's code: all of Othello; of chess White's turns, up to the twentieth."""
        if family(self.opened.dataset.game.name) != "chess":
            return part
        return part.only(np.flatnonzero((part.ply % 2 == 0) & (part.ply <= LAST_OF_PAPER)))

    @cached_property
    def batches(self) -> list[Ruled]:
        """The report games as the model is judged on them, as wide as what it reads."""
        game, tokens = self.opened.dataset.game, self.report.tokens
        each = at_once(game, tokens.shape[1])
        found = [ruled(game, self.report.moves[i : i + each]) for i in range(0, len(tokens), each)]
        wide = partial(as_wide, width=tokens.shape[1])
        return [Ruled(Reading(*map(wide, read)), wide(legal)) for read, legal in found]


def as_wide(values: Tensor, width: int) -> Tensor:
    """(game, token, ...) with as many tokens, nothing in those that are new."""
    missing = width - values.shape[1]
    if missing <= 0:
        return values[:, :width]
    return F.pad(values, (0, 0) * (values.ndim - 2) + (0, missing))


def family(name: str) -> str:
    """Which of its games the paper would have it be; it has nothing on those of plug-ins."""
    return "chess" if name.startswith("chess") else "othello"


PAPER_BOARD = {"othello": ("mine_paper", "theirs_paper"), "chess": ("piece_paper",)}
