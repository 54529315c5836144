"""A trained SAE as files hold it: a valid SAELens directory.

cfg.json                  architecture (standard, topk, jumprelu, gated), sizes, metadata
sae_weights.safetensors   W_enc (d, feature), W_dec (feature, d), b_dec, and what the architecture adds

standard   f = ReLU(z)                                        z = (x - b_dec) W_enc + b_enc
topk       f = the k largest of ReLU(z)
jumprelu   f = ReLU(z) where z > threshold
gated      f = ReLU(exp(r_mag) u + b_mag) where u + b_gate > 0,    u = (x - b_dec) W_enc
all        x_hat = f W_dec + b_dec
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boardsae import Broken, __version__
from boardsae.files import read_json, write_json, write_tensors
from boardsae.saes.base import Saved
from boardsae.saes.top import keep_top
from games.core import no_such

SHARED = ("W_enc", "W_dec", "b_dec")
ADDED = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
SAE_LENS = "6.54.12"  # the release whose layout this is


class Dictionary:
    """Encodes and decodes raw activations, every row by itself."""

    def __init__(self, saved: Saved):
        check(saved)
        self.saved = saved._replace(tensors={name: tensor.float() for name, tensor in saved.tensors.items()})
        self.d, self.features = saved.tensors["W_enc"].shape

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        t = self.saved.tensors
        u = (x - t["b_dec"]) @ t["W_enc"]
        if self.saved.architecture == "gated":
            return (u * t["r_mag"].exp() + t["b_mag"]).relu() * (u + t["b_gate"] > 0)
        z = u + t["b_enc"]
        if self.saved.architecture == "topk":
            assert self.saved.k is not None, "check saw to it"
            return keep_top(z.relu(), self.saved.k)
        return z.relu() * (z > t["threshold"]) if self.saved.architecture == "jumprelu" else z.relu()

    def decode(self, f: Float[Tensor, "row feature"]) -> Float[Tensor, "row d"]:
        return f @ self.saved.tensors["W_dec"] + self.saved.tensors["b_dec"]


def check(saved: Saved) -> None:
    """Names and shapes that the architecture asks for, and numbers that are numbers."""
    if saved.architecture not in ADDED:
        raise ValueError(no_such("architecture", saved.architecture, ADDED))
    names = {*SHARED, *ADDED[saved.architecture]}
    if wrong := names ^ saved.tensors.keys():
        some = ", ".join(sorted(wrong))
        raise Broken(
            f"expected the tensors {', '.join(sorted(names))} of {saved.architecture}; {some} differ"
        )
    d, features = saved.tensors["W_enc"].shape if saved.tensors["W_enc"].ndim == 2 else (0, 0)
    shapes = {"W_enc": (d, features), "W_dec": (features, d), "b_dec": (d,)}
    for name, tensor in saved.tensors.items():
        expected = shapes.get(name, (features,))
        if not d or tensor.shape != expected:
            raise Broken(f"expected {name} of shape {expected}, got {tuple(tensor.shape)}")
        if not tensor.is_floating_point():
            raise Broken(f"expected floating-point numbers in {name}, got {tensor.dtype}")
        if not torch.isfinite(tensor).all():
            raise Broken(f"{name} holds {int((~torch.isfinite(tensor)).sum())} values that are not finite")
    if saved.architecture == "topk" and not (saved.k and 1 <= saved.k <= features):
        raise Broken(f"expected k from 1 to the {features} features, got {saved.k}")


def write(folder: Path, saved: Saved, metadata: dict[str, Any]) -> None:
    """Weights, then cfg.json; `metadata` is free, but SAELens wants to read its own version in it."""
    d, features = saved.tensors["W_enc"].shape
    tensors = {name: tensor.float() for name, tensor in saved.tensors.items()}
    write_tensors(folder / "sae_weights.safetensors", tensors)
    config = {
        "architecture": saved.architecture,
        "d_in": d,
        "d_sae": features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": SAE_LENS, "boardsae_version": __version__, **metadata},
    }
    if saved.architecture == "topk":
        config |= {"k": saved.k, "rescale_acts_by_decoder_norm": False}
    write_json(folder / "cfg.json", config)


def has_weights(folder: Path) -> bool:
    """Published records come without."""
    return (folder / "sae_weights.safetensors").exists()


def read(folder: Path) -> Dictionary:
    """The SAE that `write` wrote there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "sae_weights.safetensors"
    if not has_weights(folder):
        raise FileNotFoundError(
            f"no weights in {folder}; records are published without: train its spec again into another --out"
        )
    config = read_json(folder / "cfg.json")
    try:
        return Dictionary(Saved(str(config["architecture"]), load_file(path), config.get("k")))
    except (SafetensorError, KeyError) as error:
        raise Broken(f"{path} is not an SAE: {error}") from None
    except Broken as fault:
        raise Broken(f"{path}: {fault}") from None
