"""Every score of an SAE, with an interval over games: one record, `scores.json`, and the counts that it comes from.

    {"schema": 1, "task", "hashes": {"model", "games"}, "layer", "site", "subject": {"name", ...its spec},
     "comparable": false after --limit, "games": {split: n}, "rows", "seconds", "made_with",
     "metrics": {id: {"value", "low", "high", "split", "reason"}},      null values say why in "reason"
     "groups": {id: {group: {"value", "low", "high", "predicates"}}},   the same metric on each group of predicates
     "predicates": [{"name", "group", "feature", "threshold", "f1", "precision", "recall", "mcc", "base_rate",
                     "always_on", "phi", "null", "ceiling"}],
     "density": histogram of how often features fire}

`counts.npz` holds the tables by game, from which every interval can be made again.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from boardsae.coder import Checked, blocks, slices
from boardsae.evidence import Evidence, Part
from boardsae.metrics import METRICS, bootstrap, chance, functional, geometry, paper, supervised, unsupervised
from boardsae.metrics.cells import absent, brief, number, summed, valued
from boardsae.metrics.counting import LEVELS, Counts, codes_of, count
from boardsae.metrics.detectors import Choice, best_by_f1, by_game
from boardsae.probes import best_fit, best_thresholds
from boardsae.subject import Subject, header

PERMUTATIONS = 10  # for the null of cov_x; fewer where their tables would need more than NULL_BYTES
NULL_BYTES = 400_000_000
PROBED = 2000  # training games of the probes


class Ceiling(NamedTuple):
    """What linear probes reach on the report games."""

    f1: np.ndarray
    phi: np.ndarray


class Scorer:
    """Scores subjects on one body of evidence; what does not depend on the subject is made once."""

    def __init__(self, evidence: Evidence):
        self.evidence = evidence
        self._ceiling: Ceiling | None = None
        self._ablations: Tensor | None = None

    def share(self, other: "Scorer") -> None:
        """Takes the probes' ceiling from another scorer of the same games."""
        self._ceiling = other.ceiling()

    def score(self, subject: Subject) -> dict[str, Any]:
        """The record of a subject and, under "counts", its tables by game."""
        began = time.perf_counter()
        evidence, record, tables = self.evidence, {}, {}
        coder = Checked(subject.coder, evidence.select.x)
        maxima = self.maxima(coder)
        record["metrics"] = metrics = {}
        record["groups"] = {}
        self.supervised(coder, maxima, record, tables)
        self.paper(coder, maxima, metrics, tables)
        self.unsupervised(coder, subject, record, tables)
        if subject.directions is not None:
            self.geometry(subject.directions, tables["fired"], metrics)
        for name, metric in METRICS.items():
            if metric.measure is not None:
                metrics[name] = metric.measure(evidence, coder)
        return (
            header(evidence, subject)
            | {"seconds": round(time.perf_counter() - began, 2)}
            | record
            | {"counts": tables}
        )

    def maxima(self, coder: "Checked") -> np.ndarray:
        """Every feature's maximum on the sample; of features never above 0, its size, as in the paper's code."""
        top = np.full(coder.features, -np.inf, np.float32)
        for f in blocks(coder, self.evidence.sample):
            top = np.maximum(top, f.max(0))
        return np.abs(top)

    def counts(self, coder: "Checked", part: Part, maxima: np.ndarray, truth: np.ndarray) -> Counts:
        pieces = zip(blocks(coder, part.x), slices(len(part.x)), strict=True)
        return count(((codes_of(f), truth[some]) for f, some in pieces), maxima)

    def supervised(
        self, coder: "Checked", maxima: np.ndarray, record: dict[str, Any], tables: dict[str, Any]
    ) -> None:
        """coverage, found, reconstruction and cov_x: chosen on select, judged on report."""
        evidence, metrics = self.evidence, record["metrics"]
        select, report = evidence.select, evidence.report
        counts = self.counts(coder, select, maxima, select.truth)
        choice = best_by_f1(counts)
        by_ply = self.by_ply(coder, maxima)
        by_phi = chance.best_by_phi(counts, by_ply)
        stands_for = supervised.precise(counts._replace(hits=counts.hits[:, :, evidence.board]))
        level = self.reconstruction_level(coder, maxima, stands_for)
        null_choices = self.null_choices(coder, maxima, by_ply)

        active, active_phi, said = self.verdicts(coder, maxima, choice, by_phi, stands_for, level)
        tables["detected"] = by_game(active, report.truth, report.starts)
        tables["phi"] = chance.moments(active_phi, report.truth, report.ply, report.starts)
        tables["rebuilt"] = supervised.pooled(said, report.truth[:, evidence.board], report.starts)
        null = self.null(coder, maxima, null_choices)

        rows = len(report.x)
        sums = tables["detected"].sum(0)
        counted = supervised.common(sums[:, 2], rows)
        for name, statistic in (("coverage@1", supervised.coverage), ("found@1", supervised.found)):
            groups = {"": evidence.board} | {
                group: evidence.members(group) for group in dict.fromkeys(evidence.group)
            }
            record["groups"][name] = {}
            draws = bootstrap.draws(tables["detected"], lambda resampled: resampled)
            for group, members in groups.items():
                held = np.zeros(len(counted), bool)
                held[members] = counted[members]
                if not held.any():
                    if not group:
                        metrics[name] = absent(
                            "no predicate occurs 50 times and fails 50 times in the report games"
                        )
                    continue
                cell = valued(statistic(sums, held), statistic(draws, held), "report")
                if group:
                    record["groups"][name][group] = cell | {"predicates": int(held.sum())}
                else:
                    metrics[name] = cell | {
                        "predicates": int(held.sum()),
                        "dropped": len(members) - int(held.sum()),
                    }
        metrics["reconstruction@1"] = summed(tables["rebuilt"], supervised.pooled_f1, "report")
        phi, ceiling = chance.phi(tables["phi"].sum(0)), self.ceiling().phi
        board = evidence.board
        draws = bootstrap.draws(
            tables["phi"][:, board],
            lambda resampled: chance.share(chance.phi(resampled), null, ceiling[board]),
        )
        value = chance.share(phi[board], null, ceiling[board])
        metrics["cov_x@1"] = (
            valued(value, draws, "report") if np.isfinite(value) else absent("no probe finds a predicate")
        )
        record["predicates"] = self.per_predicate(sums, rows, choice, phi, null)

    def by_ply(self, coder: "Checked", maxima: np.ndarray) -> chance.ByPly:
        select, plies = self.evidence.select, self.evidence.model.shape.context + 1
        at = np.arange(plies) == select.ply[:, None]
        return chance.by_ply(self.counts(coder, select, maxima, at), at, select.truth)

    def reconstruction_level(self, coder: "Checked", maxima: np.ndarray, stands_for: np.ndarray) -> int:
        """The threshold whose pooled F1 is best on the select games."""
        select = self.evidence.select
        held = select.truth[:, self.evidence.board]
        sums = np.zeros((len(LEVELS), 3))
        for f, some in zip(blocks(coder, select.x), slices(len(select.x)), strict=True):
            for level in range(len(LEVELS) - 1):
                said = supervised.rebuilt(f, maxima, stands_for, level)
                sums[level] += (said & held[some]).sum(), said.sum(), held[some].sum()
        return int(supervised.pooled_f1(sums).argmax())

    def verdicts(
        self,
        coder: "Checked",
        maxima: np.ndarray,
        choice: Choice,
        by_phi: Choice,
        stands_for: np.ndarray,
        level: int,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What detectors by F1, detectors by phi and the rebuilt board say of every report row."""
        pieces = [
            (
                choice.active(f, maxima),
                by_phi.active(f, maxima),
                supervised.rebuilt(f, maxima, stands_for, level),
            )
            for f in blocks(coder, self.evidence.report.x)
        ]
        active, active_phi, said = (np.concatenate(each) for each in zip(*pieces, strict=True))
        return active, active_phi, said

    def null_choices(self, coder: "Checked", maxima: np.ndarray, by_ply: chance.ByPly) -> list[Choice]:
        """Detectors of the board's predicates chosen on permuted truth, all permutations in one pass."""
        select, board = self.evidence.select, self.evidence.board
        truth = select.truth[:, board]
        size = coder.features * len(LEVELS) * len(board) * 4
        permutations = int(np.clip(NULL_BYTES // size, 2, PERMUTATIONS))
        others = [chance.exchanged(select.game, select.ply, seed) for seed in range(permutations)]
        permuted = np.concatenate([truth[other] for other in others], axis=1)
        counts = self.counts(coder, select, maxima, permuted)
        positives = by_ply.positives[:, board]  # permuted within plies: the same sums
        found = []
        for i in range(permutations):
            some = slice(i * len(board), (i + 1) * len(board))
            one = Counts(counts.hits[:, :, some], counts.fired, counts.positives[some], counts.rows)
            found.append(chance.best_by_phi(one, by_ply._replace(positives=positives)))
        return found

    def null(self, coder: "Checked", maxima: np.ndarray, choices: Sequence[Choice]) -> np.ndarray:
        """Mean phi of those detectors with permuted truth of the report games."""
        report, board = self.evidence.report, self.evidence.board
        truth, found = report.truth[:, board], []
        pieces = [[choice.active(f, maxima) for choice in choices] for f in blocks(coder, report.x)]
        for seed, active in enumerate(np.concatenate(each) for each in zip(*pieces, strict=True)):
            other = chance.exchanged(report.game, report.ply, seed)
            found.append(chance.phi(chance.moments(active, truth[other], report.ply, report.starts).sum(0)))
        return np.mean(found, axis=0)

    def ceiling(self) -> Ceiling:
        """Ridge probes on the activations: fitted on training games, thresholds from select, judged on report."""
        if self._ceiling is None:
            evidence = self.evidence
            x, truth = evidence.train.x, torch.from_numpy(evidence.train.truth)
            select, report = evidence.select, evidence.report
            held = torch.from_numpy(select.truth)
            probes = best_fit(x, truth, select.x, held)
            levels = best_thresholds(probes(select.x), held, torch.from_numpy(select.ply))
            said = probes(report.x)
            by_f1 = by_game((said > levels.f1).numpy(), report.truth, report.starts).sum(0)
            by_phi = chance.moments((said > levels.phi).numpy(), report.truth, report.ply, report.starts).sum(
                0
            )
            self._ceiling = Ceiling(supervised.table(by_f1, len(report.x)).f1, chance.phi(by_phi))
        return self._ceiling

    def per_predicate(
        self, sums: np.ndarray, rows: int, choice: Choice, phi: np.ndarray, null: np.ndarray
    ) -> list[dict[str, Any]]:
        judged, ceiling = supervised.table(sums, rows), self.ceiling()
        by_chance = np.full(len(phi), np.nan)
        by_chance[self.evidence.board] = null
        return [
            {
                "name": column.name,
                "group": column.group,
                "feature": int(choice.feature[i]),
                "threshold": round(float(LEVELS[choice.level[i]]), 2),
                **{name: brief(getattr(judged, name)[i]) for name in judged._fields},
                "phi": brief(phi[i]),
                "null": number(by_chance[i]),
                "ceiling": number(ceiling.phi[i]),
                "probe_f1": brief(ceiling.f1[i]),
            }
            for i, column in enumerate(self.evidence.columns)
        ]

    def paper(
        self, coder: "Checked", maxima: np.ndarray, metrics: dict[str, Any], tables: dict[str, Any]
    ) -> None:
        """The protocol of 2024: choices on training games, and coverage too; the report games are its test."""
        evidence = self.evidence
        train, report, places = evidence.train, evidence.report, evidence.paper_board
        if not len(places):
            why = absent("the paper defines no predicates of this game")
            names = [
                f"{score}_{by}@1" for score in ("coverage", "reconstruction") for by in ("paper", "text")
            ]
            metrics.update(dict.fromkeys(names, why))
            return
        counts = self.counts(coder, train, maxima, np.ascontiguousarray(train.truth[:, places]))
        scores = paper.coverage(counts, evidence.paper_denominator)
        squares = np.unique([evidence.columns[i].square for i in places], return_inverse=True)[1]
        rebuilt, stands_for = paper.Reconstruction(squares), paper.labels(counts)
        for f, some in zip(blocks(coder, report.x), slices(len(report.x)), strict=True):
            rebuilt.add(f, maxima, stands_for, report.truth[some][:, places])
        said = [
            (scores.by_code.active(f, maxima), scores.by_text.active(f, maxima))
            for f in blocks(coder, train.x)
        ]
        by_code, by_text = zip(*said, strict=True)
        for name, active, factor in (
            ("coverage_paper@1", by_code, len(places) / evidence.paper_denominator),
            ("coverage_text@1", by_text, 1.0),
        ):
            table = by_game(np.concatenate(active), train.truth[:, places], train.starts)
            every = np.ones(len(places), bool)
            metrics[name] = summed(
                table, lambda s, every=every, factor=factor: factor * supervised.coverage(s, every), "train"
            )
        tables["paper_rebuilt"] = np.add.reduceat(rebuilt.counts()[rebuilt.level()], report.starts, axis=0)
        metrics["reconstruction_paper@1"] = summed(tables["paper_rebuilt"], supervised.pooled_f1, "report")
        metrics["reconstruction_text@1"] = {
            "value": number(rebuilt.text()),
            "low": None,
            "high": None,
            "split": "report",
            "reason": None,
        }

    def unsupervised(
        self, coder: "Checked", subject: Subject, record: dict[str, Any], tables: dict[str, Any]
    ) -> None:
        """How activations are coded and rebuilt, and what the model loses by it."""
        evidence, metrics, report = self.evidence, record["metrics"], self.evidence.report
        rows, hats, fired = [], [], np.zeros(coder.features, np.int64)
        for some in slices(len(report.x)):
            x = report.x[some]
            f = coder.encode_once(x)
            x_hat = coder.decode(f, x) if subject.decodes else torch.zeros_like(x)
            fired += (f != 0).sum(0).numpy()
            rows.append(unsupervised.by_game(x, f, x_hat, evidence.mean).numpy())
            hats.append(x_hat)
        tables["fired"] = fired
        tables["unsupervised"] = np.add.reduceat(np.concatenate(rows), report.starts, axis=0)
        record["density"] = unsupervised.density(fired, len(report.x))
        names = unsupervised.scores(tables["unsupervised"].sum(0))
        draws = bootstrap.draws(tables["unsupervised"], lambda sums: sums)
        drawn = unsupervised.scores(draws)
        for name, value in names.items():
            if name == "l0@1" or subject.decodes:
                metrics[name] = valued(value, drawn[name], "report")
            else:
                metrics[name] = absent("it has no decoder")
        sample = torch.cat(
            [(torch.from_numpy(f) != 0).sum(1) for f in blocks(coder, evidence.sample)]
        ).double()
        metrics["l0_all@1"] = {
            "value": sample.mean().item(),
            "low": None,
            "high": None,
            "split": "train",
            "reason": None,
        }
        metrics["alive@1"] = {
            "value": float((fired > 0).mean()),
            "low": None,
            "high": None,
            "split": "report",
            "reason": None,
            "window": len(report.x),
        }
        if not subject.decodes or evidence.site != "residual":
            why = (
                "it has no decoder"
                if not subject.decodes
                else "its output is not spliced into the neurons' place"
            )
            metrics.update({name: absent(why) for name in functional.scores(np.ones(len(functional.NAMES)))})
            return
        self.functional(torch.cat(hats), metrics, tables)

    def functional(self, x_hat: Tensor, metrics: dict[str, Any], tables: dict[str, Any]) -> None:
        evidence, report = self.evidence, self.evidence.report
        context, found = evidence.model.shape.context, []
        for i, batch in enumerate(evidence.batches):
            first = i * len(evidence.batches[0].tokens)
            games = slice(first, first + len(batch.tokens))
            low, high = np.searchsorted(report.game, [games.start, games.start + len(batch.tokens)])
            at = report.rows[low:high] - np.array([first, 0])
            moves = report.moves[games]
            x, spliced = (functional.placed(v[low:high], moves, at, context) for v in (report.x, x_hat))
            known = None if self._ablations is None else self._ablations[games]
            found.append(
                functional.by_game(evidence.model, evidence.layer, batch, x, spliced, evidence.mean, known)
            )
        table = torch.cat(found)
        self._ablations = table[:, -2:]
        tables["functional"] = table.numpy()
        drawn = functional.scores(bootstrap.draws(tables["functional"], lambda sums: sums))
        for name, value in functional.scores(tables["functional"].sum(0)).items():
            metrics[name] = valued(value, drawn[name], "report")

    def geometry(self, directions: Tensor, fired: np.ndarray, metrics: dict[str, Any]) -> None:
        evidence, report = self.evidence, self.evidence.report
        alive = np.flatnonzero(fired)
        bare = {"low": None, "high": None, "split": "report", "reason": None}
        if len(alive) < 2 or evidence.site != "residual":
            why = (
                "fewer than two features fire"
                if len(alive) < 2
                else "its directions are not in the residual stream"
            )
            metrics["max_cosine@1"] = metrics["steering@1"] = absent(why)
            return
        metrics["max_cosine@1"] = {"value": geometry.max_cosines(directions[alive]).mean().item(), **bare}
        high = int(np.searchsorted(report.game, geometry.GAMES))
        moves, at = report.moves[: geometry.GAMES], report.rows[:high]
        x = functional.placed(report.x[:high], moves, at, evidence.model.shape.context)
        live = functional.placed(torch.ones(high, 1), moves, at, evidence.model.shape.context)[..., 0] > 0
        push = geometry.PUSH * (report.x - evidence.mean).square().sum(1).mean().sqrt().item()
        steer = lambda some: geometry.steering(evidence.model, evidence.layer, x, live, some, push)  # noqa: E731
        own = steer(directions[geometry.some(alive)])
        random = steer(geometry.random_directions(directions.shape[1]))
        ratio = own / random.median()
        metrics["steering@1"] = {
            "value": ratio.median().item(),
            **bare,
            "p90": ratio.quantile(0.9).item(),
            "above_random": (own > random.median()).float().mean().item(),
            "features": len(own),
        }
