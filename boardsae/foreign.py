"""SAEs of other libraries: recognised by their files, read into the four architectures of `boardsae.dictionary`.

    SAELens               cfg.json, sae_weights.safetensors    standard, topk, jumprelu, gated; also as before version 6
    dictionary_learning   config.json, ae.pt                   the classes of DICTIONARIES
    sparsify              cfg.json, sae.safetensors            topk

What a library does beside the formulas of ours is folded into the tensors, so that features and reconstructions are
those that the library itself computes. What cannot be folded is refused by the name of its key.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from boardsae import Broken, weights
from boardsae.dictionary import ADDED, Dictionary
from boardsae.files import read_json
from boardsae.saes.base import Saved
from games.core import no_such

Tensors = dict[str, Tensor]
Config = dict[str, Any]


class Claims(NamedTuple):
    """What files say of an SAE beside its weights; whether it is so is another question."""

    hook: str | None = None  # as TransformerLens calls it
    l0: float | None = None
    explained_variance: float | None = None


class Foreign(NamedTuple):
    library: str
    saved: Saved
    claims: Claims
    metadata: dict[str, Any]  # free-form, as far as the library has some


class Kind(NamedTuple):
    """A library by the files that it writes."""

    library: str
    config: str
    weights: str
    read: Callable[[Path, Config, Tensors], Foreign]


def found(root: Path) -> list[Path]:
    """Every folder below, itself included, that holds an SAE of another library."""
    folders = {path.parent for kind in KINDS for path in root.rglob(kind.weights)}
    return sorted(folder for folder in folders if not (folder / "spec.json").exists())


def is_sae(folder: Path) -> bool:
    return any((folder / kind.weights).is_file() for kind in KINDS)


def kind_of(folder: Path) -> Kind:
    """By the file of its weights; its configuration must lie beside."""
    kinds = [kind for kind in KINDS if (folder / kind.weights).is_file()]
    if not kinds:
        known = ", ".join(f"{kind.weights} ({kind.library})" for kind in KINDS)
        raise FileNotFoundError(f"no SAE in {folder}: expected one of {known}")
    if len(kinds) > 1:
        both = " and ".join(kind.weights for kind in kinds)
        raise ValueError(f"{folder} holds {both}; which of them is meant? move the other away")
    if not (folder / kinds[0].config).is_file():
        raise FileNotFoundError(
            f"{folder} holds {kinds[0].weights} and no {kinds[0].config}, which {kinds[0].library} writes beside it"
        )
    return kinds[0]


def read(folder: Path) -> Foreign:
    """The SAE in a folder, whichever library wrote it; a run of ours is one of SAELens."""
    kind = kind_of(folder)
    config, file = read_json(folder / kind.config), folder / kind.weights
    tensors = weights.state_dict(file) if file.suffix == ".pt" else weights.safetensors(file)
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    try:
        foreign = kind.read(folder / kind.config, config, floats)
        Dictionary(foreign.saved)
    except KeyError as error:
        raise Broken(
            f"{file} or {kind.config} beside it lacks {error}, which {kind.library} writes"
        ) from None
    except (RuntimeError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise Broken(f"{file} and {kind.config} do not fit together: {reason}") from None
    except Broken as fault:
        raise Broken(f"{file}: {fault}") from None
    return foreign


def check_sizes(path: Path, config: Config, names: tuple[str, str], saved: Saved) -> None:
    """Refuses a configuration of other sizes than the weights have."""
    shape = saved.tensors["W_enc"].shape
    if len(shape) != 2:
        raise Broken(f"expected encoder weights of two dimensions, got shape {tuple(shape)}")
    for name, size in zip(names, shape, strict=True):
        if config.get(name) not in (None, size):
            raise Broken(f"{path.name} says {name} {config[name]!r} and the weights say {size}")


def active(path: Path, config: Config) -> int:
    """How many features a TopK keeps."""
    if type(k := config["k"]) is not int or k < 1:
        raise Broken(f"expected k in {path.name} to be a whole number above 0, got {k!r}")
    return k


def number(config: Config, name: str) -> float | None:
    value = config.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def recentred(saved: Saved, by: int = 1) -> Saved:
    """The same features where x loses b_dec first (by = 1), or no longer does (by = -1): the biases make up for it."""
    t = dict(saved.tensors)
    lost = by * (t["b_dec"].double() @ t["W_enc"].double())
    if saved.architecture == "gated":
        t["b_gate"] = (t["b_gate"].double() + lost).float()
        t["b_mag"] = (t["b_mag"].double() + lost * t["r_mag"].double().exp()).float()
    else:
        t["b_enc"] = (t["b_enc"].double() + lost).float()
    return saved._replace(tensors=t)


def with_unit_directions(saved: Saved) -> Saved:
    """The same reconstructions of a ReLU or top-k SAE, each feature in units of its direction's norm."""
    t = dict(saved.tensors)
    norms = t["W_dec"].norm(dim=1)
    t["W_enc"], t["b_enc"] = t["W_enc"] * norms, t["b_enc"] * norms
    t["W_dec"] = t["W_dec"] / norms.clamp(min=1e-12)[:, None]
    return saved._replace(tensors=t)


