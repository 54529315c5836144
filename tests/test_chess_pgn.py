"""PGN: broken files are survived and accounted for, our own games come back as they were."""

import gzip
import io
import logging
import sys

import chess.pgn
import numpy as np
import pytest
import zstandard

from games.chess import rules
from games.chess.game import Chess
from games.chess.pgn import Report, game_text, read
from tests.test_chess_kernels import games, line
from tests.test_chess_rules import IDS

FINE = '[Event "x"]\n\n1. e4 e5 2. Nf3 (2. Ke2 Nc6) 2... Nc6 {a comment} 1-0\n\n'
FINE_MOVES = [IDS[text] for text in ("e2e4", "e7e5", "g1f3", "b8c6")]
SHUFFLE = (
    "1. Nf3 Nf6 2. Ng1 Ng8 3. Nf3 Nf6 4. Ng1 Ng8 5. Nf3 Nf6 6. Ng1 Ng8 7. Nf3 Nf6 8. Ng1 Ng8 9. e4 e5 *\n\n"
)


def read_text(tmp_path, text: str | bytes, max_plies: int = 120, name: str = "games.pgn"):
    path, report = tmp_path / name, Report()
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read(path, max_plies, report)), report


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1. e4 e5 2. Ke3 Ke7 *\n\n", "illegal or unreadable move"),
        ("1. e4 e5 2. Bb5 -- 3. Bc4 *\n\n", "null move"),
        ('[Variant "Crazyhouse"]\n\n1. e4 e5 2. N@e3 *\n\n', "another variant"),
        ('[Variant "Chess960"]\n\n1. e4 e5 *\n\n', "another variant"),
        ('[Variant "No such thing"]\n\n1. e4 e5 *\n\n', "another variant"),
        (
            '[SetUp "1"]\n[FEN "4k3/8/8/8/8/8/8/4K2R w K - 0 1"]\n\n1. O-O *\n\n',
            "starts from another position",
        ),
        ('[FEN "rubbish"]\n\n1. e4 *\n\n', "starts from another position"),
        ('[Event "nothing"]\n\n*\n\n', "no moves"),
        ("\x00\x01\ufffd\ufffd what is this\n\n", "no moves"),
    ],
)
def test_a_game_of_no_use_is_skipped_with_its_reason(tmp_path, caplog, text, fault):
    with caplog.at_level(logging.DEBUG):
        found, report = read_text(tmp_path, FINE + text + FINE)
    assert found == [FINE_MOVES, FINE_MOVES]
    assert (report.games, report.skipped) == (2, {fault: 1})
    assert not caplog.records


@pytest.mark.parametrize("header", ["Standard", "chess", "Normal"])
def test_standard_chess_may_say_so(tmp_path, header):
    found, _ = read_text(tmp_path, f'[Variant "{header}"]\n[FEN "{rules.START}"]\n\n1. e4 *\n\n')
    assert found == [[IDS["e2e4"]]]


def test_long_games_are_cut(tmp_path):
    found, report = read_text(tmp_path, FINE * 3, max_plies=3)
    assert found == [FINE_MOVES[:3]] * 3
    assert report.cut == {"longer than 3 plies": 3}
    assert read_text(tmp_path, FINE, max_plies=4)[1].cut == {}


def test_moves_after_a_draw_by_rule_are_cut(tmp_path):
    found, report = read_text(tmp_path, SHUFFLE)
    assert [len(game) for game in found] == [16]
    assert report.cut == {"played on after a draw": 1}


def test_reading_goes_on_where_a_report_ends(tmp_path):
    text = "".join(FINE.replace("2. Nf3", f"2. {move}") for move in ("Nf3", "Ke4", "Nc3", "Nh3", "d4", "Na3"))
    whole, final = read_text(tmp_path, text)
    report = Report()
    first = read(tmp_path / "games.pgn", 120, report)
    begun = [next(first), next(first)]
    assert begun + list(read(tmp_path / "games.pgn", 120, report)) == whole
    assert report == final
    assert (len(whole), report.games, report.skipped.total()) == (5, 5, 1)


def test_bytes_that_are_no_text(tmp_path):
    rubbish = np.random.default_rng(0).bytes(3000)
    found, _ = read_text(
        tmp_path, b"\xef\xbb\xbf" + FINE.encode("latin-1") + rubbish + b"\n\n\n" + FINE.encode()
    )
    assert found[0] == FINE_MOVES == found[-1]
    assert read_text(tmp_path, b"")[0] == []


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_packed_files(tmp_path, suffix, pack):
    name = f"games.pgn{suffix}"
    assert read_text(tmp_path, pack(FINE.encode()) + pack(FINE.encode()), name=name)[0] == [FINE_MOVES] * 2
    found, report = read_text(tmp_path, b"this is not packed at all", name=name)
    assert not found
    assert [reason.split(":")[0] for reason in report.skipped] == ["broken file"]


def test_a_packed_file_that_breaks_off(tmp_path):
    draw = np.random.default_rng(1)
    packed = gzip.compress(
        "".join(FINE.replace("x", str(draw.integers(10**9))) for _ in range(2000)).encode()
    )
    found, report = read_text(tmp_path, packed[: len(packed) // 2], name="games.pgn.gz")
    assert 500 < len(found) < 1500
    assert found == [FINE_MOVES] * len(found)
    assert list(report.skipped.values()) == [1]


def test_zst_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ValueError, match=r"games.pgn.zst needs zstandard; pip install 'boardsae\[zstd\]'"):
        read_text(tmp_path, b"", name="games.pgn.zst")


def test_round_trip(tmp_path):
    long = Chess("chess", max_plies=500)
    moves = np.concatenate(
        [
            long.generate(2, 0, 12, long.policy("uniform"))[0],
            np.pad(games(12), ((0, 0), (0, 380))),
        ]
    )
    text = "".join(game_text(row[row != 0], 7 + i, "us") for i, row in enumerate(moves))
    found, report = read_text(tmp_path, text, max_plies=500)
    assert found == [row[row != 0].tolist() for row in moves]
    assert report == Report(games=24)
    file = io.StringIO(text)
    results = set()
    for i, row in enumerate(moves):
        game = chess.pgn.read_game(file)
        board = game.end().board()
        assert not game.errors
        assert board.ply() == (row != 0).sum()
        assert game.headers["Result"] == board.result()
        assert (game.headers["Event"], game.headers["Round"]) == ("us", str(7 + i))
        results.add(board.result())
    assert results == {"*", "1-0", "0-1", "1/2-1/2"}
    assert max(map(len, text.splitlines())) < 80


def test_a_written_game():
    text = game_text(line("f2f3", "e7e5", "g2g4", "d8h4")[0], 1)
    assert text.endswith('[Result "0-1"]\n\n1. f3 e5 2. g4 Qh4# 0-1\n\n')
