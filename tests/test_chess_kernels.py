"""The chess kernels rebuilt by the readable rules and by python-chess."""

import math

import chess
import numpy as np
import pytest

from games.chess import kernels, rules
from games.chess.game import Chess
from games.chess.kernels import KING, LINE, pack
from games.chess.play import results
from games.core import Style, rows, transcript
from tests.test_chess_rules import IDS, PERFT, playout

CHESS = Chess("chess")
MOVES = [chess.Move.null(), *map(chess.Move.from_uci, rules.UCI[1:])]
IDS_BY_SQUARES = {(m.from_square, m.to_square, m.promotion): move for move, m in enumerate(MOVES) if move}
DEEP = ((5, 4865609), (4, 4085603), (6, 11030083), (5, 15833292), (4, 2103487), (4, 3894594))


def bits(squares) -> int:
    return sum(1 << s for s in squares)


def masks_of(state: rules.State, fill=kernels.legal_masks) -> np.ndarray:
    masks = np.empty(64, np.uint64)
    fill(pack(state), masks)
    return masks


def targets(moves) -> list[int]:
    found = [0] * 64
    for move in moves:
        found[rules.MOVES[move].origin] |= 1 << rules.MOVES[move].target
    return found


def games(count: int, policy: str = "mixture", seed: int = 1, game: Chess = CHESS) -> np.ndarray:
    return game.generate(seed, 0, count, game.policy(policy))[0]


@pytest.mark.parametrize(("fen", "depth", "count"), [(f, *c) for f, c in zip(PERFT, DEEP, strict=True)])
def test_perft(fen, depth, count):
    positions = np.zeros((depth + 1, kernels.WORDS), np.uint64)
    positions[0] = pack(rules.from_fen(fen))
    assert kernels.perft(positions, np.zeros((depth + 1, 64), np.uint64), depth) == count


@pytest.mark.parametrize("seed", range(3))
def test_each_mask_and_map_of_a_position(seed):
    for board, state, _ in playout(seed, 80):
        position = pack(state)
        us, them = map(np.uint64, kernels.colours(position))
        own, foe = (np.uint64(kernels.side(position, first)) for first in (us, them))
        assert masks_of(state).tolist() == targets(rules.moves(state))
        assert masks_of(state, kernels.pseudo_masks).tolist() == targets(rules.pseudo_legal(state))
        assert kernels.legal_masks(position, np.empty(64, np.uint64)) == int(board.checkers())
        for color, first in ((chess.WHITE, 0), (chess.BLACK, 6)):
            attacked = bits(s for s in chess.SQUARES if board.is_attacked_by(color, s))
            assert kernels.attacked(position, np.uint64(first), own | foe) == attacked
        checks, pinned = kernels.checks_and_pins(position, us, them, own, foe)
        assert checks == int(board.checkers())
        assert pinned == bits(
            s for s in chess.SQUARES if board.color_at(s) == board.turn and board.is_pinned(board.turn, s)
        )
        king = int(position[us + KING]).bit_length() - 1
        for s in chess.scan_forward(int(pinned)):
            assert not board.pin_mask(board.turn, s) & ~int(LINE[64 * king + s])


def test_sliders_on_random_boards():
    draw = np.random.default_rng(3)
    for _ in range(2000):
        occupied, square = (
            np.bitwise_and(*draw.integers(0, 2**64, 2, dtype=np.uint64)),
            int(draw.integers(64)),
        )
        board = chess.Board(None)
        for s in chess.scan_forward(int(occupied)):
            board.set_piece_at(s, chess.Piece(chess.PAWN, chess.WHITE))
        for kind, attacks in ((chess.BISHOP, kernels.bishop_attacks), (chess.ROOK, kernels.rook_attacks)):
            board.set_piece_at(square, chess.Piece(kind, chess.WHITE))
            assert attacks(np.uint64(square), occupied) == int(board.attacks(square))


def test_a_position_after_moves_is_the_packed_state():
    for moves in games(12):
        state, position = rules.start(), pack(rules.start())
        for move in moves[moves != 0]:
            state = rules.play(state, int(move))
            kernels.play(position, np.uint64(move))
            assert position.tolist() == pack(state).tolist()


@pytest.mark.parametrize("name", ["chess", "chess-pgn"])
@pytest.mark.parametrize(
    "text", ["uniform", "greedy", "greedy:epsilon=0,temperature=0.3,opening=2", "mixture"]
)
def test_generated_games_are_the_slow_transcripts(name, text):
    game = Chess(name)
    policy = game.policy(text)
    for seed in (0, 2**64 - 1):
        moves, styles = game.generate(seed, 1000, 2, policy)
        for i, row in enumerate(moves):
            assert row[row != 0].tolist() == transcript(game, seed, 1000 + i, policy)
        assert (styles[:, 0] < len(policy.styles)).all()
        assert (styles[:, 1] <= policy.opening).all()


