"""Do runs find the same features? Directions of two dictionaries, paired: across seeds, and across variants.

    best      mean over the features of each of their largest cosine in the other, both ways (Braun et al. 2024)
    matched   mean cosine of the pairing one to one whose sum is the largest (Hungarian)
    shared    share of those pairs with a cosine above 0.7 (Paulo & Belrose 2025)

Only features that fire on the report games take part, where scores say which do. Random directions, as many as each
has, are the row to read it beside: in few dimensions some are always near.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boardsae import dictionary, files, records, runs, tables
from boardsae.files import read_json
from boardsae.metrics import geometry
from boardsae.progress import progress
from boardsae.runs import Spec
from boardsae.tables import Table

SHARED = 0.7
RANDOM = 4_000_000_007  # a seed that no run starts from, and below 2^32, beyond which seeds repeat
NEAR = 20.0  # the L0 near which variants are compared


class Match(NamedTuple):
    """How alike the directions of two runs are."""

    best: float
    matched: float
    shared: float


class Pair(NamedTuple):
    """Two runs and what was found, beside random directions in the place of the second."""

    kind: str  # "seeds" or "variants"
    one: str  # the folder of a run, seen from the folder of all
    other: str
    l0: float | None
    found: Match
    random: Match


def match(one: Float[Tensor, "feature d"], other: Float[Tensor, "latent d"]) -> Match:
    unit = torch.nn.functional.normalize
    cosines = unit(one, dim=1) @ unit(other, dim=1).T
    best = (cosines.amax(1).mean() + cosines.amax(0).mean()) / 2
    pairs = geometry.matched(one, other)
    return Match(best.item(), float(pairs.mean()), float((pairs > SHARED).mean()))


def directions(folder: Path) -> Float[Tensor, "feature d"]:
    """The decoder's rows of the features that fire."""
    weights = dictionary.read(folder).saved.tensors["W_dec"]
    if not (folder / "counts.npz").exists():
        return weights
    fired = records.counts_of(folder, "fired")["fired"]
    return weights[torch.from_numpy(np.flatnonzero(fired))]


def pairs(root: Path) -> list[Pair]:
    """Runs that differ in their seed alone, and variants at runs whose L0 is nearest to NEAR."""
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}; boardsae sweep makes one")
    found = trained(root)
    waiting = [*by_seed(found), *by_variant(found)]
    if not waiting:
        raise ValueError(
            f"expected runs with weights in {root} that differ in their seed, for one seed begins with the same"
            f" directions in all variants; got {len(found)} of {len({spec.seed for spec, _ in found})} seeds;"
            " published records come without weights; train some with another --seed"
        )
    bar = progress("matching", len(waiting), "pairs")
    made = []
    for kind, one, other in waiting:
        made.append(pair(root, kind, one, other))
        bar.update(1)
    bar.close()
    return made


def pair(root: Path, kind: str, one: Path, other: Path) -> Pair:
    a, b = directions(one), directions(other)
    random = torch.randn(b.shape, generator=torch.Generator().manual_seed(RANDOM))
    l0s = [l0 for folder in (one, other) if (l0 := l0_of(folder)) is not None]
    l0 = fmean(l0s) if l0s else None
    first, second = (folder.relative_to(root).as_posix() for folder in (one, other))
    return Pair(kind, first, second, l0, match(a, b), match(a, random))


def trained(root: Path) -> list[tuple[Spec, Path]]:
    """Runs whose directions are learnt: at the residual stream, by a method of the zoo, weights at hand."""
    found = []
    for folder in runs.runs(root):
        if runs.CONTROLS_FOLDER in folder.relative_to(root).parts or not runs.is_trained(folder):
            continue
        if runs.is_imported(folder) or not dictionary.has_weights(folder):
            continue
        spec = runs.spec_of(folder)
        variant = runs.VARIANTS[spec.variant]
        if not variant.untrained and variant.site == "residual":
            found.append((spec, folder))
    return found


