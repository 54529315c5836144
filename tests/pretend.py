"""A device that is none: its tensors lie in ordinary memory, but torch treats them as it treats those of a GPU.

An operation on tensors of both devices fails, and so do `numpy()` and float64, which Apple's GPUs do not know; what no
device is named for is made on the CPU. So code that forgets to move a tensor fails here as it would on a GPU, on a
machine that has none. What this cannot show is how fast a GPU is, and how its sums round.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretend"
CAN_BE_MADE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
MOVES = ("copy_", "_to_copy")  # between devices
# CUDA too takes the places of an index from the CPU, though no values from there
INDEXES = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put")


class There(torch.Tensor):
    """A tensor on the device; `held` is what it holds."""

    held: torch.Tensor

    def __new__(cls, held: torch.Tensor) -> "There":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"There({self.held})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})


class Watch(TorchDispatchMode):
    """Sees to it that tensors that are asked for on the device are made there."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})


def run(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation on what is held; what comes of it lies where its tensors lay, or where it was asked for."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, There)]
    check(operation, args, tensors, there)
    is_there = bool(there)
    if kwargs.get("device") is not None:
        is_there = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    made = operation(*tree_map(held, args), **tree_map(held, kwargs))
    if torch.Tag.inplace_view in operation.tags:  # of the tensor outside too
        with no_dispatch():
            operation(*args, **kwargs)
    same = {id(each.held): each for each in there}  # what was written in place stays the same tensor

    def placed(each: Any) -> Any:
        if not isinstance(each, torch.Tensor):
            return each
        if id(each) in same:
            return same[id(each)]
        if is_there and each.dtype == torch.float64:
            raise TypeError(f"{operation} gives float64, which the {NAME} device does not know")
        return There(each) if is_there else each

    return tree_map(placed, made)


def check(
    operation: Any, args: tuple[Any, ...], tensors: list[torch.Tensor], there: list[torch.Tensor]
) -> None:
    name = operation.overloadpacket.__name__
    elsewhere = [each for each in tensors if not isinstance(each, There) and each.ndim]
    if not there or not elsewhere or name in MOVES:
        return
    values = [args[0], *args[2:3]]  # of an index: what is read or written, and what is put there
    if name in INDEXES and all(isinstance(each, There) or not each.ndim for each in values):
        return
    raise RuntimeError(f"{operation} on tensors of the {NAME} device and of the CPU")


def held(each: Any) -> Any:
    return each.held if isinstance(each, There) else each


class Module(backend_registration._DummyBackendModule if CAN_BE_MADE else object):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


kept = torch.library.Library("_", "IMPL")  # what it registers goes when it goes


@cache
def register() -> None:
    backend_registration._setup_privateuseone_for_python_backend(NAME, Module())
    # Autocast is let through, and casts nothing.
    kept.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")


@contextmanager
def device() -> Iterator[torch.device]:
    register()
    with Watch():
        yield torch.device(NAME, 0)
