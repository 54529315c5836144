"""Every chess predicate three ways: kernels, plain loops, python-chess; and by hand, yes and nearly."""

from collections import Counter
from typing import NamedTuple

import chess
import numpy as np
import pytest

from games.chess import rules
from games.chess.game import Chess
from games.chess.kernels import pack
from games.chess.planes import ALIASES, KINDS, PAPER_BOARD, PAPER_STRATEGY, PLANES
from games.chess.predicates import truth
from games.chess.truth import words, words_at
from games.core import predicates, rows

NAMES = [plane.name for plane in PLANES]
BY_NAME = {plane.name: plane for plane in PLANES}


def squares(holds) -> int:
    return bits(map(holds, chess.SQUARES))


def bits(facts) -> int:
    return sum(1 << i for i, fact in enumerate(facts) if fact)


def targets(moves) -> int:
    return sum(1 << s for s in {move.to_square for move in moves})


def own(board, color):
    return {s for s in chess.SQUARES if board.color_at(s) == color}


def pinners(board, color) -> dict[int, set[int]]:
    """Each piece that cannot leave without exposing its king, and the kinds that would then give check."""
    king, found = board.king(color), {}
    for s in own(board, color) - {king}:
        without = board.copy(stack=False)
        without.remove_piece_at(s)
        new = set(without.attackers(not color, king)) - set(board.attackers(not color, king))
        if new:
            found[s] = {board.piece_type_at(pinner) for pinner in new}
    return found


def hanging(board, color):
    attacked = {
        s for s in own(board, color) if board.attackers(not color, s) and not board.attackers(color, s)
    }
    return attacked - {board.king(color)}


WORTH = {chess.PAWN: 1, chess.KNIGHT: 3, chess.BISHOP: 3, chess.ROOK: 5, chess.QUEEN: 9, chess.KING: 100}


def forks(board, color) -> dict[int, set[int]]:
    found = {}
    for s in own(board, color) - set(pinners(board, color)):
        worth = WORTH[board.piece_type_at(s)]
        prey = {
            t
            for t in board.attacks(s) & board.occupied_co[not color]
            if WORTH[board.piece_type_at(t)] > worth
        }
        if len(prey) > 1:
            found[s] = prey
    return found


def connected(board, color) -> bool:
    rooks = set(board.pieces(chess.ROOK, color))
    return any(set(board.attacks(rook)) & rooks for rook in rooks)


def material(board, color) -> int:
    return sum(WORTH[kind] * len(board.pieces(kind, color)) for kind in range(1, 6))


def mates(board) -> bool:
    for move in list(board.legal_moves):
        board.push(move)
        mate = board.is_checkmate()
        board.pop()
        if mate:
            return True
    return False


def threatens_mate(board) -> bool:
    if board.is_check():
        return False
    passed = board.copy(stack=False)
    passed.push(chess.Move.null())
    return mates(passed)


def captured(board) -> bool:
    if not board.move_stack:
        return False
    before = board.copy()
    return before.is_capture(before.pop())


def ambiguous(board) -> bool:
    ways = {(board.piece_type_at(m.from_square), m.to_square, m.from_square) for m in board.legal_moves}
    return len({way[:2] for way in ways}) < len(ways)


def fork_paper(board) -> bool:
    """Summed over attackers, one kind of target at a time: see `board_to_any_fork`."""
    dictionary = {1: (2, 3, 4, 5, 6), 2: (4, 5, 6), 3: (4, 5, 6), 4: (5, 6)}
    return any(
        specific_fork(board, kind, [target]) for kind, targets in dictionary.items() for target in targets
    )


def specific_fork(board, kind=chess.KNIGHT, targets=(chess.ROOK, chess.QUEEN, chess.KING)) -> bool:
    hits = 0
    for s in board.pieces(kind, board.turn):
        if not board.is_pinned(board.turn, s):
            prey = [board.piece_type_at(t) for t in board.attacks(s) if board.color_at(t) == (not board.turn)]
            hits += sum(kind in targets for kind in prey)
    return hits >= 2


def captures_first_queen(board) -> bool:
    queens = [s for s, p in board.piece_map().items() if p == chess.Piece(chess.QUEEN, not board.turn)]
    return (
        any(m.to_square == queens[0] and board.is_capture(m) for m in board.legal_moves) if queens else False
    )


def masked(board, color, kind) -> int:
    return int(board.pieces(kind, color)) & ~int(chess.Board().pieces(kind, color))


