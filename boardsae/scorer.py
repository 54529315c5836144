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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boardsae import as_paper, held_out
from boardsae.ceiling import Ceiling, ceiling
from boardsae.coder import Checked, slices
from boardsae.evidence import Evidence
from boardsae.features import Features
from boardsae.metrics import METRICS, bootstrap, functional, geometry, unsupervised
from boardsae.metrics.cells import absent, given, plain, valued
from boardsae.subject import Subject, header


class Scorer:
    """Scores subjects on one body of evidence; what does not depend on the subject is made once."""

    def __init__(self, evidence: Evidence):
        self.evidence = evidence
        self._ceiling: Ceiling | None = None
        self._known: Tensor | None = None  # what the model loses to an SAE, the first that was scored
        self._random_steering: float | None = None

    def prepare(self) -> None:
        """What is made once, so that several subjects can be scored at the same time."""
        self.evidence.read()
        self.ceiling()
        if self.evidence.site == "residual":
            self.random_steering()

    def share(self, other: "Scorer") -> None:
        """Takes the probes' ceiling from another scorer of the same games."""
        self._ceiling = other.ceiling()

    def ceiling(self) -> Ceiling:
        if self._ceiling is None:
            self._ceiling = ceiling(self.evidence)
        return self._ceiling

    def features(self, subject: Subject) -> Features:
        return Features(Checked(subject.coder, self.evidence.select.x), self.evidence.sample)

    def score(self, subject: Subject) -> dict[str, Any]:
        """The record of a subject and, under "counts", its tables by game."""
        began = time.perf_counter()
        evidence, features = self.evidence, self.features(subject)
        metrics: dict[str, Any] = {}
        tables: dict[str, Any] = {}
        record: dict[str, Any] = {"metrics": metrics, "groups": {}}
        held_out.score(evidence, features, self.ceiling(), record, tables)
        as_paper.score(evidence, features, metrics, tables)
        self.unsupervised(features.coder, subject, record, tables)
        if subject.directions is not None:
            self.geometry(subject.directions, tables["fired"], metrics)
        for name, metric in METRICS.items():
            if metric.measure is not None:
                metrics[name] = given(name, metric.measure(evidence, features.coder))
        return (
            header(evidence, subject)
            | {"seconds": round(time.perf_counter() - began, 2)}
            | record
            | {"counts": tables}
        )

    def unsupervised(
        self, coder: Checked, subject: Subject, record: dict[str, Any], tables: dict[str, Any]
    ) -> None:
        """How activations are coded and rebuilt, and what the model loses by it."""
        evidence, metrics, report = self.evidence, record["metrics"], self.evidence.report
        rows, fired = [], np.zeros(coder.features, np.int64)
        for some in slices(len(report.x)):
            x = report.x[some]
            f = coder.encode_once(x)
            x_hat = coder.decode(f, x) if subject.decodes else torch.zeros_like(x)
            fired += (f != 0).sum(0).numpy()
            later = report.later[some]
            sums = unsupervised.by_game(x, f, x_hat, evidence.mean, later, evidence.mean_later)
            rows.append(sums.numpy())
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
        sample = [
            (coder.encode_once(evidence.sample[some]) != 0).sum() for some in slices(len(evidence.sample))
        ]
        value = torch.stack(sample).double().sum().item() / len(evidence.sample)
        metrics["l0_all@1"] = plain(value, "train")
        metrics["alive@1"] = plain((fired > 0).mean()) | {"window": len(report.x)}
        if not subject.decodes or evidence.site != "residual":
            why = (
                "it has no decoder"
                if not subject.decodes
                else "its output is not spliced into the neurons' place"
            )
            metrics.update({name: absent(why) for name in functional.scores(np.ones(len(functional.NAMES)))})
            return
        self.functional(coder, metrics, tables)

    def functional(self, coder: Checked, metrics: dict[str, Any], tables: dict[str, Any]) -> None:
        """The SAE in the place of the activations at every token, scored or not."""
        evidence, everywhere, found, first = self.evidence, self.evidence.reported, [], 0
        hats = [
            coder.decode(coder.encode_once(x), x)
            for x in map(everywhere.x.__getitem__, slices(len(everywhere.x)))
        ]
        x_hat = torch.cat(hats)
        for batch in evidence.batches:
            games, width = batch.read.tokens.shape
            some, at = everywhere.of(first, first + games)
            x, spliced = (some.placed(values[at], games, width) for values in (everywhere.x, x_hat))
            known = None if self._known is None else self._known[first : first + games]
            found.append(
                functional.by_game(
                    evidence.model, evidence.layer, batch, x, spliced, evidence.mean_everywhere, known
                )
            )
            first += games
        table = torch.cat(found)
        self._known = table
        tables["functional"] = table.numpy()
        drawn = functional.scores(bootstrap.draws(tables["functional"], lambda sums: sums))
        for name, value in functional.scores(tables["functional"].sum(0)).items():
            metrics[name] = valued(value, drawn[name], "report")

    def geometry(self, directions: Tensor, fired: np.ndarray, metrics: dict[str, Any]) -> None:
        evidence = self.evidence
        alive = np.flatnonzero(fired)
        if len(alive) < 2 or evidence.site != "residual":
            why = (
                "fewer than two features fire"
                if len(alive) < 2
                else "its directions are not in the residual stream"
            )
            metrics["max_cosine@1"] = metrics["steering@1"] = absent(why)
            return
        metrics["max_cosine@1"] = plain(geometry.max_cosines(directions[alive]).mean())
        own, random = self.steering(directions[geometry.some(alive)]), self.random_steering()
        ratio = own / random
        metrics["steering@1"] = plain(ratio.median()) | {
            "p90": ratio.quantile(0.9).item(),
            "above_random": (own > random).float().mean().item(),
            "features": len(own),
        }

    def steering(self, directions: Tensor) -> Tensor:
        """The KL that each direction causes."""
        evidence = self.evidence
        games, width = min(geometry.GAMES, evidence.report.games), evidence.report.tokens.shape[1]
        some, at = evidence.reported.of(0, games)
        x = some.placed(evidence.reported.x[at], games, width)
        live = some.placed(torch.ones(len(some.game), 1), games, width)[..., 0] > 0
        spread = (evidence.report.x - evidence.mean).square().sum(1).mean().sqrt().item()
        return geometry.steering(evidence.model, evidence.layer, x, live, directions, geometry.PUSH * spread)

    def random_steering(self) -> float:
        """The KL that the median random direction causes, whatever the subject."""
        if self._random_steering is None:
            random = geometry.random_directions(self.evidence.report.x.shape[1])
            self._random_steering = self.steering(random).median().item()
        return self._random_steering
