"""The coefficient of a penalty that gives an L0: found by short runs, which train together on one stream."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from boardsae import Broken, saes, tasks
from boardsae.devices import device_of
from boardsae.files import read_json, write_record
from boardsae.progress import progress, say
from boardsae.runs import Spec
from boardsae.stream import Stream
from boardsae.train_sae import Training, feed_of

ROUNDS, AT_ONCE = 2, 5  # each round tries so many coefficients, the second from one of the first to the next
SHORT = 500_000  # rows


class Trials:
    """Short runs and the L0 that each ended with. A file keeps them, so that nobody waits for the same one twice."""

    def __init__(self, opened: tasks.Open, device: str = "auto", kept: Path | None = None):
        self.opened, self.device, self.kept = opened, device, kept
        self.made = self.read()

    def read(self) -> list[dict[str, Any]]:
        if self.kept is None or not self.kept.exists():
            return []
        trials = read_json(self.kept).get("trials")
        if not isinstance(trials, list) or not all(
            isinstance(each, dict) and "l0" in each for each in trials
        ):
            raise Broken(f"{self.kept} holds no trials of --target-l0; remove it, and they are made again")
        return trials

    def l0s(self, specs: Sequence[Spec]) -> list[float]:
        """Of a short run of each, with its whole schedule; those that are not known yet train together."""
        short = [dataclasses.replace(spec, rows=min(spec.rows, SHORT)) for spec in specs]
        asked = [dataclasses.asdict(spec) | {"hashes": self.opened.hashes} for spec in short]
        if new := [i for i, each in enumerate(asked) if self.known(each) is None]:
            found = trained([short[i] for i in new], self.opened, self.device)
            self.keep([{"asked": asked[i], "l0": l0} for i, l0 in zip(new, found, strict=True)])
        return [l0 for each in asked if (l0 := self.known(each)) is not None]

    def known(self, asked: dict[str, Any]) -> float | None:
        return next((each["l0"] for each in self.made if each.get("asked") == asked), None)

    def keep(self, trials: list[dict[str, Any]]) -> None:
        if self.kept is None:
            self.made += trials
            return
        self.made = self.read() + trials  # others may have kept some in the meantime
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        write_record(self.kept, {"trials": self.made})


def for_l0(spec: Spec, target: float, trials: Trials) -> tuple[Spec, int]:
    """The spec with the coefficient whose short run comes nearest to the target, interpolated on a log scale.

    And how many runs that makes, with its own; a round begins and ends with coefficients of the one before.

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
        inner = [low * (high / low) ** (i / (AT_ONCE - 1)) for i in range(1, AT_ONCE - 1)]
        tried = [low, *inner, high]
        found = trials.l0s([with_option(spec, variant.sparsity, value) for value in tried])
        say(
            "L0 of short runs: "
            + ", ".join(f"{v:.3g} gives {l0:.1f}" for v, l0 in zip(tried, found, strict=True))
        )
        low, high = bracket(tried, found, target)
    value = float(f"{between(tried, found, target):.4g}")
    say(f"{variant.sparsity} = {value:g} for L0 {target:g}")
    return with_option(spec, variant.sparsity, value), 1 + AT_ONCE + (ROUNDS - 1) * (AT_ONCE - 2)


def with_option(spec: Spec, name: str, value: float) -> Spec:
    return dataclasses.replace(spec, options=spec.options | {name: value})


def trained(specs: Sequence[Spec], opened: tasks.Open, device: str) -> list[float]:
    """The L0 of each spec once it has trained, on held-out rows."""
    stream = Stream(opened, feed_of(specs[0], opened.task), device_of(device))
    training = [Training(spec, stream) for spec in specs]
    bar = progress(f"{len(specs)} short runs", specs[0].steps * specs[0].batch, "rows")
    for _, batch in zip(range(specs[0].steps), stream.batches(), strict=False):
        for each in training:
            each.take(batch)
        bar.update(specs[0].batch)
    bar.close()
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