def side_twins(my, color):
    """The twins of one side's planes; `color` finds that side from a board."""
    their = {"my": "their", "their": "my"}[my]
    return {
        f"{my}_attacks": lambda b: squares(lambda s: b.is_attacked_by(color(b), s)),
        f"{my}_pin": lambda b: any(b.is_pinned(color(b), s) for s in own(b, color(b))),
        f"{my}_pinned": lambda b: squares(lambda s: b.color_at(s) == color(b) and b.is_pinned(color(b), s)),
        f"{my}_pinned_by": lambda b: bits(
            any(kind in by for by in pinners(b, color(b)).values()) for kind in (3, 4, 5)
        ),
        f"{my}_hanging_piece": lambda b: bool(hanging(b, color(b))),
        f"{my}_hanging": lambda b: (
            squares(lambda s: s in hanging(b, color(b))) if hanging(b, color(b)) else 0
        ),
        f"{my}_fork": lambda b: bool(forks(b, color(b))),
        f"{my}_forking": lambda b: sum(1 << s for s in forks(b, color(b))),
        f"{their}_forked": lambda b: sum(1 << s for s in set().union(*forks(b, color(b)).values())),
        f"{my}_queen_present": lambda b: b.pieces(chess.QUEEN, color(b)),
        f"{my}_bishop_pair": lambda b: (
            bool(b.pieces(3, color(b)) & chess.BB_DARK_SQUARES)
            and bool(b.pieces(3, color(b)) & chess.BB_LIGHT_SQUARES)
        ),
        f"{my}_rooks_connected": lambda b: connected(b, color(b)),
        f"{my}_material": lambda b: bits(material(b, color(b)) >= t for t in range(1, 40)),
        **{
            f"{my}_{name}": lambda b, k=k: int(b.pieces(k, color(b)))
            for k, name in enumerate(KINDS.values(), 1)
        },
    }


TWINS = {
    "occupied": lambda b: squares(lambda s: b.piece_at(s) is not None),
    "empty": lambda b: squares(lambda s: b.piece_at(s) is None),
    "mine": lambda b: squares(lambda s: b.color_at(s) == b.turn),
    "theirs": lambda b: squares(lambda s: b.color_at(s) == (not b.turn)),
    "white": lambda b: squares(lambda s: b.color_at(s) == chess.WHITE),
    "black": lambda b: squares(lambda s: b.color_at(s) == chess.BLACK),
    **{f"white_{name}": lambda b, k=k: int(b.pieces(k, True)) for k, name in enumerate(KINDS.values(), 1)},
    **{f"black_{name}": lambda b, k=k: int(b.pieces(k, False)) for k, name in enumerate(KINDS.values(), 1)},
    "white_to_move": lambda b: b.turn,
    **side_twins("my", lambda b: b.turn),
    **side_twins("their", lambda b: not b.turn),
    "legal": lambda b: targets(b.legal_moves),
    "pseudo_legal": lambda b: targets(b.pseudo_legal_moves),
    "check": lambda b: b.is_check(),
    "checked_by": lambda b: bits(k in {b.piece_type_at(s) for s in b.checkers()} for k in range(1, 6)),
    "double_check": lambda b: len(b.checkers()) > 1,
    "pin": lambda b: any(b.is_pinned(c, s) for c in chess.COLORS for s in own(b, c)),
    "can_check": lambda b: any(b.gives_check(m) for m in b.legal_moves),
    "mate_in_one": mates,
    "mate_threat": threatens_mate,
    "can_capture_queen": lambda b: any(
        b.piece_type_at(m.to_square) == chess.QUEEN and b.is_capture(m) for m in b.legal_moves
    ),
    "ambiguous": ambiguous,
    "en_passant": lambda b: b.has_legal_en_passant(),
    "en_passant_to": lambda b: targets(m for m in b.legal_moves if b.is_en_passant(m)),
    "castling": lambda b: bits(
        f(c) for c in chess.COLORS for f in (b.has_kingside_castling_rights, b.has_queenside_castling_rights)
    ),
    "my_castling": lambda b: b.has_castling_rights(b.turn),
    "my_castling_side": lambda b: bits(
        f(b.turn) for f in (b.has_kingside_castling_rights, b.has_queenside_castling_rights)
    ),
    "lead": lambda b: bits(material(b, b.turn) - material(b, not b.turn) >= t for t in range(-20, 21)),
    "ply": lambda b: bits(b.ply() >= t for t in range(4, 257, 4)),
    "moved_from": lambda b: 1 << b.peek().from_square if b.move_stack else 0,
    "moved_to": lambda b: 1 << b.peek().to_square if b.move_stack else 0,
    "captured": captured,
    "over": lambda b: b.is_game_over(),
    "checkmate": lambda b: b.is_checkmate(),
    "stalemate": lambda b: b.is_stalemate(),
    "can_claim_draw": lambda b: b.is_fifty_moves() or b.is_repetition(3),
    **{f"white_{name}_paper": lambda b, k=k: masked(b, True, k) for k, name in enumerate(KINDS.values(), 1)},
    **{f"black_{name}_paper": lambda b, k=k: masked(b, False, k) for k, name in enumerate(KINDS.values(), 1)},
    "threat_paper": lambda b: squares(lambda s: b.is_attacked_by(chess.BLACK, s)),
    "legal_moves_paper": lambda b: targets(
        m for m in b.legal_moves if b.color_at(m.from_square) == chess.WHITE
    ),
    "check_paper": lambda b: b.is_check(),
    "can_check_next_paper": lambda b: any(b.gives_check(m) for m in b.legal_moves),
    "queen_paper": lambda b: len(b.pieces(chess.QUEEN, b.turn)) >= 1,
    "can_capture_queen_paper": captures_first_queen,
    "bishop_pair_paper": lambda b: len(b.pieces(chess.BISHOP, b.turn)) >= 2,
    "castling_paper": lambda b: b.has_castling_rights(b.turn),
    "castling_kingside_paper": lambda b: b.has_kingside_castling_rights(b.turn),
    "castling_queenside_paper": lambda b: b.has_queenside_castling_rights(b.turn),
    "fork_paper": fork_paper,
    "pin_paper": lambda b: any(b.is_pinned(c, s) for c in chess.COLORS for s in own(b, c)),
    "en_passant_paper": lambda b: b.has_legal_en_passant(),
    "ambiguous_paper": ambiguous,
    "pseudo_legal_paper": lambda b: targets(b.pseudo_legal_moves),
    "specific_fork_paper": specific_fork,
    "can_claim_draw_paper": lambda b: b.can_claim_draw(),
    "mate_threat_paper": lambda b: mates(b.mirror()),
    "connected_rooks_paper": lambda b: connected(b, b.turn),
}


