"""Chess as characters: the algebraic notation of python-chess, windows, and reading it back."""

import chess
import numpy as np
import pytest

from games.chess import kernels, notation, rules
from games.chess.game import Chess
from games.chess.kernels import pack
from games.chess.notation import SYMBOLS, WINDOW, ascii_rows, characters, movetexts, parse, text, whole_plies
from tests.test_chess_kernels import MOVES, games, line
from tests.test_chess_rules import PERFT, playout

LONG = Chess("chess", max_plies=240)
AMBIGUOUS = (  # moves of queens, rooks, knights and bishops that need a file, a rank, or both
    "1k6/8/8/3Q3Q/8/8/8/K2Q3Q w - - 0 1",
    "k7/8/8/8/3q3q/8/K7/3q3q b - - 0 1",
    "7k/8/8/1N3N2/8/2N5/8/KN3N2 w - - 0 1",
    "3R4/1k6/8/8/R6R/8/8/3R3K w - - 0 1",
    "k7/8/8/b1b5/8/b1b5/8/7K b - - 0 1",
    "4r2k/8/8/8/4R3/8/8/R3K3 w Q - 0 1",  # a pinned rook is no rival
    "1n2k3/P1P5/8/8/8/8/p1p5/1N2K3 w - - 0 1",
    "1n2k3/P1P5/8/8/8/8/p1p5/1N2K3 b - - 0 1",
    "r3k2r/8/8/8/8/8/8/R3K2R w KQkq - 0 1",
    "6k1/5ppp/8/8/8/8/8/R5K1 w - - 0 1",
    "4k3/8/8/3pP3/8/8/8/4K3 w - d6 0 1",
    *PERFT,
)


def by_python_chess(moves: np.ndarray) -> str:
    board, words = chess.Board(), []
    for ply, move in enumerate(moves[moves != 0]):
        number = f"{ply // 2 + 1}." if ply % 2 == 0 else ""
        words.append(number + board.san_and_push(MOVES[move]))
    return ";" + " ".join(words)


def written(state: rules.State, move: int) -> str:
    """The move by the kernels, with what follows it."""
    position, masks, out = pack(state), np.empty(64, np.uint64), np.zeros(20, np.uint8)
    kernels.legal_masks(position, masks)
    step = tuple(map(np.uint64, kernels.origin_target_promotion(np.uint64(move))))
    n = notation.write_move(position, masks, *step, out, 0)
    kernels.play(position, np.uint64(move))
    n = notation.write_end(np.uint64(kernels.legal_masks(position, masks)), masks, out, n)
    return out[: n - 1].tobytes().decode()


def test_whole_games():
    moves = LONG.generate(3, 0, 150, LONG.policy("mixture"))[0]
    texts = movetexts(moves)
    assert texts == [by_python_chess(row) for row in moves]
    assert all(
        any(mark in text for text in texts) for mark in ("#", "=Q+", "=N", "O-O-O", " O-O ", "x", "100.")
    )
    assert notation.movetext(moves[0]) == texts[0]


@pytest.mark.parametrize("fen", AMBIGUOUS)
def test_hard_positions(fen):
    state, board = rules.from_fen(fen), chess.Board(fen)
    names = [board.san(MOVES[move]) for move in rules.legal(state)]
    assert [written(state, move) for move in rules.legal(state)] == names
    assert [rules.san(state, move) for move in rules.legal(state)] == names


def test_the_hard_positions_are_hard():
    def names(fen: str) -> set[str]:
        state = rules.from_fen(fen)
        return {rules.san(state, move) for move in rules.legal(state)}

    assert {"Qh5f3", "Qd1f3", "Qd5f3", "Qh1f3"} & names(AMBIGUOUS[0])
    assert {"Rad4", "Rhd4", "R8d4"} & names(AMBIGUOUS[3])
    assert {"axb8=Q+", "c8=N"} <= names(AMBIGUOUS[6])
    assert "Ra8#" in names(AMBIGUOUS[9])
    assert "exd6" in names(AMBIGUOUS[10])


def test_the_verbs_write_as_the_kernels():
    for _, state, move in playout(8, 60):
        assert not move or written(state, move) == rules.san(state, move)


def test_symbols_are_the_papers():
    assert len(SYMBOLS) == 32
    assert list(SYMBOLS) == sorted(SYMBOLS)
    assert set(SYMBOLS) == set(" #+-.;=x") | set("0123456789") | set("BKNOQR") | set("abcdefgh")


