"""Real games from a PGN file, gathered in blocks beside the unfinished transcripts, so that a kill loses one block."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from boardsae.files import open_array, read_json, write_array, write_json
from boardsae.progress import progress
from games.chess.pgn import Report, read


def collect(
    file: Path, max_plies: int, count: int | None, partial: Path, block: int
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Up to `count` games as arrays of `block` games each, and what was cut or skipped and why."""
    done = sorted(partial.glob("pgn-*.json"))  # a block's report is written after its games
    report = as_report(read_json(done[-1])) if done else Report()
    bar = progress("reading", count, "games", done=report.games)
    wanted = None if count is None else count - report.games
    for moves in in_blocks(read(file, max_plies, report), wanted, block):
        name = f"pgn-{len(done):05}"
        write_array(partial / f"{name}.npy", padded(moves, max_plies))
        write_json(partial / f"{name}.json", as_json(report))
        done.append(partial / f"{name}.json")
        bar.update(len(moves))
    bar.close()
    return [open_array(path.with_suffix(".npy")) for path in done], as_json(report)


def in_blocks(games: Iterator[list[int]], count: int | None, block: int) -> Iterator[list[list[int]]]:
    """Lists of `block` games; the last may be shorter. No game is read that is not wanted."""
    left, gathered = count, []
    while left != 0 and (game := next(games, None)) is not None:
        left = None if left is None else left - 1
        gathered.append(game)
        if len(gathered) == block:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def padded(games: list[list[int]], plies: int) -> np.ndarray:
    moves = np.zeros((len(games), plies), np.uint16)
    for i, game in enumerate(games):
        moves[i, : len(game)] = game
    return moves


def as_json(report: Report) -> dict[str, Any]:
    return {"read": report.games, "cut": dict(report.cut), "skipped": dict(report.skipped)}


def as_report(saved: dict[str, Any]) -> Report:
    return Report(saved["read"], Counter(saved["cut"]), Counter(saved["skipped"]))
