"""The GPT that plays: GPT-2 style blocks (pre-norm, learned positions, GELU), cut in two at any layer.

`body(tokens, layer)` is the residual stream after block `layer` and `tail(x, layer)` the logits from there; one after
the other they are exactly `forward`. Attention is written out as two batched products, because on CPUs the backward
pass of the fused kernel is slow in bfloat16. There, games get empty plies up to whole vectors of numbers, without which
a softmax takes three to six times as long. GPUs of CUDA take the fused kernel, which never holds all scores at once;
so do CPUs for long games in float32.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from boardsae import Broken
from boardsae.files import read_json, write_json, write_tensors

SIZES = {
    "nano": (2, 64, 2),
    "small": (4, 128, 4),
    "medium": (6, 192, 6),
    "base": (8, 256, 8),
    "paper": (8, 512, 8),
}  # layers, width, heads


class Shape(NamedTuple):
    """All that decides the tensors of a model."""

    game: str
    vocabulary: int
    context: int
    layers: int
    width: int
    heads: int
    activation: str = "gelu"  # of ACTIVATIONS; ours are exact, models from elsewhere may not be
    unembed_bias: bool = False  # which models from elsewhere may have


VECTOR = 32  # numbers in bfloat16
LONG = 128  # plies from which on the fused kernel is the faster one in float32, too
ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh"}  # names of the field, and how torch approximates each


class Block(nn.Module):
    def __init__(self, width: int, heads: int, activation: str = "gelu"):
        super().__init__()
        self.heads, self.approximate = heads, ACTIVATIONS[activation]
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.mixed(x, mask)
        return x + self.down(self.neurons(x))

    def mixed(self, x: Tensor, mask: Tensor) -> Tensor:
        """The residual stream between attention and neurons."""
        return x + self.out(self.attend(self.qkv(self.ln1(x)), mask))

    def neurons(self, x: Tensor) -> Tensor:
        return F.gelu(self.up(self.ln2(x)), approximate=self.approximate)

    def attend(self, qkv: Tensor, mask: Tensor) -> Tensor:
        games, plies, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        heads = qkv.view(games, plies, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if qkv.is_cuda or (plies >= LONG and qkv.dtype == torch.float32):
            mixed = fused(heads)
        else:
            room = whole_vectors(plies) if qkv.dtype == torch.bfloat16 else plies
            mixed = written_out(heads, mask[:room, :room])
        return mixed.transpose(1, 2).reshape(games, plies, width)


def whole_vectors(plies: int) -> int:
    return -(-plies // VECTOR) * VECTOR


def written_out(heads: Float[Tensor, "3 game head ply d"], mask: Tensor) -> Float[Tensor, "game head ply d"]:
    """Attention of queries, keys and values, as two products. A mask with room for more plies finds them empty: no ply
    of the game sees them, for they are later."""
    _, games, count, plies, d = heads.shape
    room = len(mask)
    q, k, v = F.pad(heads, (0, 0, 0, room - plies)).reshape(3, games * count, room, d).unbind(0)
    scores = torch.baddbmm(mask.to(q.dtype).expand(len(q), -1, -1), q, k.mT, alpha=d**-0.5)
    return torch.bmm(scores.softmax(-1), v).view(games, count, room, d)[:, :, :plies]


def fused(heads: Float[Tensor, "3 game head ply d"]) -> Float[Tensor, "game head ply d"]:
    """The same by one kernel, which knows by itself what is later."""
    q, k, v = heads.unbind(0)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class GPT(nn.Module):
    later: Tensor  # what attention must not see: added to the scores

    def __init__(self, shape: Shape, seed: int = 0):
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.heads, shape.activation) for _ in range(shape.layers)
        )
        self.ln = nn.LayerNorm(shape.width)
        self.unembed = nn.Linear(shape.width, shape.vocabulary, bias=shape.unembed_bias)
        room = whole_vectors(shape.context)
        later = torch.triu(torch.full((room, room), -1e4), diagonal=1)
        self.register_buffer("later", later, persistent=False)
        self._draw(seed)

    def _draw(self, seed: int) -> None:
        """GPT-2's initial weights: normal with 0.02, smaller where a block writes into the residual stream."""
        random = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                writes = name.endswith(("out.weight", "down.weight"))
                spread = 0.02 / (2 * self.shape.layers) ** 0.5 if writes else 0.02
                nn.init.normal_(parameter, std=spread, generator=random)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def body(self, tokens: Int[Tensor, "game ply"], layer: int) -> Float[Tensor, "game ply d"]:
        """The residual stream after block `layer`, counted from 0."""
        x = self.embed(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks[: layer + 1]:
            x = block(x, self.later)
        return x

    def tail(self, x: Float[Tensor, "game ply d"], layer: int) -> Float[Tensor, "game ply token"]:
        """The logits that follow from a residual stream after block `layer`."""
        for block in self.blocks[layer + 1 :]:
            x = block(x, self.later)
        return self.unembed(self.ln(x)).float()

    def neurons(self, tokens: Int[Tensor, "game ply"], layer: int) -> Float[Tensor, "game ply neuron"]:
        """The neurons of block `layer` after their activation function."""
        x, block = self.body(tokens, layer - 1), self.blocks[layer]
        assert isinstance(block, Block)
        return block.neurons(block.mixed(x, self.later))

    def residuals(
        self, x: Float[Tensor, "game ply d"], layer: int
    ) -> tuple[list[Tensor], Float[Tensor, "game ply token"]]:
        """The residual stream after each block later than `layer`, and the logits, from one pass.

        Logits are float32 products also where others are bfloat16: small divergences are told from them.
        """
        later = []
        for block in self.blocks[layer + 1 :]:
            x = block(x, self.later)
            later.append(x)
        with torch.autocast(x.device.type, enabled=False):
            return later, self.unembed(self.ln(x))

    def forward(self, tokens: Int[Tensor, "game ply"]) -> Float[Tensor, "game ply token"]:
        return self.tail(self.body(tokens, -1), -1)


def save(model: GPT, folder: Path, facts: dict[str, Any]) -> None:
    """Weights as `model.safetensors`, then `model.json` with the shape and what else is known of the model."""
    write_tensors(folder / "model.safetensors", model.state_dict())
    write_json(folder / "model.json", {"shape": model.shape._asdict(), **facts})


def identity(model: GPT) -> str:
    """SHA-256 of the parameters: names, shapes and values as float32, little endian."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {list(parameter.shape)} ".encode())
        digest.update(parameter.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def shape_of(folder: Path) -> Shape:
    """Of the model in the folder, without its weights."""
    if not (folder / "model.json").exists():
        raise FileNotFoundError(f"no model in {folder}; train one: boardsae train-gpt GAME --out {folder}")
    path = folder / "model.json"
    try:
        shape = Shape(**read_json(path)["shape"])
    except (KeyError, TypeError) as error:
        raise Broken(f"{path} does not say the shape of a GPT: {error}") from None
    for name in ("vocabulary", "context", "layers", "width", "heads"):
        if type(value := getattr(shape, name)) is not int or value < 1:
            raise Broken(f"expected {name} in {path} to be a whole number above 0, got {value!r}")
    if shape.activation not in ACTIVATIONS or shape.width % shape.heads:
        raise Broken(
            f"expected a width that heads divide and one of {', '.join(ACTIVATIONS)} in {path}, got {shape}"
        )
    return shape


def least_bytes(shape: Shape) -> int:
    """Of the weights in bfloat16, vectors left out."""
    return 2 * shape.width * (12 * shape.layers * shape.width + 2 * shape.vocabulary + shape.context)


def load(folder: Path) -> GPT:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    shape, path = shape_of(folder), folder / "model.safetensors"
    try:
        if (size := path.stat().st_size) < (least := least_bytes(shape)):
            raise RuntimeError(f"expected {least:,} bytes or more, got {size:,}")
        model = GPT(shape)
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise Broken(f"{path} is not a model of shape {shape}: {error}") from None
    return model.eval()