def by_seed(found: Sequence[tuple[Spec, Path]]) -> Iterator[tuple[str, Path, Path]]:
    groups: dict[str, list[Path]] = {}
    for spec, folder in found:
        groups.setdefault(str(asdict(spec) | {"seed": None}), []).append(folder)
    for same in groups.values():
        yield from (("seeds", one, other) for one, other in combinations(same, 2))


def by_variant(found: Sequence[tuple[Spec, Path]]) -> Iterator[tuple[str, Path, Path]]:
    """Variants of one task and layer."""
    groups: dict[tuple[str, int | None], list[tuple[Spec, Path]]] = {}
    for spec, folder in found:
        groups.setdefault((spec.task, spec.layer), []).append((spec, folder))
    for same in groups.values():
        yield from variants_of(same)


def variants_of(found: Sequence[tuple[Spec, Path]]) -> Iterator[tuple[str, Path, Path]]:
    """One run of each, of different seeds: runs of one seed start with the same directions."""
    nearest: dict[tuple[str, int], tuple[float, Path]] = {}
    for spec, folder in found:
        l0 = l0_of(folder)
        if spec.kl_finetune or not l0:
            continue
        key, distance = (spec.variant, spec.seed), abs(np.log(l0 / NEAR))
        if key not in nearest or distance < nearest[key][0]:
            nearest[key] = distance, folder
    seeds = sorted({seed for _, seed in nearest})[:2]
    for a, b in combinations(dict.fromkeys(variant for variant, _ in nearest), 2):
        for one, other in ((a, b), (b, a)):
            ends = (one, seeds[0]), (other, seeds[-1])
            if len(seeds) == 2 and all(end in nearest for end in ends):
                yield "variants", nearest[ends[0]][1], nearest[ends[1]][1]
                break


def l0_of(folder: Path) -> float | None:
    """As scored, else as the last row of training has it."""
    if (folder / "scores.json").exists():
        return read_json(folder / "scores.json")["metrics"]["l0@1"]["value"]
    last = read_json(folder / "boardsae.json").get("last")
    return last["l0"] if last else None


COLUMNS = ("kind", "one", "other", "l0", *Match._fields, *(f"random_{name}" for name in Match._fields))


def write(root: Path) -> list[Pair]:
    """Matches the runs of a folder, into its matching.csv."""
    found = pairs(root)
    rows = [(*each[:3], each.l0, *each.found, *each.random) for each in found]
    rounded = [[round(word, 4) if isinstance(word, float) else word for word in row] for row in rows]
    files.write_text(root / records.MATCHING, tables.comma_separated(COLUMNS, rounded))
    return found


def summary(found: Sequence[Pair]) -> list[Table]:
    """Across seeds, a row for each variant and sparsity; across variants, a row for each variant."""
    made = []
    for kind, title in (("seeds", "across seeds"), ("variants", f"across variants, near L0 {NEAR:g}")):
        groups: dict[str, list[Pair]] = {}
        for each in found:
            if each.kind == kind:
                ends = (each.one,) if kind == "seeds" else (each.one, each.other)
                for name in ends:
                    groups.setdefault(name.rsplit("/seed=", 1)[0], []).append(each)
        rows = [[name, str(len(mine)), *figures(mine)] for name, mine in groups.items()]
        if rows:
            header = ["run", "pairs", "L0", *Match._fields, "matched, random"]
            made.append(Table(f"features found again {title}", header, rows))
    return made


def figures(mine: Sequence[Pair]) -> list[str]:
    l0s = [each.l0 for each in mine if each.l0 is not None]
    means = [fmean(getattr(each.found, name) for each in mine) for name in Match._fields]
    chance = fmean(each.random.matched for each in mine)
    return [f"{fmean(l0s):.1f}" if l0s else "-", *(f"{value:.3f}" for value in means), f"{chance:.3f}"]
