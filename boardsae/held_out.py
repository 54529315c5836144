"""Detectors chosen on the select games and judged on the report games: coverage, the rebuilt board, cov_x."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from boardsae.ceiling import Ceiling
from boardsae.evidence import Evidence
from boardsae.features import CELLS, TABLE, Features
from boardsae.metrics import bootstrap, chance, supervised
from boardsae.metrics.cells import absent, brief, number, summed, valued
from boardsae.metrics.counting import LEVELS, Counts
from boardsae.metrics.detectors import Choice, best_by_f1, by_game
from games import Facts

PERMUTATIONS = 10  # for the null of cov_x; fewer where their tables would need more than NULL_BYTES
NULL_BYTES = 400_000_000


class Judged(NamedTuple):
    """Of every predicate its detector of highest F1, and the counts by game of both kinds of detectors."""

    choice: Choice
    detected: np.ndarray  # (game, predicate, 3) of detectors by F1, see `detectors.by_game`
    phi: np.ndarray  # (game, predicate, 3) of detectors by phi, see `chance.moments`


def score(
    evidence: Evidence, features: Features, ceiling: Ceiling, record: dict[str, Any], tables: dict[str, Any]
) -> None:
    """Adds its metrics, groups and predicates to the record, and its counts to the tables."""
    metrics, rows = record["metrics"], len(evidence.report.x)
    fired = fired_by_ply(evidence, features)
    judged = of_all(evidence, features, fired)
    board = evidence.board
    tables["detected"], tables["board_phi"] = judged.detected, judged.phi[:, board]
    tables["rebuilt"] = rebuilt(evidence, features)
    null = nulls(evidence, features, fired)

    coverages(evidence, judged.detected, record)
    metrics["reconstruction@1"] = summed(tables["rebuilt"], supervised.pooled_f1, "report")
    phi, best = chance.phi(judged.phi.sum(0)), ceiling.phi[board]
    draws = bootstrap.draws(
        tables["board_phi"], lambda resampled: chance.share(chance.phi(resampled), null, best)
    )
    value = chance.share(phi[board], null, best)
    metrics["cov_x@1"] = (
        valued(value, draws, "report") if np.isfinite(value) else absent("no probe finds a predicate")
    )
    by_chance = np.full(len(phi), np.nan)
    by_chance[board] = null
    record["predicates"] = per_predicate(evidence, judged, rows, by_chance, ceiling)


def coverages(evidence: Evidence, detected: np.ndarray, record: dict[str, Any]) -> None:
    """Coverage and found, of the board and of each group of predicates."""
    sums = detected.sum(0)
    counted = supervised.common(sums[:, 2], len(evidence.report.x))
    draws = bootstrap.draws(detected, lambda resampled: resampled)
    for name, statistic in (("coverage@1", supervised.coverage), ("found@1", supervised.found)):
        cell = of_group(statistic, sums, draws, counted, evidence.board)
        record["metrics"][name] = cell or absent(
            "no predicate occurs 50 times and fails 50 times in the report games"
        )
        if cell:
            cell["dropped"] = len(evidence.board) - cell["predicates"]
        cells = {
            group: of_group(statistic, sums, draws, counted, evidence.members(group))
            for group in dict.fromkeys(evidence.group)
        }
        record["groups"][name] = {group: cell for group, cell in cells.items() if cell}


def of_group(
    statistic: bootstrap.Statistic,
    sums: np.ndarray,
    draws: np.ndarray,
    counted: np.ndarray,
    members: np.ndarray,
) -> dict[str, Any] | None:
    some = members[counted[members]]
    if not len(some):
        return None
    return valued(statistic(sums[some]), statistic(draws[:, some]), "report") | {"predicates": len(some)}


def fired_by_ply(evidence: Evidence, features: Features) -> Counts:
    """Counts in which the plies stand for predicates."""
    select = evidence.select
    return features.counts(select.x, np.arange(evidence.plies) == select.ply[:, None])


def of_all(evidence: Evidence, features: Features, fired: Counts) -> Judged:
    """Every predicate, some at a time."""
    select, report, found = evidence.select, evidence.report, []
    for some in features.columns(len(evidence.columns), len(select.x)):
        held = select.truth.of(some)
        counts = features.counts(select.x, held)
        choice = best_by_f1(counts)
        by_phi = chance.best_by_phi(counts, chance.by_ply(fired, select.ply, held[:]))
        active, active_phi = verdicts(evidence, features, (choice, by_phi))
        truth = report.truth.of(some)[:]
        moments = chance.moments(active_phi, truth, report.ply, report.starts)
        found.append((*choice, by_game(active, truth, report.starts), moments))
    feature, level, detected, phi = zip(*found, strict=True)
    return Judged(
        Choice(np.concatenate(feature), np.concatenate(level)),
        np.concatenate(detected, axis=1),
        np.concatenate(phi, axis=1),
    )


def verdicts(evidence: Evidence, features: Features, choices: tuple[Choice, ...]) -> list[np.ndarray]:
    """What each set of detectors says of every report row: (row, predicate)."""
    pieces = [
        [choice.active(codes, features.maxima) for choice in choices]
        for codes, _ in features.blocks(evidence.report.x)
    ]
    return [np.concatenate(each) for each in zip(*pieces, strict=True)]


def rebuilt(evidence: Evidence, features: Features) -> np.ndarray:
    """(game, 3): the board said by precise features at the threshold whose pooled F1 is best on the select games."""
    select, report = evidence.select, evidence.report
    held = select.truth.of(evidence.board)
    stands_for = supervised.precise(features.counts(select.x, held))
    sums = np.zeros((len(LEVELS), 3))
    for codes, some in features.blocks(select.x):
        truth = held[some]
        for level in range(len(LEVELS) - 1):
            said = supervised.rebuilt(codes, features.maxima, stands_for, level)
            sums[level] += (said & truth).sum(), said.sum(), truth.sum()
    best = int(supervised.pooled_f1(sums).argmax())
    pieces = [
        supervised.rebuilt(codes, features.maxima, stands_for, best) for codes, _ in features.blocks(report.x)
    ]
    return supervised.pooled(np.concatenate(pieces), report.truth.of(evidence.board)[:], report.starts)


def nulls(evidence: Evidence, features: Features, fired: Counts) -> np.ndarray:
    """Mean phi of the board's predicates when the truth of other games takes their place, detectors chosen anew."""
    report, board = evidence.report, evidence.board
    truth, found = report.truth.of(board)[:], []
    for seeds, choices in null_choices(evidence, features, fired, evidence.select.truth.of(board)):
        for seed, active in zip(seeds, verdicts(evidence, features, choices), strict=True):
            other = evidence.exchanged("report", seed)
            found.append(chance.phi(chance.moments(active, truth[other], report.ply, report.starts).sum(0)))
    return np.mean(found, axis=0)


