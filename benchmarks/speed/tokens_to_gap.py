"""How many tokens, and seconds of a core, a GPT needs to come near the exact policy: two objectives, two optimizers.

    boardsae generate-data othello6 --games 500000 --out data/gap
    python -m benchmarks.speed.tokens_to_gap --tokens 6000000
    python -m benchmarks.speed.tokens_to_gap --tokens 62000000 --size medium --batch 256 --decay 0.6
    python -m benchmarks.speed.tokens_to_gap --tokens 300000000 --size medium --batch 256 --device cuda

A GPT on 6x6 Othello. The rate is constant after its warm-up, so that the length of the run decides nothing, or with
`--decay` falls to nothing over that share of the steps, as for a model that is kept: then small gaps are reached near
the end, wherever it is. The gap is the mean KL divergence from the exact policy on held-out games. Seconds are of
training: processor time of one thread, or elsewhere than on a CPU by the clock. `next` learns from the move that was
played, `soft` from the exact policy.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch

from boardsae import gpt, train_gpt
from boardsae.devices import bf16_pays, device_of
from boardsae.play import by_ply, totals
from boardsae.ranks import ALONE
from boardsae.train_gpt import Recipe, Training

GAPS = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
LOOKS = 40  # at the gap, in the length of a run
HELD_OUT = 400  # games
LEVEL = 1e-9  # share of the steps over which a constant rate falls
ADAM = 2e-3  # the better of 0.002 and 0.004 in short runs, by little
MUON = 0.015  # of the reference models; 0.02 in the short runs of LOG.md
RATES = {"adamw": (ADAM, ADAM), "muon": (MUON, 4e-3)}  # of the blocks' matrices, and of all else


class Way(NamedTuple):
    """One way to train."""

    objective: str
    optimizer: str
    batch: int
    size: str = "small"
    decay: float = LEVEL  # share of the steps


def training(data: Path, way: Way, tokens: int, device: torch.device) -> Training:
    lr, lr_others = RATES[way.optimizer]
    recipe = Recipe(
        str(data),
        way.size,
        way.objective,
        tokens,
        way.batch,
        lr,
        lr_others,
        train_gpt.OPTIMIZERS[way.optimizer].weight_decay,
        decay=way.decay,
        bf16=bf16_pays(device),
        optimizer=way.optimizer,
    )
    return Training(train_gpt.checked("othello6", recipe), recipe, device, ALONE)


def gaps(made: Training) -> Iterator[tuple[float, int, float]]:
    """The gap after every few steps, with the tokens and the seconds so far."""
    seconds, clock = 0.0, time.process_time if made.device.type == "cpu" else time.perf_counter
    for step in range(made.steps):
        began = clock()
        made.take(step).item()  # which waits for it
        seconds += clock() - began
        if (step + 1) % max(1, made.steps // LOOKS) == 0:
            play = totals(by_ply(made.model, made.game, made.held_out[:HELD_OUT]))
            yield play["gap"], (step + 1) * made.tokens_a_step, seconds


def row(data: Path, way: Way, tokens: int, device: torch.device) -> str:
    reached: dict[float, tuple[int, float]] = {}
    gap = float("inf")
    for gap, seen, seconds in gaps(training(data, way, tokens, device)):
        print(f"{way.objective} {way.optimizer} {seen} {seconds:.0f} {gap:.4f}", file=sys.stderr, flush=True)
        for bar in GAPS:
            if gap <= bar:
                reached.setdefault(bar, (seen, seconds))
        if len(reached) == len(GAPS) and way.decay == LEVEL:  # a schedule is worth its end
            break
    cells = [
        f"{reached[bar][0] / 1e6:.1f}M, {reached[bar][1]:.0f} s" if bar in reached else "-" for bar in GAPS
    ]
    return f"| `{way.objective}` | `{way.optimizer}` | {way.batch} | {' | '.join(cells)} | {gap:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/gap"))
    parser.add_argument("--tokens", type=int, default=6_000_000, help="at which a run stops")
    parser.add_argument("--batch", type=int, default=train_gpt.usual_batch("othello6"), help="games a step")
    parser.add_argument("--size", default="small", choices=gpt.SIZES)
    parser.add_argument("--decay", type=float, default=LEVEL, help="share of the steps")
    parser.add_argument("--objectives", nargs="+", default=train_gpt.OBJECTIVES, choices=train_gpt.OBJECTIVES)
    parser.add_argument("--optimizers", nargs="+", default=tuple(RATES), choices=RATES)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    device = device_of(asked.device)
    bars = " | ".join(f"{bar:g} nats" for bar in GAPS)
    print(f"| objective | optimizer | games a step | {bars} | at {asked.tokens / 1e6:g}M |")
    print("|---|---|" + "--:|" * (len(GAPS) + 2))
    for objective, optimizer in product(asked.objectives, asked.optimizers):
        way = Way(objective, optimizer, asked.batch, asked.size, asked.decay)
        print(row(asked.data, way, asked.tokens, device), flush=True)


if __name__ == "__main__":
    main()