class Case(NamedTuple):
    """A predicate, by its plane and what its bit stands for; where it holds; and where it nearly does.

    A position is a FEN whose last fields may be missing, and after a semicolon the moves played from there.
    """

    plane: str
    what: str
    yes: str
    no: str


BEGIN = rules.START
BACK_RANK = "6k1/5ppp/8/8/8/8/8/R3K3 w"
KNIGHT_FORK = "q3r2k/2N5/8/8/8/8/8/4K3 w"
EN_PASSANT = "4k3/8/8/3pP3/8/8/8/4K3 w - d6"
EN_PASSANT_PINNED = "4k3/8/8/r2pP2K/8/8/8/8 w - d6"  # both pawns leave the rank, and the rook sees the king
PINNED_KNIGHT = "4k3/8/8/8/4r3/8/4N3/4K3 w"
CASES = [
    Case("occupied", "e4", "4k3/8/8/8/4P3/8/8/4K3 w", "4k3/8/8/8/8/4P3/8/4K3 w"),
    Case("empty", "e4", "4k3/8/8/8/8/4P3/8/4K3 w", "4k3/8/8/8/4p3/8/8/4K3 w"),
    Case("mine", "e4", "4k3/8/8/8/4P3/8/8/4K3 w", "4k3/8/8/8/4P3/8/8/4K3 b"),
    Case("theirs", "e4", "4k3/8/8/8/4P3/8/8/4K3 b", "4k3/8/8/8/4P3/8/8/4K3 w"),
    Case("white", "e4", "4k3/8/8/8/4P3/8/8/4K3 b", "4k3/8/8/8/4p3/8/8/4K3 b"),
    Case("black", "e4", "4k3/8/8/8/4p3/8/8/4K3 w", "4k3/8/8/8/4P3/8/8/4K3 w"),
    Case("white_to_move", "", BEGIN, BEGIN + "; e2e4"),
    Case("my_attacks", "e5", "4k3/8/8/8/3P4/8/8/4K3 w", "4k3/8/8/8/4P3/8/8/4K3 w"),
    Case("my_attacks", "d4", PINNED_KNIGHT, "4k3/8/8/8/4r3/8/4B3/4K3 w"),
    Case("their_attacks", "e4", "4k3/8/8/3p4/8/8/8/4K3 w", "4k3/8/8/4p3/8/8/8/4K3 w"),
    Case("my_pin", "", PINNED_KNIGHT, "4k3/8/8/8/4r3/4P3/4N3/4K3 w"),
    Case("my_pinned", "e2", PINNED_KNIGHT, "4k3/8/8/8/4b3/8/4N3/4K3 w"),
    Case("my_pinned_by", "bishop", "4k3/8/8/8/7b/8/5N2/4K3 w", "4k3/8/8/8/7b/8/5N2/3K4 w"),
    Case("my_pinned_by", "rook", PINNED_KNIGHT, "4k3/8/8/8/4q3/8/4N3/4K3 w"),
    Case("my_pinned_by", "queen", "4k3/8/8/8/4q3/8/4N3/4K3 w", PINNED_KNIGHT),
    Case("their_pin", "", "4k3/4n3/8/4R3/8/8/8/4K3 w", "4k3/4n3/4p3/4R3/8/8/8/4K3 w"),
    Case("their_pinned", "e7", "4k3/4n3/8/4R3/8/8/8/4K3 w", "4k3/4n3/8/4r3/8/8/8/3K4 w"),
    Case("their_pinned_by", "rook", "4k3/4n3/8/4R3/8/8/8/4K3 w", "4k3/5n2/8/7B/8/8/8/4K3 w"),
    Case("my_hanging_piece", "", "3rk3/8/8/8/3N4/8/8/4K3 w", "3rk3/8/8/8/3N4/2P5/8/4K3 w"),
    Case("my_hanging", "d4", "3rk3/8/8/8/3N4/8/8/4K3 w", "3rk3/8/8/8/3N4/2P5/8/4K3 w"),
    Case("my_hanging", "e2", "4k3/8/8/8/8/8/r3P3/7K w", "4k3/8/8/8/8/8/r3K3/8 w"),  # no king hangs
    Case("their_hanging_piece", "", "4k3/8/8/3n4/8/8/8/3RK3 w", "4k3/8/2p5/3n4/8/8/8/3RK3 w"),
    Case("their_hanging", "d5", "4k3/8/8/3n4/8/8/8/3RK3 w", "4k3/8/8/3n4/3P4/8/8/3RK3 w"),
    Case("my_fork", "", KNIGHT_FORK, "q3n2k/2N5/8/8/8/8/8/4K3 w"),  # a knight is not worth more than a knight
    Case("my_forking", "c7", KNIGHT_FORK, "q1r5/K1N4r/8/8/8/8/8/7k w"),  # pinned
    Case("their_forked", "a8", KNIGHT_FORK, "q3b2k/2N5/8/8/8/8/8/4K3 w"),
    Case("their_fork", "", "4k3/8/8/8/8/8/2n5/R3K3 w", "4k3/8/8/8/8/8/2n5/B3K3 w"),
    Case("their_forking", "c2", "4k3/8/8/8/8/8/2n5/R3K3 w", "4k3/8/8/8/8/8/2n5/R4K2 w"),
    Case("their_forking", "d3", "4k3/8/8/8/8/3n4/8/2RRK3 w", "3k4/8/8/8/8/3n4/8/2RRK3 w"),  # pinned
    Case("my_forked", "a1", "4k3/8/8/8/8/8/2n5/R3K3 w", "4k3/8/8/8/8/8/2n5/R4K2 w"),
    Case("my_queen_present", "", "3qk3/8/8/8/8/8/8/3QK3 w", "3qk3/8/8/8/8/8/8/4K3 w"),
    Case("their_queen_present", "", "3qk3/8/8/8/8/8/8/3QK3 w", "4k3/8/8/8/8/8/8/3QK3 w"),
    Case(
        "my_bishop_pair", "", "4k3/8/8/8/8/8/8/2B1KB2 w", "4k3/8/8/8/8/8/8/2B1K1B1 w"
    ),  # both on dark squares
    Case("their_bishop_pair", "", "2b1kb2/8/8/8/8/8/8/4K3 w", "2b1k1b1/8/8/8/8/8/8/4K3 w"),
    Case("my_rooks_connected", "", "4k3/8/8/8/8/8/4K3/R6R w", "4k3/8/8/8/8/8/8/R3K2R w"),
    Case("their_rooks_connected", "", "r6r/4k3/8/8/8/8/8/4K3 w", "r3k2r/8/8/8/8/8/8/4K3 w"),
    Case("my_material", "9", "4k3/8/8/8/8/8/8/3QK3 w", "4k3/8/8/8/8/8/8/1N2KR2 w"),
    Case("their_material", "6", "1nb1k3/8/8/8/8/8/8/3QK3 w", "3rk3/8/8/8/8/8/8/3QK3 w"),
    Case("lead", "1", "4k3/8/8/4p3/4P3/4P3/8/4K3 w", "4k3/8/8/4p3/4P3/8/8/4K3 w"),
    Case("lead", "-5", "3rk3/8/8/8/8/8/8/4K3 w", "3rk3/4p3/8/8/8/8/8/4K3 w"),
    Case("legal", "d4", "4k3/8/8/8/8/8/4N3/4K3 w", PINNED_KNIGHT),
    Case("legal", "d6", EN_PASSANT, EN_PASSANT_PINNED),
    Case("pseudo_legal", "d4", PINNED_KNIGHT, "4k3/8/8/8/3Pr3/8/4N3/4K3 w"),
    Case("check", "", "k3r3/8/8/8/8/8/8/4K3 w", "k3r3/8/8/8/8/8/4P3/4K3 w"),
    Case("checked_by", "pawn", "4k3/8/8/8/8/8/3p4/4K3 w", "4k3/8/8/8/8/8/4p3/4K3 w"),
    Case("checked_by", "knight", "4k3/8/8/8/8/5n2/8/4K3 w", "4k3/8/8/8/8/5b2/8/4K3 w"),
    Case("checked_by", "bishop", "4k3/8/8/8/7b/8/8/4K3 w", "4k3/8/8/8/7q/8/8/4K3 w"),
    Case("checked_by", "rook", "k3r3/8/8/8/8/8/8/4K3 w", "k3q3/8/8/8/8/8/8/4K3 w"),
    Case("checked_by", "queen", "k3q3/8/8/8/8/8/8/4K3 w", "k3r3/8/8/8/8/8/8/4K3 w"),
    Case("double_check", "", "4r2k/8/8/8/8/5n2/8/4K3 w", "3r3k/8/8/8/8/5n2/8/4K3 w"),
    Case("pin", "", "4k3/4n3/8/4R3/8/8/8/4K3 w", "4k3/4n3/4p3/4R3/8/8/8/4K3 w"),
    Case("can_check", "", "4k3/8/8/8/8/8/8/R3K3 w", "4k3/8/8/8/8/8/8/B3K3 w"),
    Case("can_check", "", "4k3/8/8/8/8/8/4K3/4R3 w", "4k3/8/8/8/4p3/8/4K3/4R3 w"),  # by discovery
    Case("can_check", "", "k7/7P/8/8/8/8/8/4K3 w", "8/k6P/8/8/8/8/8/4K3 w"),  # by promotion
    Case("mate_in_one", "", BACK_RANK, "6k1/5pp1/7p/8/8/8/8/R3K3 w"),
    Case("mate_threat", "", "r5k1/8/8/8/8/8/5PPP/6K1 w", "r5k1/8/8/8/8/7P/5PP1/6K1 w"),
    Case("mate_threat", "", "r5k1/8/8/8/8/8/5PPP/6K1 w", "r3n1k1/8/8/8/8/5n2/5PPP/6K1 w"),  # in check
    Case(
        "mate_threat",  # only by capturing on e3, which the pawn that has just jumped over it cannot help
        "",
        "2rkr3/2p1p3/8/8/4P3/4p3/3P4/3RK3 b",
        "2rkr3/2p1p3/8/8/4P3/8/3P4/3RK3 b - e3",
    ),
    Case("can_capture_queen", "", "3qk3/8/8/8/8/8/8/3RK3 w", "3qk3/8/8/8/8/8/8/r2RK3 w"),
    Case(
        "ambiguous", "", "4k3/8/8/8/8/8/8/1N1NK3 w", "4k3/8/8/1N6/8/8/8/r2NK3 w"
    ),  # one of the two is pinned
    Case(
        "ambiguous", "", "4k3/8/8/3p4/2P1P3/8/8/4K3 w", "k7/4P3/8/8/8/8/8/4K3 w"
    ),  # four promotions, one pawn
    Case("en_passant", "", EN_PASSANT, EN_PASSANT_PINNED),
    Case("en_passant_to", "d6", EN_PASSANT, "4k3/8/8/2p1P3/8/8/8/4K3 w - c6"),
    Case("castling", "White kingside", "4k3/8/8/8/8/8/8/4K2R w K", "4k3/8/8/8/8/8/8/4K2R w"),
    Case("castling", "Black queenside", "r3k2r/8/8/8/8/8/8/4K3 w q", "r3k2r/8/8/8/8/8/8/4K3 w k"),
    Case("my_castling", "", "r3k3/8/8/8/8/8/8/4K3 b q", "r3k3/8/8/8/8/8/8/4K3 w q"),
    Case("my_castling_side", "kingside", "4k3/8/8/8/8/8/8/4K2R w K", "4k3/8/8/8/8/8/8/R3K3 w Q"),
    Case("ply", "4", "4k3/8/8/8/8/8/8/4K3 w - - 0 3", "4k3/8/8/8/8/8/8/4K3 b - - 0 2"),
    Case("moved_from", "e2", BEGIN + "; e2e4", BEGIN + "; e2e4 e7e5"),
    Case("moved_from", "e1", "4k3/8/8/8/8/8/8/4K2R w K; e1g1", "4k3/8/8/8/8/8/8/4K2R w K; h1h2"),
    Case("moved_to", "c8", "r3k3/8/8/8/8/8/8/4K3 b q; e8c8", "r3k3/8/8/8/8/8/8/4K3 b q; e8d8"),
    Case("moved_to", "e4", BEGIN + "; e2e4", BEGIN + "; e2e3"),
    Case("captured", "", "4k3/8/8/3p4/4P3/8/8/4K3 w; e4d5", "4k3/8/8/3p4/4P3/8/8/4K3 w; e4e5"),
    Case("captured", "", EN_PASSANT + "; e5d6", EN_PASSANT + "; e5e6"),
    Case("captured", "", "4k3/8/8/8/4pP2/8/8/4K3 b - f3; e4f3", "4k3/8/8/8/4pP2/8/8/4K3 b - f3; e4e3"),
    Case("captured", "", "3qk3/2P5/8/8/8/8/8/4K3 w; c7d8q", "3qk3/2P5/8/8/8/8/8/4K3 w; c7c8q"),
    Case("captured", "", "3qk3/8/8/8/8/8/8/3RK3 w; d1d8", "3qk3/8/8/8/8/8/8/3RK3 w; d1d7"),
    Case("over", "", "4k3/8/8/8/8/8/8/2B1K3 w", "4k3/8/8/8/8/8/8/2B1KB2 w"),
    Case("over", "", "4k3/8/8/8/8/8/8/R3K3 w - - 150 99", "4k3/8/8/8/8/8/8/R3K3 w - - 149 99"),
    Case("checkmate", "", BACK_RANK + "; a1a8", "6k1/5pp1/7p/8/8/8/8/R3K3 w; a1a8"),
    Case("checkmate", "", "6rk/6pp/7N/8/8/8/8/4K3 w; h6f7", "5r1k/6pp/7N/8/8/8/8/4K3 w; h6f7"),  # smothered
    Case("stalemate", "", "k7/P7/K7/8/8/8/8/8 b", "1k6/P7/K7/8/8/8/8/8 b"),
    Case("stalemate", "", "5k2/5P2/4K3/8/8/8/8/8 w; e6f6", "5k2/5P2/4K3/8/8/8/8/8 w; e6d6"),
    Case("stalemate", "", "7k/5Q2/6K1/8/8/8/8/8 b", "7k/4Q3/6K1/8/8/8/8/8 b"),
    Case("can_claim_draw", "", "4k3/8/8/8/8/8/8/R3K3 w - - 100 80", "4k3/8/8/8/8/8/8/R3K3 w - - 99 80"),
    Case("threat_paper", "e4", "4k3/8/8/3p4/8/8/8/4K3 b", "4k3/8/8/8/8/3P4/8/4K3 b"),
    Case("legal_moves_paper", "e5", "4k3/8/8/8/4P3/8/8/4K3 w", "4k3/8/4p3/8/8/8/8/4K3 b"),
    Case("can_capture_queen_paper", "", "q2qk3/8/8/8/8/8/8/3RK3 w", "q2qk3/8/8/8/8/8/8/R3K3 w"),
    Case("bishop_pair_paper", "", "4k3/8/8/8/8/8/8/2B1K1B1 w", "4k3/8/8/8/8/8/8/2B1K1N1 w"),
    Case("castling_kingside_paper", "", "4k3/8/8/8/8/8/8/4K2R w K", "4k3/8/8/8/8/8/8/R3K3 w Q"),
    Case("castling_queenside_paper", "", "4k3/8/8/8/8/8/8/R3K3 w Q", "4k3/8/8/8/8/8/8/4K2R w K"),
    Case(
        "fork_paper", "", "r6k/2N5/1N6/8/8/8/8/4K3 w", KNIGHT_FORK
    ),  # two knights on one rook; rook and queen
    Case("specific_fork_paper", "", "r6k/2N5/1N6/8/8/8/8/4K3 w", "q3n2k/2N5/8/8/8/8/8/4K3 w"),
    Case("specific_fork_paper", "", KNIGHT_FORK, "q7/K1N4r/8/8/8/8/8/7k w"),
    Case("can_claim_draw_paper", "", "4k3/8/8/8/8/8/8/R3K3 w - - 99 80", "4k3/8/8/8/8/8/8/R3K3 w - - 98 80"),
    Case(
        "mate_threat_paper", "", BACK_RANK, "r5k1/8/8/8/8/8/5PPP/6K1 w"
    ),  # a threat against the mover is none
]


