"""Files that somebody else made: nothing in them is run, and no size is believed."""

import json
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from boardsae import Broken, weights


def header(path, entries, length=None, data=b"\0" * 16):
    """A safetensors file whose header says what it likes."""
    text = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def test_what_was_saved_is_read(tmp_path):
    tensors = {"W": torch.randn(3, 2), "k": torch.tensor(4, dtype=torch.int)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.pt")
    for found in (weights.safetensors(tmp_path / "a.safetensors"), weights.state_dict(tmp_path / "a.pt")):
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("entries", "length", "message"),
    [
        ({}, 10**15, "its header claims 1,000,000,000,000,000 bytes, and the file has"),
        ({}, 1, "its header claims 1 bytes"),
        (
            {"W": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}},
            None,
            r"W claims shape \(1000000, 1000000\), 4,000,000,000,000 bytes",
        ),
        (
            {"W": {"dtype": "F32", "shape": [9], "data_offsets": [0, 16]}},
            None,
            r"W claims shape \(9,\), 36 bytes",
        ),
        (
            {"W": {"dtype": "F3", "shape": [4], "data_offsets": [0, 16]}},
            None,
            "makes no sense: KeyError: 'F3'",
        ),
        ({"W": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}}, None, "makes no sense: TypeError"),
        ({"W": {"shape": [4]}}, None, "makes no sense: KeyError"),
        ([1, 2], None, "makes no sense"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path, entries, length, message):
    with pytest.raises(Broken, match=message):
        weights.safetensors(header(tmp_path / "w.safetensors", entries, length))


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 40, struct.pack("<Q", 4) + b"\xff\xfe{}" * 4])
def test_what_is_no_safetensors_file_is_refused(tmp_path, data):
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(Broken, match=r"w\.safetensors"):
        weights.safetensors(path)


class Bomb:
    """What would run if a pickle of it were loaded."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    path = tmp_path / "ae.pt"
    torch.save({"bias": Bomb()}, path)
    with pytest.raises(
        Broken, match=r"is a pickle with (\S*exec, which|code that) would run when it is read"
    ):
        weights.state_dict(path)
    torch.save(Bomb(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(
        Broken, match="if it is a bare pickle, that runs code when it is read: save its tensors as"
    ):
        weights.state_dict(path)


def test_what_is_no_state_dict_is_refused(tmp_path):
    path = tmp_path / "ae.pt"
    torch.save([torch.ones(2)], path)
    with pytest.raises(Broken, match=r"expected a dictionary of tensors in .*, got list"):
        weights.state_dict(path)
    torch.save({"k": 3}, path)
    with pytest.raises(Broken, match=r"expected tensors alone in .*, got int under 'k'"):
        weights.state_dict(path)
    torch.save({"W": torch.ones(1).expand(10**6, 10**6)}, path)
    with pytest.raises(Broken, match=r"W claims shape \(1000000, 1000000\)"):
        weights.state_dict(path)
    torch.save({"W": torch.ones(500, 500)}, path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(Broken):
        weights.state_dict(path)


def test_an_archive_that_swells_is_refused(tmp_path):
    path = tmp_path / "ae.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**6)
    with pytest.raises(Broken, match="unpacks to 1,000,000 bytes from"):
        weights.state_dict(path)
