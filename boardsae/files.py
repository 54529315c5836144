"""Files that a kill cannot leave half true: JSON by rename, arrays written block by block, hashes."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from boardsae import Broken


class Held(FileExistsError):
    """Another process writes there."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process writes into the folder meanwhile; it ends with this one, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise Held(f"another process is writing {folder}; wait for it or stop it") from None
    except OSError:  # a file system without locks, as some that machines share
        pass
    try:
        yield
    finally:
        os.close(held)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Where to write a file that appears under its name when it is whole, and not at all where that fails."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        yield unfinished
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None  # such as a full disk: where
        raise
    unfinished.replace(path)


def write_text(path: Path, text: str | Iterable[str], force: bool = True) -> None:
    """All of the file or none of it, also when killed half way; over another file only by `force`."""
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; --force replaces it")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} for {path.name}")
    with appearing(path) as unfinished, unfinished.open("w") as file:
        file.writelines([text] if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())


def json_text(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def write_json(path: Path, value: Any) -> None:
    write_text(path, json_text(value))


def write_record(path: Path, record: dict[str, Any]) -> None:
    """JSON of a few hundred lines: an entry of the record a line, and of a list of objects an object a line."""

    def told(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n  " + ",\n  ".join(json.dumps(each, separators=(",", ":")) for each in value) + "\n ]"
        return json.dumps(value)

    entries = (f" {json.dumps(name)}: {told(value)}" for name, value in record.items())
    write_text(path, "{\n" + ",\n".join(entries) + "\n}\n")


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Broken(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Broken(f"expected a JSON object in {path}, got {type(value).__name__}")
    return value


def write_tensors(path: Path, tensors: dict[str, Any], facts: dict[str, str] | None = None) -> None:
    """All of the safetensors file or none of it."""
    from safetensors.torch import save

    # Written from memory: the library's own way to a file makes one that nobody else may read.
    held = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, facts)
    with appearing(path) as unfinished:
        unfinished.write_bytes(held)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blank_array(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """An .npy file of zeros that take no space as yet; one that is there is left as it is."""
    if not path.exists():
        with appearing(path) as unfinished:
            np.lib.format.open_memmap(unfinished, "w+", dtype, shape)


class ArrayFile:
    """An .npy file whose rows are written in any order, from any thread or machine, never all in memory."""

    def __init__(self, path: Path):
        array = np.load(path, mmap_mode="r")
        self.row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
        self.rows_start = path.stat().st_size - len(array) * self.row_bytes
        self.file = os.open(path, os.O_WRONLY)

    def write(self, first: int, rows: np.ndarray) -> None:
        data = np.ascontiguousarray(rows).data.cast("B")
        at = self.rows_start + first * self.row_bytes
        while data:
            written = os.pwrite(self.file, data, at)
            data, at = data[written:], at + written

    def close(self) -> None:
        os.close(self.file)


class ArrayReader:
    """An .npy file read slice by slice. A memmap would keep every page it has seen in this process's memory."""

    def __init__(self, path: Path):
        self.path, array = path, open_array(path)
        self.shape, self.dtype, self.offset = array.shape, array.dtype, array.offset  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, last, _ = rows.indices(len(self))
        row = int(np.prod(self.shape[1:]))
        offset = self.offset + first * row * self.dtype.itemsize
        values = np.fromfile(self.path, self.dtype, max(0, last - first) * row, offset=offset)
        return values.reshape(-1, *self.shape[1:])


def write_array(path: Path, array: np.ndarray) -> None:
    """All of the .npy file or none of it."""
    with appearing(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array)


def open_array(path: Path) -> np.ndarray:
    """A read-only memmap; a truncated or foreign file is reported, not mapped."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise Broken(f"{path} is not a readable array: {error}") from None
