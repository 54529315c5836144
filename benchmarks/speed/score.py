"""What a score costs: reading the evidence of a task, the probes' ceiling, each SAE alone and among others, and memory.

    python -m benchmarks.speed.score --task othello6-v2

The SAE is random directions, the 32 largest of 8 times the width. After imports and compilation, by the clock.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from boardsae import DEFAULT_TASK, controls, memory, tasks
from boardsae.evidence import Evidence
from boardsae.scorer import Scorer
from boardsae.scoring import side_by_side
from boardsae.subject import Subject

K = 32


class Drawn:
    def __init__(self, d: int, seed: int):
        random = torch.Generator().manual_seed(seed)
        self.W_dec = torch.nn.functional.normalize(torch.randn(8 * d, d, generator=random), dim=1)

    def encode(self, x: Tensor) -> Tensor:
        top = (x @ self.W_dec.T).topk(K, dim=1)
        return torch.zeros(len(x), len(self.W_dec)).scatter(1, top.indices, top.values.relu())

    def decode(self, f: Tensor) -> Tensor:
        return f @ self.W_dec


def scored(scorer: Scorer, seed: int) -> None:
    sae = Drawn(scorer.evidence.model.shape.width, seed)
    scorer.score(Subject(sae, {"name": "drawn"}, sae.W_dec))


def rows(task: str, games: int | None) -> Iterator[str]:
    """A line for each part, and one for the peak of memory."""
    opened = tasks.open_task(tasks.of(task))
    scored(Scorer(Evidence(opened, limit=20)), 0)  # compiles the kernels
    evidence = Evidence(opened, limit=games)
    scorer = Scorer(evidence)
    parts: dict[str, Callable[[], object]] = {
        "games read: GPT and truth": lambda: (evidence.train, evidence.select, evidence.report),
        "ceiling of linear probes": scorer.ceiling,
        "first SAE, all metrics": lambda: scored(scorer, 1),
        "every other SAE": lambda: scored(scorer, 2),
    }
    together = range(3, 3 + 4 * torch.get_num_threads())
    parts[f"{len(together)} SAEs side by side"] = lambda: list(
        side_by_side(lambda seed: scored(scorer, seed), together)
    )
    if controls.shipped(evidence):
        parts["controls, shipped"] = lambda: controls.records(evidence, Path(tempfile.mkdtemp()))
    yield "| part | seconds |"
    yield "|---|--:|"
    for name, part in parts.items():
        began = time.perf_counter()
        part()
        yield f"| {name} | {time.perf_counter() - began:.1f} |"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gigabytes = peak / (2**30 if sys.platform == "darwin" else 2**20)
    yield f"\n{task}, {torch.get_num_threads()} threads, peak memory {gigabytes:.1f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default=DEFAULT_TASK)
    parser.add_argument("--games", type=int, help="of each split; fewer are a rehearsal")
    asked = parser.parse_args()
    memory.keep_freed()
    for line in rows(asked.task, asked.games):
        print(line, flush=True)


if __name__ == "__main__":
    main()
