"""What can be scored: SAEs of one's own, by file and by name."""

import sys

import pytest

from boardsae import targets


def test_your_own_sae_by_file_and_factory(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "class Mine:\n"
        "    W_dec = torch.eye(16)\n"
        "    def encode(self, x): return x.relu()\n"
        "    def decode(self, f): return f\n"
        "def broken(): raise RuntimeError('no weights')\n"
        "made = Mine()\n"
    )
    assert targets.made_by(f"{file}:Mine").directions.shape == (16, 16)
    assert targets.made_by(f"{file}:made").facts["name"] == f"{file}:made"
    with pytest.raises(ValueError, match="failed: RuntimeError: no weights"):
        targets.made_by(f"{file}:broken")
    with pytest.raises(ValueError, match="cannot be loaded: AttributeError"):
        targets.made_by(f"{file}:other")
    with pytest.raises(ValueError, match="without encode"):
        targets.of(3, "three")
    with pytest.raises(ValueError, match="no runs in"):
        targets.folders(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no /nowhere"):
        targets.folders("/nowhere")


def test_your_own_sae_may_import_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "lab_saes" / "deep").mkdir(parents=True)
    (tmp_path / "lab_saes" / "__init__.py").touch()
    (tmp_path / "lab_saes" / "flat.py").write_text(
        "class Flat:\n    def encode(self, x): return x.relu()\n    def decode(self, f): return f\n"
    )
    (tmp_path / "lab_saes" / "deep" / "lab_beside.py").write_text("from lab_saes.flat import Flat\n")
    (tmp_path / "lab_saes" / "deep" / "lab_mine.py").write_text("from lab_beside import Flat\n")
    for target in ("lab_saes.flat:Flat", "lab_saes/deep/lab_mine.py:Flat"):
        assert targets.made_by(target).facts["name"] == target
    with pytest.raises(
        ValueError, match=r"cannot be loaded: ModuleNotFoundError: No module named 'lab_saes\.other'"
    ):
        targets.made_by("lab_saes.other:Flat")
