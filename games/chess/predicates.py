"""What can be true of a chess position: the planes of predicates, and their values by plain loops.

"Mine" is the side to move, "theirs" the opponent; squares are never turned round. The planes whose name ends
in `_paper` are what the code of Karvonen et al. 2024 computes, its slips and its fixed colours included.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from games.chess import rules
from games.chess.rules import CAPTURES, MOVES, RAYS, SQUARES, State, is_own, piece
from games.core import Plane

KINDS = {"P": "pawn", "N": "knight", "B": "bishop", "R": "rook", "Q": "queen", "K": "king"}
VALUES = {"P": 1, "N": 3, "B": 3, "R": 5, "Q": 9, "K": 0}
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


def truth(state: State) -> dict[str, int]:
    """The bits of every plane for one position, square by square: the specification of `truth.words`."""
    ours = (
        _board(state)
        | _side(state, "my", state.white)
        | _side(state, "their", not state.white)
        | _move(state)
    )
    return ours | {paper: ours[name] for paper, name in ALIASES.items()} | _paper(state, ours)


def where(holds: Callable[[int], object]) -> int:
    return sum(1 << s for s in range(64) if holds(s))


def bits(facts: Iterable[object]) -> int:
    return sum(1 << i for i, fact in enumerate(facts) if fact)


def _board(state: State) -> dict[str, int]:
    board, me = state.board, state.white

    def stands(wanted: str) -> int:
        return where(lambda s: board[s] == wanted)

    owners = {"my": me, "their": not me} | COLOURS
    return {
        "occupied": where(lambda s: board[s] != "."),
        "empty": stands("."),
        "mine": where(lambda s: is_own(board[s], me)),
        "theirs": where(lambda s: is_own(board[s], not me)),
        "white": where(lambda s: is_own(board[s], True)),
        "black": where(lambda s: is_own(board[s], False)),
        "white_to_move": int(me),
        **{f"{o}_{name}": stands(piece(kind, w)) for o, w in owners.items() for kind, name in KINDS.items()},
    }


def attacks(board: str, origin: int) -> list[int]:
    """The squares that the piece on a square attacks or protects."""
    kind = board[origin].upper()
    if kind == "P":
        return list(CAPTURES[board[origin] == "P"][origin])
    found = []
    for ray in RAYS[kind][origin]:
        for s in ray:
            found.append(s)
            if board[s] != ".":
                break
    return found


def pins(board: str, white: bool) -> dict[int, str]:
    """The square of each piece of one side that is pinned to its king, and the kind of piece that pins it."""
    king, found = board.index(piece("K", white)), {}
    for kind in "BR":
        for ray in RAYS[kind][king]:
            men = [s for s in ray if board[s] != "."]
            if (
                len(men) >= 2
                and is_own(board[men[0]], white)
                and board[men[1]] in piece(kind + "Q", not white)
            ):
                found[men[0]] = board[men[1]].upper()
    return found


def material(board: str, white: bool) -> int:
    return sum(VALUES[p.upper()] for p in board if is_own(p, white))


def _side(state: State, my: str, white: bool) -> dict[str, int]:
    board = state.board
    own = [s for s in range(64) if is_own(board[s], white)]
    attacked = {s for origin in own for s in attacks(board, origin)}
    pinned, enemy_pinned = pins(board, white), pins(board, not white)
    hanging = [
        s
        for s in own
        if s not in attacked and board[s] not in "Kk" and rules.is_attacked(board, s, not white)
    ]
    forks = [origin for origin in own if origin not in pinned and len(_prey(board, origin)) >= 2]
    enemy_forks = [
        s
        for s in range(64)
        if is_own(board[s], not white) and s not in enemy_pinned and len(_prey(board, s)) >= 2
    ]
    rooks = [s for s in own if board[s] in "Rr"]
    bishops = {(s // 8 + s % 8) % 2 for s in own if board[s] in "Bb"}
    return {
        f"{my}_attacks": where(attacked.__contains__),
        f"{my}_pin": int(bool(pinned)),
        f"{my}_pinned": where(pinned.__contains__),
        f"{my}_pinned_by": bits(kind in pinned.values() for kind in "BRQ"),
        f"{my}_hanging_piece": int(bool(hanging)),
        f"{my}_hanging": where(hanging.__contains__),
        f"{my}_fork": int(bool(forks)),
        f"{my}_forking": where(forks.__contains__),
        f"{my}_forked": where({s for origin in enemy_forks for s in _prey(board, origin)}.__contains__),
        f"{my}_queen_present": int(piece("Q", white) in board),
        f"{my}_bishop_pair": int(len(bishops) == 2),
        f"{my}_rooks_connected": int(any(s in rooks for rook in rooks for s in attacks(board, rook))),
        f"{my}_material": bits(material(board, white) >= t for t in MATERIAL),
    }


def _prey(board: str, origin: int, kinds: str = "") -> list[int]:
    """The enemy pieces that a piece attacks: of some kinds, or the king and those worth more than it."""
    kinds = kinds or PREY[board[origin].upper()]
    white = board[origin].isupper()
    return [s for s in attacks(board, origin) if is_own(board[s], not white) and board[s].upper() in kinds]


def _move(state: State) -> dict[str, int]:
    board, me = state.board, state.white
    legal = rules.moves(state)
    after = [rules.play(state, move) for move in legal]
    checkers = [board[s].upper() for s in rules.checkers(state)]
    passed = state._replace(white=not me, ep=None, last=0)
    targets, pseudo_targets = (
        {MOVES[m].target for m in moves} for moves in (legal, rules.pseudo_legal(state))
    )
    ways = {(board[MOVES[m].origin], MOVES[m].target, MOVES[m].origin) for m in legal}
    en_passant = {MOVES[m].target for m in legal if rules.is_en_passant(state, m)}
    last, played = MOVES[state.last], int(state.last != 0)
    rights = [right in state.castling for right in CASTLINGS]
    mine = rights[:2] if me else rights[2:]
    outcome = rules.outcome(state)
    return {
        "legal": where(targets.__contains__),
        "pseudo_legal": where(pseudo_targets.__contains__),
        "check": int(bool(checkers)),
        "checked_by": bits(kind in checkers for kind in "PNBRQ"),
        "double_check": int(len(checkers) == 2),
        "pin": int(bool(pins(board, True) or pins(board, False))),
        "can_check": int(any(map(rules.in_check, after))),
        "mate_in_one": int(_mates(state)),
        "mate_threat": int(not checkers and _mates(passed)),
        "can_capture_queen": int(any(rules.captured(state, m) == piece("Q", not me) for m in legal)),
        "ambiguous": int(max(Counter(way[:2] for way in ways).values(), default=0) >= 2),
        "en_passant": int(bool(en_passant)),
        "en_passant_to": where(en_passant.__contains__),
        "castling": bits(rights),
        "my_castling": int(any(mine)),
        "my_castling_side": bits(mine),
        "lead": bits(material(board, me) - material(board, not me) >= t for t in LEAD),
        "ply": bits(state.ply >= t for t in PLIES),
        "moved_from": played << last.origin,
        "moved_to": played << last.target,
        "captured": int(_captured(state)),
        "over": int(outcome != ""),
        "checkmate": int(outcome == "checkmate"),
        "stalemate": int(outcome == "stalemate"),
        "can_claim_draw": int(rules.can_claim_draw(state)),
    }


def _mates(state: State) -> bool:
    """Whether some legal move is checkmate."""
    after = (rules.play(state, move) for move in rules.moves(state))
    return any(rules.in_check(then) and not rules.moves(then) for then in after)


def _captured(state: State) -> bool:
    """Whether the last move captured: a pawn then changed its file, another piece reset the half-moves."""
    if not state.last:
        return False
    origin, target, promotion = MOVES[state.last]
    was_pawn = promotion or state.board[target] in "Pp"
    return origin % 8 != target % 8 if was_pawn else state.halfmoves == 0


def _paper(state: State, ours: dict[str, int]) -> dict[str, int]:
    board, me, first = state.board, state.white, rules.start().board
    moved = where(lambda s: board[s] != first[s])
    masked = {f"{c}_{kind}_paper": ours[f"{c}_{kind}"] & moved for c in COLOURS for kind in KINDS.values()}
    queens = [s for s in range(64) if board[s] == piece("Q", not me)]
    free = [s for s in range(64) if is_own(board[s], me) and s not in pins(board, me)]

    def forks(forker: str, prey: str) -> bool:
        return sum(len(_prey(board, s, prey)) for s in free if board[s] == piece(forker, me)) >= 2

    return masked | {
        "threat_paper": where(lambda s: rules.is_attacked(board, s, False)),
        "legal_moves_paper": ours["legal"] if me else 0,
        "can_capture_queen_paper": int(any(MOVES[m].target in queens[-1:] for m in rules.moves(state))),
        "bishop_pair_paper": int(board.count(piece("B", me)) >= 2),
        "castling_kingside_paper": ours["my_castling_side"] & 1,
        "castling_queenside_paper": ours["my_castling_side"] >> 1,
        "fork_paper": int(any(forks(forker, prey) for forker in "PNBR" for prey in PREY[forker])),
        "specific_fork_paper": int(forks("N", "RQK")),
        "can_claim_draw_paper": int(rules.can_claim_draw(state) or _can_announce_draw(state)),
    }


def _can_announce_draw(state: State) -> bool:
    """Whether some legal move repeats a position for the third time, or completes 50 quiet moves."""
    after = [rules.play(state, move) for move in rules.moves(state)]
    if any(then.halfmoves >= 100 and rules.moves(then) for then in after if then.halfmoves):
        return True
    twice = {key for key, times in Counter((*state.seen, rules.key(state))).items() if times >= 2}
    return bool(twice) and any(rules.key(then) in twice for then in after)
