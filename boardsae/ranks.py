"""Processes that train one model together, as torchrun starts them; alone, there is one.

Every process holds the whole model and takes its share of each batch; sums over all of them make the same step
everywhere. Only the first one writes.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn


class Ranks(NamedTuple):
    rank: int = 0
    world: int = 1

    @property
    def writes(self) -> bool:
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes, in each of them."""
        if self.world > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gradients become their sums over all processes, in one message."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


ALONE = Ranks()


def device_name(asked: str) -> str:
    """Of several processes on GPUs, each has one of its own."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1 and torch.cuda.is_available()
    return f"cuda:{os.environ['LOCAL_RANK']}" if several and asked in ("auto", "cuda") else asked


def join(device: torch.device) -> Ranks:
    """Meets the other processes where torchrun has started some."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(distributed.get_rank(), distributed.get_world_size())


def leave(ranks: Ranks) -> None:
    if ranks.world > 1:
        distributed.destroy_process_group()
