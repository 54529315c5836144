"""Othello on 8x8 and 6x6 boards: the rules, and kernels for whole arrays of games."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int, UInt8, UInt64

from games.core import Policy, square_names
from games.draw import Picture
from games.othello import predicates, rules
from games.othello.rules import State
from games.plain import Plain

Moves = UInt8[np.ndarray, "game ply"]


class Othello(Plain):
    # The second frame is that of the 2024 paper's code.
    frames: Mapping[str, tuple[str, ...]] = {
        **Plain.frames,
        "parity of the ply": ("mine_paper", "theirs_paper", "empty"),
    }
    maps: Mapping[str, str] = {**Plain.maps, "just played": "last_move"}

    def __init__(self, name: str, size: int):
        self.name, self.size = name, size
        self.max_plies = size * size - 4
        names = square_names(size)
        self.moves = ("start", *(names[s] for s in rules.move_squares(size)[1:]))
        self.planes = predicates.planes(size)

    def start(self) -> State:
        return rules.start(self.size)

    def legal(self, state: State) -> list[int]:
        return rules.legal(state)

    def play(self, state: State, move: int) -> State:
        return rules.play(state, move)

    def truth(self, state: State) -> dict[str, int]:
        return predicates.truth(state)

    def picture(self, state: State) -> Picture:
        names = square_names(self.size)
        last = () if state.last is None else (names[state.last],)
        return Picture(
            self.size, state.board, last=last, hints=tuple(self.moves[m] for m in self.legal(state))
        )

    def to_move(self, state: State) -> str:
        return "black" if state.black else "white"

    def generate(
        self, seed: int, first: int, games: int, policy: Policy
    ) -> tuple[Moves, UInt8[np.ndarray, "game 2"]]:
        from games.othello import kernels

        moves = np.zeros((games, self.max_plies), np.uint8)
        skip = np.uint64(2)  # the draws of style and opening, of which there is only one here
        kernels.generate(np.uint64(seed), np.uint64(first), *self._start, self._ids, skip, moves)
        return moves, np.zeros((games, 2), np.uint8)

    def legal_plies(self, moves: Moves) -> Int[np.ndarray, " game"]:
        from games.othello import kernels

        plies = np.zeros(len(moves), np.int64)
        kernels.legal_plies(moves, *self._start, self._bits, plies)
        return plies

    def keys(self, moves: Moves) -> UInt64[np.ndarray, " game"]:
        """Equal for games that are the same up to the four symmetries that keep the start position."""
        from games.othello import kernels

        keys = np.zeros(len(moves), np.uint64)
        kernels.keys(moves, self.images, keys)
        return keys

    def words(
        self, moves: Moves, rows: Int[np.ndarray, "row 2"], planes: Sequence[str]
    ) -> UInt64[np.ndarray, "row plane"]:
        from games.othello import kernels

        wanted = np.array([kernels.NAMES.index(name) for name in planes])
        words = np.zeros((len(rows), len(planes)), np.uint64)
        kernels.words(moves, rows, *self._start, *self._rim, self._bits, wanted, words)
        return words

    def legal_moves(self, moves: Moves, rows: Int[np.ndarray, "row 2"]) -> Bool[np.ndarray, "row move"]:
        legal = np.zeros((len(rows), len(self.moves)), bool)
        words = self.words(moves, rows, ["legal"])
        legal[:, 1:] = words & self._bits[1:] != 0
        return legal

    @cached_property
    def images(self) -> UInt8[np.ndarray, "symmetry move"]:
        """Where each move id goes under the identity, both diagonal reflections and the half turn."""
        n, centre_free = self.size, rules.move_squares(self.size)
        ids = {square: move for move, square in enumerate(centre_free)}
        maps = (
            lambda r, c: (r, c),
            lambda r, c: (c, r),
            lambda r, c: (n - 1 - c, n - 1 - r),
            lambda r, c: (n - 1 - r, n - 1 - c),
        )
        moved = [[f(s // n, s % n) for s in centre_free[1:]] for f in maps]
        return np.array([[0, *(ids[r * n + c] for r, c in image)] for image in moved], np.uint8)

    @cached_property
    def _start(self) -> tuple[np.uint64, np.uint64, np.uint64]:
        """Black's discs, white's discs and the whole board, as bits."""
        state = self.start()
        sides = [[s for s, cell in enumerate(state.board) if cell in cells] for cells in ("x", "o", "xo.")]
        return tuple(np.uint64(sum(1 << self._bit(s) for s in side)) for side in sides)  # type: ignore[return-value]

    @cached_property
    def _rim(self) -> tuple[np.uint64, np.uint64]:
        """The corners, and the edges without them, as bits."""
        n = self.size
        rim = [s for s in range(n * n) if s // n in (0, n - 1) or s % n in (0, n - 1)]
        corners = sum(1 << self._bit(s) for s in rim if s // n in (0, n - 1) and s % n in (0, n - 1))
        return np.uint64(corners), np.uint64(sum(1 << self._bit(s) for s in rim) - corners)

    @cached_property
    def _bits(self) -> UInt64[np.ndarray, " move"]:
        """The bit of each move id's square; 0 for no move."""
        return np.array([0, *(1 << self._bit(s) for s in rules.move_squares(self.size)[1:])], np.uint64)

    @cached_property
    def _ids(self) -> UInt8[np.ndarray, " bit"]:
        """The move id of each bit; the 65th entry is for no square."""
        ids = np.zeros(65, np.uint8)
        for move, square in enumerate(rules.move_squares(self.size)[1:], start=1):
            ids[self._bit(square)] = move
        return ids

    def _bit(self, square: int) -> int:
        return 8 * (square // self.size) + square % self.size
