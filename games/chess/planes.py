"""The names of all that can be true of a chess position: planes of predicates, and what each implies.

"Mine" is the side to move, "theirs" the opponent; squares are never turned round. The planes whose name ends
in `_paper` are what the code of Karvonen et al. 2024 computes, its slips and its fixed colours included.
"""

from collections.abc import Iterable

from games.chess.rules import SQUARES
from games.core import Plane

KINDS = {"P": "pawn", "N": "knight", "B": "bishop", "R": "rook", "Q": "queen", "K": "king"}
PREY = {"P": "NBRQK", "N": "RQK", "B": "RQK", "R": "QK", "Q": "K", "K": ""}  # the king and what is worth more
COLOURS = {"white": True, "black": False}
CASTLINGS = {"K": "White kingside", "Q": "White queenside", "k": "Black kingside", "q": "Black queenside"}
SIDES = ("kingside", "queenside")
MATERIAL = range(1, 40)  # up to all the pieces of the start position
LEAD = range(-20, 21)
PLIES = range(4, 257, 4)


def _fact(name: str, text: str, doc: str, *parents: str) -> Plane:
    return Plane(name, text, doc, parents=parents)


def _each(name: str, text: str, doc: str, of: Iterable[str], *parents: str) -> Plane:
    of = tuple(of)
    return Plane(name, text, doc, of, tuple(range(len(of))), parents)


def _squares(name: str, text: str, doc: str, *parents: str, group: str = "") -> Plane:
    return Plane(name, text, doc, SQUARES, tuple(range(64)), parents, group)


def _at_least(name: str, text: str, doc: str, thresholds: range) -> Plane:
    return _each(name, text, doc, map(str, thresholds))._replace(ordinal=True)


def _of_the_board() -> tuple[Plane, ...]:
    return (
        _squares("occupied", "{} is occupied", "A piece of either side stands here."),
        _squares("empty", "{} is empty", "No piece stands here."),
        _squares("mine", "{} is mine", "A piece of the side to move.", "occupied"),
        _squares("theirs", "{} is theirs", "A piece of the opponent.", "occupied"),
        *_pieces("my", "mine", "piece"),
        *_pieces("their", "theirs", "piece"),
        *(
            _squares(c, f"{{}} is {c}", "A piece of that colour.", "occupied", group="colour")
            for c in COLOURS
        ),
        *(plane for colour in COLOURS for plane in _pieces(colour, colour, "piece_colour")),
        _fact("white_to_move", "White is to move", "The side to move is White."),
    )


def _pieces(owner: str, parent: str, group: str) -> tuple[Plane, ...]:
    parents = {"queen": (parent, f"{owner}_queen_present")} if group == "piece" else {}
    return tuple(
        _squares(
            f"{owner}_{kind}",
            f"{owner} {kind} on {{}}",
            f"A {kind} stands here.",
            *parents.get(kind, (parent,)),
            group=group,
        )
        for kind in KINDS.values()
    )


