"""What trains the weights of a GPT: Muon or AdamW for the matrices of its blocks, AdamW for all else."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from boardsae.gpt import GPT
from boardsae.muon import Muon
from games.core import no_such


class Usual(NamedTuple):
    """What the blocks' matrices are trained with, where nobody asked for another rate."""

    lr: float
    weight_decay: float


OPTIMIZERS = {"muon": Usual(0.02, 0.1), "adamw": Usual(2e-3, 0.01)}


def usual(optimizer: str) -> Usual:
    """Of the optimizer of that name."""
    if optimizer not in OPTIMIZERS:
        raise ValueError(no_such("optimizer", optimizer, OPTIMIZERS))
    return OPTIMIZERS[optimizer]


def optimizers_of(
    model: GPT, optimizer: str, lr: float, weight_decay: float, lr_others: float
) -> list[torch.optim.Optimizer]:
    """The one of that name for the matrices of the blocks, then AdamW for embeddings, unembedding and vectors."""
    inner = {name for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blocks.")}
    matrices = [p for name, p in model.named_parameters() if name in inner]
    others = [p for name, p in model.named_parameters() if name not in inner]

    def adamw(weights: Sequence[Tensor], lr: float, weight_decay: float) -> torch.optim.AdamW:
        fused = model.later.device.type != "mps"
        return torch.optim.AdamW(weights, lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=fused)

    first = Muon if optimizer == "muon" else adamw
    return [first(matrices, lr=lr, weight_decay=weight_decay), adamw(others, lr_others, 0.0)]
