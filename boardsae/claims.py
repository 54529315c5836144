"""The papers' claims put to the test: two groups of runs at equal L0, the effect, its interval, a verdict.

A claim says that one group's metric is higher or lower than another's, or a certain share of it. The effect is paired:
both groups are read at the same L0s (or at the same loss, where the paper does), seed by seed, where both were
measured; a seed's effect is its mean over these, and the interval is that of Student's t over seeds. All runs are
scored on the same games. The intervals are not corrected for how many claims there are.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from boardsae import entries, files, records
from boardsae.claimed import CLAIMS, Claim, Group
from boardsae.entries import Entry, settings
from boardsae.frontier import read_at, t95
from boardsae.metrics import METRICS
from boardsae.records import Found
from boardsae.tables import Table, markdown

VERDICTS = (
    "fails",
    "cannot tell",
    "holds",
)  # in the order of the page: a reader should meet the bad news first


class Verdict(NamedTuple):
    claim: Claim
    metric: str
    verdict: str
    why: str
    effect: float | None = None  # ours minus theirs; with a share, ours as a share of theirs
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    at: tuple[float, ...] = ()  # where both groups were measured


def verdicts(found: Found, claim: Claim) -> list[Verdict]:
    """The claim on each of its metrics, on the records of one task."""
    known = entries.entries(found)
    current = entries.versions(found)
    groups = [entry_of(known, group) for group in (claim.ours, claim.theirs)]
    lacking = [
        str(group) for group, entry in zip((claim.ours, claim.theirs), groups, strict=True) if entry is None
    ]
    if lacking:
        return [
            Verdict(claim, metric, "cannot tell", f"no runs of {' or '.join(lacking)}")
            for metric in claim.metrics
        ]
    ours, theirs = groups
    assert ours is not None
    assert theirs is not None
    return [
        measured(claim, current[metric], ours, theirs, current[claim.over])
        if metric in current and claim.over in current
        else Verdict(claim, metric, "cannot tell", "no record has the metric")
        for metric in claim.metrics
    ]


def entry_of(known: Sequence[Entry], group: Group) -> Entry | None:
    """The entry of a group; of several the usual one, which stands first."""
    return next(
        (
            entry
            for entry in known
            if entry.variant == group.variant
            and all(settings(entry.runs[0]).get(name) == value for name, value in group.settings.items())
        ),
        None,
    )


def measured(claim: Claim, metric: str, ours: Entry, theirs: Entry, over: str) -> Verdict:
    a, b = (readings(entry, metric, over, claim.at) for entry in (ours, theirs))
    seeds = sorted(set(a) & set(b))
    at = (
        tuple(fixed for fixed in claim.at if all(fixed in a[seed] and fixed in b[seed] for seed in seeds))
        if seeds
        else ()
    )
    least = 3 if METRICS[metric].across else 2
    if len(seeds) < least:
        why = f"{len(seeds)} seeds in both groups; an interval takes {least} or more"
        return Verdict(claim, metric, "cannot tell", why)
    if not at:
        why = f"no {METRICS[over].title} that all runs of both groups reach"
        return Verdict(claim, metric, "cannot tell", why, seeds=len(seeds))
    if claim.share is not None and any(
        values[seed][fixed] <= 0 for values in (a, b) for seed in seeds for fixed in at
    ):
        why = "a share of nothing or less has no meaning"
        return Verdict(claim, metric, "cannot tell", why, seeds=len(seeds), at=at)
    difference = (lambda p, q: p - q) if claim.share is None else (lambda p, q: math.log(p / q))
    effects = [fmean(difference(a[seed][fixed], b[seed][fixed]) for fixed in at) for seed in seeds]
    middle, half = fmean(effects), half_interval(effects, pairs=METRICS[metric].across)
    bound = 0.0 if claim.share is None else math.log(claim.share)
    verdict, why = decided(claim, middle - bound, half, len(seeds))
    figures = [middle, middle - half, middle + half]
    middle, low, high = figures if claim.share is None else [math.exp(value) for value in figures]
    return Verdict(claim, metric, verdict, why, middle, low, high, len(seeds), at)


def readings(entry: Entry, metric: str, over: str, at: Sequence[float]) -> dict[int, dict[float, float]]:
    """By seed and place on the curve, where it was measured."""
    return {
        seed: {fixed: value for fixed in at if (value := read_at(points, fixed).value) is not None}
        for seed, points in entry.points(metric, over).items()
    }


def half_interval(effects: Sequence[float], pairs: bool) -> float:
    """Half of the 95% interval of the mean effect, Student's t over seeds.

    Where a seed's value is the mean over its pairs with the others, every pair counts for two seeds, and their spread
    is too small: the jackknife's pseudo-values lie 2 (n - 1) / (n - 2) times as far from the mean.
    """
    seeds = len(effects)
    spread = stdev(effects) * (2 * (seeds - 1) / (seeds - 2) if pairs else 1)
    return t95(seeds - 1) * spread / math.sqrt(seeds)


def decided(claim: Claim, beyond: float, half: float, seeds: int) -> tuple[str, str]:
    """Holds or fails where the whole interval lies on one side of the claim's bound."""
    beyond *= claim.direction
    if beyond > half:
        return "holds", ""
    if beyond < -half:
        return "fails", "the other way round" if claim.share is None else "the effect is smaller than claimed"
    more = math.ceil(seeds * (half / abs(beyond)) ** 2) - seeds if beyond else None
    if more is None or more > 99:
        return "cannot tell", "the interval holds both; there is hardly any difference"
    return "cannot tell", f"the interval holds both; about {more} more seed{'s' * (more > 1)} would tell"