def alone(piece: str, square: str) -> str:
    """A piece and the kings that it does not bring."""
    board = chess.Board(None)
    for king, home in (("K", chess.G2), ("k", chess.G7)):
        board.set_piece_at(home, chess.Piece.from_symbol(king) if king != piece else None)
    board.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(piece))
    return board.fen()


for letter, kind in KINDS.items():
    white, black = alone(letter, "e4"), alone(letter.lower(), "e4")
    home = {"P": "e", "N": "b", "B": "c", "R": "a", "Q": "d", "K": "e"}[letter]
    CASES += [
        Case(f"my_{kind}", "e4", white, black),
        Case(f"their_{kind}", "e4", black, white),
        Case(f"white_{kind}", "e4", white, black),
        Case(f"black_{kind}", "e4", black, white),
        Case(f"white_{kind}_paper", "e4", white, black),
        Case(f"black_{kind}_paper", "e4", black, white),
    ]
    for side, symbol, rank in (("white", letter, "21"), ("black", letter.lower(), "78")):
        start = home + rank[letter != "P"]
        other = start[0] + {"1": "8", "8": "1", "2": "7", "7": "2"}[start[1]]
        CASES.append(Case(f"{side}_{kind}_paper", other, alone(symbol, other), alone(symbol, start)))
