"""Is A better than B? The same games for both, at the same L0, and a plain verdict.

A side is one run or several: all runs below a folder. Several are read as one curve a seed, at the L0s that both sides
reach. Two single runs are compared as they are, and their L0s are said. The interval of one pair of runs is a paired
bootstrap over games; with seeds, it is the spread over seeds alone that decides, by Welch's t.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from boardsae import Broken, entries, records, targets
from boardsae.frontier import Point, read_at, t95
from boardsae.metrics import METRICS, bootstrap, chance, functional, supervised, unsupervised
from boardsae.progress import say
from games.core import no_such

POINTS = 5  # L0s at which two curves are compared


class Verdict(NamedTuple):
    metric: str
    a: float
    b: float
    difference: float  # of A over B, as measured
    low: float
    high: float
    l0: str  # where they were compared
    seeds: tuple[int, int]

    @property
    def words(self) -> str:
        """better, worse, or what it would take to tell."""
        direction = METRICS[self.metric].direction
        if not direction:
            return "neither end of this metric is better"
        gain = (self.low, self.high) if direction == "up" else (-self.high, -self.low)
        if gain[0] > 0:
            return "A is better"
        if gain[1] < 0:
            return "A is worse"
        return f"cannot tell{self.needed()}"

    def needed(self) -> str:
        """About how many seeds a side it would take, if the difference were what it seems."""
        if min(self.seeds) < 2:
            return "; train three seeds a side, at several sparsities"
        half = (self.high - self.low) / 2
        if not self.difference:
            return "; no difference is seen"
        more = math.ceil(min(self.seeds) * (half / abs(self.difference)) ** 2)
        return f"; about {more} seeds a side would, if the difference is what it seems"


def scored_runs(target: Path) -> list[dict[str, Any]]:
    """The records below a folder, each with where it lies: of one variant, and of one setting of it."""
    folders = [folder for folder in targets.folders(str(target)) if (folder / "scores.json").exists()]
    if not folders:
        raise ValueError(f"no scored run in {target}; score it: boardsae score {target}")
    try:
        found = [records.run_of(folder, records.whole(folder / "scores.json")) for folder in folders]
    except records.Unscored as fault:
        raise ValueError(f"{target}: {fault}") from None
    usual, *others = entries.entries(records.Found(found, []))
    if variants := {entry.variant for entry in others} - {usual.variant}:
        names = ", ".join(sorted({usual.variant, *variants}))
        raise ValueError(f"expected runs of one variant in {target}, got {names}; name the folder of one")
    for entry in others:
        say(
            f"{target}: {len(entry.runs)} runs of {entry.name} are left out; name their folders to compare them"
        )
    return [run.record | {"folder": run.path} for run in usual.runs]


def verdicts(a: Path, b: Path, metrics: Sequence[str]) -> list[Verdict]:
    """A against B, metric by metric."""
    for metric in metrics:
        if metric not in METRICS:
            raise ValueError(no_such("metric", metric, METRICS))
    one, other = scored_runs(a), scored_runs(b)
    hashes = {(r["hashes"]["model"], r["hashes"]["games"], r["layer"]) for r in (*one, *other)}
    if len(hashes) > 1:
        raise ValueError(
            f"{a} and {b} were not scored on the same model, layer and games; they cannot be compared"
        )
    if len(one) == len(other) == 1:
        return [pair(one[0], other[0], metric) for metric in metrics]
    return [curves(one, other, metric) for metric in metrics]


def value_of(record: dict[str, Any], metric: str) -> float:
    cell = record["metrics"].get(metric)
    if cell is None or cell["value"] is None:
        raise ValueError(
            f"{record['folder']} has no {metric}: {cell['reason'] if cell else 'it was not measured'}"
        )
    return cell["value"]


def pair(a: dict[str, Any], b: dict[str, Any], metric: str) -> Verdict:
    """Two runs: the difference, and its interval over the same resampled games."""
    values = value_of(a, metric), value_of(b, metric)
    draws = [drawn(record, metric) for record in (a, b)]
    low, high = bootstrap.interval(draws[0] - draws[1])
    l0s = " and ".join(f"{value_of(record, 'l0@1'):.1f}" for record in (a, b))
    return Verdict(metric, *values, values[0] - values[1], low, high, l0s, (1, 1))


def drawn(record: dict[str, Any], metric: str) -> np.ndarray:
    """The metric of every resample of games, from the counts that lie beside the record."""
    if metric == "cov_x@1":
        known = [record["predicates"][i] for i in np.flatnonzero(records.on_board(record))]
        null, ceiling = (np.array([each[name] for each in known]) for name in ("null", "ceiling"))
        moments = counts_of(record["folder"], "board_phi")["board_phi"]
        return bootstrap.draws(moments, lambda sums: chance.share(chance.phi(sums), null, ceiling))
    tables = counts_of(record["folder"])
    if metric in ("coverage@1", "found@1"):
        board = records.on_board(record)
        counted = board & supervised.common(tables["detected"].sum(0)[:, 2], record["rows"])
        score = supervised.coverage if metric == "coverage@1" else supervised.found
        return bootstrap.draws(tables["detected"][:, counted], score)
    if metric in ("reconstruction@1", "reconstruction_paper@1"):
        table = tables["rebuilt" if metric == "reconstruction@1" else "paper_rebuilt"]
        return bootstrap.draws(table, supervised.pooled_f1)
    if metric == "strategy_reconstruction_paper@1":
        return bootstrap.draws(tables["strategy_rebuilt"], supervised.coverage)
    for family, name in ((unsupervised, "unsupervised"), (functional, "functional")):
        if name in tables and metric in family.scores(np.ones(len(family.NAMES))):
            if tables[name].shape[1] != len(family.NAMES):
                path = record["folder"]
                raise Broken(
                    f"{path / 'counts.npz'} is of an earlier version; boardsae score --force {path} makes it again"
                )
            return family.scores(bootstrap.draws(tables[name], lambda sums: sums))[metric]
    raise ValueError(
        f"{metric} has no counts by game, so that two runs cannot be compared in it; compare folders of seeds"
    )


def counts_of(folder: Path, *names: str) -> dict[str, np.ndarray]:
    """The tables by game of a scored run, all or some."""
    if not (folder / "counts.npz").exists():
        raise FileNotFoundError(
            f"no {folder / 'counts.npz'}, from which the interval of two runs is made; published records come without;"
            f" boardsae score --force {folder} makes it of a run with weights, and folders of seeds need none"
        )
    return records.counts_of(folder, *names)


def curves(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], metric: str) -> Verdict:
    """Two sets of runs: the mean difference over the L0s that both reach, and its spread over seeds."""
    sides = [by_seed(records, metric) for records in (one, other)]
    spans = [
        [(min(p.l0 for p in points), max(p.l0 for p in points)) for points in side.values()] for side in sides
    ]
    low = max(bounds[0] for span in spans for bounds in span)
    high = min(bounds[1] for span in spans for bounds in span)
    if low > high:
        raise ValueError(
            f"the two sides share no L0: one ends at {high:.1f}, the other begins at {low:.1f}; train other sparsities"
        )
    at = np.geomspace(max(low, 1e-3), high, POINTS) if high > low else np.array([low])
    means = [[fmean(reading(points, l0) for l0 in at) for points in side.values()] for side in sides]
    difference = fmean(means[0]) - fmean(means[1])
    half = welch(*means)
    seeds = len(means[0]), len(means[1])
    return Verdict(
        metric, fmean(means[0]), fmean(means[1]), difference, difference - half, difference + half,
        f"{low:.1f} to {high:.1f}", seeds,
    )  # fmt: skip


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Half of the 95% interval of the difference of two means: Welch's t, which lets the sides differ in spread."""
    if min(len(one), len(other)) < 2:
        return math.inf
    variances = [stdev(values) ** 2 / len(values) for values in (one, other)]
    if not sum(variances):
        return 0.0
    lost = sum(v**2 / (len(values) - 1) for v, values in zip(variances, (one, other), strict=True))
    return t95(sum(variances) ** 2 / lost) * math.sqrt(sum(variances))


def by_seed(records: Sequence[dict[str, Any]], metric: str) -> dict[int, list[Point]]:
    found: dict[int, list[Point]] = {}
    for record in records:
        point = Point(value_of(record, "l0@1"), value_of(record, metric))
        found.setdefault(record["subject"].get("seed", 0), []).append(point)
    return found


def reading(points: Sequence[Point], l0: float) -> float:
    if len(points) == 1:
        return points[0].value
    found = read_at(points, min(max(l0, min(p.l0 for p in points)), max(p.l0 for p in points))).value
    assert found is not None, "read inside of what was measured"
    return found


def told(verdict: Verdict) -> str:
    title = METRICS[verdict.metric].title
    span = (
        f"[{verdict.low:+.4f}, {verdict.high:+.4f}]"
        if math.isfinite(verdict.high)
        else "[one seed: no interval]"
    )
    return f"{title:<28} {verdict.a:>9.4f} {verdict.b:>9.4f} {verdict.difference:>+9.4f}  {span:<22} {verdict.words}"
