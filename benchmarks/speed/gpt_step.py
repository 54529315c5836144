"""One training step of a GPT: ours beside TransformerLens's HookedTransformer, on the same games, in turn.

4 layers x 128, 64 games x 59 tokens of 8x8 Othello: forward, cross-entropy of the next move, backward, clipping, AdamW
(and, as `train-gpt` has it, Muon). One thread, processor time, medians over interleaved rounds. TransformerLens is no
dependency, and 4 has no HookedTransformer any more, so that it wants an environment of its own:

    python -m venv peers && peers/bin/pip install "transformer-lens==3.9.0" numba jaxtyping scipy
    PYTHONPATH=. peers/bin/python -m benchmarks.speed.gpt_step
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import games
from boardsae import gpt
from boardsae.devices import has_matrix_units
from boardsae.optimizers import OPTIMIZERS, optimizers_of
from boardsae.play import pairs_of

LAYERS, WIDTH, HEADS = gpt.SIZES["small"]
GAMES, VOCABULARY, CONTEXT = 64, 61, 59
WARM, ROUNDS = 2, 15
GOALS = {
    "float32": 1.7,
    "bfloat16": 4.0,
}  # times faster than TransformerLens in float32; bfloat16 on matrix units
Step = Callable[[], None]


def step(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], batch: tuple[Tensor, Tensor], bf16: bool
) -> Step:
    tokens, following = batch

    def take() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(tokens)
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), following.flatten())
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()

    return take


def adam(model: nn.Module) -> list[torch.optim.Optimizer]:
    return [torch.optim.AdamW(model.parameters(), 1e-3, fused=True)]


def ours() -> gpt.GPT:
    return gpt.GPT(gpt.Shape("othello", VOCABULARY, CONTEXT, LAYERS, WIDTH, HEADS))


def theirs() -> nn.Module | None:
    try:
        from transformer_lens import HookedTransformer, HookedTransformerConfig
    except ImportError:
        return None
    config = HookedTransformerConfig(
        n_layers=LAYERS,
        d_model=WIDTH,
        n_heads=HEADS,
        d_head=WIDTH // HEADS,
        d_mlp=4 * WIDTH,
        d_vocab=VOCABULARY,
        n_ctx=CONTEXT,
        act_fn="gelu",
        normalization_type="LN",
    )
    return HookedTransformer(config)


def contestants(batch: tuple[Tensor, Tensor]) -> dict[str, Step]:
    """By name, the first one being what the others are measured against."""
    found = {}
    for dtype in ("float32", "bfloat16"):
        if (model := theirs()) is not None:
            found[f"TransformerLens, {dtype}"] = step(model, adam(model), batch, dtype == "bfloat16")
    for dtype in ("float32", "bfloat16"):
        model = ours()
        found[f"ours, {dtype}"] = step(model, adam(model), batch, dtype == "bfloat16")
    model = ours()
    muon = optimizers_of(model, "muon", *OPTIMIZERS["muon"], lr_others=4e-3)
    return found | {"ours with Muon, bfloat16": step(model, muon, batch, True)}


def measure(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """The median milliseconds of each, all of them once a round."""
    for take in steps.values():
        for _ in range(WARM):
            take()
    seen: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, take in steps.items():
            began = time.process_time()
            take()
            seen[name].append(1000 * (time.process_time() - began))
    return {name: statistics.median(values) for name, values in seen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    othello = games.load("othello")
    moves, _ = othello.generate(0, 0, GAMES, othello.policy("uniform"))
    pairs = pairs_of(othello, moves)
    took = measure(contestants((pairs.tokens, pairs.following)), asked.rounds)
    base = took.get("TransformerLens, float32")
    print("| step of 64 games x 59 tokens | ms | tokens/s | ratio |\n|---|--:|--:|--:|")
    for name, ms in took.items():
        ratio = f"{base / ms:.2f}" if base else "-"
        print(f"| {name} | {ms:.0f} | {1000 * GAMES * CONTEXT / ms:,.0f} | {ratio} |")
    if base is None:
        print("\nTransformerLens 3 is not installed here: nothing to compare with")
        return
    wanted = "bfloat16" if has_matrix_units() else "float32"
    print(f"\ngoal here: {GOALS[wanted]} in {wanted}; reached {base / took[f'ours, {wanted}']:.2f}")


if __name__ == "__main__":
    main()