CASES += [
    case._replace(plane=alias) for alias, ours in ALIASES.items() for case in CASES if case.plane == ours
]


def set_up(text: str) -> tuple[rules.State, chess.Board]:
    fen, _, moves = text.partition("; ")
    fields = fen.split()
    fen = " ".join(fields + ["-", "-", "0", "1"][len(fields) - 2 :])
    state, board = rules.from_fen(fen), chess.Board(fen)
    for move in moves.split():
        state = rules.play(state, rules.UCI.index(move))
        board.push_uci(move)
    return state, board


def bit(plane: str, what: str) -> int:
    return 1 << BY_NAME[plane].bits[BY_NAME[plane].stands_for.index(what)]


SHUFFLE = (
    "g1f3 g8f6 f3g1 f6g8 " * 5 + "e2e4 e7e5 " + "f1e2 f8e7 e2f1 e7f8 " * 3
)  # stops short of no game's end
PASSANT = (
    "e2e4 a7a6 e4e5 d7d5 g1f3 g8f6 f3g1 f6g8 " + "g1f3 g8f6 f3g1 f6g8 " * 3
)  # en passant stands only once


@pytest.fixture(scope="module")
def games() -> np.ndarray:
    """Random games, uniform and greedy, and two that repeat themselves."""
    game = Chess("chess", max_plies=160)
    played = [game.generate(7, 0, 8, game.policy(policy))[0] for policy in ("uniform", "greedy")]
    repeating = np.zeros((2, 160), np.uint16)
    for row, text in zip(repeating, (SHUFFLE, PASSANT), strict=True):
        ids = [rules.UCI.index(move) for move in text.split()]
        row[: len(ids)] = ids
    return np.concatenate([*played, repeating])


