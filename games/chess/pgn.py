"""Real games from PGN files, through python-chess, and our games as PGN for others."""

import contextlib
import gzip
import io
import logging
import textwrap
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from games.chess import rules
from games.chess.notation import movetext
from games.chess.play import results

IDS = {text: move for move, text in enumerate(rules.UCI)}
STANDARD = ("", "standard", "chess", "normal")  # values of the header Variant


@dataclass
class Report:
    """What became of the games of a file so far, by reason."""

    games: int = 0  # read; among them are those that were cut
    cut: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def read(path: Path, max_plies: int, report: Report) -> Iterator[list[int]]:
    """The move ids of each standard game of a .pgn, .pgn.gz or .pgn.zst file, up to `max_plies` of them.

    Moves after a draw by rule (fivefold repetition, 75 moves, insufficient material) are cut. The report always
    accounts for what was read; games that it already holds at the start are passed over.
    """
    import chess.pgn

    reader = _reader(max_plies)
    with _quiet("chess.pgn"), _opened(path) as file:
        try:
            for _ in range(report.games + report.skipped.total()):
                chess.pgn.skip_game(file)
            while (game := chess.pgn.read_game(file, Visitor=reader)) is not None:
                if game.fault:
                    report.skipped[game.fault] += 1
                    continue
                report.games += 1
                if game.cut:
                    report.cut[game.cut] += 1
                yield game.moves
        except (EOFError, OSError, zlib.error, *_zstd_errors()) as error:
            report.skipped[f"broken file: {error}"] += 1


def _reader(max_plies: int) -> Any:
    """A python-chess visitor that collects a game's main line, or why it is of no use."""
    import chess
    import chess.pgn

    class Reader(chess.pgn.BaseVisitor):
        def begin_game(self) -> None:
            self.headers, self.moves, self.fault, self.cut = {}, [], "", ""

        def visit_header(self, tagname: str, tagvalue: str) -> None:
            self.headers[tagname] = tagvalue

        def end_headers(self) -> Any:
            if self.headers.get("Variant", "").lower() not in STANDARD:
                self.fault = "another variant"
            elif self.headers.get("FEN", rules.START).split()[:4] != rules.START.split()[:4]:
                self.fault = "starts from another position"
            return chess.pgn.SKIP if self.fault else None

        def begin_variation(self) -> Any:
            return chess.pgn.SKIP

        def begin_parse_san(self, board: chess.Board, san: str) -> Any:
            if not self.fault and not self.cut:
                if len(self.moves) == max_plies:
                    self.cut = f"longer than {max_plies} plies"
                elif self.moves and _is_drawn(board):
                    self.cut = "played on after a draw"
            return chess.pgn.SKIP if self.fault or self.cut else None

        def visit_move(self, board: chess.Board, move: chess.Move) -> None:
            if move:
                self.moves.append(IDS[move.uci()])
            else:
                self.fault = "null move"

        def handle_error(self, error: Exception) -> None:
            self.fault = self.fault or "illegal or unreadable move"

        def result(self) -> Any:
            self.fault = self.fault or ("" if self.moves else "no moves")
            return self

    return Reader


def _is_drawn(board: Any) -> bool:
    repeats = board.halfmove_clock >= 16 and (board.is_fivefold_repetition() or board.is_seventyfive_moves())
    return repeats or board.is_insufficient_material()


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


def _opened(path: Path) -> io.TextIOWrapper:
    if path.suffix == ".gz":
        raw: Any = gzip.GzipFile(path)
    elif path.suffix == ".zst":
        try:
            import zstandard
        except ModuleNotFoundError:
            raise ValueError(f"{path.name} needs zstandard; pip install 'boardsae[zstd]'") from None
        # Published collections are many frames in a row, of which only the first is read by default.
        raw = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
    else:
        raw = path.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace")


def _zstd_errors() -> tuple[type[Exception], ...]:
    try:
        from zstandard import ZstdError
    except ModuleNotFoundError:
        return ()
    return (ZstdError,)


def game_text(moves: Integer[np.ndarray, " ply"], number: int, event: str = "boardsae") -> str:
    """One game as PGN, its number in the header Round; a game that goes on has the result "*"."""
    (result,) = results(moves[None])
    tags = {
        "Event": event,
        "Site": "?",
        "Date": "????.??.??",
        "Round": str(number),
        "White": "?",
        "Black": "?",
        "Result": result,
    }
    headers = "".join(f'[{name} "{value}"]\n' for name, value in tags.items())
    line = f"{movetext(moves)[1:].replace('.', '. ')} {result}".strip()
    return f"{headers}\n{textwrap.fill(line, 79, break_on_hyphens=False)}\n\n"
