"""Transcripts as text that a person or another program reads: txt, jsonl or pgn, one game after the other."""

import json
from collections.abc import Callable, Iterator

import numpy as np

from boardsae.data import Dataset
from boardsae.splits import SPLITS
from games.core import no_such


def export(
    dataset: Dataset, format: str, split: str | None = None, count: int | None = None
) -> Iterator[str]:
    """The chosen games, one string with its line end each; all splits but duplicates where none is named."""
    if format == "pgn" and not dataset.game.name.startswith("chess"):
        raise ValueError(f"pgn is for chess, {dataset.folder} holds {dataset.game.name}; use txt or jsonl")
    if format not in FORMATS:
        raise ValueError(no_such("format", format, FORMATS))
    if split not in (None, *SPLITS):
        raise ValueError(no_such("split", split, SPLITS))
    if count is not None and count < 1:
        raise ValueError(f"expected games to be 1 or more, got {count}")
    return texts(dataset, FORMATS[format], split, count)


def texts(
    dataset: Dataset, write: Callable[[Dataset, int, np.ndarray], str], split: str | None, count: int | None
) -> Iterator[str]:
    chosen = [split] if split else [name for name in SPLITS if name != "duplicate"]
    wanted = np.isin(dataset.split, [SPLITS.index(name) for name in chosen])
    for index in np.flatnonzero(wanted)[:count].tolist():
        ids = np.asarray(dataset.moves[index])
        yield write(dataset, index, ids[ids != 0])


def txt(dataset: Dataset, _index: int, moves: np.ndarray) -> str:
    """Move names with a space between; for chess-pgn what the model reads, from ";1." on, whole."""
    if dataset.game.name == "chess-pgn":
        from games.chess.notation import movetext

        return movetext(moves) + "\n"
    return " ".join(dataset.game.moves[move] for move in moves) + "\n"


def jsonl(dataset: Dataset, index: int, moves: np.ndarray) -> str:
    split = SPLITS[dataset.split[index]]
    return (
        json.dumps({"game": index, "split": split, "moves": [dataset.game.moves[move] for move in moves]})
        + "\n"
    )


def pgn(dataset: Dataset, index: int, moves: np.ndarray) -> str:
    from games.chess.pgn import game_text

    return game_text(moves, index, SPLITS[dataset.split[index]])


FORMATS: dict[str, Callable[[Dataset, int, np.ndarray], str]] = {"txt": txt, "jsonl": jsonl, "pgn": pgn}
