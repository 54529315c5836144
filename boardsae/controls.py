"""What every score is read beside: rows that know little, cheat, or are the best that can be.

    always_on       one feature that never rests
    clock           for every predicate the plies at which it mostly holds, fitted on training games
    perfect         the predicates themselves
    linear_probe    what a linear probe of each predicate says, yes or no
    probe_oracle    linear probes as the features of an SAE · pca, neurons, random, frozen_decoder: variants of the zoo
    random_gpt      topk trained on the model's twin of random weights

They are made once for a task and kept in results/<task>/controls/scores.json, `{"controls": [records]}`. Those of the
Othello tasks are shipped.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boardsae import dictionary, gpt, models, runs, tasks, train_sae
from boardsae.ceiling import Reader
from boardsae.evidence import GAMES, Everywhere, Evidence, Part
from boardsae.files import read_json, write_record
from boardsae.progress import progress, say
from boardsae.runs import Spec
from boardsae.saes import BASELINES
from boardsae.scorer import Scorer
from boardsae.subject import Subject, read_run

ROWS = 400_000  # that the trained controls see


class Given:
    """A coder of rows that are told apart by a look-up: features that come with the games, not with activations.

    What it is given in the place of activations is the number of each row.
    """

    def __init__(self, features: Callable[[np.ndarray], np.ndarray]):
        self.features = features

    def encode(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.features(x[:, 0].long().numpy())).float()

    def decode(self, f: Tensor) -> Tensor:
        return torch.zeros(len(f), 1)


class Numbered(Evidence):
    """The same games, with each row's number where activations would stand, counted through the three splits."""

    def __init__(self, evidence: Evidence):
        super().__init__(evidence.opened, evidence.layer, "numbers", evidence.model, evidence.games)
        self.parts = [evidence.train, evidence.select, evidence.report]
        ends = np.cumsum([0, *(len(part.rows) for part in self.parts)])
        numbers = [torch.arange(*ends[i : i + 2], dtype=torch.float64)[:, None] for i in range(3)]
        self.train, self.select, self.report = (
            part._replace(x=x) for part, x in zip(self.parts, numbers, strict=True)
        )

    def everywhere(self, part: Part, games: int) -> Everywhere:
        """Nothing is known of tokens that are not scored."""
        some = slice(0, int(np.searchsorted(part.game, games)))
        return Everywhere(part.x[some], torch.from_numpy(part.game[some]), torch.from_numpy(part.at[some]))


def given(numbered: Numbered, readers: Sequence[Reader]) -> Iterator[Subject]:
    """The controls that look at the games, or at activations without an SAE."""
    ply = np.concatenate([part.ply for part in numbered.parts])
    words = np.concatenate([part.truth.words for part in numbered.parts])
    truth, plies = numbered.report.truth.with_words(words), clock(numbered)
    activations = torch.cat([part.x for part in numbered.parts])
    features: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "always_on": lambda rows: np.ones((len(rows), 1)),
        "clock": lambda rows: plies[ply[rows]],
        "perfect": lambda rows: truth[rows],
        "linear_probe": lambda rows: said(readers, activations[rows]),
    }
    for name, values in features.items():
        yield Subject(Given(values), {"name": name, "variant": name}, None, decodes=False)


def said(readers: Sequence[Reader], x: Tensor) -> np.ndarray:
    """(row, predicate): whether each predicate is read as true."""
    return np.concatenate([(probes(x) > levels.f1).numpy() for probes, levels in readers], axis=1)


def clock(evidence: Evidence) -> np.ndarray:
    """(ply, predicate): the plies that a detector of best F1, which sees nothing but the ply, says yes at.

    The best set takes plies in the order of how often the predicate holds there, as long as F1 grows.
    """
    train, plies = evidence.train, evidence.plies
    rows = np.bincount(train.ply, minlength=plies)
    holds = np.zeros((plies, len(evidence.columns)), np.int64)
    for ply in np.unique(train.ply):
        holds[ply] = train.truth.at(train.ply == ply).positives()
    order = np.argsort(-holds / np.maximum(rows, 1)[:, None], axis=0)
    hits, fired = (
        np.take_along_axis(v, order, 0).cumsum(0)
        for v in (holds, np.broadcast_to(rows[:, None], holds.shape))
    )
    best = (2 * hits / np.maximum(fired + holds.sum(0), 1)).argmax(0)
    out = np.zeros((plies, holds.shape[1]), bool)
    np.put_along_axis(out, order, np.arange(plies)[:, None] <= best, 0)
    return out


