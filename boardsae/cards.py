"""What single features do on the report games: what they detect, where they fire, what the model loses without them.

Predicates and thresholds of a feature are chosen on the select games by MCC, which is 0 for a feature that never
rests, and judged on the report games. In memory: rows * features shown, beside what `Evidence` holds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from boardsae.coder import Checked, slices
from boardsae.evidence import Evidence, Part
from boardsae.features import Features
from boardsae.metrics import bootstrap
from boardsae.metrics.counting import LEVELS
from boardsae.metrics.detectors import by_game, f1, in_parts
from boardsae.metrics.supervised import common
from boardsae.scorer import Scorer
from boardsae.splits import SPLITS
from boardsae.subject import Subject
from games.core import play_all
from games.draw import Picture

PREDICATES = 5  # told of each feature
EXAMPLES = 6  # positions drawn of each feature
ABLATED = 16  # positions that it is taken out of
CHANGES = 6  # moves whose chance changes most
BINS = 20


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


class Detection(NamedTuple):
    """A predicate that a feature stands for above a share of its maximum, judged on the report games."""

    predicate: str
    group: str
    threshold: float
    f1: float
    mcc: float
    precision: Estimate
    recall: Estimate


class Example(NamedTuple):
    activation: float
    game: int  # its number in the folder of the games
    ply: int
    to_move: str
    picture: Picture


class Effect(NamedTuple):
    """Chances of the next move, a mean over positions, before and after the feature is taken out of each."""

    positions: int
    kl: float
    changes: list[tuple[str, float, float]]  # move, before, after
    squares: dict[str, float]  # after - before, over the moves that end there


class Histogram(NamedTuple):
    """Rows by activation, in equal bins from 0 to the top, apart for whether the first predicate holds."""

    top: float
    holds: list[int]
    fails: list[int]


class Card(NamedTuple):
    feature: int
    fires: float  # share of rows
    mean: float  # activation where it fires
    detections: list[Detection]
    maps: dict[str, dict[str, float]]  # title, square: how much likelier there than on average
    examples: list[Example]
    histogram: Histogram
    by_ply: list[float]  # share of the rows at each ply, from 1, where it fires
    effect: Effect | None


class Favourites(NamedTuple):
    """Of every feature its best predicates: indices of predicates and thresholds, and MCC on the select games."""

    predicate: Int[np.ndarray, "feature favourite"]
    level: Int[np.ndarray, "feature favourite"]
    mcc: Float[np.ndarray, "feature favourite"]


def cards(scorer: Scorer, subject: Subject, top: int) -> list[Card]:
    """The features that detect something best, in order."""
    evidence = scorer.evidence
    features = scorer.features(subject)
    coder, maxima = features.coder, features.maxima
    found = favourites(features, evidence.select, told(evidence))
    shown = order(found)[:top]
    report = evidence.report
    f = np.concatenate([coder.encode(report.x[some])[:, shown].numpy() for some in slices(len(report.x))])
    detections = judged(evidence, f, maxima[shown], Favourites(*(part[shown] for part in found)))
    maps = likelier(evidence, f)
    made = []
    for place, feature in enumerate(shown.tolist()):
        fired = f[:, place] > 0
        first = report.truth[:, found.predicate[feature, 0]]
        made.append(
            Card(
                feature,
                float(fired.mean()),
                float(f[fired, place].mean()) if fired.any() else 0.0,
                detections[place],
                {title: named(evidence, group, values[place]) for (title, group), values in maps},
                [
                    example(evidence, row, float(f[row, place]))
                    for row in strongest(report, f[:, place], EXAMPLES)
                ],
                histogram(f[:, place], first),
                by_ply(report, fired),
                effect(evidence, coder, subject, feature, f[:, place]),
            )
        )
    return made


def told(evidence: Evidence) -> Bool[np.ndarray, " predicate"]:
    """Predicates worth telling of: not rare, and not the paper's twin of another one."""
    twin = np.array([group.endswith("_paper") for group in evidence.group])
    return common(evidence.select.truth.positives(), len(evidence.select.x)) & ~twin


