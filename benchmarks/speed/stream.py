"""What a row of training costs: from the model or from disk, for one SAE or a pack, locally or through the model's end.

On one core, in turn, by processor time, which a busy machine disturbs less; reads from disk by the clock. The best of
all rounds counts. `python -m benchmarks.speed.stream --task othello6-v2 --rounds 9`
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks import pages
from boardsae import DEFAULT_TASK, saes, tasks
from boardsae.cache import CachedStream
from boardsae.devices import bf16_pays
from boardsae.runs import Spec
from boardsae.stream import Batch, Feed, Stream
from boardsae.train_sae import Training, feed_of

CPU = torch.device("cpu")
STEPS = [name for name, variant in saes.VARIANTS.items() if not variant.untrained]
PACK = 10


class Stopwatch:
    """The best of all rounds of every piece of work, which take turns."""

    def __init__(self) -> None:
        self.work: dict[str, tuple[Callable[[], object], Callable[[], float]]] = {}
        self.best: dict[str, float] = {}

    def add(
        self, name: str, work: Callable[[], object], clock: Callable[[], float] = time.process_time
    ) -> None:
        work()
        self.work[name] = work, clock

    def round(self) -> None:
        for name, (work, clock) in self.work.items():
            began = clock()
            work()
            self.best[name] = min(self.best.get(name, float("inf")), clock() - began)


def add_sources(watch: Stopwatch, opened: tasks.Open, batch: int, folder: Path) -> None:
    """Rows of one batch from the model in either precision, and from disk, known to the system or not."""
    layer = opened.task.layer
    read = Stream(opened, Feed(layer, batch), CPU)
    games = read.order(0)[: -(-batch // read.context)]
    tokens = read.reading(read.tokens[games])

    def forward(bf16: bool) -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            read.model.body(tokens.tokens, layer)

    cached = CachedStream(opened, Feed(layer, batch), CPU, folder, 100)
    file = os.open(folder / "rows.npy", os.O_RDONLY)

    def cold() -> None:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        cached.rows(games)

    watch.add("model, float32", lambda: forward(False))
    watch.add("model, bfloat16", lambda: forward(True))
    watch.add("disk, in memory still", lambda: cached.rows(games), time.perf_counter)
    if hasattr(os, "posix_fadvise"):
        watch.add("disk", cold, time.perf_counter)


def add_steps(watch: Stopwatch, opened: tasks.Open, d_sae: int) -> None:
    """One step of each variant on a batch that lies ready, and of a pack with the batch's activations."""
    for name in STEPS:
        spec = Spec(opened.task.name, name, d_sae=d_sae)
        stream = Stream(opened, feed_of(spec, opened.task), CPU)
        batch, training = next(stream.batches()), Training(spec, stream)
        watch.add(f"step {name}", lambda training=training, batch=batch: training.take(batch))
    spec = Spec(opened.task.name, "standard", d_sae=d_sae)
    feed = feed_of(spec, opened.task)
    stream = Stream(opened, feed, CPU)
    pack = [Training(spec, stream) for _ in range(PACK)]
    games = stream.order(0)[: -(-feed.batch // stream.context)]

    def together() -> None:
        x = stream.rows(games)[: feed.batch] / stream.scale
        for each in pack:
            each.take(Batch(x))

    watch.add("pack", together)


def add_peak(watch: Stopwatch, dtype: torch.dtype, size: int) -> None:
    a = torch.randn(size, size).to(dtype)
    watch.add(f"peak {dtype}", lambda: a @ a)


def lines(watch: Stopwatch, opened: tasks.Open, batch: int, d_sae: int, size: int) -> Iterator[str]:
    best, d = watch.best, opened.model.shape.width
    kind = "bfloat16" if bf16_pays(CPU) else "float32"
    peak = 2 * size**3 / best[f"peak torch.{kind}"]
    yield f"{opened.task.name}: batches of {batch:,} rows, width {d} x {d_sae:,};"
    yield f"products in {kind}, of which {size} x {size} ones reach {peak / 1e9:,.0f} GFLOP/s, the peak"
    yield "\n| activations from | rows a second |\n|---|--:|"
    for name in (name for name in best if name.startswith(("model", "disk"))):
        yield f"| {name} | {batch / best[name]:,.0f} |"
    yield "\n| one step | ms | rows a second | of peak | times `local` |\n|---|--:|--:|--:|--:|"
    for name in STEPS:
        seconds = best[f"step {name}"]
        share = 5 * 2 * batch * d * d_sae / seconds / peak  # the products a step cannot do without
        relative = seconds / best["step local"]
        yield f"| `{name}` | {1e3 * seconds:.1f} | {batch / seconds:,.0f} | {share:.0%} | {relative:.1f} |"
    apart = PACK * best["step standard"] + best[f"model, {kind}"]
    alone = PACK * (best["step standard"] + best[f"model, {kind}"])
    yield (
        f"\n{PACK} SAEs on one stream cost {best['pack'] / apart:.2f} of {PACK} steps and one activation pass;"
        f" one after the other they would cost {alone / best['pack']:.2f} times as much."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default=DEFAULT_TASK)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--d-sae", type=int, default=1024)
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    parser.add_argument("--readme", action="store_true", help="write it into README.md too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    opened, batch = tasks.open_task(tasks.of(asked.task)), saes.RECIPES["common"].batch
    size, d_sae = (256, 64) if asked.quick else (2048, asked.d_sae)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(
        dir="."
    ) as folder:  # beside the data, on the disk that a cache would be on
        add_sources(watch, opened, batch, Path(folder))
        add_steps(watch, opened, d_sae)
        for dtype in (torch.float32, torch.bfloat16):
            add_peak(watch, dtype, size)
        for _ in range(1 if asked.quick else asked.rounds):
            watch.round()
    block = "\n".join(lines(watch, opened, batch, d_sae, size))
    print(block)
    if asked.readme:
        pages.into_readme("stream", block)


if __name__ == "__main__":
    main()
