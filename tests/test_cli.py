"""The command line: one clear line and the right exit code, data on stdout, and nothing heavy for --help."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from boardsae import cli
from boardsae.files import write_tensors

HEAVY = {"torch", "transformer_lens", "numba", "matplotlib", "numpy", "chess", "rich", "huggingface_hub"}
COMMANDS = sorted(
    command.name or command.callback.__name__.replace("_", "-") for command in cli.app.registered_commands
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_the_walk_through(run):
    code, out, err = run("generate-data othello6 --games 500 --workers 2")
    assert (code, out) == (0, "data/othello6\n")
    assert "500 othello6 games: " in err
    assert "next: boardsae verify data/othello6" in err
    code, out, err = run("verify data/othello6 --sample 3")
    assert (code, out) == (0, "data/othello6 is sound\n")
    assert "3 games replayed move by move" in err
    code, out, _ = run("show othello6 --index 3 --ply 7 --svg three.svg")
    assert code == 0
    assert "game 3 of data/othello6 (train), after 7 of 31 moves" in out
    assert "[" in out.splitlines()[1]
    assert Path("three.svg").read_text().startswith("<svg")
    code, out, _ = run("export data/othello6 --games 2")
    assert [len(line.split()) for line in out.splitlines()] == [32, 32]
    code, out, _ = run("export data/othello6 --format jsonl --split report --games 1")
    assert json.loads(out)["split"] == "report"
    code, out, _ = run("export data/othello6 --out games.txt")
    assert (code, out) == (0, "games.txt\n")
    assert len(Path("games.txt").read_text().splitlines()) == 500


def test_show_needs_no_data_and_no_compiled_code(tmp_path):
    code = "import sys; from boardsae.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('numba' in sys.modules)"
    line = [sys.executable, "-c", code, "show", "othello", "--ply", "5"]
    told = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert "othello, game 0 of seed 0, after 5 of 60 moves" in told.stdout
    assert told.stdout.endswith("False\n")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys\nfrom boardsae.cli import main\ntry: main()\nexcept SystemExit as e: assert not e.code, e.code\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    arguments = [*command.split(), "--help"]
    told = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert told.stdout.endswith("heavy: []\n")
    assert len(told.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (
            "generate-data othelo",
            2,
            "no game 'othelo', did you mean 'othello'? there are othello, othello6, chess",
        ),
        (
            "generate-data othello6 --policy unifom",
            2,
            "no policy 'unifom', did you mean 'uniform'? there is uniform",
        ),
        ("generate-data othello6 --games 0", 2, "expected games to be 1 or more, got 0"),
        ("generate-data othello6 --games -3", 2, "expected games to be 1 or more, got -3"),
        ("generate-data othello6 --workers 0", 2, "expected workers to be 1 or more, got 0"),
        ("generate-data othello6 --engine spark", 2, "expected --engine local or ray, got 'spark'"),
        ("generate-data othello6 --address auto", 2, "expected --engine ray beside --address"),
        ("generate-data othello6 --engine ray --workers 2", 2, "--workers counts threads of this machine"),
        (
            "generate-data chess --pgn file --engine ray",
            2,
            "--pgn reads one file, which this machine does alone",
        ),
        ("generate-data othello6 --seed -1", 2, "expected a seed from 0 to 2**64 - 1, got -1"),
        ("generate-data othello6 --out file/data", 2, "file"),
        ("generate-data othello6 --pgn file", 2, "a PGN file holds chess games and othello6 is not chess"),
        ("generate-data chess --pgn file --policy greedy", 2, "--pgn reads games as they are"),
        ("generate-data chess --pgn nowhere.pgn", 2, "nowhere.pgn: No such file or directory"),
        (
            "verify nowhere",
            2,
            "no transcripts in nowhere; make some: boardsae generate-data GAME --out nowhere",
        ),
        ("verify data --sample 0", 2, "expected --sample to be 1 or more, got 0"),
        ("verify broken", 3, "broken/manifest.json is not JSON"),
        ("export made --format pdf", 2, "no format 'pdf'; there are txt, jsonl, pgn"),
        ("export made --format pgn", 2, "pgn is for chess, made holds othello6; use txt or jsonl"),
        (
            "export made --split tset",
            2,
            "no split 'tset', did you mean 'select'? there are train, select, report, duplicate",
        ),
        ("export made --games 0", 2, "expected games to be 1 or more, got 0"),
        ("export made --out file", 2, "file exists; --force replaces it"),
        (
            "show othello6 --data made --ply 99",
            2,
            "expected --ply from 0 to 32, the length of game 0, got 99",
        ),
        (
            "show othello6 --data made --index 500",
            2,
            "expected --index from 0 to 99, the games of made, got 500",
        ),
        ("show othello6 --index -1", 2, "expected --index to be 0 or more, got -1"),
        ("show othello --data made", 2, "expected othello games, made holds othello6"),
        ("show othello6 --svg file", 2, "file exists; --force replaces it"),
        ("list gmaes", 2, "no list 'gmaes', did you mean 'games'? there are games, predicates"),
        ("list predicates chss", 2, "no game 'chss', did you mean 'chess'?"),
        ("list games chess", 2, "expected GAME after predicates alone, got 'chess' after games"),
        ("show cov_x --ply 3", 2, "--ply is of a position, and cov_x is no game; leave it out"),
        ("train-gpt othello6 --tokens 5 --minutes 1", 2, "expected --tokens or --minutes, got both"),
        ("train-sae --l1 0.1 --sparsity 0.2", 2, "expected --sparsity or --l1, got both"),
        ("train-sae --variant topk --k 5 --target-l0 10", 2, "expected --target-l0 or --k, got both"),
    ],
)
def test_bad_input_is_one_line(run, line, code, said):
    Path("file").write_text("a user's file")
    Path("broken").mkdir()
    Path("broken/manifest.json").write_text("{")
    run("generate-data othello6 --games 100 --out made")
    got, out, err = run(line)
    assert (got, out if "show" not in line else "") == (code, "")
    assert err.startswith("error: " + said), err
    assert err.count("\n") == 1
    assert Path("file").read_text() == "a user's file"


@pytest.mark.parametrize(
    ("line", "said", "help"),
    [
        ("generate-dat othello", "'generate-dat'.*'generate-data'", "boardsae"),
        ("generate-data", "GAME", "boardsae generate-data"),
        ("verify --smple 3 x", "--smple.*--sample", "boardsae verify"),
        ("show othello --ply x", "--ply.*, got 'x'", "boardsae show"),
        ("score run --cores 0", "--cores.* 1, got '0'", "boardsae score"),
    ],
)
def test_usage_errors_are_one_line(run, line, said, help):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: .*{said}.*; see {help} --help\n", err)


def test_who_gives_nothing_gets_help(run):
    code, out, err = run("")
    assert code == 2
    assert "generate-data" in out + err


def test_games_for_which_there_is_no_room_leave_nothing_behind(run):
    code, _, err = run("generate-data othello6 --games 99999999999999 --out huge")
    assert code == 1
    assert "ask for fewer --games" in err
    assert not list(Path().iterdir())


def test_what_is_written_may_be_read_by_others(tmp_path):
    before = os.umask(0o022)
    write_tensors(tmp_path / "w.safetensors", {"x": torch.zeros(3)})
    os.umask(before)
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_full_disk_exits_1(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "data")

    monkeypatch.setattr(os, "pwrite", full)
    code, _, err = run("generate-data othello6 --games 100")
    assert (code, err.splitlines()[-1]) == (1, "error: data: No space left on device")


def test_a_closed_pipe_is_no_error(tmp_path):
    boardsae = f"{sys.executable} -m boardsae"
    done = subprocess.run(
        f"{boardsae} list predicates othello | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "predicate\tgroup\tsquare\timplies\n"
    assert done.stderr == ""


def test_lists_are_tables(run):
    _, out, _ = run("list games")
    heading, *lines = [line.split("\t") for line in out.splitlines()]
    assert [line[0] for line in lines] == ["othello", "othello6", "chess", "chess-pgn"]
    assert all(len(line) == len(heading) for line in lines)
    _, out, _ = run("list predicates othello6")
    table = [line.split("\t") for line in out.splitlines()]
    assert ["a1 is mine", "mine", "a1", "a1 is occupied"] in table
    _, out, _ = run("list predicates")
    assert "othello\tmine\t64\tA disc of the side to move." in out.splitlines()


def test_shape_of_stored_arrays(run):
    run("generate-data othello6 --games 100")
    moves = np.load("data/othello6/moves.npy")
    assert (moves.dtype, moves.shape) == (np.uint8, (100, 32))


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
    ],
)
def test_too_little_memory_is_one_line_and_other_faults_are_not_taken_for_it(
    error, lacking, monkeypatch, capsys
):
    def fails(**_):
        raise error

    monkeypatch.setattr(sys.modules["boardsae.cli.app"], "app", fails)
    with pytest.raises(SystemExit if lacking else RuntimeError):
        cli.main()
    assert ("error: out of memory" in capsys.readouterr().err) == lacking
