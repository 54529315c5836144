"""An SAE of another library as a run of ours: its files, where they came from, and what it really does on a task.

results/<task>/imported/<name>/
    spec.json        "imported": the library, the hashes of its files and what they claim; no seed, rows or recipe
    cfg.json, sae_weights.safetensors, boardsae.json    as in any run

On a leaderboard it stands by itself, as imported/<name>, beside the variants that were trained here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from boardsae import dictionary, foreign, runs, tasks
from boardsae.coder import Checked, slices
from boardsae.dictionary import Dictionary
from boardsae.evidence import Evidence
from boardsae.exports import free
from boardsae.files import sha256, write_json
from boardsae.foreign import Claims, Foreign
from boardsae.metrics import unsupervised
from boardsae.progress import say
from boardsae.subject import Subject, check_width

GAMES = 500  # of a split, for a look at L0 and explained variance
L0_OFF = 0.1  # of what a file claims, from which on it is told
EXPLAINED_OFF = 0.05


def take_in(source: Path, task: str, folder: Path | None = None, layer: int | None = None) -> Path:
    """Writes the run; all is read and measured before, so that what is refused leaves nothing behind."""
    if (source / "spec.json").exists():
        raise ValueError(f"{source} is a run already; boardsae score scores it")
    found = foreign.read(source)
    opened = tasks.open_task(tasks.of(task))
    out = folder or Path("results") / opened.task.name / "imported" / source.resolve().name
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} holds something; choose another --out")
    said = foreign.layer_of(found.claims)
    at = next(each for each in (layer, said, opened.task.layer) if each is not None)
    tasks.check_layer(at, opened)
    measured = measure(found, Evidence(opened, at, limit=GAMES))
    warnings = doubts(found.claims, measured, task)
    if said is not None and said != at:
        warnings.append(f"its files say {found.claims.hook}, measured after block {at}")
    for warning in warnings:
        say(f"warning: {warning}")
    write(out, source, found, opened, at, {"task": task, "measured": measured, "warnings": warnings})
    return out


def measure(found: Foreign, evidence: Evidence) -> dict[str, Any]:
    """L0 and explained variance on select games, as their scores are defined."""
    sae, part = Dictionary(found.saved), evidence.select
    check_width(Subject(sae, {}, sae.saved.tensors["W_dec"]), evidence)
    coder, sums = Checked(sae, part.x), []
    for some in slices(len(part.x)):
        x = part.x[some]
        f = coder.encode(x)
        later = part.later[some]
        rows = unsupervised.by_game(x, f, coder.decode(f, x), evidence.mean, later, evidence.mean_later)
        sums.append(rows.sum(0))
    scores = unsupervised.scores(np.asarray(torch.stack(sums).sum(0)))
    names = ("l0", "explained_variance")
    return {name: round(float(scores[f"{name}@1"]), 4) for name in names} | {
        "split": "select",
        "games": part.games,
    }


def doubts(claims: Claims, measured: dict[str, Any], task: str) -> list[str]:
    """What its files claim and the task does not show, with both numbers."""
    found, l0, explained = [], claims.l0, claims.explained_variance
    if l0 is not None and abs(measured["l0"] - l0) > L0_OFF * l0:
        found.append(f"its files say L0 {l0:g}, measured {measured['l0']:.1f} on {task}")
    if explained is not None and abs(measured["explained_variance"] - explained) > EXPLAINED_OFF:
        found.append(
            f"its files say explained variance {explained:.3f},"
            f" measured {measured['explained_variance']:.3f} on {task}"
        )
    return found


def write(
    folder: Path, source: Path, found: Foreign, opened: tasks.Open, layer: int, facts: dict[str, Any]
) -> None:
    """spec.json, the SAE, and last boardsae.json, which makes it a trained run."""
    kind, name = foreign.kind_of(source), folder.resolve().name
    provenance = {
        "library": found.library,
        "folder": source.resolve().name,
        "sha256": {file: sha256(source / file) for file in (kind.config, kind.weights)},
        "architecture": found.saved.architecture,
        "claims": found.claims._asdict(),
    }
    spec = {
        "task": facts["task"],
        "name": name,
        "variant": f"imported/{name}",
        "options": {},
        "d_sae": found.saved.tensors["W_enc"].shape[1],
        "layer": None if layer == opened.task.layer else layer,
        "imported": provenance,
        "hashes": opened.hashes,
        "made_with": runs.surroundings(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "spec.json", spec)
    told = {"model_name": opened.task.name, "hook_name": f"blocks.{layer}.hook_resid_post"}
    dictionary.write(folder, found.saved, free(found.metadata) | told | {"l0": facts["measured"]["l0"]})
    write_json(folder / "boardsae.json", facts | {"trials": 1, "last": {"l0": facts["measured"]["l0"]}})
