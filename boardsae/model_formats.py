"""GPTs of other libraries, read and written: TransformerLens state dicts and Hugging Face GPT-2 folders.

    TransformerLens    a .pth, .pt or .safetensors file with `embed.W_E`, ..., or a folder of one beside a config.json
    Hugging Face       config.json with "model_type": "gpt2", and model.safetensors or pytorch_model.bin

What our GPT cannot hold to the letter is refused by the name of the key or option. Layer norms that were folded into
the weights after them, and a bias in the unembedding, are held.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import games
from boardsae import Broken, gpt, weights
from boardsae.activations import check_reads
from boardsae.files import read_json, sha256, write_json, write_tensors
from boardsae.gpt import ACTIVATIONS, GPT, Shape
from games.core import no_such

Tensors = dict[str, Tensor]
EPSILON = 1e-5  # of all layer norms
NAMED = {"gelu_pytorch_tanh": "gelu_new", "gelu_fast": "gelu_new", "gelu_pytorch": "gelu"}
FILES = ("model.safetensors", "pytorch_model.bin", "model.pth", "model.pt")
BUFFERS = (".attn.mask", ".attn.IGNORE", ".attn.bias", ".attn.masked_bias")  # what attention must not see


def known(activation: str) -> str:
    """Our name of an activation, which libraries have others for."""
    named = NAMED.get(activation, activation)
    if named not in ACTIVATIONS:
        raise ValueError(no_such("activation", named, ACTIVATIONS))
    return named


def read(path: Path, game: str, activation: str | None = None) -> GPT:
    """The model in a file or folder; `activation` where neither says it, which is exact GELU otherwise."""
    usual = known(activation or "gelu")
    folder, file = (path, weights_in(path)) if path.is_dir() else (path.parent, path)
    config = read_json(folder / "config.json") if (folder / "config.json").exists() else {}
    tensors = tensors_of(file)
    if config.get("model_type", "gpt2") != "gpt2":
        raise ValueError(f"expected a model of type gpt2 in {path}, got {config['model_type']}")
    reader = from_hugging_face if "model_type" in config else from_transformer_lens
    tensors = {name: t.float() for name, t in tensors.items() if not name.endswith(BUFFERS)}
    named = known(str(config.get("activation_function", config.get("act_fn", usual))))
    try:
        model = reader(tensors, config, game, named)
    except KeyError as error:
        raise Broken(f"{file} lacks {error}, which a model of its layout has") from None
    except RuntimeError as error:
        raise Broken(f"{file} holds tensors of unexpected shapes: {' '.join(str(error).split())}") from None
    if tensors:
        raise ValueError(f"{file} holds {min(tensors)!r}, which a GPT-2 of this layout does not have")
    return model.eval()


def weights_in(folder: Path) -> Path:
    found = [folder / name for name in FILES if (folder / name).exists()]
    if not found:
        raise FileNotFoundError(f"no weights in {folder}; there should be one of {', '.join(FILES)}")
    return found[0]


def tensors_of(file: Path) -> Tensors:
    """All tensors of a file, without running anything that it may hold."""
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    return weights.safetensors(file) if file.suffix == ".safetensors" else weights.state_dict(file)


def filled(model: GPT, ours: Tensors) -> GPT:
    model.load_state_dict(ours)
    return model


# TransformerLens


def from_transformer_lens(tensors: Tensors, config: dict[str, Any], game: str, activation: str) -> GPT:
    weights.expect(
        "config.json",
        config,
        {
            "normalization_type": ("LN", "LNPre"),
            "positional_embedding_type": ("standard",),
            "attention_dir": ("causal",),
            "eps": (EPSILON,),
            "parallel_attn_mlp": (False,),
            "attn_only": (False,),
            "gated_mlp": (False,),
            "use_attn_scale": (True,),
        },
    )
    take = tensors.pop
    ours = {"embed.weight": take("embed.W_E"), "positions.weight": take("pos_embed.W_pos")}
    (vocabulary, width), context = ours["embed.weight"].shape, len(ours["positions.weight"])
    layers = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
    heads = len(tensors["blocks.0.attn.W_Q"])

    def norm(theirs: str, name: str) -> None:  # where it was folded away, it is the identity
        ours[f"{name}.weight"] = tensors.pop(f"{theirs}.w", torch.ones(width))
        ours[f"{name}.bias"] = tensors.pop(f"{theirs}.b", torch.zeros(width))

    for i in range(layers):
        theirs, name = f"blocks.{i}", f"blocks.{i}"
        parts = [take(f"{theirs}.attn.W_{part}").mT.reshape(-1, width) for part in "QKV"]
        ours[f"{name}.qkv.weight"] = torch.cat(parts)
        ours[f"{name}.qkv.bias"] = torch.cat([take(f"{theirs}.attn.b_{part}").flatten() for part in "QKV"])
        ours[f"{name}.out.weight"] = take(f"{theirs}.attn.W_O").flatten(0, 1).T
        ours[f"{name}.out.bias"] = take(f"{theirs}.attn.b_O")
        for layer, part in (("up", "in"), ("down", "out")):
            ours[f"{name}.{layer}.weight"] = take(f"{theirs}.mlp.W_{part}").T
            ours[f"{name}.{layer}.bias"] = take(f"{theirs}.mlp.b_{part}")
        norm(f"{theirs}.ln1", f"{name}.ln1")
        norm(f"{theirs}.ln2", f"{name}.ln2")
    norm("ln_final", "ln")
    ours["unembed.weight"] = take("unembed.W_U").T
    bias = tensors.pop("unembed.b_U", torch.zeros(()))
    if has_bias := bool(bias.any()):
        ours["unembed.bias"] = bias
    return filled(GPT(Shape(game, vocabulary, context, layers, width, heads, activation, has_bias)), ours)


def to_transformer_lens(model: GPT) -> tuple[Tensors, dict[str, Any]]:
    """The state dict of a HookedTransformer, buffers too, and what its HookedTransformerConfig is made of."""
    shape, state = model.shape, model.state_dict()
    d, mask = shape.width // shape.heads, torch.ones(shape.context, shape.context, dtype=torch.bool).tril()
    theirs = {"embed.W_E": state["embed.weight"], "pos_embed.W_pos": state["positions.weight"]}
    for i in range(shape.layers):
        block = f"blocks.{i}"
        matrices = state[f"{block}.qkv.weight"].view(3, shape.heads, d, shape.width).mT
        biases = state[f"{block}.qkv.bias"].view(3, shape.heads, d)
        for part, weight, bias in zip("QKV", matrices, biases, strict=True):
            theirs |= {f"{block}.attn.W_{part}": weight, f"{block}.attn.b_{part}": bias}
        theirs[f"{block}.attn.W_O"] = state[f"{block}.out.weight"].T.view(shape.heads, d, shape.width)
        theirs[f"{block}.attn.b_O"] = state[f"{block}.out.bias"]
        theirs |= {f"{block}.attn.mask": mask.clone(), f"{block}.attn.IGNORE": torch.tensor(-torch.inf)}
        for layer, part in (("up", "in"), ("down", "out")):
            theirs[f"{block}.mlp.W_{part}"] = state[f"{block}.{layer}.weight"].T
            theirs[f"{block}.mlp.b_{part}"] = state[f"{block}.{layer}.bias"]
        for norm in ("ln1", "ln2"):
            theirs |= {f"{block}.{norm}.{p[0]}": state[f"{block}.{norm}.{p}"] for p in ("weight", "bias")}
    theirs |= {"ln_final.w": state["ln.weight"], "ln_final.b": state["ln.bias"]}
    theirs["unembed.W_U"] = state["unembed.weight"].T
    theirs["unembed.b_U"] = state.get("unembed.bias", torch.zeros(shape.vocabulary))
    config = {
        "n_layers": shape.layers,
        "d_model": shape.width,
        "n_ctx": shape.context,
        "d_head": d,
        "n_heads": shape.heads,
        "d_mlp": 4 * shape.width,
        "d_vocab": shape.vocabulary,
        "act_fn": shape.activation,
        "normalization_type": "LN",
        "eps": EPSILON,
    }
    return theirs, config


# Hugging Face

LINEAR = {"qkv": "attn.c_attn", "out": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"}
NORMS = {"ln1": "ln_1", "ln2": "ln_2"}
OUTER = {"embed.weight": "wte.weight", "positions.weight": "wpe.weight"}
FINAL = {"ln.weight": "ln_f.weight", "ln.bias": "ln_f.bias"}


def from_hugging_face(tensors: Tensors, config: dict[str, Any], game: str, activation: str) -> GPT:
    width = config["n_embd"]
    weights.expect(
        "config.json",
        config,
        {
            "n_inner": (None, 4 * width),
            "layer_norm_epsilon": (EPSILON,),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
    )
    for name in [name for name in tensors if name.startswith("transformer.")]:
        tensors[name.removeprefix("transformer.")] = tensors.pop(name)
    ours = {name: tensors.pop(theirs) for name, theirs in (OUTER | FINAL).items()}
    for i in range(config["n_layer"]):
        for name, theirs in LINEAR.items():  # a Conv1D holds its weight the other way round
            ours[f"blocks.{i}.{name}.weight"] = tensors.pop(f"h.{i}.{theirs}.weight").T
            ours[f"blocks.{i}.{name}.bias"] = tensors.pop(f"h.{i}.{theirs}.bias")
        for name, theirs in NORMS.items():
            ours |= {f"blocks.{i}.{name}.{p}": tensors.pop(f"h.{i}.{theirs}.{p}") for p in ("weight", "bias")}
    ours["unembed.weight"] = tensors.pop("lm_head.weight", ours["embed.weight"])  # absent where it is tied
    vocabulary, context = len(ours["embed.weight"]), len(ours["positions.weight"])
    shape = Shape(game, vocabulary, context, config["n_layer"], width, config["n_head"], activation)
    return filled(GPT(shape), ours)


def to_hugging_face(model: GPT) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the config.json of a GPT2LMHeadModel."""
    shape, state = model.shape, model.state_dict()
    if shape.unembed_bias:
        raise ValueError(
            "GPT-2 of Hugging Face has no bias in the unembedding and this model has one;"
            " --format transformer-lens holds it"
        )
    theirs = {f"transformer.{their}": state[name] for name, their in (OUTER | FINAL).items()}
    for i in range(shape.layers):
        for name, their in LINEAR.items():
            theirs[f"transformer.h.{i}.{their}.weight"] = state[f"blocks.{i}.{name}.weight"].T
            theirs[f"transformer.h.{i}.{their}.bias"] = state[f"blocks.{i}.{name}.bias"]
        for name, their in NORMS.items():
            for p in ("weight", "bias"):
                theirs[f"transformer.h.{i}.{their}.{p}"] = state[f"blocks.{i}.{name}.{p}"]
    theirs["lm_head.weight"] = state["unembed.weight"]
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": shape.vocabulary,
        "n_positions": shape.context,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": None,
        "activation_function": shape.activation,
        "layer_norm_epsilon": EPSILON,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return theirs, config