def test_window():
    moves = games(400, game=Chess("chess-pgn"))
    tokens, at = text(moves)
    whole = whole_plies(moves)
    assert (tokens.shape, tokens.dtype, at.shape) == ((400, 256), np.uint8, (400, 61))
    for row, full, places, plies in zip(characters(tokens), movetexts(moves), at, whole, strict=True):
        assert row.tobytes().decode() == full.ljust(WINDOW)[:WINDOW]
        words = full.split(" ")
        ends = [len(" ".join(words[: ply + 1])) for ply in range(len(words))]
        waits = [2, *ends[:-1]]  # a reader waits at the space after a ply, or at the dot of the next number
        for ply in range(2, len(words), 2):
            waits[ply] += len(words[ply].split(".")[0]) + 1
        known = [wait if wait < WINDOW else -1 for wait in waits]
        assert places.tolist() == known + [-1] * (61 - len(known))
        assert plies == sum(end <= WINDOW for end in ends)


def test_the_papers_scored_positions():
    tokens, at = text(games(50, game=Chess("chess-pgn")))
    for row, places in zip(tokens, at, strict=True):
        dots = np.flatnonzero(row == SYMBOLS.index("."))[:20]
        if len(dots) == 20:
            assert places[0:40:2].tolist() == dots.tolist()


def test_a_short_game_is_followed_by_spaces():
    tokens, at = text(line("f2f3", "e7e5", "g2g4", "d8h4"))
    assert characters(tokens)[0].tobytes().decode() == ";1.f3 e5 2.g4 Qh4#".ljust(256)
    assert at[0].tolist() == [2, 5, 10, 13, -1]
    assert whole_plies(line("f2f3", "e7e5", "g2g4", "d8h4")) == 4


def test_reading_what_was_written():
    moves = LONG.generate(4, 0, 300, LONG.policy("mixture"))[0]
    read, faults = parse(ascii_rows(movetexts(moves)), 240)
    assert (read == moves).all()
    assert (faults == -1).all()
    window, _ = text(moves)
    read, faults = parse(characters(window), 240)
    known = whole_plies(moves)
    for row, written, plies in zip(read, moves, known, strict=True):
        count = (row != 0).sum()
        assert plies - 1 <= count <= plies  # a ply that ends with the window is not followed by a space
        assert (row[:count] == written[:count]).all()
    assert (faults == -1).all()


@pytest.mark.parametrize(
    ("game", "plies", "fault"),
    [
        (";1.e4 e5 2.Nf3 Nc6 ", 4, -1),
        ("1. e4 e5 2. Nf3 Nc6 1-0 ", 4, -1),
        ("1.e4 e5 2.Nf3 Nc6", 3, -1),  # the last ply may go on
        ("1.e4 e5 2.Ke3 Ke7 ", 2, 10),
        ("1.e4 e5 2.Nf3 Nf3 ", 3, 14),
        ("1.Nf3 e5 2.Nc3 e4 3.Nd4 d5 4.Nb5 ", 6, 29),  # two knights can: ambiguous
        ("1.Nf3 e5 2.Nc3 e4 3.Nd4 d5 4.Ndb5 ", 7, -1),
        ("1.e4 e5 2.Nf3 Nc6 3.Bc4 Bc5 4.O-O O-O ", 7, 34),
        ("1.e4 e5 2.Nf3 Nc6 3.Bc4 Bc5 4.O-O-O ", 6, 30),
        ("1.e4 d5 2.d5 ", 2, 10),  # a capture names its file
        ("1.e4 d5 2.exd5 ", 3, -1),
        ("1.e4 hello ", 1, 5),
        ("1.e4 12 ", 1, 5),
        ("1.e9 ", 0, 2),
        ("1.exe ", 0, 2),
        ("1.O ", 0, 2),
        ("", 0, -1),
    ],
)
def test_reading_by_hand(game, plies, fault):
    moves, faults = parse(np.frombuffer(game.encode().ljust(1), np.uint8)[None], 10)
    assert ((moves != 0).sum(), faults[0]) == (plies, fault)


def test_nothing_breaks_the_reader():
    draw = np.random.default_rng(2)
    texts = ascii_rows(movetexts(games(300)))
    noisy = texts.copy()
    noisy[draw.random(noisy.shape) < 0.01] = draw.integers(256)
    spoilt, faults = parse(noisy, 120)
    assert (Chess("chess").legal_plies(spoilt) <= (spoilt != 0).sum(axis=1)).all()
    assert (faults >= 0).any()
    rubbish = draw.integers(0, 256, (500, 64), dtype=np.uint8)
    assert (parse(rubbish, 20)[0] != 0).mean() < 0.05


def test_text_comes_with_the_games():
    policy = LONG.policy("mixture")
    moves, texts = LONG.generate_text(6, 10, 40, policy)
    assert (moves == LONG.generate(6, 10, 40, policy)[0]).all()
    assert [row.tobytes().decode().rstrip() for row in texts] == movetexts(moves)


def test_only_chess_pgn_has_a_notation():
    moves = games(3, game=Chess("chess-pgn"))
    assert Chess("chess").notation(moves) == {}
    assert Chess("chess-pgn").notation(moves)["text"].tolist() == text(moves)[0].tolist()