def _of_a_side(my: str, mine: str, i: str, their: str) -> tuple[Plane, ...]:
    """What is asked of the side to move and of its opponent alike, in the words of either."""
    sliders = ("bishop", "rook", "queen")
    return (
        _squares(
            f"{my}_attacks", f"{i} attack {{}}", "A piece, pinned or not, attacks or protects this square."
        ),
        _fact(
            f"{my}_pin",
            f"a piece of {mine} is pinned",
            "It may not leave its king's line to a slider.",
            "pin",
        ),
        _squares(f"{my}_pinned", f"{my} piece on {{}} is pinned", "Pinned to its king.", mine, f"{my}_pin"),
        _each(f"{my}_pinned_by", f"a {{}} pins a piece of {mine}", "Who pins.", sliders, f"{my}_pin"),
        _fact(
            f"{my}_hanging_piece",
            f"a piece of {mine} hangs",
            "It is attacked and not protected; no king hangs.",
        ),
        _squares(
            f"{my}_hanging",
            f"{my} piece on {{}} hangs",
            "Attacked and not protected; no king hangs.",
            mine,
            f"{their}_attacks",
            f"{my}_hanging_piece",
        ),
        _fact(
            f"{my}_fork",
            f"{i} fork",
            "One unpinned piece attacks two that are each the king or worth more than it.",
        ),
        _squares(f"{my}_forking", f"{my} piece on {{}} forks", "The forking piece.", mine, f"{my}_fork"),
        _squares(
            f"{my}_forked",
            f"{my} piece on {{}} is forked",
            "One of the pieces that a fork attacks.",
            mine,
            f"{their}_attacks",
            f"{their}_fork",
        ),
        _fact(f"{my}_queen_present", f"{i} have a queen", "At least one queen is on the board."),
        _fact(f"{my}_bishop_pair", f"{i} have the bishop pair", "Bishops on light and on dark squares."),
        _fact(
            f"{my}_rooks_connected", f"{my} rooks are connected", "Two on a line and nothing between them."
        ),
        _at_least(
            f"{my}_material", f"{my} material is at least {{}}", "Pawns 1, N and B 3, R 5, Q 9.", MATERIAL
        ),
    )


def _of_the_move() -> tuple[Plane, ...]:
    checking = list(KINDS.values())[:5]
    return (
        _squares("legal", "a legal move goes to {}", "Also where a draw has ended the game.", "pseudo_legal"),
        _squares("pseudo_legal", "a move goes to {}", "It may expose the own king, except by castling."),
        _fact("check", "I am in check", "An enemy piece attacks the king of the side to move."),
        _each(
            "checked_by", "a {} gives me check", "The kinds of the pieces that give check.", checking, "check"
        ),
        _fact("double_check", "I am in double check", "Two pieces give check.", "check"),
        _fact("pin", "a piece is pinned", "A piece of either side is pinned to its king."),
        _fact("can_check", "I can give check", "Some legal move gives check."),
        _fact("mate_in_one", "I can mate", "Some legal move is checkmate.", "can_check"),
        _fact("mate_threat", "they threaten mate", "Not in check, and to pass would allow mate in one."),
        _fact(
            "can_capture_queen", "I can take a queen", "Some legal move captures one.", "their_queen_present"
        ),
        _fact("ambiguous", "two of my pieces can go to one square", "Legally, and both are of one kind."),
        _fact("en_passant", "I can capture en passant", "Some legal move is an en passant capture."),
        _squares(
            "en_passant_to", "I can capture en passant on {}", "The square moved to.", "en_passant", "legal"
        ),
        _each("castling", "{} castling right", "King and rook have not moved.", CASTLINGS.values()),
        _fact("my_castling", "I have a castling right", "King and a rook have not moved."),
        _each(
            "my_castling_side", "I have the {} castling right", "King and rook unmoved.", SIDES, "my_castling"
        ),
        _at_least("lead", "my material minus theirs is at least {}", "As `my_material` counts.", LEAD),
        _at_least("ply", "at least {} plies were played", "Half-moves since the start.", PLIES),
        _squares("moved_from", "the last move left {}", "The king's square if it castled.", "empty"),
        _squares("moved_to", "the last move went to {}", "The king's square if it castled.", "theirs"),
        _fact("captured", "the last move captured", "En passant included."),
        _fact("over", "the game is over", "By mate, stalemate or a draw that needs no claim."),
        _fact("checkmate", "I am checkmated", "In check without a legal move.", "over", "check"),
        _fact("stalemate", "I am stalemated", "Not in check and without a legal move.", "over"),
        _fact(
            "can_claim_draw",
            "I can claim a draw",
            "Third repetition, or 50 moves without capture or pawn move.",
        ),
    )