FORMATS: dict[str, Callable[[GPT], tuple[Tensors, dict[str, Any]]]] = {
    "transformer-lens": to_transformer_lens,
    "hugging-face": to_hugging_face,
}


def adopt(path: Path, game: str, games_folder: str, activation: str | None, folder: Path) -> None:
    """A model of another library as a model folder, which says where it came from and what games judge it."""
    refuse_models(folder)
    model = read(path, game, activation)
    check_reads(model.shape, games.load(game), path)
    folder.mkdir(parents=True, exist_ok=True)
    file = weights_in(path) if path.is_dir() else path
    source = {"file": file.name, "sha256": sha256(file)}
    gpt.save(model, folder, {"recipe": {"data": games_folder}, "imported": source})


def refuse_models(folder: Path) -> None:
    """No model is written over another, ours or not."""
    for name in ("model.json", "model.safetensors", "config.json"):
        if (folder / name).exists():
            raise FileExistsError(f"{folder / name} exists: {folder} holds a model; choose another --out")


def write(model: GPT, layout: str, folder: Path) -> None:
    """model.safetensors and config.json in a layout of FORMATS; not over another model."""
    if layout not in FORMATS:
        raise ValueError(no_such("format", layout, FORMATS))
    tensors, config = FORMATS[layout](model)
    refuse_models(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})
    write_json(folder / "config.json", config)
