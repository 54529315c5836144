"""The coefficient of a penalty that gives an L0: found by short runs, which train together on one stream."""

import dataclasses
import math
from collections.abc import Sequence

import torch

from boardsae import saes, tasks
from boardsae.devices import device_of
from boardsae.progress import say
from boardsae.runs import Spec
from boardsae.stream import Stream
from boardsae.train_sae import Training, feed_of

ROUNDS, AT_ONCE = 2, 5  # each round trains so many coefficients, the second between two of the first
SHORT = 500_000  # rows


def for_l0(spec: Spec, target: float, opened: tasks.Open, device: str = "auto") -> tuple[Spec, int]:
    """The spec with the coefficient whose short run comes nearest to the target, interpolated on a log scale.

    And how many runs that makes, with its own.

    Variants that count features instead of penalising them take the target itself.
    """
    variant = saes.VARIANTS[spec.variant]
    if variant.sparsity is None:
        raise ValueError(f"{spec.variant} has no option that sets its sparsity; leave --target-l0 out")
    if not 0 < target <= spec.d_sae:
        raise ValueError(f"expected --target-l0 above 0 and up to the {spec.d_sae} features, got {target:g}")
    default = spec.options[variant.sparsity]
    if isinstance(default, int):
        return with_option(spec, variant.sparsity, max(1, round(target))), 1
    low, high, tried, found = default / 30, default * 30, list[float](), list[float]()
    for _ in range(ROUNDS):
        tried = [low * (high / low) ** (i / (AT_ONCE - 1)) for i in range(AT_ONCE)]
        found = l0s([with_option(spec, variant.sparsity, value) for value in tried], opened, device)
        say(
            "L0 of short runs: "
            + ", ".join(f"{v:.3g} gives {l0:.1f}" for v, l0 in zip(tried, found, strict=True))
        )
        low, high = bracket(tried, found, target)
    value = float(f"{between(tried, found, target):.4g}")
    say(f"{variant.sparsity} = {value:g} for L0 {target:g}")
    return with_option(spec, variant.sparsity, value), 1 + ROUNDS * AT_ONCE


def with_option(spec: Spec, name: str, value: float) -> Spec:
    return dataclasses.replace(spec, options=spec.options | {name: value})


def l0s(specs: Sequence[Spec], opened: tasks.Open, device: str) -> list[float]:
    """What each spec's L0 is after a short run with its whole schedule."""
    feed = feed_of(specs[0], opened.task)
    stream = Stream(opened, feed, device_of(device))
    short = [dataclasses.replace(spec, rows=min(spec.rows, SHORT)) for spec in specs]
    training = [Training(spec, stream) for spec in short]
    for _, batch in zip(range(short[0].steps), stream.batches(), strict=False):
        for each in training:
            each.take(batch)
    held_out = stream.held_out()
    for each in training:
        each.sae.finish(held_out)
    with torch.no_grad():
        return [(each.sae.encode(held_out) != 0).sum(-1).float().mean().item() for each in training]


def bracket(tried: Sequence[float], found: Sequence[float], target: float) -> tuple[float, float]:
    """The neighbours between which L0 falls past the target."""
    for i in range(len(tried) - 1):
        if found[i] >= target >= found[i + 1]:
            return tried[i], tried[i + 1]
    span = " to ".join(f"{value:.1f}" for value in sorted((found[0], found[-1])))
    raise ValueError(f"expected an L0 that can be reached, got {target:g}; coefficients tried give {span}")


def between(tried: Sequence[float], found: Sequence[float], target: float) -> float:
    """Where log L0 meets the target, on a line between the two nearest coefficients."""
    low, high = bracket(tried, found, target)
    above, below = (math.log(max(found[list(tried).index(v)], 1e-3)) for v in (low, high))
    share = (above - math.log(target)) / (above - below) if above > below else 0.5
    return low * (high / low) ** share
