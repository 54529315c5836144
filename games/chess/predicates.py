"""The values of the planes of a chess position by plain loops: the specification of the kernels."""

from collections import Counter
from collections.abc import Callable, Iterable

from games.chess import rules
from games.chess.planes import (
    ALIASES,
    CASTLINGS,
    COLOURS,
    KINDS,
    LEAD,
    MATERIAL,
    PAPER_BOARD,
    PAPER_STRATEGY,
    PLANES,
    PLIES,
    PREY,
)
from games.chess.policies import VALUES
from games.chess.rules import CAPTURES, MOVES, RAYS, State, is_own, piece

__all__ = ["PAPER_BOARD", "PAPER_STRATEGY", "PLANES", "truth"]


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
