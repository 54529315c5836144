"""The readable rules of chess beside python-chess: positions, moves, ends of games."""

import random

import chess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.chess import rules

KIWIPETE = "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1"
PERFT = {  # the usual test positions, with their published counts
    rules.START: (20, 400, 8902),
    KIWIPETE: (48, 2039),
    "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1": (14, 191, 2812),
    "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1": (6, 264, 9467),
    "rnbq1k1r/pp1Pbppp/2p5/8/2B5/8/PPP1NnPP/RNBQK2R w KQ - 1 8": (44, 1486),
    "r4rk1/1pp1qppp/p1np1n2/2b1p1B1/2B1P1b1/P1NP1N2/1PP1QPPP/R4RK1 w - - 0 10": (46, 2079),
}


def perft(state: rules.State, depth: int) -> int:
    moves = rules.moves(state)
    return len(moves) if depth == 1 else sum(perft(rules.play(state, move), depth - 1) for move in moves)


IDS = {text: move for move, text in enumerate(rules.UCI)}


def ids(moves) -> list[int]:
    return sorted(IDS[move.uci()] for move in moves)


def playout(seed: int, plies: int, quiet: float = 0.0):
    """A random game as (board, state, move) before each ply; `quiet`: how often only reversible moves are drawn."""
    draw, board, state = random.Random(seed), chess.Board(), rules.start()
    for _ in range(plies):
        moves = rules.legal(state)
        reversible = [m for m in moves if not board.is_irreversible(chess.Move.from_uci(rules.UCI[m]))]
        move = draw.choice(reversible if reversible and draw.random() < quiet else moves) if moves else 0
        yield board, state, move
        if not move:
            return
        state = rules.play(state, move)
        board.push_uci(rules.UCI[move])


def test_vocabulary():
    assert len(rules.UCI) == 1969
    assert list(rules.MOVES[1:]) == sorted(
        rules.MOVES[1:], key=lambda m: (*m[:2], " NBRQ".index(m.promotion or " "))
    )
    assert [rules.UCI[i] for i in (0, 1, -1)] == ["start", "a1b1", "h8g8"]
    assert sum(len(text) == 5 for text in rules.UCI[1:]) == 2 * 4 * (8 + 14)


@pytest.mark.parametrize("fen", PERFT)
def test_perft(fen):
    state = rules.from_fen(fen)
    assert tuple(perft(state, depth) for depth in range(1, len(PERFT[fen]) + 1)) == PERFT[fen]


@pytest.mark.parametrize("seed", range(4))
def test_a_game_is_as_python_chess_plays_it(seed):
    for board, state, move in playout(seed, 160):
        assert rules.fen(state) == board.fen(en_passant="fen")
        assert rules.moves(state) == ids(board.legal_moves)
        assert rules.legal(state) == ([] if board.is_game_over() else rules.moves(state))
        assert rules.in_check(state) == board.is_check()
        if move:
            assert rules.san(state, move) == board.san(chess.Move.from_uci(rules.UCI[move]))
    assert rules.result(state) == board.result()


@pytest.mark.parametrize("seed", range(2))
def test_what_pieces_attack_and_may_try(seed):
    for board, state, _ in playout(seed, 60):
        assert rules.pseudo_legal(state) == ids(board.pseudo_legal_moves)
        assert sorted(rules.checkers(state)) == list(board.checkers())
        for square in chess.SQUARES:
            for color in chess.COLORS:
                assert sorted(rules.attackers(state.board, square, color)) == list(
                    board.attackers(color, square)
                )


def test_a_quiet_game_is_drawn_after_75_moves():
    claims = 0
    for board, state, _ in playout(1, 400, quiet=0.999):
        claimable = board.is_repetition(3) or board.is_fifty_moves()
        assert rules.can_claim_draw(state) == claimable
        assert bool(rules.legal(state)) != board.is_game_over()
        claims += claimable
    assert claims >= 50
    assert board.is_seventyfive_moves()


def test_fifth_repetition_ends_the_game():
    board, state, shuffle = chess.Board(), rules.start(), ["g1f3", "g8f6", "f3g1", "f6g8"]
    for i in range(16):
        assert rules.repetitions(state) == 1 + i // 4
        assert rules.can_claim_draw(state) == (i >= 8)
        assert rules.legal(state)
        state = rules.play(state, IDS[shuffle[i % 4]])
        board.push_uci(shuffle[i % 4])
    assert board.is_fivefold_repetition()
    assert rules.legal(state) == []
    assert rules.moves(state)
    assert (rules.outcome(state), rules.result(state)) == ("draw", "1/2-1/2")


