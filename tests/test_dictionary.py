"""An SAE in files: each architecture by hand, the layout, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from boardsae import Broken, dictionary
from boardsae.dictionary import Dictionary
from boardsae.saes.base import Saved

ARCHITECTURES = ("standard", "topk", "jumprelu", "gated")


def made(architecture):
    """b_dec = (1, 0); W_enc gives z = (x0 - 1, x1, x0 - 1 - x1) and then biases; W_dec gives directions."""
    t = {
        "W_enc": torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]),
        "W_dec": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]),
        "b_dec": torch.tensor([1.0, 0.0]),
    }
    if architecture == "gated":
        t |= {
            "b_gate": torch.tensor([0.0, -1.0, 0.0]),
            "b_mag": torch.tensor([0.0, 0.0, 0.5]),
            "r_mag": torch.tensor([0.0, 0.0, 1.0]),
        }
    else:
        t["b_enc"] = torch.tensor([0.5, 0.0, 0.0])
    if architecture == "jumprelu":
        t["threshold"] = torch.tensor([2.0, 0.0, 2.5])
    return Saved(architecture, t, 1 if architecture == "topk" else None)


X = torch.tensor([[3.0, 1.0], [3.0, -1.0], [0.0, 3.0]])  # u = (2, 1, 1), (2, -1, 3), (-1, 3, -4)
BY_HAND = {
    "standard": [[2.5, 1, 1], [2.5, 0, 3], [0, 3, 0]],
    "topk": [[2.5, 0, 0], [0, 0, 3], [0, 3, 0]],
    "jumprelu": [[2.5, 1, 0], [2.5, 0, 3], [0, 3, 0]],
    "gated": [[2, 0, 2.718282 + 0.5], [2, 0, 3 * 2.718282 + 0.5], [0, 3, 0]],
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_encode_by_hand(name):
    sae = Dictionary(made(name))
    assert (sae.d, sae.features) == (2, 3)
    assert torch.allclose(sae.encode(X), torch.tensor(BY_HAND[name]))


def test_decode_by_hand():
    sae = Dictionary(made("standard"))
    assert torch.allclose(sae.decode(torch.tensor([[2.0, 1.0, 10.0]])), torch.tensor([[9.0, 9.0]]))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_files_hold_what_was_written(name, tmp_path):
    dictionary.write(tmp_path, made(name), {"training_architecture": "mine"})
    again = dictionary.read(tmp_path)
    assert again.saved.architecture == name
    assert torch.equal(again.encode(X), Dictionary(made(name)).encode(X))
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (2, 3, "float32")
    assert config["apply_b_dec_to_input"] is True
    assert config["metadata"]["training_architecture"] == "mine"
    assert int(config["metadata"]["sae_lens_version"].split(".")[0]) >= 6
    assert ("k" in config) == (name == "topk")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cfg.json", "sae_weights.safetensors"]


def test_half_precision_is_read_as_float32(tmp_path):
    dictionary.write(tmp_path, made("standard"), {})
    path = tmp_path / "sae_weights.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    assert dictionary.read(tmp_path).encode(X).dtype == torch.float32


def changed(name, **tensors):
    saved = made(name)
    kept = {key: value for key, value in {**saved.tensors, **tensors}.items() if value is not None}
    return saved._replace(tensors=kept)


REFUSED = [
    (changed("standard", threshold=torch.zeros(3)), "threshold differ"),
    (changed("jumprelu", threshold=None), "threshold differ"),
    (changed("standard", W_dec=torch.zeros(2, 3)), r"expected W_dec of shape \(3, 2\), got \(2, 3\)"),
    (changed("standard", b_enc=torch.zeros(3, 1)), r"expected b_enc of shape \(3,\), got \(3, 1\)"),
    (changed("standard", W_enc=torch.zeros(3)), "expected W_enc of shape"),
    (changed("standard", b_enc=torch.tensor([0.0, float("nan"), float("inf")])), "b_enc holds 2 values"),
    (changed("standard", b_dec=torch.zeros(2, dtype=torch.int64)), "floating-point numbers in b_dec"),
    (made("topk")._replace(k=None), "expected k from 1 to the 3 features, got None"),
    (made("topk")._replace(k=4), "expected k from 1 to the 3 features, got 4"),
]


@pytest.mark.parametrize(("saved", "message"), REFUSED)
def test_wrong_tensors_are_one_clear_line(saved, message):
    with pytest.raises(Broken, match=message):
        Dictionary(saved)


def test_wrong_files_are_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights in"):
        dictionary.read(tmp_path)
    dictionary.write(tmp_path, made("topk"), {})
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"architecture": "topkk"}))
    with pytest.raises(ValueError, match="no architecture 'topkk', did you mean 'topk'"):
        dictionary.read(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"k": 9}))
    with pytest.raises(Broken, match=r"sae_weights\.safetensors: expected k"):
        dictionary.read(tmp_path)
    weights = (tmp_path / "sae_weights.safetensors").read_bytes()
    (tmp_path / "sae_weights.safetensors").write_bytes(weights[:-5])
    with pytest.raises(Broken, match="is not an SAE"):
        dictionary.read(tmp_path)
