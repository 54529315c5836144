"""Entries of a leaderboard: the runs that differ in sparsity and seed alone, as one curve a metric."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from boardsae.frontier import Cell, Point, Reading, over_seeds, read_at
from boardsae.records import Found, Run
from boardsae.saes import BASELINES
from games.core import no_such

L0 = "l0"  # the metric that curves are drawn over
# of a spec, beside variant and options
SETTINGS = ("d_sae", "rows", "layer", "recipe", "kl_finetune", "batch")


class Entry(NamedTuple):
    name: str
    variant: str
    runs: list[Run]
    control: bool

    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    def marks(self, metric: str, l0: str) -> list[Point]:
        """A point for each run that has the metric and an L0."""
        return [p for run in self.runs if (p := point(run, metric, l0))]

    def points(self, metric: str, l0: str) -> dict[int, list[Point]]:
        """The same, seed by seed."""
        found = {seed: list[Point]() for seed in self.seeds()}
        for run in self.runs:
            if p := point(run, metric, l0):
                found[run.seed].append(p)
        return found

    def at(self, metric: str, l0: str, fixed: float) -> Cell:
        """The metric at a fixed L0, over the seeds."""
        return over_seeds({seed: read_at(points, fixed) for seed, points in self.points(metric, l0).items()})

    def own(self, metric: str) -> Cell:
        """The metric at whatever L0 the runs have, for entries without a frontier."""
        return over_seeds({place: reading(run, metric) for place, run in enumerate(self.runs)})

    def l0s(self, l0: str) -> list[float]:
        return sorted(value for run in self.runs if (value := run.value(l0)) is not None)

    def has_frontier(self, l0: str) -> bool:
        """Whether any seed was trained at two sparsities or more."""
        return any(len({p.l0 for p in points}) > 1 for points in self.points(l0, l0).values())


def point(run: Run, metric: str, l0: str) -> Point | None:
    found, at = reading(run, metric), run.value(l0)
    return None if found.value is None or at is None else Point(at, found.value, found.low, found.high)


def reading(run: Run, metric: str) -> Reading:
    held = run.record["metrics"].get(metric)
    if held is None:
        return Reading(None, reason=f"{metric} was not measured")
    return Reading(held.get("value"), held.get("low"), held.get("high"), held.get("reason"))


def entries(found: Found) -> list[Entry]:
    """Every variant's runs, apart where more than sparsity and seed differs; the name says what then differs."""
    grouped: dict[tuple[Any, ...], list[Run]] = {}
    for run in found.runs:
        grouped.setdefault((run.control, variant_of(run), *settings(run).items()), []).append(run)
    by_variant: dict[str, list[list[Run]]] = {}
    for (_, variant, *_), runs in grouped.items():
        by_variant.setdefault(variant, []).append(runs)
    return [
        Entry(variant + suffix, variant, runs, runs[0].control or variant in BASELINES)
        for variant, groups in by_variant.items()
        for suffix, runs in named(groups)
    ]


def variant_of(run: Run) -> str:
    """The variant; for somebody else's SAE, its name."""
    return str(run.spec.get("variant") or run.spec.get("name") or run.path.name)


def settings(run: Run) -> dict[str, Any]:
    """All that a spec says except sparsity and seed; the layer by its number, also where it is the task's own."""
    swept = sparsity_of(variant_of(run))
    options = {name: value for name, value in (run.spec.get("options") or {}).items() if name != swept}
    chosen = {name: run.spec[name] for name in SETTINGS if name in run.spec}
    if "layer" in chosen:
        chosen["layer"] = run.record.get("layer", chosen["layer"])
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in {**options, **chosen}.items()
    }


def sparsity_of(variant: str) -> str | None:
    """The option of a variant of the zoo that decides how many features are active."""
    from boardsae.saes import VARIANTS

    return VARIANTS[variant].sparsity if variant in VARIANTS else None


def named(groups: Sequence[list[Run]]) -> list[tuple[str, list[Run]]]:
    """What tells each group from the usual one, which needs no words: that with most runs, of those not fine-tuned."""
    ordered = sorted(groups, key=lambda runs: (bool(settings(runs[0]).get("kl_finetune")), -len(runs)))
    usual = settings(ordered[0][0])
    return [
        (
            "".join(
                f" {name}={value}" for name, value in settings(runs[0]).items() if usual.get(name) != value
            ),
            runs,
        )
        for runs in ordered
    ]


def versions(found: Found) -> dict[str, str]:
    """Of every metric the id that counts, by its name: that of the metrics table, or the newest in the records."""
    from boardsae.metrics import METRICS

    ids = {metric for run in found.runs for metric in run.record["metrics"]}
    newest = {name_of(metric): metric for metric in sorted(ids, key=version_of)}
    return newest | {name_of(metric): metric for metric in METRICS if name_of(metric) in newest}


def name_of(metric: str) -> str:
    return metric.split("@")[0]


def version_of(metric: str) -> int:
    _, _, version = metric.partition("@")
    return int(version) if version.isdigit() else 0


def stale(found: Found) -> dict[str, list[str]]:
    """Metrics of another version than the one that counts, by entry; the runs keep their place with the others."""
    current = set(versions(found).values())
    return {
        entry.name: old
        for entry in entries(found)
        if (old := sorted({metric for run in entry.runs for metric in run.record["metrics"]} - current))
    }


def metric_of(found: Found, name: str) -> str:
    """The id of a metric that was given by its id or by its name."""
    current = versions(found)
    if name in current.values():
        return name
    if name not in current:
        raise ValueError(no_such("metric in these records", name, current))
    return current[name]
