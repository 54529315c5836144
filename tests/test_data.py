"""Transcripts on disk: the same bytes always, finished after any kill, refused when they are not what they say."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import games
from boardsae import Broken, data, files, generate
from boardsae.files import Held, alone_in
from boardsae.splits import SPLITS
from boardsae.verify import verify
from games.core import transcript


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks out of few games."""
    monkeypatch.setattr(generate, "BLOCK", 64)


def make(folder, count=300, seed=0, workers=1, force=False, game="othello6", policy=None):
    return generate.from_policy(game, count, seed, policy, workers, folder, force)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def quiet(_line):
    pass


def edit_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def rewrite(folder, name, array):
    """Replaces an array and its hash in the manifest, as a careful forger would."""
    np.save(folder / f"{name}.npy", array)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][f"{name}.npy"]["sha256"] = files.sha256(folder / f"{name}.npy")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_bytes_do_not_depend_on_workers_or_on_how_many_games_follow(tmp_path):
    one, two, more = make(tmp_path / "1"), make(tmp_path / "2", workers=2), make(tmp_path / "m", count=600)
    assert contents(one.folder) == contents(two.folder)
    assert (more.moves[:300] == one.moves).all()
    assert (more.split[:300] == one.split).all()


def test_games_are_those_of_seed_and_index(tmp_path):
    made = make(tmp_path / "d", seed=5)
    policy = made.game.policy("uniform")
    for index in (0, 63, 64, 299):
        assert [m for m in made.moves[index].tolist() if m] == transcript(made.game, 5, index, policy)


def test_splits_share_no_game(tmp_path):
    made = make(tmp_path / "d", count=20_000)
    keys = made.game.keys(np.asarray(made.moves))
    by_split = [set(keys[made.split == i].tolist()) for i in range(3)]
    assert len(set.union(*by_split)) == sum(map(len, by_split))
    assert sum(map(len, by_split)) == made.manifest["disjoint"]["kept_games"]
    counted = [facts["games"] for facts in made.manifest["splits"].values()]
    assert counted == np.bincount(made.split, minlength=4).tolist()
    assert len(made.transcripts("train").moves) == counted[0]


def test_a_finished_folder_is_left_alone(tmp_path, capsys):
    make(tmp_path / "d")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "d").iterdir()}
    make(tmp_path / "d")
    assert "already holds these games" in capsys.readouterr().err
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "d").iterdir()}


def test_other_arguments_are_refused_unless_forced(tmp_path):
    first = contents(make(tmp_path / "d").folder)
    with pytest.raises(FileExistsError, match="was made with seed 0; --force replaces it"):
        make(tmp_path / "d", seed=1)
    assert contents(tmp_path / "d") == first
    forced = make(tmp_path / "d", seed=1, force=True)
    assert contents(forced.folder) == contents(make(tmp_path / "fresh", seed=1).folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "fresh"]


