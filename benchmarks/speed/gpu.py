"""What an accelerator does: training steps of a GPT and of packs of SAEs, as shares of the rate of its products.

    python -m benchmarks.speed.gpu                       # minutes; needs nothing but this repository and its packages
    python -m benchmarks.speed.gpu --quick --device cpu  # sees that it runs, on small things

A GPT of size `paper` takes steps of `train-gpt`, games and all. A pack of SAEs of width 512 x 4,096 reads one stream of
its activations, as `sweep` has it, and a round is as long as a chunk of them lasts, so that reading it counts. By the
clock: the median of all rounds, of the large product the best; work that is under way is waited for. The shares count
the products that a step cannot do without: six operations a weight and token, five products an SAE.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from boardsae import data, generate, gpt, tasks
from boardsae.activations import alphabet
from boardsae.devices import bf16_pays, device_name, device_of
from boardsae.ranks import ALONE
from boardsae.runs import Spec
from boardsae.stream import Feed, Stream
from boardsae.train_gpt import Recipe
from boardsae.train_gpt import Training as GptTraining
from boardsae.train_sae import Training

GAME, LAYER = "othello", 4
GOAL = 0.4  # of the rate of large products
VARIANTS = {"standard": {}, "p_anneal": {}, "topk": {"k": 32}, "batch_topk": {"k": 32}}


class Sizes(NamedTuple):
    """How large everything is."""

    product: int
    games: int  # played
    gpt: str  # of gpt.SIZES
    step: int  # games a step of the GPT
    pack: int  # SAEs
    features: int
    batches: tuple[int, ...]  # rows a step of the SAEs
    steps: int  # in each round, or as many as a chunk of activations lasts
    chunks: int  # of activations in each round of a pack
    rounds: int


WHOLE = Sizes(8192, 20_000, "paper", 256, 16, 4096, (1024, 4096, 16_384), 10, 1, 5)
QUICK = Sizes(256, 2000, "nano", 16, 2, 64, (256,), 1, 0, 1)


def seconds(work: Callable[[], torch.Tensor], times: int, rounds: int) -> list[float]:
    """Of one call, in each round after one that warms up; reading one number of a result waits for it."""
    took = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        for _ in range(times - 1):
            work()
        work().flatten()[0].item()
        took.append((time.perf_counter() - began) / times)
    return took[1:]


def peak(device: torch.device, sizes: Sizes) -> float:
    """Operations a second of a large product, in the numbers that training multiplies there."""
    kind = torch.bfloat16 if bf16_pays(device) else torch.float32
    a = torch.randn(sizes.product, sizes.product).to(device, kind)
    return 2 * sizes.product**3 / min(seconds(lambda: a @ a, sizes.steps, sizes.rounds))


def gpt_line(dataset: data.Dataset, device: torch.device, sizes: Sizes, rate: float) -> str:
    recipe = Recipe(str(dataset.folder), sizes.gpt, "next", 10**9, sizes.step, bf16=bf16_pays(device))
    training = GptTraining(dataset, recipe, device, ALONE)
    numbers = iter(range(10**6))
    took = median(seconds(lambda: training.take(next(numbers)), sizes.steps, sizes.rounds))
    tokens = training.tokens_a_step / took
    weights = sum(p.numel() for p in training.model.parameters())
    layers, width, _ = gpt.SIZES[sizes.gpt]
    context = training.model.shape.context
    share = tokens * (6 * weights + 12 * layers * width * context) / rate  # and the two products of attention
    return (
        f"| a GPT of size `{sizes.gpt}` | {training.tokens_a_step:,} tokens | {1e3 * took:.1f} | {tokens:,.0f}"
        f" | {share:.0%} | {GOAL:.0%} | - |"
    )


def pack_lines(dataset: data.Dataset, device: torch.device, sizes: Sizes, rate: float) -> Iterator[str]:
    vocabulary, room = alphabet(dataset.game)
    model = gpt.GPT(gpt.Shape(GAME, vocabulary, room - 1, *gpt.SIZES[sizes.gpt])).eval()
    layer = min(LAYER, model.shape.layers - 1)
    task = tasks.Task("speed", "drawn", layer, GAME, sizes.games, 0, None, str(dataset.folder))
    opened = tasks.Open(task, model, dataset.folder, dataset, {})
    for batch in sizes.batches:
        stream = Stream(opened, Feed(layer, batch), device)
        for name, options in VARIANTS.items():
            yield pack_line(stream, Spec("speed", name, options, sizes.features), sizes, rate)


def pack_line(stream: Stream, spec: Spec, sizes: Sizes, rate: float) -> str:
    """Steps of a pack, the activations that they read included."""
    alone = taken([Training(spec, stream)], stream)
    pack, batches = [Training(spec, stream) for _ in range(sizes.pack)], stream.batches()
    before = taken(pack, stream)

    def together() -> torch.Tensor:
        batch = next(batches)
        for each in pack:
            each.take(batch)
        return pack[-1].sae.b_dec.detach()

    lasts = stream.chunk * stream.context // stream.feed.batch
    took = median(seconds(together, max(sizes.steps, sizes.chunks * lasts), sizes.rounds))
    rows = sizes.pack * stream.feed.batch / took
    share = rows * 5 * 2 * stream.first.shape[1] * spec.d_sae / rate
    memory = "-" if alone is None or before is None else f"{(before - alone) / (sizes.pack - 1) / 1e6:.0f}"
    return (
        f"| {sizes.pack} `{spec.variant}` of {stream.first.shape[1]} x {spec.d_sae:,} | {stream.feed.batch:,} rows"
        f" | {1e3 * took:.1f} | {rows:,.0f} | {share:.0%} | {GOAL:.0%} | {memory} |"
    )


def taken(pack: list[Training], stream: Stream) -> int | None:
    """The most memory that the device had in use during a step of these, where it tells."""
    if stream.device.type != "cuda":
        return None
    batch = next(stream.batches())
    torch.cuda.reset_peak_memory_stats(stream.device)
    for each in pack:
        each.take(batch)
    return torch.cuda.max_memory_allocated(stream.device)


def lines(device: torch.device, sizes: Sizes) -> Iterator[str]:
    rate = peak(device, sizes)
    kind = "bfloat16" if bf16_pays(device) else "float32"
    yield (
        f"{device_name(device)}, torch {torch.__version__}; products of {sizes.product:,} x {sizes.product:,} in"
        f" {kind}: {rate / 1e12:.2f} TFLOP/s, the peak"
    )
    yield ""
    yield "| what learns | from, a step | ms | tokens, or rows times SAEs, /s | of peak | goal | MB an SAE |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    with tempfile.TemporaryDirectory() as folder:
        dataset = generate.from_policy(GAME, sizes.games, 0, None, 1, Path(folder) / "games")
        yield gpt_line(dataset, device, sizes, rate)
        yield from pack_lines(dataset, device, sizes, rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    asked = parser.parse_args()
    for line in lines(device_of(asked.device), QUICK if asked.quick else WHOLE):
        print(line, flush=True)


if __name__ == "__main__":
    main()
