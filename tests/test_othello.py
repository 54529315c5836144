"""Othello: published counts, an independent brute force, symmetries, and kernels against the rules."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import games
from games.core import play_all, predicates, rows, square_names, transcript
from games.othello import kernels, rules
from games.othello.rules import State

GAMES = {name: games.load(name) for name in ("othello", "othello6")}
PUBLISHED = [1, 4, 12, 56, 244, 1396, 8200, 55092, 390216, 3005288]  # lines of 0 to 9 plies on 8x8


@pytest.fixture(params=GAMES)
def game(request):
    return GAMES[request.param]


def fast_perft(game, depth):
    black, white, board = game._start
    return int(kernels.perft(black, white, board, depth))


def grid_perft(grid, me, depth):
    """Counts lines on a matrix of -1, 0, 1 by numpy slices of lines: nothing shared with the rules or the kernels."""
    if depth == 0:
        return 1
    options = [after for r, c in np.argwhere(grid == 0) if (after := grid_play(grid, me, r, c)) is not None]
    if not options:
        can_pass = any(grid_play(grid, -me, r, c) is not None for r, c in np.argwhere(grid == 0))
        return grid_perft(grid, -me, depth - 1) if can_pass else 0
    return sum(grid_perft(after, -me, depth - 1) for after in options)


def grid_play(grid, me, r, c):
    after, n = grid.copy(), len(grid)
    for dr, dc in itertools.product((-1, 0, 1), repeat=2):
        line = [(r + i * dr, c + i * dc) for i in range(1, n)] if dr or dc else []
        line = [(i, j) for i, j in line if 0 <= i < n and 0 <= j < n]
        values = "".join("-.+"[grid[square] * me + 1] for square in line)
        turns = len(values) - len(values.lstrip("-"))
        if turns and values[turns : turns + 1] == "+":
            after[tuple(zip(*line[:turns], strict=True))] = me
    if (after == grid).all():
        return None
    after[r, c] = me
    return after


def grid_start(n):
    grid = np.zeros((n, n), int)
    grid[n // 2 - 1, n // 2 - 1] = grid[n // 2, n // 2] = -1
    grid[n // 2 - 1, n // 2] = grid[n // 2, n // 2 - 1] = 1
    return grid


def rules_perft(state, depth):
    if depth == 0:
        return 1
    return sum(rules_perft(rules.play(state, move), depth - 1) for move in rules.legal(state))


def test_published_counts():
    assert [fast_perft(GAMES["othello"], depth) for depth in range(10)] == PUBLISHED
    assert [rules_perft(rules.start(8), depth) for depth in range(6)] == PUBLISHED[:6]


def test_6x6_counts_equal_an_independent_brute_force():
    slow = [grid_perft(grid_start(6), 1, depth) for depth in range(7)]
    assert [fast_perft(GAMES["othello6"], depth) for depth in range(7)] == slow
    assert [rules_perft(rules.start(6), depth) for depth in range(6)] == slow[:6]


def test_move_ids_are_the_tokens_of_published_models():
    """Those count 1 to 60 along the squares but the four in the middle; 0 is a pass or padding."""
    squares = [*range(27), 29, 30, 31, 32, 33, 34, *range(37, 64)]
    published = {
        1 + place: "abcdefgh"[square % 8] + str(square // 8 + 1) for place, square in enumerate(squares)
    }
    assert dict(enumerate(GAMES["othello"].moves)) == {0: "start"} | published


def test_random_games_are_the_ones_the_rules_play(game):
    policy = game.policy("uniform")
    moves, _ = game.generate(7, 1000, 300, policy)
    for i in range(40):
        played = transcript(game, 7, 1000 + i, policy)
        assert moves[i].tolist() == played + [0] * (game.max_plies - len(played))


def test_games_depend_on_seed_and_index_alone(game):
    policy = game.policy("uniform")
    moves, _ = game.generate(3, 0, 600, policy)
    assert (game.generate(3, 0, 300, policy)[0] == moves[:300]).all()
    assert (game.generate(3, 300, 300, policy)[0] == moves[300:]).all()
    assert not (game.generate(4, 0, 600, policy)[0] == moves).all(axis=1).any()


def test_moves_are_chosen_uniformly():
    game = GAMES["othello"]
    moves, _ = game.generate(0, 0, 40_000, game.policy("uniform"))
    counts = np.bincount(moves[:, 0])[np.array(game.legal(game.start()))]
    assert counts.sum() == 40_000
    assert abs(counts - 10_000).max() < 4 * np.sqrt(40_000 * 0.25 * 0.75)


def with_passes(game, count):
    """Transcripts that have passes, early ends, and a share of ordinary ones."""
    moves, _ = game.generate(11, 0, 4000, game.policy("uniform"))
    short = (moves != 0).sum(1) < game.max_plies
    passes = game.words(moves, rows(moves), ["passed"])[:, 0] != 0
    with_pass = np.unique(rows(moves)[passes, 0])
    chosen = np.unique(
        np.r_[np.flatnonzero(short)[: count // 3], with_pass[: count // 3], np.arange(count // 3)]
    )
    return moves[chosen]


def test_every_plane_equals_the_rules(game):
    moves = with_passes(game, 36)
    names = [plane.name for plane in game.planes]
    words = game.words(moves, rows(moves), names)
    states = [state for line in moves for state in play_all(game, line[line != 0])]
    assert len(states) == len(words)
    assert sum(state.passed for state in states) > 10
    for state, row in zip(states, words.tolist(), strict=True):
        assert game.truth(state) == dict(zip(names, row, strict=True))
    never = set(names) - {name for name, column in zip(names, words.T, strict=True) if column.any()}
    assert not never


def test_rows_may_come_in_any_order(game):
    moves = with_passes(game, 30)
    some = rows(moves)[np.random.default_rng(0).permutation(len(rows(moves)))[:500]]
    names = [plane.name for plane in game.planes]
    all_words = dict(
        zip(map(tuple, rows(moves).tolist()), game.words(moves, rows(moves), names), strict=True)
    )
    shuffled = game.words(moves, some, names)
    assert all(
        (all_words[tuple(row)] == word).all() for row, word in zip(some.tolist(), shuffled, strict=True)
    )


def brute_truth(state: State):
    """What holds at a position as sets of square names, on a matrix, apart from the rules' own code."""
    n = int(len(state.board) ** 0.5)
    names = np.array(square_names(n)).reshape(n, n)
    grid = np.array([{"x": 1, "o": -1, ".": 0}[cell] for cell in state.board]).reshape(n, n)
    me = 1 if state.black else -1
    legal = {names[r, c] for r, c in np.argwhere(grid == 0) if grid_play(grid, me, r, c) is not None}
    ply = int((grid != 0).sum()) - 4
    just_moved = 1 if ply % 2 else -1
    rim = np.ones((n, n), bool)
    rim[1:-1, 1:-1] = False
    corner = np.zeros((n, n), bool)
    corner[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    edge = rim & ~corner
    sets = {
        "occupied": grid != 0,
        "empty": grid == 0,
        "mine": grid == me,
        "theirs": grid == -me,
        "black": grid == 1,
        "white": grid == -1,
        "mine_paper": grid == just_moved,
        "theirs_paper": grid == -just_moved,
    }
    counts = {
        "my_corners": grid[corner] == me,
        "their_corners": grid[corner] == -me,
        "my_edges": grid[edge] == me,
        "their_edges": grid[edge] == -me,
    }
    found = {name: set(names[where]) for name, where in sets.items()}
    found |= {name: {str(k) for k in range(1, held.sum() + 1)} for name, held in counts.items()}
    return found | {"legal": legal, "legal_paper": legal, "over": set() if legal else {""}}


def test_truth_equals_plain_loops(game):
    planes = {plane.name: plane for plane in game.planes}
    for line in with_passes(game, 45):
        for state in play_all(game, line[line != 0])[::3]:
            truth = game.truth(state)
            for name, expected in brute_truth(state).items():
                plane = planes[name]
                held = zip(plane.stands_for, plane.bits, strict=True)
                assert {what for what, bit in held if truth[name] >> bit & 1} == expected, name


def test_truth_of_the_last_move_is_what_changed(game):
    """Played, flipped and changed squares follow from the boards before and after, passes from the colours placed."""
    for line in with_passes(game, 30):
        states = play_all(game, line[line != 0])
        for before, after in itertools.pairwise(states):
            pairs = list(zip(before.board, after.board, strict=True))
            bits = [8 * (s // game.size) + s % game.size for s in range(game.size**2)]
            truth = game.truth(after)
            placed = sum(1 << b for b, (old, new) in zip(bits, pairs, strict=True) if old == "." != new)
            turned = sum(1 << b for b, (old, new) in zip(bits, pairs, strict=True) if "." != old != new)
            assert (truth["last_move"], truth["flipped"], truth["changed"]) == (
                placed,
                turned,
                placed | turned,
            )
            assert truth["passed"] == (before.black == after.black and bool(game.legal(after)))


HAND_MADE = [  # game, predicate, moves after which it holds, moves after which it nearly does
    ("othello", "d3 is occupied", "d3", "c4"),
    ("othello", "d3 is empty", "c4", "d3"),
    ("othello", "d5 is mine", "", "d3"),  # black's disc, and after d3 white is to move
    ("othello", "d5 is theirs", "d3", ""),
    ("othello", "e3 is legal", "d3", ""),
    ("othello", "e6 is legal, turning discs up", "", "e6 d6"),
    ("othello", "c6 is legal, turning discs up right", "f5 d6", "f5"),
    ("othello", "c4 is legal, turning discs right", "", "d3"),
    ("othello", "c3 is legal, turning discs down right", "d3", ""),
    ("othello", "d3 is legal, turning discs down", "", "f5"),
    ("othello", "f3 is legal, turning discs down left", "f5 f4", "f5"),
    ("othello", "f5 is legal, turning discs left", "", "f5"),
    ("othello", "f6 is legal, turning discs up left", "f5", "d3 c3"),
    ("othello", "d4 was just played or flipped", "d3", "f5"),
    ("othello", "d3 was just played", "d3", "d3 c3"),
    ("othello", "d4 was just flipped", "d3", "d3 e3"),
    ("othello", "d4 is black", "d3", ""),
    ("othello", "d4 is white", "f5", "d3"),
    ("othello6", "at least 1 of my discs are in corners", "d5 e5 f5 f6 c2", "d5 e5 f5 f6"),
    ("othello6", "at least 1 of their discs are in corners", "d5 e5 f5 f6", "d5 e5 f5"),
    ("othello6", "at least 3 of my discs are on edges", "d5 e3 f2 f3 f4 d6", "d5 e3 f2 f3 f4"),
    ("othello6", "at least 3 of their discs are on edges", "d5 e3 f2 f3 f4", "d5 e3 f2 f3 f4 d6"),
    ("othello", "black is to move", "d3 c3", "d3"),
    ("othello6", "the opponent has just passed", "c2 d2 e2 d1 e4 f3 f2 f1", "c2 d2 e2 d1 e4 f3 f2"),
    ("othello", "the game is over", "e6 f4 e3 f6 g5 d6 e7 f5 c5", "e6 f4 e3 f6 g5 d6 e7 f5"),
    ("othello", "d3 is mine (paper)", "d3", "d3 e3"),  # the paper's "mine" has just moved
    ("othello", "d3 is theirs (paper)", "d3 c3", "d3"),
    ("othello", "c3 is legal (paper)", "d3", ""),
]


@pytest.mark.parametrize(("name", "predicate", "yes", "nearly"), HAND_MADE)
def test_hand_made_positions(name, predicate, yes, nearly):
    column = [p.name for p in predicates(GAMES[name])].index(predicate)
    for moves, holds in ((yes, True), (nearly, False)):
        ids = [GAMES[name].moves.index(move) for move in moves.split()]
        line = np.array([ids or [0]], np.uint8)
        assert GAMES[name].legal_plies(line) == len(ids)
        assert games.truth(games.Transcripts(name, line), np.array([[0, len(ids)]]))[0, column] == holds


def test_every_plane_has_a_hand_made_position():
    texts = {predicate for _, predicate, _, _ in HAND_MADE}
    for plane in GAMES["othello"].planes:
        assert any(plane.text.format(what) in texts for what in plane.stands_for), plane.name


def test_children_imply_their_parents(game):
    moves = with_passes(game, 45)
    truth = games.truth(games.Transcripts(game.name, moves), rows(moves))
    columns = {p.name: i for i, p in enumerate(predicates(game))}
    assert len(columns) == truth.shape[1]
    for predicate in predicates(game):
        for parent in predicate.parents:
            child = truth[:, columns[predicate.name]]
            assert truth[child, columns[parent]].all(), (predicate.name, parent)


def test_the_shortest_game_ends_after_nine_moves():
    """A wipe-out: black turns the last white disc, nobody can move."""
    game = GAMES["othello"]
    line = np.array(
        [[game.moves.index(m) for m in ["e6", "f4", "e3", "f6", "g5", "d6", "e7", "f5", "c5"]]], np.uint8
    )
    end = play_all(game, line[0])[-1]
    assert end.board.count("o") == 0
    assert game.legal(end) == []
    assert game.truth(end)["over"] == 1
    assert game.legal_plies(np.c_[line, [[1]]].astype(np.uint8)) == [9]


def test_illegal_moves_are_found_where_they_stand(game):
    moves, _ = game.generate(0, 0, 50, game.policy("uniform"))
    lengths = (moves != 0).sum(1)
    assert (game.legal_plies(moves) == lengths).all()
    broken = moves.copy()
    broken[:, 10] = broken[:, 3]  # occupied
    assert (game.legal_plies(broken) == 10).all()
    hole = moves.copy()
    hole[:, 5] = 0
    assert (game.legal_plies(hole) == 5).all()
    unknown = moves.copy()
    unknown[:, 7] = 255
    assert (game.legal_plies(unknown) == 7).all()
    with pytest.raises(ValueError, match="expected a legal move, one of"):
        game.play(game.start(), 1)


def test_legal_moves_by_row(game):
    moves = with_passes(game, 15)
    legal = game.legal_moves(moves, rows(moves))
    states = [state for line in moves for state in play_all(game, line[line != 0])]
    assert [np.flatnonzero(row).tolist() for row in legal] == [game.legal(state) for state in states]


def test_mirror_images_have_one_key(game):
    moves, _ = game.generate(0, 0, 500, game.policy("uniform"))
    keys = game.keys(moves)
    assert len(set(keys.tolist())) == len(moves)
    for image in game.images:
        assert (game.legal_plies(image[moves]) == (moves != 0).sum(1)).all()
        assert (game.keys(image[moves]) == keys).all()
    assert len({tuple(image.tolist()) for image in game.images}) == 4


SQUARE_MAPS = {
    "diagonal": lambda r, c, _n: (c, r),
    "other diagonal": lambda r, c, n: (n - 1 - c, n - 1 - r),
    "half turn": lambda r, c, n: (n - 1 - r, n - 1 - c),
}


@settings(max_examples=30)
@given(index=st.integers(0, 2**40), size=st.sampled_from([6, 8]), name=st.sampled_from(sorted(SQUARE_MAPS)))
def test_symmetries_commute_with_truth(index, size, name):
    game = GAMES["othello" if size == 8 else "othello6"]
    move = SQUARE_MAPS[name]
    ids = {square: i for i, square in enumerate(rules.move_squares(size))}
    state, image = game.start(), game.start()
    for played in transcript(game, 0, index, game.policy("uniform")):
        square = rules.move_squares(size)[played]
        r, c = move(square // size, square % size, size)
        state, image = game.play(state, played), game.play(image, ids[r * size + c])
        assert all(
            image.board[move(s // size, s % size, size)[0] * size + move(s // size, s % size, size)[1]]
            == cell
            for s, cell in enumerate(state.board)
        )
        assert (state.black, state.passed) == (image.black, image.passed)


@settings(max_examples=30)
@given(index=st.integers(0, 2**40), size=st.sampled_from([6, 8]))
def test_play_never_mutates_and_discs_only_grow(index, size):
    game = GAMES["othello" if size == 8 else "othello6"]
    state = game.start()
    for ply, move in enumerate(transcript(game, 1, index, game.policy("uniform"))):
        copy = State(*state)
        after = game.play(state, move)
        assert state == copy
        assert size * size - after.board.count(".") == ply + 5
        assert all(new != "." for old, new in zip(state.board, after.board, strict=True) if old != ".")
        state = after


def test_mean_discs_per_position_is_that_of_the_rules():
    """Both sides together hold 4 + k discs after k plies: 34 a position over the first 59, whatever is played."""
    game = GAMES["othello"]
    moves, _ = game.generate(0, 0, 200, game.policy("uniform"))
    full = moves[(moves != 0).all(1)]
    some = rows(full)
    truth = games.truth(
        games.Transcripts("othello", full), some[(some[:, 1] >= 1) & (some[:, 1] < 60)], ["mine", "theirs"]
    )
    assert truth.sum(1).mean() == 34