def _of_the_paper() -> tuple[Plane, ...]:
    """Scored in the paper after Black's moves only, where "the mover" is White; these hold at every ply."""
    return (
        *(
            _squares(
                f"{colour}_{kind}_paper",
                f"{colour} {kind} on {{}} (paper)",
                "As on the board, but never a piece that stands where it started.",
                f"{colour}_{kind}",
                group="piece_paper",
            )
            for colour, kinds in (("black", "KQRBNP"), ("white", "PNBRQK"))
            for kind in map(KINDS.get, kinds)
        ),
        _squares(
            "threat_paper", "{} is threatened (paper)", "Black attacks or protects it, whoever is to move."
        ),
        _squares(
            "legal_moves_paper", "a legal move goes to {} (paper)", "White's; none when Black moves.", "legal"
        ),
        _fact("check_paper", "check (paper)", "The mover is in check."),
        _fact("can_check_next_paper", "can check next (paper)", "Some legal move gives check."),
        _fact("queen_paper", "has queen (paper)", "The mover has a queen."),
        _fact(
            "can_capture_queen_paper",
            "can capture queen (paper)",
            "Looks only at the enemy queen on the highest square: h8 first, a1 last.",
            "can_capture_queen",
        ),
        _fact("bishop_pair_paper", "has bishop pair (paper)", "Two bishops, of whatever square colours."),
        _fact("castling_paper", "has castling rights (paper)", "Of the mover, on either side."),
        _fact("castling_kingside_paper", "has kingside rights (paper)", "Of the mover.", "castling_paper"),
        _fact("castling_queenside_paper", "has queenside rights (paper)", "Of the mover.", "castling_paper"),
        _fact(
            "fork_paper",
            "fork (paper)",
            "Unpinned pieces of one kind, not queens, attack twice in sum targets of one kind worth more.",
        ),
        _fact("pin_paper", "pin (paper)", "A piece of either side is pinned."),
        _fact("en_passant_paper", "legal en passant (paper)", "Some legal move is an en passant capture."),
        _fact("ambiguous_paper", "ambiguous moves (paper)", "Two of a kind can go to one square, pawns too."),
        _squares("pseudo_legal_paper", "a move goes to {} (paper)", "Pseudo-legal moves of the mover."),
        _fact("specific_fork_paper", "knight fork (paper)", "Unpinned knights attack R, Q, K twice in sum."),
        _fact(
            "can_claim_draw_paper", "can claim draw (paper)", "Now, or by announcing a move that allows it."
        ),
        _fact(
            "mate_threat_paper",
            "mate threat (paper)",
            "Colours and turn are both swapped: the mover mates in one.",
        ),
        _fact("connected_rooks_paper", "connected rooks (paper)", "Of the mover."),
    )


PLANES = (
    *_of_the_board(),
    *_of_a_side("my", "mine", "I", "their"),
    *_of_a_side("their", "theirs", "they", "my"),
    *_of_the_move(),
    *_of_the_paper(),
)
PAPER_BOARD = tuple(plane.name for plane in PLANES if plane.group == "piece_paper")
PAPER_STRATEGY = {  # concept -> plane; a concept's score is the mean over its squares
    "threatened_squares": "threat_paper",
    "legal_moves": "legal_moves_paper",
    "check": "check_paper",
    "can_check_next": "can_check_next_paper",
    "queen": "queen_paper",
    "can_capture_queen": "can_capture_queen_paper",
    "bishop_pair": "bishop_pair_paper",
    "castling_rights": "castling_paper",
    "kingside_castling_rights": "castling_kingside_paper",
    "queenside_castling_rights": "castling_queenside_paper",
    "fork": "fork_paper",
    "pin": "pin_paper",
    "legal_en_passant": "en_passant_paper",
    "ambiguous_moves": "ambiguous_paper",
}

ALIASES = {  # where the paper's code agrees with ours
    "check_paper": "check",
    "can_check_next_paper": "can_check",
    "queen_paper": "my_queen_present",
    "castling_paper": "my_castling",
    "pin_paper": "pin",
    "en_passant_paper": "en_passant",
    "ambiguous_paper": "ambiguous",
    "pseudo_legal_paper": "pseudo_legal",
    "mate_threat_paper": "mate_in_one",
    "connected_rooks_paper": "my_rooks_connected",
}