@pytest.mark.parametrize(
    ("fen", "counts"),
    [
        (
            "4k2r/8/8/8/3p4/8/4P3/R3K3 w - - 0 1",
            [True, False],
        ),  # d4 could take e3: that position never returns
        ("3rk3/8/8/8/3p4/8/2P5/3RK3 w - - 0 1", [True, False]),
        ("4k2r/8/8/8/2p5/8/4P3/R3K3 w - - 0 1", [True, True]),  # no pawn stands beside e4
        ("8/8/8/8/k2p3R/8/4P3/4K3 w - - 0 1", [True, True]),  # taking would uncover the rook's check
    ],
)
def test_only_a_legal_en_passant_makes_a_position_another(fen, counts):
    push = "c2c4" if "2P5" in fen else "e2e4"
    state, board = rules.from_fen(fen), chess.Board(fen)
    king = "a4a5" if "k2p" in fen else "e8e7"
    for text in (push, king, "e1f1", king[2:] + king[:2], "f1e1"):
        state = rules.play(state, IDS[text])
        board.push_uci(text)
        if text == push:
            first = rules.key(state)
    assert [first[0] == state.board, first == rules.key(state)] == counts
    assert board.is_repetition(2) == counts[1]


@pytest.mark.parametrize(
    "men", ["", "N", "n", "NN", "Nn", "B", "BB", "bb", "Bb", "Bn", "P", "q", "R", "NNNN", "BBbb"]
)
def test_insufficient_material(men):
    draw = random.Random(men)
    for _ in range(20):
        squares = draw.sample(range(8, 56), len(men))
        board = chess.Board("k7/8/8/8/8/8/8/7K w - - 0 1")
        for square, piece in zip(squares, men, strict=True):
            board.set_piece_at(square, chess.Piece.from_symbol(piece))
        assert rules.insufficient_material(rules.from_fen(board.fen())) == board.is_insufficient_material()


@pytest.mark.parametrize(
    ("fen", "outcome", "result"),
    [
        ("7k/6Q1/6K1/8/8/8/8/8 b - - 0 1", "checkmate", "1-0"),
        ("7K/6q1/6k1/8/8/8/8/8 w - - 0 1", "checkmate", "0-1"),
        ("7k/5Q2/6K1/8/8/8/8/8 b - - 0 1", "stalemate", "1/2-1/2"),
        ("7k/8/6K1/8/8/8/8/8 b - - 0 1", "draw", "1/2-1/2"),
        ("7k/5P2/6K1/8/8/8/8/8 w - - 150 100", "draw", "1/2-1/2"),
        ("7k/5P2/6K1/8/8/8/8/8 w - - 149 100", "", "*"),
        ("7k/6Q1/6K1/8/8/8/8/8 b - - 150 100", "checkmate", "1-0"),
    ],
)
def test_ends(fen, outcome, result):
    state = rules.from_fen(fen)
    assert (rules.outcome(state), rules.result(state)) == (outcome, result)
    assert bool(rules.legal(state)) == (outcome == "") == (not chess.Board(fen).is_game_over())


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(0, 80))
def test_play_never_mutates_and_fen_tells_all_but_the_past(seed, plies):
    state = list(playout(seed, plies + 1))[-1][1]
    before = (str(state), hash(state))
    for move in rules.legal(state):
        after = rules.play(state, move)
        assert (after.white, after.ply, after.last) == (not state.white, state.ply + 1, move)
    assert (str(state), hash(state)) == before
    assert rules.from_fen(rules.fen(state)) == state._replace(last=0, seen=())


def test_a_set_up_position_loses_rights_that_cannot_be():
    assert rules.from_fen("4k3/8/8/8/8/8/8/4K2R w KQkq - 0 1").castling == "K"
    assert rules.from_fen("4k3/8/8/8/8/8/8/4K2R w - e6 0 1").ep is None
    assert rules.from_fen("4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1").ep == rules.SQUARES.index("d6")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a FEN like"),
        ("8/8/8/8/8/8/8 w - - 0 1", "expected a FEN like"),
        ("xnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "expected a FEN like"),
        ("8/8/8/8/8/8/8/K7 w - - 0 1", "one king of each colour"),
        ("k7/8/8/8/8/8/8/K7 x - - 0 1", "'w' or 'b' to move"),
        ("k7/8/8/8/8/8/8/K7 w - - a 1", "'w' or 'b' to move"),
    ],
)
def test_a_broken_fen_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        rules.from_fen(text)