@pytest.fixture(scope="module")
def positions(games) -> tuple[list[rules.State], list[chess.Board]]:
    """Of all rows of the games, and then of all cases."""
    states, boards = [], []
    for moves in games:
        state, board = rules.start(), chess.Board()
        states.append(state)
        boards.append(board.copy())
        for move in moves[moves > 0]:
            state = rules.play(state, int(move))
            board.push_uci(rules.UCI[move])
            states.append(state)
            boards.append(board.copy())
    texts = sorted({text for case in CASES for text in (case.yes, case.no)})
    set_ups = [set_up(text) for text in texts]
    return states + [state for state, _ in set_ups], boards + [board for _, board in set_ups]


@pytest.fixture(scope="module")
def by_kernel(games, positions) -> dict[str, list[int]]:
    played = rows(games)
    packed = np.array([pack(state) for state in positions[0][len(played) :]])
    found = np.concatenate([words(games, played, NAMES), words_at(packed, NAMES)])
    return {name: found[:, i].tolist() for i, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def by_loops(positions) -> dict[str, list[int]]:
    found = [truth(state) for state in positions[0]]
    assert all(set(facts) == set(NAMES) for facts in found)
    return {name: [facts[name] for facts in found] for name in NAMES}


def test_there_are_enough_positions(positions):
    assert len(positions[0]) >= 2_000
    seen = Counter()
    for board in positions[1]:
        if board.move_stack:
            before = board.copy()
            move = before.pop()
            seen["promotion"] += move.promotion is not None
            seen["castling"] += before.is_castling(move)
            seen["en passant"] += before.is_en_passant(move)
    assert min(seen["promotion"], seen["castling"], seen["en passant"]) >= 2, seen


@pytest.mark.parametrize("name", NAMES)
def test_kernels_agree_with_plain_loops(name, by_kernel, by_loops, positions):
    wrong = [i for i, (a, b) in enumerate(zip(by_kernel[name], by_loops[name], strict=True)) if a != b]
    assert not wrong, (len(wrong), rules.fen(positions[0][wrong[0]]))


@pytest.mark.parametrize("name", NAMES)
def test_plain_loops_agree_with_python_chess(name, by_loops, positions):
    expected = [int(TWINS[name](board)) for board in positions[1]]
    if len(BY_NAME[name].bits) == 1:
        expected = [int(bool(word)) for word in expected]
    wrong = [i for i, (a, b) in enumerate(zip(by_loops[name], expected, strict=True)) if a != b]
    assert not wrong, (len(wrong), positions[1][wrong[0]].fen(), by_loops[name][wrong[0]], expected[wrong[0]])


@pytest.mark.parametrize("name", NAMES)
def test_each_plane_holds_and_fails_somewhere(name, by_kernel):
    union, always = 0, -1
    for word in by_kernel[name]:
        union, always = union | word, always & word
    assert sum(word != 0 for word in by_kernel[name]) >= 3
    assert union & ~always, f"{name} never changes"


def test_hand_made_positions_for_every_plane():
    assert {case.plane for case in CASES} == set(NAMES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.plane}-{case.what}")
def test_by_hand(case):
    holds, fails = (
        truth(set_up(text)[0])[case.plane] & bit(case.plane, case.what) for text in (case.yes, case.no)
    )
    assert holds
    assert not fails


def test_repetitions_are_claimed_in_time():
    """The start stands for the third time after 8 plies; the paper's predicate knows it one ply earlier."""
    state, claims = rules.start(), []
    for move in SHUFFLE.split()[:9]:
        claims.append((truth(state)["can_claim_draw"], truth(state)["can_claim_draw_paper"]))
        state = rules.play(state, rules.UCI.index(move))
    assert claims == [(0, 0)] * 7 + [(0, 1), (1, 1)]


@pytest.mark.parametrize("name", NAMES)
def test_one_plane_alone_is_the_same(name, games, by_kernel):
    """Whatever else is asked for, and in whatever order: a step that a plane needs is never skipped."""
    played = rows(games)
    some = np.random.default_rng(0).permutation(len(played))[:40]
    assert words(games, played[some], [name])[:, 0].tolist() == [by_kernel[name][i] for i in some]


def test_rows_beyond_the_end_of_a_game_show_its_end(games):
    length = int((games[0] != 0).sum())
    found = words(games, np.array([[0, length], [0, length + 1]]), ["occupied"])
    assert (found[0] == found[1]).all()


def test_what_implies_what(by_kernel):
    """Wherever a predicate holds, its parents do."""
    for plane in PLANES:
        child = np.array(by_kernel[plane.name], np.uint64)
        for name in plane.parents:
            parent = np.array(by_kernel[name], np.uint64)
            if len(BY_NAME[name].bits) == 1:
                parent = np.where(parent, ~np.uint64(0), np.uint64(0))
            else:
                assert BY_NAME[name].stands_for == plane.stands_for
            assert not (child & ~parent).any(), (plane.name, name)
        if plane.ordinal:
            assert not (child & (child + np.uint64(1))).any(), plane.name


def test_parents_make_no_circle():
    rank = {}

    def depth(name: str) -> int:
        if name not in rank:
            rank[name] = None
            rank[name] = 1 + max((depth(parent) for parent in BY_NAME[name].parents), default=0)
        assert rank[name] is not None, name
        return rank[name]

    assert max(map(depth, NAMES)) >= 3


def test_names_are_told_apart():
    every = predicates(Chess("chess"))
    assert len({p.name for p in every}) == len(every) == sum(len(plane.bits) for plane in PLANES)
    assert {parent for p in every for parent in p.parents} <= {p.name for p in every}
    assert all(len(plane.bits) == len(plane.stands_for) <= 64 for plane in PLANES)


def test_sizes_of_the_papers_sets():
    assert sum(len(BY_NAME[name].bits) for name in PAPER_BOARD) == 768
    assert len(PAPER_STRATEGY) == 14
    assert sum(len(BY_NAME[name].bits) for name in PAPER_STRATEGY.values()) == 140
