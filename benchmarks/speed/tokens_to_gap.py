"""How many tokens, and seconds of a core, a GPT needs to come near the exact policy: two objectives, two optimizers.

    boardsae generate-data othello6 --games 500000 --out data/gap
    python -m benchmarks.speed.tokens_to_gap --tokens 6000000

A small GPT on 6x6 Othello, 128 games a step, a constant rate after its warm-up, so that the length of the run decides
nothing. The gap is the mean KL divergence from the exact policy on held-out games. Seconds are processor time of
training alone, one thread. `next` learns from the move that was played, `soft` from the exact policy.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch

from boardsae import train_gpt
from boardsae.play import by_ply, totals
from boardsae.ranks import ALONE
from boardsae.train_gpt import CPU, Recipe, Training

GAPS = (0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
LOOK = 25  # steps between looks at the gap
HELD_OUT = 400  # games
ADAM = 2e-3  # the better of 0.002 and 0.004 in short runs, by little


def training(data: Path, objective: str, optimizer: str, tokens: int) -> Training:
    recipe = Recipe(str(data), "small", objective, tokens, batch=128, warmup=0.02, decay=1e-9)
    made = Training(train_gpt.checked("othello6", recipe), recipe, CPU, ALONE)
    if optimizer == "AdamW":
        made.optimizers = [torch.optim.AdamW(made.model.parameters(), ADAM, betas=(0.9, 0.98), fused=True)]
        made.rates = [group["lr"] for group in made.groups()]
    return made


def gaps(made: Training) -> Iterator[tuple[float, int, float]]:
    """The gap after every few steps, with the tokens and the seconds so far."""
    seconds = 0.0
    for step in range(made.steps):
        began = time.process_time()
        made.take(step)
        seconds += time.process_time() - began
        if (step + 1) % LOOK == 0:
            play = totals(by_ply(made.model, made.game, made.held_out[:HELD_OUT]))
            yield play["gap"], (step + 1) * made.tokens_a_step, seconds


def row(data: Path, objective: str, optimizer: str, tokens: int) -> str:
    reached: dict[float, tuple[int, float]] = {}
    gap = float("inf")
    for gap, seen, seconds in gaps(training(data, objective, optimizer, tokens)):
        for bar in GAPS:
            if gap <= bar:
                reached.setdefault(bar, (seen, seconds))
        if len(reached) == len(GAPS):
            break
    cells = [
        f"{reached[bar][0] / 1e6:.1f}M, {reached[bar][1]:.0f} s" if bar in reached else "-" for bar in GAPS
    ]
    return f"| `{objective}` | {optimizer} | {' | '.join(cells)} | {gap:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/gap"))
    parser.add_argument("--tokens", type=int, default=6_000_000, help="at which a run stops")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"| objective | optimizer | {' | '.join(f'{bar:g} nats' for bar in GAPS)} | at {asked.tokens / 1e6:g}M |"
    )
    print("|---|---|" + "--:|" * (len(GAPS) + 1))
    for objective, optimizer in product(train_gpt.OBJECTIVES, ("AdamW", "Muon")):
        print(row(asked.data, objective, optimizer, asked.tokens), flush=True)


if __name__ == "__main__":
    main()