def mcc(hits: np.ndarray, fired: np.ndarray, positives: np.ndarray, rows: int) -> np.ndarray:
    """Matthews' correlation of detector and predicate from counts; 0 where either never varies."""
    hits, fired, positives = (np.asarray(values, np.float64) for values in (hits, fired, positives))
    spread = np.sqrt(fired * (rows - fired) * positives * (rows - positives))
    excess = hits * rows - fired * positives
    return np.divide(excess, spread, out=np.zeros_like(excess), where=spread > 0)


def favourites(features: Features, select: Part, wanted: Bool[np.ndarray, " predicate"]) -> Favourites:
    places, found = np.flatnonzero(wanted), []
    for columns in features.columns(len(places), len(select.x)):
        counts = features.counts(select.x, select.truth.of(places[columns]))
        for some in in_parts(counts):
            scores = mcc(some.hits, some.fired[:, :, None], some.positives, some.rows)
            found.append((scores.max(1).astype(np.float32), scores.argmax(1)))
    best, levels = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
    order = np.argsort(-best, axis=1, kind="stable")[:, :PREDICATES]
    pick = lambda values: np.take_along_axis(values, order, 1)  # noqa: E731
    return Favourites(places[order], pick(levels), pick(best).astype(np.float64))


def order(found: Favourites) -> Int[np.ndarray, " some"]:
    """The best feature of every predicate by MCC, then the second ones, and so on: a page of few shows many facts."""
    by_score = np.argsort(-found.mcc[:, 0], kind="stable")
    turn, turns = {}, []
    for feature in by_score.tolist():
        predicate = int(found.predicate[feature, 0])
        turns.append(turn.setdefault(predicate, 0))
        turn[predicate] += 1
    ordered = by_score[np.argsort(turns, kind="stable")]
    return ordered[found.mcc[ordered, 0] > 0]


def judged(
    evidence: Evidence,
    f: Float[np.ndarray, "row shown"],
    maxima: Float[np.ndarray, " shown"],
    found: Favourites,
) -> list[list[Detection]]:
    """Precision and recall on the report games, with intervals over games."""
    report, (features, each) = evidence.report, found.predicate.shape
    owner = np.repeat(np.arange(features), each)
    predicate, level = found.predicate.ravel(), found.level.ravel()
    active = f[:, owner] > (LEVELS[level] * maxima[owner]).astype(np.float32)
    table = by_game(active, report.truth[:, predicate], report.starts)
    sums, draws = table.sum(0), bootstrap.draws(table, lambda resampled: resampled)
    correlation = mcc(sums[:, 0], sums[:, 1], sums[:, 2], len(report.x))
    made: list[list[Detection]] = [[] for _ in range(features)]
    for i, column in enumerate(predicate):
        if found.mcc.flat[i] > 0:
            name, group = evidence.columns[column].name, evidence.columns[column].group
            rates = [estimate(sums[i], draws[:, i], of) for of in (1, 2)]
            score = float(f1(*sums[i]))
            told_of = Detection(name, group, float(LEVELS[level[i]]), score, float(correlation[i]), *rates)
            made[owner[i]].append(told_of)
    return made


def estimate(sums: Int[np.ndarray, " 3"], draws: Float[np.ndarray, "draw 3"], denominator: int) -> Estimate:
    """Hits as a share of another sum; 0 where there is none of it."""
    drawn = draws[:, 0] / np.where(draws[:, denominator] > 0, draws[:, denominator], np.nan)
    low, high = bootstrap.interval(drawn)
    return Estimate(*np.nan_to_num([sums[0] / max(sums[denominator], 1), low, high]).tolist())


def likelier(
    evidence: Evidence, f: Float[np.ndarray, "row shown"]
) -> list[tuple[tuple[str, str], Float[np.ndarray, "shown square"]]]:
    """For each map: how often its predicates hold, rows weighted by activation, minus how often they do on average."""
    weights = np.maximum(f, 0)
    weights = weights / np.maximum(weights.sum(0), 1e-12)
    silent = weights.sum(0) == 0
    made = []
    for title, group in evidence.opened.dataset.game.maps.items():
        held = evidence.report.truth[:, evidence.members(group)].astype(np.float32)
        made.append(((title, group), np.where(silent[:, None], 0, weights.T @ held - held.mean(0))))
    return made