def null_choices(
    evidence: Evidence, features: Features, fired: Counts, held: Facts
) -> Iterator[tuple[range, tuple[Choice, ...]]]:
    """Detectors chosen on permuted truth, as many permutations in one pass as there is memory for."""
    select, (rows, predicates) = evidence.select, held.shape
    size = features.coder.features * len(LEVELS) * predicates * 4
    permutations = int(np.clip(NULL_BYTES // size, 2, PERMUTATIONS))
    truth = held[:]
    by_ply = chance.by_ply(fired, select.ply, truth)  # permuted within plies: the same sums
    each = max(1, min(TABLE // size, CELLS // (rows * predicates)))
    for first in range(0, permutations, each):
        seeds = range(first, min(first + each, permutations))
        others = [evidence.exchanged("select", seed) for seed in seeds]
        counts = features.counts(select.x, np.concatenate([truth[other] for other in others], axis=1))
        choices = []
        for i in range(len(seeds)):
            some = slice(i * predicates, (i + 1) * predicates)
            one = Counts(counts.hits[:, :, some], counts.fired, counts.positives[some], counts.rows)
            choices.append(chance.best_by_phi(one, by_ply))
        yield seeds, tuple(choices)


def per_predicate(
    evidence: Evidence, judged: Judged, rows: int, null: np.ndarray, ceiling: Ceiling
) -> list[dict[str, Any]]:
    table, phi = supervised.table(judged.detected.sum(0), rows), chance.phi(judged.phi.sum(0))
    return [
        {
            "name": column.name,
            "group": column.group,
            "feature": int(judged.choice.feature[i]),
            "threshold": round(float(LEVELS[judged.choice.level[i]]), 2),
            **{name: brief(getattr(table, name)[i]) for name in table._fields},
            "phi": brief(phi[i]),
            "null": number(null[i]),
            "ceiling": number(ceiling.phi[i]),
            "probe_f1": brief(ceiling.f1[i]),
        }
        for i, column in enumerate(evidence.columns)
    ]
