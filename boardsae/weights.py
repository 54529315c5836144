"""Tensors out of files that somebody else made: nothing is unpickled, and no size is believed before it is checked."""

import json
import math
import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boardsae import Broken

HEADER = 4_000_000  # bytes; an SAE has a dozen tensors, a line each
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose header tells the truth about its size."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise Broken(f"{path} cannot be read: {error}") from None


def check_header(path: Path) -> None:
    """Refuses a header that is longer than its file, or tensors that are larger."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(HEADER, size - 8):
            raise Broken(
                f"{path} is no safetensors file: its header claims {length:,} bytes, and the file has {size:,}"
            )
        header = file.read(length)
    try:
        entries = dict(json.loads(header))
        entries.pop("__metadata__", None)
        for name, entry in entries.items():
            shape, (first, last) = entry["shape"], entry["data_offsets"]
            claimed = BYTES[entry["dtype"]] * math.prod(shape)
            if not claimed == last - first <= size - 8 - length:
                raise Broken(
                    f"{path}: {name} claims shape {tuple(shape)}, {claimed:,} bytes, and the file has {size:,}"
                )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Broken(f"{path} has a header that makes no sense: {type(error).__name__}: {error}") from None


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of `torch.save`, which is a pickle: read without running what it may hold."""
    size = path.stat().st_size
    check_zip(path, size)
    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        code = f"{named[1]}, which would run" if named else "code that would run"
        raise Broken(f"{path} is a pickle with {code} when it is read; expected tensors alone") from None
    except (RuntimeError, ValueError, EOFError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise Broken(f"{path} cannot be read: {type(error).__name__}: {first_line(error)}") from None
    if not isinstance(held, dict):
        raise Broken(f"expected a dictionary of tensors in {path}, got {type(held).__name__}")
    for name, tensor in held.items():
        if not isinstance(tensor, Tensor):
            raise Broken(f"expected tensors alone in {path}, got {type(tensor).__name__} under {name!r}")
        if (claimed := tensor.numel() * tensor.element_size()) > size:
            raise Broken(
                f"{path}: {name} claims shape {tuple(tensor.shape)}, {claimed:,} bytes, and the file has {size:,}"
            )
    return held


def check_zip(path: Path, size: int) -> None:
    """Refuses bare pickles, and archives that unpack to more than they are."""
    if not zipfile.is_zipfile(path):
        raise Broken(
            f"{path} is no archive of torch.save; if it is a bare pickle, that runs code when it is read: save its"
            " tensors as safetensors"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise Broken(f"{path} cannot be read: {error}") from None
    if unpacked > size:
        raise Broken(f"{path} unpacks to {unpacked:,} bytes from {size:,}; torch.save does not compress")


def expect(where: object, config: dict[str, Any], allowed: dict[str, tuple[Any, ...]]) -> None:
    """Refuses an option that would change what the weights mean; the first value is the one of files without it."""
    for name, values in allowed.items():
        if config.get(name, values[0]) not in values:
            good = " or ".join(map(repr, dict.fromkeys(values)))
            raise ValueError(
                f"{where}: expected {name} to be {good}, got {config[name]!r}, which these formulas do not hold"
            )


def first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