def are_unit(directions: Tensor) -> bool:
    """As dictionary_learning asks it."""
    norms = directions.norm(dim=1)
    return torch.allclose(norms, torch.ones_like(norms))


# SAELens


def from_saelens(path: Path, config: Config, tensors: Tensors) -> Foreign:
    metadata = dict(config.get("metadata") or {})
    version = str(config.get("sae_lens_version") or metadata.get("sae_lens_version") or "0")
    if int(re.match(r"\d*", version)[0] or 0) < 6:  # type: ignore[index]
        config = modern(path, config)
        metadata = {
            name: config[name] for name in ("hook_name", "model_name", "context_size") if name in config
        }
    architecture = str(config.get("architecture", "standard"))
    if architecture not in ADDED:
        raise ValueError(no_such(f"architecture in {path}", architecture, ADDED))
    weights.expect(path, config, {"normalize_activations": ("none",), "reshape_activations": ("none",)})
    weights.expect(path, config, {"apply_b_dec_to_input": (True, False)})
    saved = Saved(architecture, tensors, active(path, config) if architecture == "topk" else None)
    check_sizes(path, config, ("d_in", "d_sae"), saved)
    if not config.get("apply_b_dec_to_input", True):
        saved = recentred(saved)
    if config.get("rescale_acts_by_decoder_norm") and architecture == "topk":
        saved = with_unit_directions(saved)
    l0, explained = number(metadata, "l0"), number(metadata, "explained_variance")
    return Foreign("SAELens", saved, Claims(metadata.get("hook_name"), l0 or saved.k, explained), metadata)


def modern(path: Path, config: Config) -> Config:
    """A configuration from before version 6, flat, in the words of version 6."""
    named = {"hook_point": "hook_name", "activation_fn_str": "activation_fn"}
    new = {named.get(name, name): value for name, value in config.items()}
    weights.expect(path, new, {"activation_fn": ("relu", "topk"), "finetuning_scaling_factor": (False, None)})
    if new.get("activation_fn") == "topk":
        new |= {"architecture": "topk", "k": new["activation_fn_kwargs"]["k"]}
    if not new.get("normalize_activations"):
        new["normalize_activations"] = "none"
    return new


# dictionary_learning

LINEAR = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
PLAIN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
GATED = {"encoder.weight": "W_enc", "decoder.weight": "W_dec", "gate_bias": "b_gate", "mag_bias": "b_mag"}
DICTIONARIES: dict[str, tuple[str, dict[str, str]]] = {  # class: its architecture, its names of our tensors
    "AutoEncoder": ("standard", LINEAR | {"bias": "b_dec"}),
    "AutoEncoderNew": ("standard", LINEAR | {"decoder.bias": "b_dec"}),
    "GatedAutoEncoder": ("gated", GATED | {"r_mag": "r_mag", "decoder_bias": "b_dec"}),
    "AutoEncoderTopK": ("topk", LINEAR | {"b_dec": "b_dec"}),
    "BatchTopKSAE": ("jumprelu", LINEAR | {"b_dec": "b_dec"}),
    "MatryoshkaBatchTopKSAE": ("jumprelu", PLAIN),
    "JumpReluAutoEncoder": ("jumprelu", PLAIN | {"threshold": "threshold"}),
}
UNCENTRED = ("AutoEncoderNew", "JumpReluAutoEncoder")  # they encode x as it is


def turned(name: str, tensor: Tensor) -> Tensor:
    """A weight of torch.nn.Linear lies the other way round."""
    return tensor.T.contiguous() if name.endswith(".weight") else tensor