def test_games_depend_on_seed_and_index_alone():
    many = games(200)
    assert (games(100) == many[:100]).all()
    assert (CHESS.generate(1, 150, 50, CHESS.policy("mixture"))[0] == many[150:]).all()
    assert (games(200, seed=2) != many).any(axis=1).all()


def replay(moves: np.ndarray) -> int:
    """Holds legal moves against python-chess at every ply of some games; how many plies there were."""
    at = rows(moves)
    row, found = np.nonzero(CHESS.legal_moves(moves, at))
    first = np.searchsorted(row, np.arange(len(at) + 1))
    for r, (game, ply) in enumerate(at.tolist()):
        if ply == 0:
            board = chess.Board()
        else:
            board.push(MOVES[moves[game, ply - 1]])
        legal = [
            IDS_BY_SQUARES[m.from_square, m.to_square, m.promotion] for m in board.generate_legal_moves()
        ]
        kernel = found[first[r] : first[r + 1]].tolist()
        assert kernel == sorted(legal) or (not kernel and board.is_game_over())
    return len(at)


def test_legal_moves_at_every_ply_of_ten_thousand_games():
    assert sum(replay(games(100, seed=100 + seed)) for seed in range(100)) > 1_000_000


def test_long_games_end_where_python_chess_ends_them():
    game = Chess("chess", max_plies=600)
    moves = game.generate(5, 0, 60, game.policy("uniform"))[0]
    ends = set()
    for row, result in zip(moves, results(moves), strict=True):
        board = chess.Board()
        for move in row[row != 0]:
            assert not board.is_game_over()
            board.push_uci(rules.UCI[move])
        assert board.is_game_over() or row.all()
        assert board.result() == result
        ends.add(board.outcome() and board.outcome().termination)
    assert len(ends) >= 4


def line(*texts: str) -> np.ndarray:
    return np.array([[IDS[text] for text in texts]], np.uint16)


@pytest.mark.parametrize(
    ("opened", "circle", "plies"),
    [
        ((), ("g1f3", "g8f6", "f3g1", "f6g8"), 16),
        (("e2e4", "e7e5"), ("d1e2", "d8e7", "e2f3", "e7f6", "f3d1", "f6d8"), 2 + 24),
        (("e2e4", "a7a6", "a2a3", "d7d5"), ("g1f3", "g8f6", "f3g1", "f6g8"), 4 + 16),
        # White could take e5xd6: that position never returns, the one after the next move does four times
        (("e2e4", "a7a6", "e4e5", "d7d5"), ("g1f3", "g8f6", "f3g1", "f6g8"), 4 + 17),
        ((), ("b1c3", "b8c6", "a1b1", "a8b8", "b1a1", "b8a8", "c3b1", "c6b8"), 22),  # rights are lost
    ],
)
def test_the_fifth_repetition_ends_a_game(opened, circle, plies):
    moves = (*opened, *circle * 6)
    board = chess.Board()
    while not board.is_game_over():
        board.push_uci(moves[len(board.move_stack)])
    assert CHESS.legal_plies(line(*moves)) == len(board.move_stack) == plies
    assert results(line(*moves[:plies])) == ["1/2-1/2"]


def test_illegal_moves_are_found():
    draw = np.random.default_rng(4)
    moves = games(300, seed=9)
    assert (CHESS.legal_plies(moves) == (moves != 0).sum(axis=1)).all()
    for row in moves:
        row[draw.integers((row != 0).sum())] = draw.integers(1, 2500)  # ids from 1969 on do not exist
    for row, plies in zip(moves, CHESS.legal_plies(moves), strict=True):
        board = chess.Board()
        for move in row[:plies]:
            assert MOVES[move] in board.legal_moves
            board.push(MOVES[move])
        rest = row[plies:]
        illegal = len(rest) and (rest[0] >= len(MOVES) or MOVES[rest[0]] not in board.legal_moves)
        assert illegal or not len(rest) or board.is_game_over()


def test_nothing_is_legal_after_padding_or_after_the_end():
    mate = ("f2f3", "e7e5", "g2g4", "d8h4")
    assert CHESS.legal_plies(line(*mate, "a2a3")) == 4
    assert CHESS.legal_plies(np.array([[IDS["e2e4"], 0, IDS["e7e5"]]], np.uint16)) == 1
    assert not CHESS.legal_moves(line(*mate), np.array([[0, 4]])).any()


def test_rows_may_come_in_any_order():
    moves = games(20)
    at = rows(moves)
    shuffled = np.random.default_rng(0).permutation(len(at))
    assert (CHESS.legal_moves(moves, at[shuffled]) == CHESS.legal_moves(moves, at)[shuffled]).all()


