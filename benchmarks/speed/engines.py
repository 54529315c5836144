"""Our engines beside plain Python ones: the same work on both sides, in turn, on one core. Then `generate-data`.

Rates are per second of processor time, which a busy machine disturbs less; `generate-data` is timed by the clock.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import NamedTuple

import chess
import numpy as np

import games
from benchmarks.pages import into_readme
from benchmarks.speed import plain_othello, with_python_chess
from games.chess import notation

ROOT = Path(__file__).parents[2]
KINDS = ("pawn", "knight", "bishop", "rook", "queen", "king")
PLANES = {
    "othello": ["mine", "empty", "theirs", "legal"],
    "chess": [f"{owner}_{kind}" for owner in ("my", "their") for kind in KINDS]
    + ["my_attacks", "their_attacks", "legal", "check"],
}


class Side(NamedTuple):
    work: Callable[[], object]
    amount: int  # of work, in the task's unit

    def rate(self) -> float:
        start = time.process_time()
        self.work()
        return self.amount / (time.process_time() - start)


class Task(NamedTuple):
    name: str
    unit: str
    plain: Side
    ours: Side
    goal: int  # the ratio below which something is wrong


def tasks(scale: float) -> Iterator[Task]:
    """Each task once both sides are proved to do the same; at scale 1 a round takes some tenths of a second."""

    def size(full: int) -> int:
        return max(2, round(full * scale))

    yield othello_play(size(30), size(100_000))
    yield othello_labels(size(20), size(32))
    yield chess_play(size(60), size(10_000))
    yield chess_parsing(size(250), size(10_000))
    yield chess_labels(size(40), size(32))


def othello_play(few: int, many: int) -> Task:
    def plain() -> list[list[plain_othello.Move]]:
        random = Random(0)
        return [plain_othello.random_game(random) for _ in range(few)]

    def ours() -> np.ndarray:
        return played("othello", many)

    theirs, mine = ids("othello", [["abcdefgh"[c] + str(r + 1) for r, c in game] for game in plain()]), ours()
    whole = (theirs != 0).sum(axis=1)
    assert (games.load("othello").legal_plies(theirs) == whole).all(), "the plain engine breaks our rules"
    for game in as_pairs(mine[:few]):
        *turns, end = [list(board.moves) for board in plain_othello.positions(game)]
        assert all(map(list.__contains__, turns, game)), "our engine breaks the plain rules"
        assert not end, "our engine stops early"
    assert_as_long(theirs, mine)
    sides = Side(plain, plies(theirs)), Side(ours, plies(mine))
    return Task("Othello: random games", "move", *sides, goal=3_000)


def othello_labels(few: int, batches: int) -> Task:
    moves = played("othello", 512 * batches)
    some = as_pairs(moves[:few])

    def plain() -> tuple[np.ndarray, np.ndarray]:
        return plain_othello.labels(some)

    def ours() -> None:
        for batch in np.split(moves, batches):
            labels("othello", batch)

    boards, legal = plain()
    planes = labels("othello", moves[:few]).reshape(-1, 4, 8, 8)
    assert np.array_equal(np.moveaxis(planes[:, :3], 1, 3), boards), "the boards differ"
    assert np.array_equal(planes[:, 3], legal), "the legal moves differ"
    sides = Side(plain, len(boards)), Side(ours, len(games.rows(moves)))
    return Task("Othello: mine, empty, theirs and legal by square", "position", *sides, goal=1_200)


def chess_play(few: int, many: int) -> Task:
    game = games.load("chess")

    def plain() -> list[str]:
        random = Random(0)
        return [with_python_chess.random_text(random, game.max_plies) for _ in range(few)]

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return game.generate_text(0, 0, many, game.policy("uniform"))  # type: ignore[attr-defined]

    lines, (moves, characters) = plain(), ours()
    theirs = parsed(lines)
    assert notation.movetexts(theirs) == lines, "python-chess writes another text"
    written = [row.tobytes().decode() for row in characters[:few]]
    assert uci(map(with_python_chess.read, written)) == names("chess", moves[:few]), (
        "python-chess reads other games"
    )
    assert_as_long(theirs, moves)
    sides = Side(plain, plies(theirs)), Side(ours, plies(moves))
    return Task("chess: random games as SAN text", "ply", *sides, goal=130)


def chess_parsing(few: int, many: int) -> Task:
    moves = played("chess", many)
    lines = notation.movetexts(moves)

    def plain() -> list[list[chess.Move]]:
        return [with_python_chess.read(line) for line in lines[:few]]

    def ours() -> np.ndarray:
        return parsed(lines)

    assert np.array_equal(ours(), moves), "our text is read as other games"
    assert uci(plain()) == names("chess", moves[:few]), "python-chess reads other games"
    sides = Side(plain, plies(moves[:few])), Side(ours, plies(moves))
    return Task("chess: reading SAN text", "ply", *sides, goal=45)


def chess_labels(few: int, batches: int) -> Task:
    moves = played("chess", 64 * batches)
    some = [[chess.Move.from_uci(name) for name in game] for game in names("chess", moves[:few])]

    def plain() -> np.ndarray:
        return with_python_chess.labels(some)

    def ours() -> None:
        for batch in np.split(moves, batches):
            labels("chess", batch)

    found = plain()
    assert np.array_equal(labels("chess", moves[:few]), found), "the labels differ"
    sides = Side(plain, len(found)), Side(ours, len(games.rows(moves)))
    return Task("chess: pieces, attacks, legal targets, check", "position", *sides, goal=110)


def played(name: str, count: int) -> np.ndarray:
    game = games.load(name)
    return game.generate(0, 0, count, game.policy("uniform"))[0]


def labels(name: str, moves: np.ndarray) -> np.ndarray:
    return games.truth(games.Transcripts(name, moves), games.rows(moves), PLANES[name])


def parsed(lines: list[str]) -> np.ndarray:
    moves, faults = notation.parse(notation.ascii_rows(lines), games.load("chess").max_plies)
    assert (faults < 0).all(), "some text is no legal game"
    return moves


def names(name: str, moves: np.ndarray) -> list[list[str]]:
    texts = games.load(name).moves
    return [[texts[move] for move in row if move] for row in moves]


def ids(name: str, transcripts: list[list[str]]) -> np.ndarray:
    """The inverse of `names`."""
    game = games.load(name)
    numbers = {text: move for move, text in enumerate(game.moves)}
    moves = np.zeros((len(transcripts), game.max_plies), np.min_scalar_type(len(game.moves)))
    for row, texts in zip(moves, transcripts, strict=True):
        row[: len(texts)] = [numbers[text] for text in texts]
    return moves


def as_pairs(moves: np.ndarray) -> list[list[plain_othello.Move]]:
    return [
        [(int(name[1]) - 1, ord(name[0]) - ord("a")) for name in game] for game in names("othello", moves)
    ]


def uci(transcripts: Iterable[list[chess.Move]]) -> list[list[str]]:
    return [[move.uci() for move in game] for game in transcripts]


def plies(moves: np.ndarray) -> int:
    return int(np.count_nonzero(moves))


def assert_as_long(theirs: np.ndarray, ours: np.ndarray) -> None:
    theirs_last, ours_last = plies(theirs) / len(theirs), plies(ours) / len(ours)
    assert abs(theirs_last / ours_last - 1) < 0.05, f"games last {theirs_last:.1f} and {ours_last:.1f} plies"


def engines(scale: float, rounds: int) -> list[str]:
    """The table of tasks, measured on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = [
        "| task | unit | plain Python, /s | ours, /s | ratio | median ratio | goal |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for task in tasks(scale):
        say(task.name)
        rates = [(task.plain.rate(), task.ours.rate()) for _ in range(rounds)]
        plain, ours = map(max, zip(*rates, strict=True))
        median = statistics.median(ours / plain for plain, ours in rates)
        cells = task.name, task.unit, short(plain), short(ours), f"**{ours / plain:,.0f}**", f"{median:,.0f}"
        rows.append(f"| {' | '.join(cells)} | {task.goal:,} |")
    return rows


def short(rate: float) -> str:
    """Three digits and a letter."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{float(f'{rate / size:.3g}'):g}{letter}"
    return f"{rate:.0f}"


def end_to_end() -> list[str]:
    """The table of `generate-data`, files written and hashed and duplicates found, by one and two workers in turn."""
    rows = [
        "| `generate-data` | games | 1 worker, s | 2 workers, s | ratio | peak memory, MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, asked in (("othello", 1_000_000), ("chess", 100_000)):
        generate_data(name, 1, workers=1)  # compiles the kernels where they are not yet
        for count in (1, asked, 4 * asked):
            say(f"generate-data {name}, {count:,} games")
            runs = [[generate_data(name, count, workers) for workers in (1, 2)] for _ in range(3)]
            one, two = (statistics.median(run[i][0] for run in runs) for i in (0, 1))
            most = max(memory for run in runs for _, memory in run)
            rows.append(
                f"| `{name}` | {count:,} | {one:.1f} | {two:.1f} | **{one / two:.2f}** | {most:.0f} |"
            )
    return rows


def generate_data(name: str, count: int, workers: int) -> tuple[float, float]:
    """Seconds and peak megabytes of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "boardsae", "generate-data", name, "--out", f"{folder}/{name}"]
        command += ["--games", str(count), "--workers", str(workers)]
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def machine() -> str:
    """One line: the processor, its cores, and the versions of what the rates depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "chess"))
    processor = models[0] if models else platform.processor()
    return f"{processor}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}."


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: one short round, no generate-data"
    )
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md too")
    asked = parser.parse_args()
    if asked.quick and asked.readme:
        parser.error("--quick measures nothing worth a README")
    if asked.quick:
        print("\n".join(engines(scale=0.02, rounds=1)))
        return
    whole = end_to_end()  # first: a child's peak memory is at least that of this process when it starts it
    block = "\n".join([*engines(scale=1, rounds=9), "", *whole, "", CAPTION, "", machine(), ""])
    print(block)
    if asked.readme:
        into_readme("speed", block)


CAPTION = """\
Engines: one thread on one core; rates are the best of 9 rounds, per second of processor time. Plain Othello is a numpy
board with loops over squares and directions; plain chess is python-chess. `generate-data`: the whole command by the
clock, median of 3; half a second of it is Python starting, which a second worker cannot share."""


if __name__ == "__main__":
    main()
