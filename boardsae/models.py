"""Reference GPTs: shipped in the package and pinned, so that everybody scores against the same model.

boardsae/reference/<name>/model.safetensors   weights of 16 bits
boardsae/reference/<name>/model.json          shape, recipe, training data
boardsae/reference/<name>/gate.json           what the model knows, measured by `boardsae gate`
"""

from pathlib import Path
from typing import Any, NamedTuple

from boardsae import Broken
from boardsae.files import read_json, sha256
from games.core import no_such

REFERENCE = Path(__file__).parent / "reference"
PINNED = {
    "othello6-v1": "94f537c046fb2cc3d2e58f4c912f083ecd6bb485110149d1bbd370c18d64d3f2",
    "othello6-v2": "ceb4804fd7da7c4defa3041a1b2263bc6de85ae443350af3da9b050b27ddef25",
    "othello-v1": "b2b41c4961e5ce61bdf1add996262f0b6cad1c63ae0dc32c4679c72be80c32f2",
    "othello-v2": "122f7ca9bf1994d7920730f5eeb6605ed9978bc282c1c9b5368944a988190316",
    "chess-v2": "8c23a8a1a2e785fd77017b5e4d0cfb73fd933392a1648c0b9655f875a983c89c",
    "chess-v3": "015b9887551ec869b084c747cb229a5ae92368ba9da5f17fc7584277ebb8951b",
    "chess-pgn-v1": "ecdf939b704b51ece10083a10f89381121eb98ef70fbec59a5b8f24395fc8018",
}
TWIN_SEED = 1  # of the random weights of a model's twin


def folder_of(name: str) -> Path:
    """The folder of a reference model, its weights proved to be the pinned ones, or the model folder of that path."""
    if name not in PINNED:
        if (folder := Path(name)).is_dir():
            return folder
        raise ValueError(f"{no_such('reference model', name, PINNED)}; a folder of train-gpt will do as well")
    weights = REFERENCE / name / "model.safetensors"
    if not weights.exists():
        raise FileNotFoundError(f"{weights} is missing; install boardsae again")
    if (found := sha256(weights)) != PINNED[name]:
        raise Broken(
            f"expected {weights} to have SHA-256 {PINNED[name]}, got {found}; install boardsae again"
        )
    return weights.parent


def gate_of(folder: Path) -> dict[str, Any]:
    """What the model in the folder knows; a model without a gate is no model to score on."""
    if not (folder / "gate.json").exists():
        raise FileNotFoundError(f"{folder} has no gate.json; measure the model: boardsae gate {folder}")
    return read_json(folder / "gate.json")


class Schooling(NamedTuple):
    """What a model was trained with, by its model.json, also before it was trained further."""

    objective: str | None  # None: it comes from elsewhere
    tokens: int  # that it was trained on here


def schooling(facts: dict[str, Any]) -> Schooling:
    recipe, earlier = facts["recipe"], facts.get("started_from")
    objective, tokens = recipe.get("objective"), recipe.get("tokens", 0)
    if earlier is None:
        return Schooling(objective, tokens)
    before = earlier["objective"] or "elsewhere"
    return Schooling(
        objective if before == objective else f"{before}, then {objective}", tokens + earlier["tokens"]
    )


def in_words(gate: dict[str, Any]) -> str:
    """What the model of a gate was trained with; gates of before do not say it."""
    trained = Schooling(**gate.get("trained_with", {"objective": None, "tokens": 0}))
    if trained.objective is None:
        return "trained elsewhere"
    return f"trained with objective {trained.objective} on {trained.tokens:,} tokens"
