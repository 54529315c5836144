"""Counting co-occurrences of features and predicates: ours beside dense formulations, on the same numbers, in turn.

1,000 games of 59 positions, 4,096 features of which 50 are active on average, 11 thresholds; Othello's 192 predicates
of discs, and as many as chess has of pieces. One core, processor time, the best of all rounds.

    dense       for each threshold a matrix product of who is active and what holds, in the fastest exact type
    expand      for each threshold active[:, :, None] * truth[:, None, :], summed over a block of rows that fits the
                cache, as the code of Karvonen et al. 2024 has it; on some of the rows, for all of them in proportion

    python -m benchmarks.speed.counting
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

import games
from benchmarks import pages
from boardsae.metrics.codes import Codes, codes_of
from boardsae.metrics.counting import LEVELS, count
from games.core import Transcripts

GAMES, FEATURES, ACTIVE, BLOCK = 1000, 4096, 50, 16384
CHESS = 768
EXPANDED = 8  # rows at once: 6 MB of bytes


def truth_of(count: int) -> np.ndarray:
    """Mine, theirs and empty on every square of the first 59 positions of random games."""
    othello = games.load("othello")
    moves, _ = othello.generate(0, 0, count, othello.policy("uniform"))
    rows = games.rows(moves)
    some = rows[(rows[:, 1] > 0) & (rows[:, 1] < 60)]
    return games.truth(Transcripts("othello", moves), some, ["mine", "theirs", "empty"]).view(np.uint8)


def features_of(rows: int, features: int, seed: int = 0) -> np.ndarray:
    """Rows of features of which ACTIVE a row are above 0 on average, some often and most rarely."""
    random = np.random.default_rng(seed)
    chance = 1 / np.arange(1, features + 1) ** 0.7
    chance = np.minimum(chance * ACTIVE / chance.sum(), 1.0).astype(np.float32)
    f = np.empty((rows, features), np.float32)
    for first in range(0, rows, BLOCK):
        block = f[first : first + BLOCK]
        random.random(block.shape, np.float32, block)
        block[:] = np.where(block < chance, 1 - block / chance, 0.0)  # uniform where active
    return f


def blocks(rows: int) -> Iterator[slice]:
    return (slice(first, min(first + BLOCK, rows)) for first in range(0, rows, BLOCK))


def dense(f: np.ndarray, truth: np.ndarray, maxima: np.ndarray, product: Callable) -> np.ndarray:
    total = torch.zeros(len(LEVELS), f.shape[1], truth.shape[1], dtype=torch.int64)
    tops = torch.from_numpy(LEVELS[:, None] * maxima)
    for some in blocks(len(f)):
        held, values = torch.from_numpy(truth[some]), torch.from_numpy(f[some])
        for level, top in enumerate(tops):
            total[level] += product((values > top).T, held)
    return total.permute(1, 0, 2).numpy()


def by_int8(active: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(active.to(torch.int8).contiguous(), held.to(torch.int8))


def by_float32(active: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    return (active.float() @ held.float()).long()  # exact up to 2^24 rows


def expand(f: np.ndarray, truth: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    total = torch.zeros(len(LEVELS), f.shape[1], truth.shape[1], dtype=torch.int64)
    tops = torch.from_numpy(LEVELS[:, None] * maxima)
    for first in range(0, len(f), EXPANDED):
        values = torch.from_numpy(f[first : first + EXPANDED])
        held = torch.from_numpy(truth[first : first + EXPANDED])
        for level, top in enumerate(tops):
            total[level] += ((values > top)[:, :, None] * held[:, None, :]).sum(0)
    return total.permute(1, 0, 2).numpy()


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a smoke test on few rows")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    n, features = (20, 256) if asked.quick else (GAMES, FEATURES)
    block = "\n".join(lines(n, features, 1 if asked.quick else asked.rounds))
    print(block)
    if asked.readme and not asked.quick:
        pages.into_readme("counting", block)


def lines(n: int, features: int, rounds: int) -> Iterator[str]:
    truth = truth_of(n)
    f = features_of(len(truth), features)
    chess = np.random.default_rng(1).random((len(truth), CHESS)) < 0.04
    maxima = f.max(0)
    codes = [(codes_of(f[some]), some) for some in blocks(len(f))]
    few = slice(0, 16 * EXPANDED)

    def ours(of: np.ndarray, known: list[tuple[Codes, slice]]) -> np.ndarray:
        return count(((code, of[some]) for code, some in known), maxima).hits

    work = {
        "ours, from what is not 0": lambda: ours(truth, codes),
        "ours, from dense features": lambda: count(
            ((codes_of(f[some]), truth[some]) for some in blocks(len(f))), maxima
        ),
        "ours, chess": lambda: ours(chess, codes),
        "dense, int8": lambda: dense(f, truth, maxima, by_int8),
        "dense, float32": lambda: dense(f, truth, maxima, by_float32),
        "expand": lambda: expand(f[few], truth[few], maxima),
    }
    ours_few = count([(codes_of(f[few]), truth[few])], maxima).hits
    assert np.array_equal(expand(f[few], truth[few], maxima), ours_few), "expand counts something else"
    assert np.array_equal(dense(f, truth, maxima, by_int8), ours(truth, codes)), "dense counts something else"
    best = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, each in work.items():
            best[name] = min(best[name], timed(each))
    best["expand"] *= len(f) / len(f[few])
    mine = best["ours, from what is not 0"]
    active = np.count_nonzero(f) / len(f)
    yield f"{len(f):,} rows, {features:,} features of which {active:.1f} are active, {truth.shape[1]} predicates\n"
    yield "| formulation | seconds | times ours |"
    yield "|---|--:|--:|"
    yield from (f"| {name} | {seconds:.3f} | {seconds / mine:,.1f} |" for name, seconds in best.items())


if __name__ == "__main__":
    main()
