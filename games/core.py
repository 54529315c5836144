"""What every game answers: its rules one position at a time, its transcripts and its truth by the array."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8, UInt64

from games.draw import Picture


class Plane(NamedTuple):
    """Up to 64 related predicates: one bit of a 64-bit word each.

    `text` names a predicate once its `{}` is filled with what the bit stands for: a square or a threshold.
    `parents` are planes that hold wherever this one does, at the same square or, for a parent
    with a single bit, anywhere. In an `ordinal` plane every bit also implies the bit before it.
    """

    name: str
    text: str
    doc: str
    stands_for: tuple[str, ...] = ("",)
    bits: tuple[int, ...] = (0,)
    parents: tuple[str, ...] = ()
    group: str = ""
    ordinal: bool = False


class Predicate(NamedTuple):
    """A named yes/no fact about a position; `parents` are names of predicates that it implies."""

    name: str
    group: str
    square: str | None
    parents: tuple[str, ...]


class Style(NamedTuple):
    """How a game is played: P(move) = epsilon / moves + (1 - epsilon) * softmax(material gained / temperature)."""

    epsilon: float = 1.0
    temperature: float = 1.0


class Policy(NamedTuple):
    """Every game draws one of `styles` with equal chance, and 0 to `opening` first plies that are uniform anyway."""

    name: str
    styles: tuple[Style, ...]
    opening: int = 0


class Transcripts(NamedTuple):
    """Games as move ids, one row a game; id 0 fills the plies after a game's end."""

    game: str
    moves: Shaped[np.ndarray, "game ply"]


Moves = Shaped[np.ndarray, "game ply"]
Rows = Int[np.ndarray, "row 2"]


@runtime_checkable
class Game(Protocol):
    """Verbs on immutable states that read like the rules, and the same facts by the array.

    The verbs are the specification. The array methods are accepted because tests rebuild each of their outputs
    with the verbs. A *row* is a pair (game, plies played): the position that a reader of that many moves knows.
    """

    name: str
    version: int  # raised when any move id, random game or truth changes
    size: int  # squares along a side
    moves: tuple[str, ...]  # move id -> text; id 0 is no move: the start of a game and its padding
    max_plies: int
    default_policy: str
    # Groups of predicates: whose disc or piece stands where, which the headline scores are about;
    board: tuple[str, ...]
    # by name, ways to say what is on a square, of whose groups one holds at each;
    frames: Mapping[str, tuple[str, ...]]
    # by title, what is drawn of a feature: a group with a predicate for each square.
    maps: Mapping[str, str]

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Among them `over`, whose one bit says that no move follows."""
        ...

    def start(self) -> Any: ...
    def legal(self, state: Any) -> list[int]:
        """Ascending ids; empty when the game is over."""
        ...

    def play(self, state: Any, move: int) -> Any:
        """A new state; the old one stays as it is."""
        ...

    def truth(self, state: Any) -> dict[str, int]:
        """The bits of every plane, by its name."""
        ...

    def written(self, state: Any, move: int) -> str:
        """A legal move as people write it."""
        ...

    def picture(self, state: Any) -> Picture: ...
    def to_move(self, state: Any) -> str:
        """Who is to move, in a word."""
        ...

    def policy(self, text: str) -> Policy: ...
    def probabilities(self, state: Any, style: Style) -> list[float]:
        """The chance of each move of `legal(state)`, in order."""
        ...

    def generate(
        self, seed: int, first: int, games: int, policy: Policy
    ) -> tuple[Moves, UInt8[np.ndarray, "game 2"]]:
        """The moves of games number `first` and on, and for each the style drawn and its random opening plies."""
        ...

    def legal_plies(self, moves: Moves) -> Int[np.ndarray, " game"]:
        """How many plies of each game are legal, up to its padding."""
        ...

    def keys(self, moves: Moves) -> UInt64[np.ndarray, " game"]:
        """Hashes, equal for games that count as the same."""
        ...

    def notation(self, moves: Moves) -> dict[str, np.ndarray]:
        """What a dataset stores beside the moves, by name."""
        ...

    def words(self, moves: Moves, rows: Rows, planes: Sequence[str]) -> UInt64[np.ndarray, "row plane"]:
        """The bits of the named planes at every row."""
        ...

    def legal_moves(self, moves: Moves, rows: Rows) -> Bool[np.ndarray, "row move"]: ...


def no_such(kind: str, text: str, known: Iterable[str]) -> str:
    """The one line for a name that does not exist: what is meant, perhaps, and what there is."""
    known = list(known)
    near = get_close_matches(text, known, n=1, cutoff=0.6)
    meant = f", did you mean {near[0]!r}?" if near else ";"
    return f"no {kind} {text!r}{meant} there {'is' if len(known) == 1 else 'are'} {', '.join(known)}"


def stream(seed: int, game: int) -> int:
    """The state of game number `game`'s own splitmix64 generator: its moves depend on `(seed, game)` alone."""
    return mix(mix(seed & MASK) + game & MASK)