def named(evidence: Evidence, group: str, values: Float[np.ndarray, " square"]) -> dict[str, float]:
    squares = [evidence.columns[i].square or "" for i in evidence.members(group)]
    return dict(zip(squares, values.tolist(), strict=True))


def strongest(report: Part, f: Float[np.ndarray, " row"], count: int) -> list[int]:
    """The rows of highest activation, one of a game, none that was reached by the moves of another one."""
    tops = np.maximum.reduceat(f, report.starts)
    ends = [*report.starts[1:], len(f)]
    found: dict[bytes, int] = {}
    for game in np.argsort(-tops, kind="stable"):
        if tops[game] <= 0 or len(found) == count:
            break
        row = int(report.starts[game] + f[report.starts[game] : ends[game]].argmax())
        found.setdefault(report.moves[game, : report.ply[row]].tobytes(), row)
    return list(found.values())


def example(evidence: Evidence, row: int, activation: float) -> Example:
    dataset, report = evidence.opened.dataset, evidence.report
    game, ply = report.rows[row].tolist()
    state = play_all(dataset.game, report.moves[game, :ply])[-1]
    number = int(np.flatnonzero(dataset.split == SPLITS.index("report"))[game])
    picture = dataset.game.picture(state)._replace(hints=())
    return Example(activation, number, ply, dataset.game.to_move(state), picture)


def histogram(f: Float[np.ndarray, " row"], holds: Bool[np.ndarray, " row"]) -> Histogram:
    top = float(max(f.max(), 0))
    edges = np.linspace(0, top or 1.0, BINS + 1)
    parts = [np.histogram(f[mask & (f > 0)], edges)[0].tolist() for mask in (holds, ~holds)]
    return Histogram(top, *parts)


def by_ply(report: Part, fired: Bool[np.ndarray, " row"]) -> list[float]:
    counts = np.bincount(report.ply)[1:]
    return (np.bincount(report.ply, fired)[1:] / np.maximum(counts, 1)).tolist()


@torch.no_grad()
def effect(
    evidence: Evidence, coder: Checked, subject: Subject, feature: int, f: Float[np.ndarray, " row"]
) -> Effect | None:
    """Takes the feature's part of the reconstruction out of the activations, error and all else staying as they are.

    Only at the position itself, which is the strongest of each of some games that go on there. None where there is
    no decoder, or the model's next tokens are not moves.
    """
    moves_of = evidence.opened.dataset.game.moves
    if not subject.decodes or evidence.site != "residual" or evidence.model.shape.vocabulary != len(moves_of):
        return None
    report = evidence.report
    goes_on = report.ply < (report.moves != 0).sum(1)[report.game]
    rows = strongest(report, np.where(goes_on, f, 0), ABLATED)
    if not rows:
        return None
    context = evidence.model.shape.context
    games, plies = torch.from_numpy(report.rows[rows].T)
    x = evidence.model.body(
        torch.from_numpy(report.moves[games.numpy(), :context].astype(np.int64)), evidence.layer
    )
    place = (torch.arange(len(rows)), plies - 1)
    active = coder.encode(x[place])
    without = active.clone()
    without[:, feature] = 0
    ablated = x.clone()
    ablated[place] += coder.decode(without, x[place]) - coder.decode(active, x[place])
    before, after = (
        evidence.model.tail(each, evidence.layer)[place].log_softmax(-1) for each in (x, ablated)
    )
    kl = (before.exp() * (before - after)).sum(-1).mean().item()
    return compared(before.exp().mean(0), after.exp().mean(0), moves_of, len(rows), kl)


def compared(
    before: Float[Tensor, " move"],
    after: Float[Tensor, " move"],
    moves: Sequence[str],
    positions: int,
    kl: float,
) -> Effect:
    change = after - before
    squares: dict[str, float] = {}
    for text, amount in zip(moves[1:], change[1:].tolist(), strict=True):
        squares[ends_at(text)] = squares.get(ends_at(text), 0.0) + amount
    top: list[int] = (change[1:].abs().topk(min(CHANGES, len(moves) - 1)).indices + 1).tolist()
    changes = [(moves[move], float(before[move]), float(after[move])) for move in top]
    return Effect(positions, kl, changes, squares)


def ends_at(move: str) -> str:
    """The square of "d3", of "e2e4" and of "e7e8q"."""
    return move[2:4] or move[:2]
