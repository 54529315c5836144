"""The plain engines that ours are measured against do the right work, and the measurement runs."""

import subprocess
import sys
from pathlib import Path
from random import Random

import chess
import numpy as np
import pytest

import games
from benchmarks import pages
from benchmarks.speed import engines as speed
from benchmarks.speed import plain_othello, with_python_chess
from games.core import play_all

ROOT = Path(__file__).parent.parent


def test_plain_othello_plays_whole_legal_games():
    othello = games.load("othello")
    for seed in range(4):
        game = plain_othello.random_game(Random(seed))
        moves = [othello.moves.index("abcdefgh"[c] + str(r + 1)) for r, c in game]
        states = play_all(othello, moves)
        assert all(move in othello.legal(state) for state, move in zip(states, moves, strict=False))
        assert not othello.legal(states[-1])


def test_plain_othello_labels_are_the_truth_passes_included():
    moves = speed.played("othello", 12)
    boards, legal = plain_othello.labels(speed.as_pairs(moves))
    planes = speed.labels("othello", moves).reshape(-1, 4, 8, 8)
    assert np.array_equal(np.stack([*np.moveaxis(boards, 3, 0), legal], axis=1), planes)
    passed = games.truth(games.Transcripts("othello", moves), games.rows(moves), ["passed"])
    assert passed.any()


@pytest.mark.parametrize("policy", ["uniform", "mixture"])
def test_labels_by_python_chess_are_the_truth(policy):
    game = games.load("chess")
    moves, _ = game.generate(1, 0, 4, game.policy(policy))
    some = [[chess.Move.from_uci(name) for name in names] for names in speed.names("chess", moves)]
    assert np.array_equal(with_python_chess.labels(some), speed.labels("chess", moves))


def test_python_chess_reads_the_text_it_writes():
    text = with_python_chess.random_text(Random(0), 120)
    moves = with_python_chess.read(text)
    assert text.startswith(";1.")
    assert len(moves) == 120
    assert speed.uci([moves]) == speed.names("chess", speed.parsed([text]))


def test_quick_run_prints_a_row_for_every_task():
    command = [sys.executable, "-m", "benchmarks.speed.engines", "--quick"]
    table = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(table) == 7
    assert all(line.count("|") == 8 for line in table)
    assert [line.split("|")[7].strip() for line in table[2:]] == ["3,000", "1,200", "130", "45", "110"]


def test_readme_gets_the_table_between_its_marks():
    readme = (ROOT / "README.md").read_text()
    once = pages.into(readme, "speed", "| a |\n")
    assert "<!-- speed -->\n\n| a |\n\n<!-- end of speed -->" in once
    assert pages.into(once, "speed", "| b |\n") == once.replace("| a |", "| b |")
    with pytest.raises(ValueError, match="expected '<!-- speed -->'"):
        pages.into("# no marks", "speed", "")