def draw(state: int) -> tuple[int, int]:
    """The next 64 random bits of a splitmix64 generator (Steele et al. 2014) and its next state."""
    state = state + 0x9E3779B97F4A7C15 & MASK
    return mix(state), state


def mix(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


MASK = (1 << 64) - 1


def below(n: int, bits: int) -> int:
    """A number in [0, n) from 64 random bits; the bias is below n / 2**32."""
    return (bits >> 32) * n >> 32


def transcript(game: Game, seed: int, index: int, policy: Policy) -> list[int]:
    """Game number `index` played with the slow verbs: what `Game.generate` must reproduce to the byte."""
    bits, random = draw(stream(seed, index))
    style = policy.styles[below(len(policy.styles), bits)]
    bits, random = draw(random)
    opening = below(policy.opening + 1, bits)
    state, moves = game.start(), []
    while len(moves) < game.max_plies and (legal := game.legal(state)):
        bits, random = draw(random)
        if style.epsilon == 1.0 or len(moves) < opening:
            choice = below(len(legal), bits)
        else:
            choice = weighted(game.probabilities(state, style), bits)
        moves.append(legal[choice])
        state = game.play(state, legal[choice])
    return moves


def weighted(chances: Sequence[float], bits: int) -> int:
    """The first index whose cumulative chance exceeds a uniform number made of the upper 53 bits."""
    u, total = (bits >> 11) * 2.0**-53, 0.0
    for i, chance in enumerate(chances):
        total += chance
        if total > u:
            return i
    return len(chances) - 1


def predicates(game: Game) -> tuple[Predicate, ...]:
    """Every predicate of a game: the columns of `truth`, in their stable order."""
    by_name = {plane.name: plane for plane in game.planes}
    board = square_names(game.size)
    return tuple(
        Predicate(
            plane.text.format(what),
            plane.group or plane.name,
            what if plane.stands_for == board else None,
            _parents(plane, i, by_name),
        )
        for plane in game.planes
        for i, what in enumerate(plane.stands_for)
    )


def _parents(plane: Plane, i: int, by_name: dict[str, Plane]) -> tuple[str, ...]:
    parents = [by_name[name] for name in plane.parents]
    names = [p.text.format(p.stands_for[i if len(p.bits) > 1 else 0]) for p in parents]
    if plane.ordinal and i:
        names.append(plane.text.format(plane.stands_for[i - 1]))
    return tuple(names)


def square_names(size: int) -> tuple[str, ...]:
    """a1, b1, ... row by row; square (row, column) is bit 8 * row + column of a plane on any board."""
    return tuple("abcdefgh"[column] + str(row + 1) for row in range(size) for column in range(size))


def rows(moves: Moves) -> Rows:
    """All rows of some games: (game, plies played) from 0 up to each game's length."""
    lengths = (moves != 0).sum(axis=1)
    game = np.repeat(np.arange(len(moves)), lengths + 1)
    first = np.cumsum(lengths + 1) - (lengths + 1)
    return np.stack([game, np.arange(len(game)) - first[game]], axis=1)


def play_all(game: Game, moves: Iterable[Any]) -> list[Any]:
    """The states before the first move and after each one."""
    states = [game.start()]
    for move in moves:
        states.append(game.play(states[-1], int(move)))
    return states