def page(found: Found) -> str:
    """results/CLAIMS.md."""
    by_task = {
        task: [result for claim in CLAIMS for result in verdicts(found.of(task), claim)]
        for task in found.tasks()
    }
    counts = {"tests": sum(len(claim.metrics) for claim in CLAIMS), "claims": len(CLAIMS)}
    parts = ["# The papers' claims, tested\n", f"{INTRODUCTION.format(**counts)}\n"]
    if len(by_task) > 1:
        parts.append(side_by_side(by_task))
    for task, results in by_task.items():
        counts = ", ".join(f"{sum(r.verdict == verdict for r in results)} {verdict}" for verdict in VERDICTS)
        parts.append(f"## {task}: {counts}\n")
        for verdict in VERDICTS:
            if mine := [result for result in results if result.verdict == verdict]:
                parts.append(markdown([table(verdict, mine)]))
    return "\n".join(parts)


def side_by_side(by_task: Mapping[str, Sequence[Verdict]]) -> str:
    """What one task says and another does not, so that nobody takes a model's peculiarity for a fact."""
    rows = [
        [
            results[0].claim.text,
            results[0].metric,
            *(f"{result.verdict}: {effect(result)}" for result in results),
        ]
        for results in zip(*by_task.values(), strict=True)
        if len({result.verdict for result in results}) > 1
    ]
    every = len(next(iter(by_task.values())))
    heading = f"## All tasks: {every - len(rows)} of {every} tests get the same verdict on each\n"
    others = Table("The others", ["claim", "metric", *by_task], rows, words=2 + len(by_task))
    return "\n".join([heading, *([markdown([others])] if rows else [])])


INTRODUCTION = """Generated by `boardsae claims` from the records in this folder. Two groups of runs are read at the
same L0s (or at the same loss) and paired by seed; the effect is the mean difference (for a claim about a share, the
ratio) with its 95% interval over seeds, Student's t. A claim *holds* if the whole interval lies on its side, *fails* if
it lies on the other side. {tests} tests of {claims} claims: metrics of one claim go hand in hand. Intervals are not
corrected for their number: of forty true nulls two would seem to be effects. What no paper says in these words or
metrics is called ours. `e2e`, `e2e_ds` and fine-tuned runs are trained on whole games, the runs that they are compared
with on shuffled positions, so that their effects hold that difference too."""


def table(verdict: str, results: Sequence[Verdict]) -> Table:
    rows = [
        [
            result.claim.text,
            result.claim.paper,
            f"{result.claim.ours} / {result.claim.theirs}",
            result.metric,
            f"{METRICS[result.claim.over + '@1'].title} {', '.join(f'{fixed:g}' for fixed in result.at)}"
            if result.at
            else "-",
            effect(result),
            str(result.seeds or "-"),
            result.why or "-",
        ]
        for result in results
    ]
    return Table(
        verdict.capitalize(),
        ["claim", "paper", "runs", "metric", "at", "effect", "seeds", "why"],
        rows,
        words=5,
    )


def effect(result: Verdict) -> str:
    if result.effect is None:
        return "-"
    figures = (result.effect, result.low, result.high)
    middle, low, high = (
        f"{value:.3g}" if result.claim.share is not None else f"{value:+.3g}" for value in figures
    )
    return f"{'x ' if result.claim.share is not None else ''}{middle} [{low}, {high}]"


def write(root: Path) -> Path:
    files.write_text(root / "CLAIMS.md", page(records.published(root)))
    return root / "CLAIMS.md"