def trained(opened: tasks.Open, layer: int | None, root: Path) -> Iterator[tuple[Subject, tasks.Open, str]]:
    """The controls of the zoo and the twin's SAE: each with what it was trained on, and the site that it reads."""
    task, width = opened.task, 8 * opened.model.shape.width
    specs = [Spec(task.name, name, {}, width, ROWS, layer=layer) for name in BASELINES]
    asked = [(spec, root / spec.variant) for spec in specs]
    train_sae.train(asked, opened)
    for spec, folder in asked:
        subject = read_run(folder)
        yield (
            subject._replace(facts=subject.facts | {"name": spec.variant}),
            opened,
            runs.VARIANTS[spec.variant].site,
        )
    model = gpt.GPT(opened.model.shape, models.TWIN_SEED).eval()
    twin = opened._replace(model=model, hashes=opened.hashes | {"model": gpt.identity(model)})
    spec = Spec(task.name, "topk", {}, width, ROWS, layer=layer)
    train_sae.train([(spec, root / "random_gpt")], twin)
    sae = dictionary.read(root / "random_gpt")
    facts = read_run(root / "random_gpt").facts | {"name": "random_gpt", "variant": "random_gpt"}
    yield Subject(sae, facts, sae.saved.tensors["W_dec"]), twin, "residual"


def records(evidence: Evidence, root: Path, force: bool = False) -> list[dict[str, Any]]:
    """The controls of a task: those in results/<task>/controls, else those shipped with it, else made now."""
    folder = root / Path(evidence.opened.task.name).name / runs.CONTROLS_FOLDER
    file = folder / "scores.json"
    if file.exists() and not force:
        if are_of(evidence, held := read_json(file)["controls"]):
            return held
        raise FileExistsError(f"{file} is of another model, other games or another layer; move {folder} away")
    made = [] if force else shipped(evidence)
    if not made:
        say(
            "scoring the controls of this task, once: minutes, on chess an hour; --no-controls leaves them out"
        )
        made = [*scored(evidence, folder)]
    folder.mkdir(parents=True, exist_ok=True)
    write_record(file, {"controls": made})
    return made


def are_of(evidence: Evidence, held: Iterable[dict[str, Any]]) -> bool:
    """Whether the records are of these games, this model and this layer."""
    return all(
        record["hashes"]["games"] == evidence.opened.hashes["games"]
        and record["of"] == evidence.opened.hashes["model"]
        and record["layer"] == evidence.layer
        and record["schema"] == runs.SCHEMA
        for record in held
    )


def shipped(evidence: Evidence) -> list[dict[str, Any]]:
    """The controls that come with a named task, which `benchmarks/models.py` made; none for another layer."""
    file = shipped_at(evidence.opened.task.name)
    if not file.exists() or evidence.games < GAMES:
        return []
    with gzip.open(file, "rt") as lines:
        held = json.load(lines)["controls"]
    return held if are_of(evidence, held) else []


def shipped_at(task: str) -> Path:
    return models.REFERENCE / Path(task).name / "controls.json.gz"


def scored(evidence: Evidence, folder: Path) -> Iterator[dict[str, Any]]:
    """Each control's record; `of` is the task's model, whatever model a control itself reads."""
    opened, bar = evidence.opened, progress("controls", 10, "controls")
    numbered = Numbered(evidence)
    scorer, first = Scorer(numbered), Scorer(evidence)
    scorer.share(first)
    todo = [(subject, scorer) for subject in given(numbered, first.ceiling().readers)]
    for subject, of, site in trained(opened, evidence.layer, folder):
        same = of is opened and site == "residual"
        other = evidence if same else Evidence(of, evidence.layer, site, of.model, evidence.games)
        scores = first if same else Scorer(other)
        scores.share(first)
        todo.append((subject, scores))
    for subject, scores in todo:
        record = scores.score(subject)
        record.pop("counts")
        bar.update(1)
        yield record | {"hashes": opened.hashes, "of": opened.hashes["model"]}
    bar.close()
