"""What linear probes find of every predicate: the most that a direction can be expected to say.

Ridge probes on the activations: fitted on training games, their strength and thresholds chosen on select games, judged
on report games. Predicates are taken some at a time, so that memory does not grow with their number.
"""

from typing import NamedTuple

import numpy as np
import torch

from boardsae.evidence import Evidence
from boardsae.metrics import chance, supervised
from boardsae.metrics.detectors import by_game
from boardsae.probes import STRENGTHS, Probes, Thresholds, best_thresholds, fits

CELLS = 2**23  # of an array of floats (row, predicate)


class Reader(NamedTuple):
    """Probes of some predicates, and above which of their values these are read as true."""

    probes: Probes
    levels: Thresholds


class Ceiling(NamedTuple):
    """What linear probes reach on the report games, and the probes."""

    f1: np.ndarray
    phi: np.ndarray
    readers: list[Reader]  # of all predicates, in their order


def ceiling(evidence: Evidence) -> Ceiling:
    select, report, found, readers = evidence.select, evidence.report, [], []
    for some, probes in fitted(evidence):
        held = torch.from_numpy(select.truth.of(some)[:])
        levels = best_thresholds(probes(select.x), held, torch.from_numpy(select.ply))
        readers.append(Reader(probes, levels))
        said, truth = probes(report.x), report.truth.of(some)[:]
        by_f1 = by_game((said > levels.f1).numpy(), truth, report.starts).sum(0)
        by_phi = chance.moments((said > levels.phi).numpy(), truth, report.ply, report.starts).sum(0)
        found.append((supervised.table(by_f1, len(report.x)).f1, chance.phi(by_phi)))
    f1, phi = (np.concatenate(each) for each in zip(*found, strict=True))
    return Ceiling(f1, phi, readers)


def fitted(evidence: Evidence) -> list[tuple[np.ndarray, Probes]]:
    """Probes of some predicates at a time, all of the strength that explains the select games best."""
    train, select, predicates = evidence.train, evidence.select, len(evidence.columns)
    each = max(1, CELLS // len(train.rows))
    parts = [np.arange(first, min(first + each, predicates)) for first in range(0, predicates, each)]
    tried, errors = [], torch.zeros(len(STRENGTHS), dtype=torch.float64)
    for some in parts:
        tried.append(fits(train.x, torch.from_numpy(train.truth.of(some)[:])))
        held = torch.from_numpy(select.truth.of(some)[:]).float()
        errors += torch.tensor([(probes(select.x) - held).square().sum().item() for probes in tried[-1]])
    best = int(errors.argmin())
    return [(some, strengths[best]) for some, strengths in zip(parts, tried, strict=True)]
