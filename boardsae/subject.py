"""What is scored: a coder, what is known of it, its directions."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from boardsae import Broken, dictionary, foreign, runs
from boardsae.coder import Coder
from boardsae.dictionary import Dictionary
from boardsae.evidence import Evidence


class Subject(NamedTuple):
    """What is scored; `directions` are its decoder's, where it has some."""

    coder: Coder
    facts: dict[str, Any]
    directions: Float[Tensor, "feature d"] | None = None
    decodes: bool = True


def read_run(folder: Path) -> Subject:
    """The SAE of a run directory."""
    facts = runs.facts_of(folder)
    if not runs.is_trained(folder):
        raise ValueError(f"{folder} is not trained; the command that began it goes on with it")
    sae = dictionary.read(folder)
    return Subject(sae, facts, sae.saved.tensors["W_dec"])


def read_foreign(folder: Path) -> Subject:
    """The SAE of another library's folder, named as the folder is, at the layer that its files name."""
    found = foreign.read(folder)
    name = folder.resolve().name
    facts: dict[str, Any] = {"name": name, "variant": f"{found.library}/{name}", "library": found.library}
    if (layer := foreign.layer_of(found.claims)) is not None:
        facts["layer"] = layer
    sae = Dictionary(found.saved)
    return Subject(sae, facts, sae.saved.tensors["W_dec"])


def check_width(subject: Subject, evidence: Evidence) -> None:
    if subject.directions is not None and (d := subject.directions.shape[1]) != (
        wanted := evidence.report.x.shape[1]
    ):
        raise Broken(f"expected an SAE of width {wanted}, that of the activations, got {d}")


def header(evidence: Evidence, subject: Subject) -> dict[str, Any]:
    return {
        "schema": runs.SCHEMA,
        "task": evidence.opened.task.name,
        "hashes": evidence.opened.hashes,
        "layer": evidence.layer,
        "site": evidence.site,
        "subject": subject.facts,
        "comparable": all(getattr(evidence, split).games >= 100 for split in ("select", "report")),
        "games": {split: getattr(evidence, split).games for split in ("train", "select", "report")},
        "rows": len(evidence.report.x),
        "made_with": runs.surroundings(),
    }
