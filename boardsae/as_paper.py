"""The protocol of 2024 on our games: choices on training games, and coverage too; the report games are its test.

Chess has the board and 14 concepts of strategy. Of these every one has its own threshold, a concept of squares is the
mean over its squares, and the score is the mean over concepts.
"""

from typing import Any, NamedTuple

import numpy as np

from boardsae.evidence import Evidence, Part
from boardsae.features import Features
from boardsae.metrics import METRICS, paper, supervised
from boardsae.metrics.cells import absent, plain, summed
from boardsae.metrics.counting import Counts
from boardsae.metrics.detectors import Choice, by_game


class Concept(NamedTuple):
    """Predicates that share a threshold, by their places among those that are counted."""

    columns: np.ndarray
    squares: np.ndarray  # which square each predicate is of, counted from 0


def score(evidence: Evidence, features: Features, metrics: dict[str, Any], tables: dict[str, Any]) -> None:
    """Adds the paper's metrics of this game."""
    if not len(evidence.paper_board):
        why = absent("the paper defines no predicates of this game")
        names = [name for name, metric in METRICS.items() if not metric.family]
        metrics.update({name: why for name in names if name.split("@")[0].endswith(("_paper", "_text"))})
        return
    places = np.concatenate([evidence.paper_board, *evidence.paper_strategy])
    train, report = (
        part._replace(truth=part.truth.of(places)) for part in (evidence.paper_train, evidence.paper_report)
    )
    ends = np.cumsum([len(evidence.paper_board), *map(len, evidence.paper_strategy)])
    board, *strategy = (
        Concept(np.arange(first, last), squares_of(evidence, places[first:last]))
        for first, last in zip([0, *ends], ends, strict=False)
    )
    counts = features.counts(train.x, train.truth)
    of_board(evidence, features, counts, board, (train, report), metrics, tables)
    if strategy:
        of_strategy(features, counts, strategy, (train, report), metrics, tables)


def squares_of(evidence: Evidence, places: np.ndarray) -> np.ndarray:
    names = [str(evidence.columns[place].square) for place in places]
    return np.unique(names, return_inverse=True)[1]


def of_board(
    evidence: Evidence,
    features: Features,
    counts: Counts,
    board: Concept,
    parts: tuple[Part, Part],
    metrics: dict[str, Any],
    tables: dict[str, Any],
) -> None:
    train, report = parts
    own = counts.of(board.columns)
    scores = paper.coverage(own, evidence.paper_denominator)
    for name, choice, divisor in (
        ("coverage_paper@1", scores.by_code, evidence.paper_denominator),
        ("coverage_text@1", scores.by_text, len(board.columns)),
    ):
        table = detected(features, choice, train, board.columns)
        share = occurring(table) / divisor
        metrics[name] = summed(table, lambda s, share=share: share * supervised.coverage(s), "train")
    rebuilt = reconstruction(features, own, board, report)
    tables["paper_rebuilt"] = by_games(rebuilt, report)
    metrics["reconstruction_paper@1"] = summed(tables["paper_rebuilt"], supervised.pooled_f1, "report")
    metrics["reconstruction_text@1"] = plain(rebuilt.text())


def of_strategy(
    features: Features,
    counts: Counts,
    concepts: list[Concept],
    parts: tuple[Part, Part],
    metrics: dict[str, Any],
    tables: dict[str, Any],
) -> None:
    train, report = parts
    found, rebuilt = [], []
    for concept in concepts:
        own = counts.of(concept.columns)
        choice = paper.coverage(own, len(concept.columns)).by_code
        found.append(detected(features, choice, train, concept.columns))
        rebuilt.append(by_games(reconstruction(features, own, concept, report), report))
    ends = np.cumsum([table.shape[1] for table in found])[:-1]
    shares = [occurring(table) / table.shape[1] for table in found]

    def mean_of_concepts(sums: np.ndarray) -> np.ndarray:
        parts = zip(shares, np.split(sums, ends, axis=-2), strict=True)
        return np.mean([share * supervised.coverage(each) for share, each in parts], axis=0)

    tables["strategy_rebuilt"] = np.stack(rebuilt, axis=1)
    metrics["strategy_coverage_paper@1"] = summed(np.concatenate(found, axis=1), mean_of_concepts, "train")
    metrics["strategy_reconstruction_paper@1"] = summed(
        tables["strategy_rebuilt"], supervised.coverage, "report"
    )


def detected(features: Features, choice: Choice, part: Part, columns: np.ndarray) -> np.ndarray:
    """(game, predicate, 3) of detectors on the games that they were chosen on."""
    said = np.concatenate([choice.active(codes, features.maxima) for codes, _ in features.blocks(part.x)])
    return by_game(said, part.truth.of(columns)[:], part.starts)


def occurring(table: np.ndarray) -> int:
    """How many of the predicates hold in some game: the paper's means count the others as 0."""
    return int((table[:, :, 2].sum(0) > 0).sum())


def reconstruction(
    features: Features, counts: Counts, concept: Concept, report: Part
) -> paper.Reconstruction:
    rebuilt, stands_for = paper.Reconstruction(concept.squares), paper.labels(counts)
    held = report.truth.of(concept.columns)
    for codes, some in features.blocks(report.x):
        rebuilt.add(codes, features.maxima, stands_for, held[some])
    return rebuilt


def by_games(rebuilt: paper.Reconstruction, report: Part) -> np.ndarray:
    """(game, 3) at the threshold of the code."""
    return np.add.reduceat(rebuilt.counts()[rebuilt.level()], report.starts, axis=0)