def from_dictionary_learning(path: Path, config: Config, tensors: Tensors) -> Foreign:
    trainer = config["trainer"]
    name = str(trainer["dict_class"])
    if name not in DICTIONARIES:
        raise ValueError(no_such(f"dict_class that is read from {path}", name, DICTIONARIES))
    architecture, names = DICTIONARIES[name]
    ours = {our: turned(their, tensors.pop(their)) for their, our in names.items()}
    counts = [
        value for value in (number(trainer, "k"), as_number(tensors.pop("k", None))) if value is not None
    ]
    if len(set(counts)) > 1:
        raise Broken(f"{path.name} says k {counts[0]:g} and the weights say {counts[1]:g}")
    if architecture == "jumprelu" and "threshold" not in names:
        ours["threshold"] = tensors.pop("threshold").float().reshape(1).repeat(len(ours["b_enc"]))
    for buffer in ("threshold", "group_sizes"):
        tensors.pop(buffer, None)
    if tensors:
        raise Broken(f"it holds {min(tensors)!r}, which a {name} does not have")
    saved = Saved(architecture, ours, int(counts[0]) if architecture == "topk" else None)
    check_sizes(path, trainer, ("activation_dim", "dict_size"), saved)
    if name in UNCENTRED:
        saved = recentred(saved)
    if name == "AutoEncoder" and not are_unit(saved.tensors["W_dec"]):  # its loader does so
        saved = with_unit_directions(saved)
    measured = read_json(beside) if (beside := path.with_name("eval_results.json")).is_file() else {}
    l0 = number(measured, "l0") or (counts[0] if counts else None)
    claims = Claims(hook_of(trainer), l0, number(measured, "frac_variance_explained"))
    told = {"model_name": trainer.get("lm_name"), "hook_name": claims.hook, "training_architecture": name}
    return Foreign("dictionary_learning", saved, claims, told)


def as_number(tensor: Tensor | None) -> float | None:
    return None if tensor is None else float(tensor.item())


def hook_of(trainer: Config) -> str | None:
    """Where the trainer's layer is, unless it says that it is elsewhere."""
    place, layer = str(trainer.get("submodule_name") or "resid_post"), trainer.get("layer")
    if not isinstance(layer, int):
        return None
    return f"blocks.{layer}.hook_resid_post" if place.startswith("resid_post") else f"layer {layer} {place}"


# sparsify


def from_sparsify(path: Path, config: Config, tensors: Tensors) -> Foreign:
    allowed = {"activation": ("topk",), "transcode": (False,), "skip_connection": (False,)}
    weights.expect(path, config, allowed)
    encoder, bias = tensors.pop("encoder.weight"), tensors.pop("encoder.bias")
    saved = Saved(
        "topk", {"W_enc": turned("encoder.weight", encoder), "b_enc": bias, **tensors}, active(path, config)
    )
    sizes = {"d_in": config["d_in"], "num_latents": config.get("num_latents") or None}
    sizes["num_latents"] = sizes["num_latents"] or config["d_in"] * config["expansion_factor"]
    check_sizes(path, sizes, ("d_in", "num_latents"), saved)
    block = re.fullmatch(
        r"(?:.*\.)?(?:layers|blocks|h)\.(\d+)", path.parent.name
    )  # it names folders by the hook
    hook = f"blocks.{block[1]}.hook_resid_post" if block else None
    return Foreign("sparsify", saved, Claims(hook, config["k"]), {"hook_name": hook} if hook else {})


KINDS = (
    Kind("SAELens", "cfg.json", "sae_weights.safetensors", from_saelens),
    Kind("dictionary_learning", "config.json", "ae.pt", from_dictionary_learning),
    Kind("sparsify", "cfg.json", "sae.safetensors", from_sparsify),
)


def layer_of(claims: Claims) -> int | None:
    """The block after which it reads the residual stream; None where no file says it."""
    if claims.hook is None:
        return None
    place = re.fullmatch(r"blocks\.(\d+)\.hook_resid_(pre|post)", claims.hook)
    layer = int(place[1]) - (place[2] == "pre") if place else -1
    if layer < 0:
        raise ValueError(
            f"expected an SAE of the residual stream, blocks.N.hook_resid_post, got one of {claims.hook}"
        )
    return layer
