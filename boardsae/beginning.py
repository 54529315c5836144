"""The weights that a GPT's training begins with: drawn, or those of a model that was trained before."""

from typing import Any

from boardsae import gpt
from boardsae.files import read_json
from boardsae.models import folder_of, schooling


def first_model(shape: gpt.Shape, start: str | None, seed: int) -> gpt.GPT:
    """The model before its first step. One from elsewhere keeps its activation function and its bias."""
    if start is None:
        return gpt.GPT(shape, seed)
    model = gpt.load(folder_of(start))
    kept = shape._replace(activation=model.shape.activation, unembed_bias=model.shape.unembed_bias)
    if model.shape != kept:
        fields = [name for name in shape._fields if getattr(kept, name) != getattr(model.shape, name)]
        wanted, there = (
            ", ".join(f"{name} {getattr(of, name)}" for name in fields) for of in (kept, model.shape)
        )
        raise ValueError(f"expected {wanted} of the model to start from, {start} has {there}")
    return model.train()


def size_of(start: str | None) -> str:
    """The size of the model to start from, by its name; small where there is none."""
    if start is None:
        return "small"
    shape = gpt.shape_of(folder_of(start))
    for size, dials in gpt.SIZES.items():
        if dials == (shape.layers, shape.width, shape.heads):
            return size
    raise ValueError(
        f"{start} has {shape.layers} layers of width {shape.width} and {shape.heads} heads,"
        f" which is none of the sizes {', '.join(gpt.SIZES)}"
    )


def objective_of(start: str | None) -> str:
    """What the model to start from was trained with last; next where that is not known."""
    if start is None:
        return "next"
    return read_json(folder_of(start) / "model.json")["recipe"].get("objective", "next")


def started_from(start: str | None, model: gpt.GPT) -> dict[str, Any]:
    """What is recorded of the model to start from: its weights, and what it had been trained with."""
    if start is None:
        return {}
    facts = read_json(folder_of(start) / "model.json")
    return {"started_from": {"weights": gpt.identity(model)} | schooling(facts)._asdict()}
