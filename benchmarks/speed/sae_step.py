"""One training step of an SAE: ours beside dictionary_learning's and SAELens's, on the same batches, in turn.

One core, processor time, the best of all rounds, after steps that bring each side near its L0. The other libraries are
no dependencies; what is not installed is left out. SAELens pins transformer-lens below 4, so that they want an
environment of their own, with this repository on its path:

    python -m venv peers && peers/bin/pip install sae-lens dictionary-learning numba jaxtyping typer scipy
    PYTHONPATH=. peers/bin/python -m benchmarks.speed.sae_step
"""

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from boardsae import saes
from boardsae.devices import bf16_pays
from boardsae.saes.base import RECIPES, Step

WIDTH, FEATURES, BATCH, K = 128, 1024, 4096, 32
WARM, STEPS = 40, 3  # steps before any clock runs, and in each measurement
GOALS = {  # times faster than dictionary_learning and SAELens, in float32 and with products in bfloat16
    ("standard", "float32"): (2.5, 2.0),
    ("standard", "bfloat16"): (6.0, 4.0),
    ("p_anneal", "float32"): (3.0, None),
    ("p_anneal", "bfloat16"): (3.0, None),
    ("topk", "float32"): (2.5, 2.5),
    ("topk", "bfloat16"): (2.5, 2.5),
}
Take = Callable[[Tensor], object]  # one step on a batch


def batches(count: int, seed: int = 0) -> list[Tensor]:
    """Sparse sums of planted directions."""
    random = torch.Generator().manual_seed(seed)
    planted = torch.nn.functional.normalize(torch.randn(600, WIDTH, generator=random), dim=1)
    made = []
    for _ in range(count):
        places = torch.randint(600, (BATCH, 24), generator=random)
        values = torch.rand(BATCH, 24, generator=random) / 24**0.5 * 1.7
        made.append(torch.einsum("rk,rkd->rd", values, planted[places]))
    return made


def ours(name: str, bf16: bool, first: Tensor) -> Take:
    """The step of boardsae.train_sae, without its schedules."""
    recipe = RECIPES["common"]
    options = {"k": K} if name == "topk" else {"l1": 0.1}
    sae = saes.build(name, WIDTH, FEATURES, **options)
    sae.start(first)
    sae.bf16 = bf16
    adam = torch.optim.Adam(sae.parameters(), recipe.lr, betas=sae.betas, fused=True)

    def take(x: Tensor) -> None:
        step = Step(x, 0.5)
        adam.zero_grad()
        outcome = sae.by_hand(step)
        if outcome is None:
            outcome = sae.loss(step)
            torch.stack([*outcome.terms.values()]).sum().backward()
        sae.before_update()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        adam.step()
        sae.after_step(step, outcome)

    return take


def dictionary_learning(name: str) -> Take | None:
    """Its trainer's `update`, as its training loop calls it."""
    try:
        from dictionary_learning.trainers import p_anneal, standard, top_k
    except ImportError:
        return None
    shared = {"steps": 10_000, "activation_dim": WIDTH, "dict_size": FEATURES, "layer": 0, "lm_name": "none"}
    shared |= {"device": "cpu", "lr": 1e-3, "seed": 0}
    if name == "topk":
        trainer = top_k.TopKTrainer(**shared, k=K)
    elif name == "p_anneal":
        trainer = p_anneal.PAnnealTrainer(
            **shared, initial_sparsity_penalty=0.02, anneal_start=20, p_end=0.2, sparsity_warmup_steps=None
        )
    else:
        trainer = standard.StandardTrainer(**shared, l1_penalty=0.02, sparsity_warmup_steps=None)
    at = iter(range(10_000))
    return lambda x: trainer.update(next(at), x)


def sae_lens(name: str) -> Take | None:
    """The step of its trainer: forward pass, statistics, clipping, torch's Adam."""
    try:
        from sae_lens import (
            StandardTrainingSAE,
            StandardTrainingSAEConfig,
            TopKTrainingSAE,
            TopKTrainingSAEConfig,
        )
        from sae_lens.saes.sae import TrainStepInput
    except ImportError:
        return None
    if name == "topk":
        sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=WIDTH, d_sae=FEATURES, k=K))
    elif name == "standard":
        sae = StandardTrainingSAE(StandardTrainingSAEConfig(d_in=WIDTH, d_sae=FEATURES, l1_coefficient=0.1))
    else:
        return None
    adam = torch.optim.Adam(sae.parameters(), 1e-3)
    since, often = torch.zeros(FEATURES), torch.zeros(FEATURES)

    def take(x: Tensor) -> None:
        given = TrainStepInput(x, {"l1": 0.1}, since > 1000, 0, False)
        out = sae.training_forward_pass(given)
        with torch.no_grad():
            fired = out.feature_acts.bool().float()
            since.add_(1).mul_(fired.sum(0) == 0)
            often.add_(fired.sum(0))
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        adam.step()
        adam.zero_grad()

    return take


def measure(sides: dict[str, Take], rounds: int) -> dict[str, float]:
    """Seconds a step, the best of all rounds, in which the sides take turns."""
    held = batches(8)
    for take in sides.values():
        for i in range(WARM):
            take(held[i % 8])
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, take in sides.items():
            began = time.process_time()
            for i in range(STEPS):
                take(held[i])
            best[name] = min(best[name], (time.process_time() - began) / STEPS)
    return best


def peak(dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations a second of a large product."""
    a, best = torch.randn(size, size).to(dtype), float("inf")
    for _ in range(5):
        began = time.process_time()
        a @ a
        best = min(best, time.process_time() - began)
    return 2 * size**3 / best


def lines(rounds: int) -> Iterator[str]:
    first = batches(1)[0]
    yield f"width {WIDTH} x {FEATURES:,}, {BATCH:,} rows a step, k {K}; torch {torch.__version__};"
    paying = "pay" if bf16_pays(torch.device("cpu")) else "do not pay"
    yield f"products in bfloat16 {paying} on this machine\n"
    heads = ("variant", "products", "ours, ms", "of peak", "dictionary_learning, ms", "times", "goal")
    yield f"| {' | '.join((*heads, 'SAELens, ms', *heads[-2:]))} |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    for name in ("standard", "p_anneal", "topk"):
        sides = {"float32": ours(name, False, first), "bfloat16": ours(name, True, first)}
        others = {"dictionary_learning": dictionary_learning(name), "SAELens": sae_lens(name)}
        best = measure(sides | {other: take for other, take in others.items() if take is not None}, rounds)
        for products in sides:
            share = 5 * 2 * BATCH * WIDTH * FEATURES / best[products] / peaks[products]
            cells = [f"| `{name}` | {products} | {1e3 * best[products]:.1f} | {share:.0%} |"]
            for other, goal in zip(others, GOALS[name, products], strict=True):
                if other in best:
                    times = best[other] / best[products]
                    cells.append(f" {1e3 * best[other]:.1f} | **{times:.1f}** | {goal or '-'} |")
                else:
                    cells.append(" - | - | - |")
            yield "".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--readme", action="store_true", help="write the table into README.md too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    block = "\n".join(lines(asked.rounds))
    print(block)
    if asked.readme:
        from benchmarks import pages  # what it imports the environment of the peers may lack

        pages.into_readme("sae-step", block)


if __name__ == "__main__":
    main()