def test_keys():
    moves = games(2000, "uniform")
    assert len(set(CHESS.keys(moves).tolist())) == len({row.tobytes() for row in moves})
    assert CHESS.keys(moves[:5]).tolist() == CHESS.keys(moves)[:5].tolist()
    late = moves[:1, :60].copy()
    late[0, 59] += 1
    assert CHESS.keys(moves[:1, :60]) != CHESS.keys(late)
    pgn = Chess("chess-pgn")
    assert pgn.keys(moves[:1, :60]) == pgn.keys(late)
    late[0, 30] += 1
    early = moves[:1, :60].copy()
    early[0, 3] = 0
    assert pgn.keys(early) != pgn.keys(moves[:1, :60])


@pytest.mark.parametrize("style", [Style(), Style(0.05, 0.5), Style(0.3, 2.0), Style(0.0, 0.05)])
def test_chances_are_those_of_the_rules_to_the_last_bit(style):
    moves = games(3, "greedy")
    at = rows(moves)
    epsilon, temperature = (np.full(len(at), value) for value in style)
    chances = CHESS.probabilities_by_row(moves, at, epsilon, temperature)
    for game, row in enumerate(moves):
        state = rules.start()
        for ply, move in enumerate([*row[row != 0].tolist(), 0]):
            found = chances[(at == [game, ply]).all(axis=1)][0]
            legal = rules.legal(state)
            assert found[legal].tolist() == CHESS.probabilities(state, style)
            assert math.isclose(found.sum(), bool(legal), abs_tol=1e-12)
            assert np.flatnonzero(found).tolist() == legal or style.epsilon == 0
            state = rules.play(state, move) if move else state


def test_games_follow_their_policy():
    """Replies to 1. e4 d5 against the exact chances: chi-square within five deviations of what it should be."""
    game = Chess("chess", max_plies=3)
    moves = game.generate(11, 0, 2_000_000, game.policy("greedy:epsilon=0.2,temperature=0.5,opening=0"))[0]
    replies = moves[(moves[:, :2] == line("e2e4", "d7d5")).all(axis=1), 2]
    state = rules.play(rules.play(rules.start(), IDS["e2e4"]), IDS["d7d5"])
    expected = np.array(game.probabilities(state, Style(0.2, 0.5))) * len(replies)
    seen = np.bincount(replies, minlength=len(rules.UCI))[rules.legal(state)]
    assert seen.sum() == len(replies) > 4000
    deviation, freedom = ((seen - expected) ** 2 / expected).sum(), len(expected) - 1
    assert abs(deviation - freedom) < 5 * math.sqrt(2 * freedom)
    uniform = len(replies) / len(expected)
    assert ((seen - uniform) ** 2 / uniform).sum() > 10 * freedom


def test_policies():
    assert CHESS.policy(CHESS.default_policy).styles.count(Style()) * 2 == len(CHESS.policy("mixture").styles)
    assert CHESS.policy("greedy:opening=3,epsilon=0.5") == CHESS.policy("greedy:epsilon=0.5,opening=3")
    assert CHESS.policy("greedy:temperature=2").styles[0].temperature == 2
    drawn = CHESS.generate(0, 0, 3000, CHESS.policy("mixture"))[1]
    assert [*map(len, map(np.unique, drawn.T))] == [8, 9]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("gredy", "no policy 'gredy', did you mean 'greedy'"),
        ("uniform:epsilon=1", "'uniform' takes no options"),
        ("greedy:epsilom=1", "no option 'epsilom', did you mean 'epsilon'"),
        ("greedy:epsilon=2", "epsilon to be a number from 0 to 1, got '2'"),
        ("greedy:temperature=0", "temperature to be a number from 0.05 to 100, got '0'"),
        ("greedy:temperature=nan", "got 'nan'"),
        ("greedy:opening=1.5", "opening to be a whole number from 0 to 40, got '1.5'"),
        ("greedy:opening", "got ''"),
    ],
)
def test_a_wrong_policy_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        CHESS.policy(text)


def test_one_ply_gains():
    state = rules.from_fen("1q2k3/P7/8/3pP3/8/8/8/4K3 w - d6 0 1")
    names = [rules.san(state, move) for move in rules.legal(state)]
    chances = dict(zip(names, CHESS.probabilities(state, Style(0.0, 1.0)), strict=True))
    ratio = {name: round(math.log(chance / chances["e6"])) for name, chance in chances.items()}
    assert ratio["exd6"] == 1
    assert ratio["axb8=Q+"] == 9 + 8
    assert ratio["a8=N"] == 2
    assert ratio["Kd2"] == 0