def test_a_folder_of_something_else_is_never_touched(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(FileExistsError, match="holds no transcripts"):
            make(tmp_path / "d", force=force)
    assert (tmp_path / "d" / "thesis.tex").read_text() == "years of work"


def die_at(monkeypatch, moment):
    """Kills this process for good just before its moment-th write, rename or deletion."""
    calls = iter(range(10_000))

    def deadly(owner, name):
        real = getattr(owner, name)

        def call(*args, **kwargs):
            if next(calls) == moment:
                os._exit(9)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for owner, name in [(os, "pwrite"), (os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink")]:
        deadly(owner, name)


def killed(monkeypatch, moment, work):
    """Runs `work` in a forked child that dies at the moment; says whether it did die."""
    pid = os.fork()
    if pid == 0:
        try:
            die_at(monkeypatch, moment)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("forced", [False, True])
def test_killed_at_every_write_it_is_never_wrong_and_the_same_command_finishes_it(
    tmp_path, monkeypatch, forced
):
    whole, old = contents(make(tmp_path / "whole").folder), contents(make(tmp_path / "old", seed=9).folder)
    folder = tmp_path / "d"
    moment = deaths = 0
    while True:
        if forced:
            shutil.copytree(tmp_path / "old", folder)
        died = killed(monkeypatch, moment, lambda: make(folder, force=forced))
        deaths += died
        if folder.exists():
            verify(folder, sample=1, log=quiet)
            assert contents(folder) in (whole, old)
        make(folder, force=forced)
        assert contents(folder) == whole
        assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "old", "whole"]
        shutil.rmtree(folder)
        if not died:
            break
        moment += 1
    assert deaths >= 20


def test_an_unfinished_folder_of_another_request_is_not_dropped_silently(tmp_path, monkeypatch):
    assert killed(monkeypatch, 8, lambda: make(tmp_path / "d"))
    with pytest.raises(FileExistsError, match="unfinished request for something else"):
        make(tmp_path / "d", seed=1)
    made = make(tmp_path / "d", seed=1, force=True)
    assert contents(made.folder) == contents(make(tmp_path / "fresh", seed=1).folder)


def test_two_processes_do_not_write_one_folder(tmp_path):
    with alone_in(tmp_path / "d.partial"), pytest.raises(Held, match="another process is writing"):
        make(tmp_path / "d")
    make(tmp_path / "d")


@pytest.mark.parametrize("folder", [".", ".."])
def test_games_want_a_folder_of_their_own(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="expected a folder of its own for the games"):
        make(Path(folder))
    assert not any(tmp_path.iterdir())


def test_a_full_disk_is_said_before_it_is_filled_and_survived(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        with pytest.raises(OSError, match="are free; ask for fewer --games") as caught:
            make(tmp_path / "d")
        assert caught.value.errno == errno.ENOSPC
    assert make(tmp_path / "d", count=5).manifest["games"] == 5  # nothing was begun that this could lose
    shutil.rmtree(tmp_path / "d")
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            make(tmp_path / "d")
    assert contents(make(tmp_path / "d").folder) == contents(make(tmp_path / "fresh").folder)


def test_verify_accepts_what_was_made(tmp_path, capsys):
    made = make(tmp_path / "d")
    verify(made.folder, sample=None)
    assert "300 games replayed move by move" in capsys.readouterr().err


def truncate(folder):
    path = folder / "moves.npy"
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(folder):
    path = folder / "moves.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def illegal_move(folder):
    moves = np.load(folder / "moves.npy")
    moves[17, 3] = moves[17, 0]
    rewrite(folder, "moves", moves)


def early_end(folder):
    moves = np.load(folder / "moves.npy")
    moves[23, 12:] = 0
    rewrite(folder, "moves", moves)


def leaked_game(folder):
    split = np.load(folder / "split.npy")
    split[5] = (split[5] + 1) % 3
    rewrite(folder, "split", split)


def copied_game(folder):
    """A mirror image of a training game in another split."""
    moves, game = np.load(folder / "moves.npy"), games.load("othello6")
    moves[7] = game.images[2][moves[6]]
    rewrite(folder, "moves", moves)


def hashless(folder):
    held = json.loads((folder / "manifest.json").read_text())["files"]
    return held | {"moves.npy": held["moves.npy"] | {"sha256": None}}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, "moves.npy is not a readable array|expected uint8"),
        (flip_a_byte, "moves.npy was changed"),
        (illegal_move, "game 17 of .* ply 4 is '.*'; legal there: "),
        (early_end, "game 23 of .* stops after 12 plies"),
        (leaked_game, "game 5 of .* belongs to '.*', got '.*'"),
        (copied_game, "game 7 of .* belongs to 'duplicate'"),
        (lambda folder: edit_manifest(folder, format=99), "has data format 99"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is not JSON"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "expected a JSON object"),
        (lambda folder: edit_manifest(folder, games=5), "expected 5 games, got 300"),
        (lambda folder: edit_manifest(folder, files=[]), r"expected fields of files .*, got \[\]"),
        (
            lambda folder: edit_manifest(folder, files={}),
            "expected moves.npy of files .* to be a dict, got None",
        ),
        (lambda folder: edit_manifest(folder, files=hashless(folder)), "expected sha256 of moves.npy"),
        (lambda folder: edit_manifest(folder, request=[1]), r"expected fields of request .*, got \[1\]"),
        (
            lambda folder: edit_manifest(folder, request={"game": 5}),
            "expected game of request .* to be a str, got 5",
        ),
        (lambda folder: edit_manifest(folder, disjoint={}), "expected kept_games of disjoint"),
        (lambda folder: edit_manifest(folder, disjoint={"kept_games": 299}), "counts other games than"),
        (
            lambda folder: edit_manifest(folder, splits={name: {"games": 1} for name in SPLITS}),
            "counts other games than",
        ),
        (lambda folder: (folder / "split.npy").unlink(), "split.npy is not a readable array"),
    ],
)
def test_verify_names_the_fault(tmp_path, damage, said):
    folder = make(tmp_path / "d").folder
    damage(folder)
    with pytest.raises(Broken, match=said):
        verify(folder, sample=1, log=quiet)


def test_a_manifest_of_another_engine_version_is_refused(tmp_path):
    folder = make(tmp_path / "d").folder
    request = json.loads((folder / "manifest.json").read_text())["request"]
    edit_manifest(folder, request=request | {"version": 99})
    with pytest.raises(Broken, match="made by version 99 of othello6"):
        data.load(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"count": 0}, "expected games to be 1 or more, got 0"),
        ({"count": -5}, "expected games to be 1 or more, got -5"),
        ({"workers": 0}, "expected workers to be 1 or more, got 0"),
        ({"seed": -1}, "expected a seed from 0"),
        ({"game": "othelo"}, "no game 'othelo', did you mean 'othello'"),
        ({"policy": "unifrom"}, "no policy 'unifrom', did you mean 'uniform'"),
    ],
)
def test_bad_requests(tmp_path, arguments, said):
    with pytest.raises(ValueError, match=said):
        make(tmp_path / "d", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def pgn(tmp_path):
    """200 games of our own as PGN, with a game of a variant and an illegal one among them."""
    chess = games.load("chess")
    moves, _ = chess.generate(0, 0, 200, chess.policy("uniform"))
    from games.chess.pgn import game_text

    texts = [game_text(line[line != 0], i, "test") for i, line in enumerate(moves)]
    texts.insert(70, '[Variant "Atomic"]\n\n1. e4 e5 *\n\n')
    texts.insert(150, "1. e4 e5 2. Ke3 *\n\n")
    path = tmp_path / "games.pgn"
    path.write_text("".join(texts))
    return path, moves


def from_pgn(folder, path, count=None, game="chess"):
    return generate.from_pgn(game, count, path, 1, folder)


def test_real_games_are_read_and_what_is_skipped_is_told(tmp_path, pgn):
    path, moves = pgn
    made = from_pgn(tmp_path / "d", path)
    assert (made.moves == moves).all()
    assert made.manifest["skipped"] == {"another variant": 1, "illegal or unreadable move": 1}
    assert made.manifest["request"]["pgn"] == "games.pgn"
    assert "skipped 1 another variant, 1 illegal or unreadable move" in generate.summary(made)
    verify(made.folder, sample=2, log=quiet)
    assert (from_pgn(tmp_path / "few", path, count=100).moves == moves[:100]).all()


def test_reading_real_games_resumes(tmp_path, pgn, monkeypatch):
    path, _ = pgn
    whole = contents(from_pgn(tmp_path / "whole", path).folder)
    for moment in range(0, 40, 6):
        assert killed(monkeypatch, moment, lambda: from_pgn(tmp_path / "d", path))
        assert not (tmp_path / "d").exists()
        assert contents(from_pgn(tmp_path / "d", path).folder) == whole
        shutil.rmtree(tmp_path / "d")


def test_a_file_without_usable_games_is_refused(tmp_path):
    (tmp_path / "bad.pgn").write_text("1. e4 e5 2. Ke3 *\n\n")
    with pytest.raises(
        ValueError, match=r"no game in .*bad.pgn can be used; skipped 1 illegal or unreadable move"
    ):
        from_pgn(tmp_path / "d", tmp_path / "bad.pgn")
    (tmp_path / "empty.pgn").write_text("")
    with pytest.raises(ValueError, match=r"no game in .*empty.pgn can be used; it holds none"):
        from_pgn(tmp_path / "d", tmp_path / "empty.pgn")


@pytest.mark.parametrize("policy", ["uniform", "greedy:epsilon=0.2,temperature=1,opening=3", "mixture"])
def test_chess_games_carry_their_style(tmp_path, policy):
    made = make(tmp_path / "d", count=100, game="chess", policy=policy)
    assert ("styles" in made.arrays) == (policy != "uniform")
    expected = made.game.policy(policy)
    if policy != "uniform":
        assert made.arrays["styles"][:, 0].max() < len(expected.styles)
        assert made.arrays["styles"][:, 1].max() == expected.opening
    verify(made.folder, sample=2, log=quiet)


def test_chess_pgn_stores_what_a_model_reads(tmp_path):
    made = make(tmp_path / "d", count=100, game="chess-pgn")
    assert made.arrays["text"].shape == (100, 256)
    assert made.arrays["at"].shape == (100, 61)
    text = made.arrays["text"].copy()
    text[3, 40] = (text[3, 40] + 1) % 32
    rewrite(made.folder, "text", text)
    with pytest.raises(Broken, match=r"game 3 of .*: text\.npy is not the text of its moves"):
        verify(made.folder, sample=1, log=quiet)
