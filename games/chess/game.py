"""Chess as a `games.core.Game`, in two notations: a token per ply, or the characters of its PGN."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16, UInt64

from games.chess import policies, rules
from games.chess.rules import State
from games.core import Plane, Policy, Style
from games.draw import Picture

Moves = UInt16[np.ndarray, "game ply"]
Rows = Int[np.ndarray, "row 2"]


class Chess:
    """`chess` has a token per ply; `chess-pgn` is read as text, of which 60 plies always fill the window."""

    version = 1
    size = 8
    moves = rules.UCI
    default_policy = "mixture"
    board: tuple[str, ...] = ("piece_paper",)
    frames: Mapping[str, tuple[str, ...]] = {"pieces": ("piece", "empty")}
    maps: Mapping[str, str] = {
        "mine": "mine",
        "theirs": "theirs",
        "empty": "empty",
        "just moved to": "moved_to",
    }

    def __init__(self, name: str, max_plies: int | None = None):
        self.name = name
        self.max_plies = max_plies or {"chess": 120, "chess-pgn": 60}[name]

    @property
    def planes(self) -> tuple[Plane, ...]:
        from games.chess.predicates import PLANES

        return PLANES

    def start(self) -> State:
        return rules.start()

    def legal(self, state: State) -> list[int]:
        return rules.legal(state)

    def play(self, state: State, move: int) -> State:
        return rules.play(state, move)

    def truth(self, state: State) -> dict[str, int]:
        from games.chess.predicates import truth

        return truth(state)

    def picture(self, state: State) -> Picture:
        step = rules.MOVES[state.last]
        return Picture(
            size=8,
            cells=state.board,
            upward=True,
            last=(rules.SQUARES[step.origin], rules.SQUARES[step.target]) if step else (),
            hints=tuple(sorted({rules.SQUARES[rules.MOVES[move].target] for move in rules.legal(state)})),
        )

    def written(self, state: State, move: int) -> str:
        """In algebraic notation, numbered where White moves."""
        number = f"{state.ply // 2 + 1}." if state.white else ""
        return number + rules.san(state, move)

    def to_move(self, state: State) -> str:
        return "white" if state.white else "black"

    def policy(self, text: str) -> Policy:
        return policies.policy(text)

    def probabilities(self, state: State, style: Style) -> list[float]:
        return policies.probabilities(state, style)

    def generate(
        self, seed: int, first: int, games: int, policy: Policy
    ) -> tuple[Moves, UInt8[np.ndarray, "game 2"]]:
        return self._played(seed, first, games, policy, 0)[:2]

    def generate_text(
        self, seed: int, first: int, games: int, policy: Policy
    ) -> tuple[Moves, UInt8[np.ndarray, "game character"]]:
        """The games of `generate` with the characters of their whole text, filled with spaces, in one go."""
        from games.chess.notation import full_width

        moves, _, texts = self._played(seed, first, games, policy, full_width(self.max_plies))
        return moves, texts

    def _played(self, seed: int, first: int, games: int, policy: Policy, width: int) -> tuple[Any, Any, Any]:
        from games.chess import play

        moves, styles = np.zeros((games, self.max_plies), np.uint16), np.zeros((games, 2), np.uint8)
        texts = np.full((games, width), ord(" "), np.uint8)
        epsilons, weights = _styles(policy.styles)
        opening = np.uint64(policy.opening)
        play.generate(np.uint64(seed), np.uint64(first), epsilons, weights, opening, moves, styles, texts)
        return moves, styles, texts

    def legal_plies(self, moves: Moves) -> Int[np.ndarray, " game"]:
        from games.chess import play

        plies = np.zeros(len(moves), np.int64)
        play.legal_plies(moves, plies)
        return plies

    def keys(self, moves: Moves) -> UInt64[np.ndarray, " game"]:
        """Equal for equal games; in `chess-pgn`, for games whose whole plies within the window are equal."""
        from games.chess import play

        lengths = (moves != 0).sum(axis=1)
        if self.name == "chess-pgn":
            from games.chess.notation import whole_plies

            lengths = whole_plies(moves)
        keys = np.zeros(len(moves), np.uint64)
        play.keys(moves, lengths, keys)
        return keys

    def notation(self, moves: Moves) -> dict[str, np.ndarray]:
        """For `chess-pgn`: "text" is what a model reads, "at" where in it each ply is known."""
        if self.name == "chess":
            return {}
        from games.chess.notation import text

        return dict(zip(("text", "at"), text(moves), strict=True))

    def words(self, moves: Moves, rows: Rows, planes: Sequence[str]) -> UInt64[np.ndarray, "row plane"]:
        from games.chess.truth import words

        return words(moves, rows, planes)

    def legal_moves(self, moves: Moves, rows: Rows) -> Bool[np.ndarray, "row move"]:
        """All False where the game is over."""
        legal = np.zeros((len(rows), len(self.moves)), bool)
        self._fill_chances(moves, rows, np.ones(len(rows)), np.ones(len(rows)), legal)  # True where above 0
        return legal

    def probabilities_by_row(
        self,
        moves: Moves,
        rows: Rows,
        epsilon: Float[np.ndarray, " row"],
        temperature: Float[np.ndarray, " row"],
    ) -> Float[np.ndarray, "row move"]:
        """The chance of each move in the row's style, 0 where it is illegal; all 0 where the game is over."""
        chances = np.zeros((len(rows), len(self.moves)))
        self._fill_chances(moves, rows, epsilon, temperature, chances)
        return chances

    def _fill_chances(self, moves: Moves, rows: Rows, epsilon: Any, temperature: Any, found: Any) -> None:
        from games.chess import play

        styles, style = np.unique(np.stack([epsilon, temperature], axis=1), axis=0, return_inverse=True)
        epsilons, weights = _styles([Style(*pair) for pair in styles.tolist()])
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        play.chances_by_row(moves, rows, order, epsilons, weights, style.reshape(-1), found)


def _styles(styles: Sequence[Style]) -> tuple[Float[np.ndarray, " style"], Float[np.ndarray, "style gain"]]:
    return np.array([s.epsilon for s in styles], float), np.array([policies.weights(s) for s in styles])
