"""A game by its verbs alone: whatever is asked by the array is answered by plain loops over `legal`, `play`, `truth`.

Slow and right, which is enough to begin with: thousands of games in minutes. A kernel can then take the place of any
of these methods, and tests hold it against this one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt64

from games.core import Moves, Plane, Policy, Style, no_such, play_all, transcript
from games.draw import Picture

UNIFORM = Policy("uniform", (Style(),))


class Plain:
    """The base of a game that gives name, size, moves, max_plies and planes, and start, legal, play, truth, picture.

    Its planes are expected to have "mine", "theirs" and "empty", each of a predicate a square; or else it says what
    `board`, `frames` and `maps` are.
    """

    name: str
    size: int
    moves: tuple[str, ...]
    max_plies: int
    planes: tuple[Plane, ...]
    version = 1
    default_policy = "uniform"
    board: tuple[str, ...] = ("mine", "theirs")
    frames: Mapping[str, tuple[str, ...]] = {"player to move": ("mine", "theirs", "empty")}
    maps: Mapping[str, str] = {group: group for group in ("mine", "theirs", "empty")}

    def start(self) -> Any:
        raise NotImplementedError

    def legal(self, state: Any) -> list[int]:
        raise NotImplementedError

    def play(self, state: Any, move: int) -> Any:
        raise NotImplementedError

    def truth(self, state: Any) -> dict[str, int]:
        raise NotImplementedError

    def picture(self, state: Any) -> Picture:
        raise NotImplementedError

    def to_move(self, state: Any) -> str:
        return "somebody"

    def written(self, state: Any, move: int) -> str:
        return self.moves[move]

    def policy(self, text: str) -> Policy:
        if text != UNIFORM.name:
            raise ValueError(no_such("policy", text, [UNIFORM.name]))
        return UNIFORM

    def probabilities(self, state: Any, style: Style) -> list[float]:
        moves = len(self.legal(state))
        return [1 / moves] * moves

    def generate(
        self, seed: int, first: int, games: int, policy: Policy
    ) -> tuple[Moves, UInt8[np.ndarray, "game 2"]]:
        moves = np.zeros((games, self.max_plies), np.uint8 if len(self.moves) <= 256 else np.uint16)
        for i in range(games):
            played = transcript(self, seed, first + i, policy)
            moves[i, : len(played)] = played
        return moves, np.zeros((games, 2), np.uint8)

    def legal_plies(self, moves: Moves) -> Int[np.ndarray, " game"]:
        return np.array([self._legal_plies(game) for game in moves.tolist()], np.int64)

    def _legal_plies(self, game: list[int]) -> int:
        state = self.start()
        for ply, move in enumerate(game):
            if move == 0 or move not in self.legal(state):
                return ply
            state = self.play(state, move)
        return len(game)

    def keys(self, moves: Moves) -> UInt64[np.ndarray, " game"]:
        """Equal for equal games."""
        digests = [hashlib.blake2b(game.tobytes(), digest_size=8).digest() for game in moves]
        return np.frombuffer(b"".join(digests), np.uint64).copy()

    def notation(self, moves: Moves) -> dict[str, np.ndarray]:
        """Nothing: a move is its token."""
        return {}

    def words(
        self, moves: Moves, rows: Int[np.ndarray, "row 2"], planes: Sequence[str]
    ) -> UInt64[np.ndarray, "row plane"]:
        states = self._states(moves, rows)
        return np.array(
            [[self.truth(state)[name] for name in planes] for state in states], np.uint64
        ).reshape(len(rows), len(planes))

    def legal_moves(self, moves: Moves, rows: Int[np.ndarray, "row 2"]) -> Bool[np.ndarray, "row move"]:
        legal = np.zeros((len(rows), len(self.moves)), bool)
        for held, state in zip(legal, self._states(moves, rows), strict=True):
            held[self.legal(state)] = True
        return legal

    def _states(self, moves: Moves, rows: Int[np.ndarray, "row 2"]) -> list[Any]:
        """The position at every row; each game is played once, as far as it is asked for."""
        known = {
            game: play_all(self, moves[game, : rows[rows[:, 0] == game, 1].max()])
            for game in np.unique(rows[:, 0]).tolist()
        }
        return [known[game][ply] for game, ply in rows.tolist()]
