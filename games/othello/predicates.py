"""What can be true of an Othello position: the planes of predicates, and their values by plain loops.

"Mine" is the side to move, who is not always the parity of the ply: passes count. The planes whose name ends in
`_paper` follow Karvonen et al. 2024, whose code takes the owner of a disc from the parity of the ply and calls
"mine" the discs of the side that parity says has just moved.
"""

from functools import cache
from math import isqrt

from games.core import Plane, square_names
from games.othello.rules import DIRECTIONS, State, can_play, disc, turned

PAPER_BOARD = (
    "mine_paper",
    "theirs_paper",
)  # its coverage divides by 3 * squares, blank squares never counting


@cache
def planes(size: int) -> tuple[Plane, ...]:
    squares = square_names(size)
    bits = tuple(8 * r + c for r in range(size) for c in range(size))

    def each_square(name: str, text: str, doc: str, *parents: str, group: str = "") -> Plane:
        return Plane(name, text, doc, squares, bits, parents, group)

    def at_least(name: str, text: str, doc: str, most: int) -> Plane:
        counts = tuple(str(k) for k in range(1, most + 1))
        return Plane(name, text, doc, counts, tuple(range(most)), ordinal=True)

    def single(name: str, text: str, doc: str) -> Plane:
        return Plane(name, text, doc)

    edges = 4 * (size - 2)
    return (
        each_square("occupied", "{} is occupied", "A disc of either side stands here."),
        each_square("empty", "{} is empty", "No disc stands here."),
        each_square("mine", "{} is mine", "A disc of the side to move.", "occupied"),
        each_square("theirs", "{} is theirs", "A disc of the opponent.", "occupied"),
        each_square("legal", "{} is legal", "The side to move may play here.", "empty"),
        *(
            each_square(
                "legal_" + direction.replace(" ", "_"),
                "{} is legal, turning discs " + direction,
                f"Playing here turns at least one disc in the direction {direction} (a1 is in the upper left corner).",
                "legal",
                group="legal_direction",
            )
            for direction in DIRECTIONS
        ),
        each_square(
            "changed", "{} was just played or flipped", "The last move put or turned a disc here.", "occupied"
        ),
        each_square("last_move", "{} was just played", "The last move put its disc here.", "changed"),
        each_square("flipped", "{} was just flipped", "The last move turned the disc here.", "changed"),
        each_square(
            "black", "{} is black", "A disc of the side that moved first.", "occupied", group="colour"
        ),
        each_square(
            "white", "{} is white", "A disc of the side that moved second.", "occupied", group="colour"
        ),
        at_least(
            "my_corners", "at least {} of my discs are in corners", "Corners held by the side to move.", 4
        ),
        at_least(
            "their_corners", "at least {} of their discs are in corners", "Corners held by the opponent.", 4
        ),
        at_least(
            "my_edges",
            "at least {} of my discs are on edges",
            "Edge squares but corners, side to move.",
            edges,
        ),
        at_least(
            "their_edges",
            "at least {} of their discs are on edges",
            "Edge squares but corners, opponent.",
            edges,
        ),
        single("black_to_move", "black is to move", "The side that moved first is to move."),
        single("passed", "the opponent has just passed", "The side to move has also made the last move."),
        single("over", "the game is over", "Neither side can move."),
        each_square(
            "mine_paper",
            "{} is mine (paper)",
            "Mine by the parity of the ply: who has just moved.",
            "occupied",
        ),
        each_square("theirs_paper", "{} is theirs (paper)", "Theirs by the parity of the ply.", "occupied"),
        each_square(
            "legal_paper", "{} is legal (paper)", "As `legal`: the paper's code knows passes here.", "empty"
        ),
    )


def truth(state: State) -> dict[str, int]:
    """The bits of every plane for one position, square by square: the specification of `kernels.words`."""
    size = isqrt(len(state.board))
    me, them = disc(state.black), disc(not state.black)
    squares = range(size * size)
    corners = {0, size - 1, size * (size - 1), size * size - 1}
    edges = {s for s in squares if s // size in (0, size - 1) or s % size in (0, size - 1)} - corners

    def where(holds) -> int:
        return sum(1 << 8 * (s // size) + s % size for s in squares if holds(s))

    def count(side: str, places: set[int]) -> int:
        return (1 << sum(state.board[s] == side for s in places)) - 1

    legal = {s: turned(state.board, s, me) for s in can_play(state.board, me)}
    ply = len(state.board) - state.board.count(".") - 4
    just_moved, waiting = ("x", "o") if ply % 2 else ("o", "x")
    return {
        "occupied": where(lambda s: state.board[s] != "."),
        "empty": where(lambda s: state.board[s] == "."),
        "mine": where(lambda s: state.board[s] == me),
        "theirs": where(lambda s: state.board[s] == them),
        "legal": where(legal.__contains__),
        **{
            "legal_" + name.replace(" ", "_"): where(lambda s, name=name: name in legal.get(s, ()))
            for name in DIRECTIONS
        },
        "changed": where(lambda s: s == state.last or s in state.flipped),
        "last_move": where(lambda s: s == state.last),
        "flipped": where(state.flipped.__contains__),
        "black": where(lambda s: state.board[s] == "x"),
        "white": where(lambda s: state.board[s] == "o"),
        "my_corners": count(me, corners),
        "their_corners": count(them, corners),
        "my_edges": count(me, edges),
        "their_edges": count(them, edges),
        "black_to_move": int(state.black),
        "passed": int(state.passed),
        "over": int(not legal),
        "mine_paper": where(lambda s: state.board[s] == just_moved),
        "theirs_paper": where(lambda s: state.board[s] == waiting),
        "legal_paper": where(legal.__contains__),
    }
