"""Models of other libraries: what they saved gives their logits here, and ours give ours there."""

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from boardsae import Broken, gate, generate, gpt, model_formats, models, probes, tasks

GOLDEN = Path(__file__).parent / "golden" / "models"
SAVED = {  # layout: what the library saved, the game, its logits
    "transformer-lens": ("transformer-lens.pth", "othello", "transformer-lens"),
    "folded": ("transformer-lens-folded.pth", "othello", "transformer-lens"),
    "hugging-face": ("hugging-face", "chess-pgn", "hugging-face"),
}


def same(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", SAVED)
def test_what_the_library_saved_has_its_logits(layout, tmp_path):
    file, game, logits = SAVED[layout]
    model_formats.adopt(GOLDEN / file, game, "data/x", None, tmp_path / "m")
    model, golden = gpt.load(tmp_path / "m"), load_file(GOLDEN / f"{logits}.safetensors")
    same(model(golden["tokens"]), golden["logits"])
    assert model.shape.unembed_bias == (game == "othello")
    facts = json.loads((tmp_path / "m" / "model.json").read_text())
    assert facts["shape"]["activation"] == {"othello": "gelu", "chess-pgn": "gelu_new"}[game]
    assert len(facts["imported"]["sha256"]) == 64
    with pytest.raises(FileExistsError, match="holds a model; choose another --out"):
        model_formats.adopt(GOLDEN / file, game, "data/x", None, tmp_path / "m")


def test_a_model_is_not_taken_in_over_its_own_files(tmp_path):
    model_formats.write(made(), "hugging-face", tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match=r"model\.safetensors exists: .* choose another --out"):
        model_formats.adopt(tmp_path, "othello", "data/x", None, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_an_empty_file_is_no_model(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(Broken, match=r"is no archive of torch\.save"):
        model_formats.read(tmp_path / "model.pth", "othello")


def made(**changes):
    model = gpt.GPT(gpt.Shape("othello", 61, 59, 2, 16, 2)._replace(**changes), seed=1)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return model.eval().requires_grad_(False)


TOKENS = torch.randint(1, 61, (3, 59), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layout", model_formats.FORMATS)
@pytest.mark.parametrize("activation", gpt.ACTIVATIONS)
def test_there_and_back_is_the_same_model(layout, activation, tmp_path):
    model = made(activation=activation)
    model_formats.write(model, layout, tmp_path)
    back = model_formats.read(tmp_path, "othello")
    assert back.shape == model.shape
    assert gpt.identity(back) == gpt.identity(model)
    with pytest.raises(FileExistsError, match="choose another --out"):
        model_formats.write(model, layout, tmp_path)


def test_a_bias_in_the_unembedding_is_held_or_refused(tmp_path):
    model = made(unembed_bias=True)
    model_formats.write(model, "transformer-lens", tmp_path / "lens")
    same(model_formats.read(tmp_path / "lens", "othello")(TOKENS), model(TOKENS))
    with pytest.raises(ValueError, match=r"no bias in the unembedding .* --format transformer-lens"):
        model_formats.write(model, "hugging-face", tmp_path / "face")


def test_transformer_lens_reads_what_we_write(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("transformer_lens")
        try:
            from transformer_lens import HookedTransformer, HookedTransformerConfig
        except ImportError:
            pytest.skip("TransformerLens 4 has no HookedTransformer; it boots models of Hugging Face")
        model = made(unembed_bias=True, activation="gelu_new")
        model_formats.write(model, "transformer-lens", tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        theirs = HookedTransformer(HookedTransformerConfig(**config))
        theirs.load_state_dict(load_file(tmp_path / "model.safetensors"))
        same(theirs(TOKENS), model(TOKENS))


def test_transformers_reads_what_we_write(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("transformers")
        model_formats.write(made(), "hugging-face", tmp_path)
        theirs = library.GPT2LMHeadModel.from_pretrained(tmp_path).eval()
        same(theirs(TOKENS).logits.detach(), made()(TOKENS))


def test_an_imported_model_is_a_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(probes, "THRESHOLDS", 1)
    monkeypatch.setattr(gate, "GAMES", {"train": 100, "select": 100, "report": 100})
    generate.from_policy("othello", 2500, 0, "uniform", 1, Path("data/othello"))
    model_formats.adopt(GOLDEN / "transformer-lens.pth", "othello", "data/othello", None, Path("models/x"))
    assert not gate.gate(Path("models/x"))["passes"]
    opened = tasks.open_task(tasks.of("models/x"))
    assert (opened.task.name, opened.dataset.game.name) == ("x", "othello")
    assert opened.model.shape.unembed_bias


def changed(tmp_path, **options):
    shutil.copytree(GOLDEN / "hugging-face", tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text()) | options
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"activation_function": "relu"}, "no activation 'relu'"),
        ({"model_type": "llama"}, "expected a model of type gpt2 .*, got llama"),
        ({"n_inner": 8}, "expected n_inner to be None or 32, got 8"),
        ({"layer_norm_epsilon": 1e-6}, "expected layer_norm_epsilon to be 1e-05"),
        ({"n_layer": 1}, r"holds 'h\.1\.attn.* which a GPT-2 of this layout does not have"),
    ],
)
def test_what_our_gpt_cannot_be_is_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        model_formats.read(changed(tmp_path, **options), "chess-pgn")


def test_an_activation_is_known_by_the_names_of_its_libraries_and_no_other(tmp_path):
    lens = GOLDEN / "transformer-lens.pth"
    assert model_formats.read(lens, "othello", "gelu_fast").shape.activation == "gelu_new"
    for path, game in ((lens, "othello"), (changed(tmp_path), "chess-pgn")):
        with pytest.raises(ValueError, match="no activation 'relu'"):
            model_formats.read(path, game, "relu")


def test_files_that_are_something_else(tmp_path):
    with pytest.raises(ValueError, match="expected a vocabulary of 33, that of othello6, got 61"):
        model_formats.adopt(GOLDEN / "transformer-lens.pth", "othello6", "", None, tmp_path / "m")
    model_formats.write(made(context=40), "hugging-face", tmp_path / "short")
    with pytest.raises(ValueError, match=r"expected a context of 59 or more, .* got 40"):
        model_formats.adopt(tmp_path / "short", "othello", "", None, tmp_path / "m")
    tensors = load_file(GOLDEN / "hugging-face" / "model.safetensors")
    save_file(tensors, tmp_path / "no-config.safetensors")
    with pytest.raises(Broken, match=r"lacks 'embed\.W_E', which a model of its layout has"):
        model_formats.read(tmp_path / "no-config.safetensors", "chess-pgn")
    (tmp_path / "text.pth").write_text("no tensors")
    with pytest.raises(Broken, match=r"text\.pth is no archive of torch\.save"):
        model_formats.read(tmp_path / "text.pth", "othello")
    torch.save({"cfg": Path("x")}, tmp_path / "objects.pth")  # needs code to load
    with pytest.raises(Broken, match=r"objects\.pth is a pickle with .* which would run"):
        model_formats.read(tmp_path / "objects.pth", "othello")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(1_000_000))
    with pytest.raises(Broken, match=r"bomb\.pth unpacks to 1,000,000 bytes"):
        model_formats.read(tmp_path / "bomb.pth", "othello")
    with pytest.raises(FileNotFoundError, match="no weights in"):
        model_formats.read(tmp_path, "othello")
    with pytest.raises(ValueError, match="no format 'onnx'; there are transformer-lens, hugging-face"):
        model_formats.write(made(), "onnx", tmp_path)


def test_a_reference_model_leaves_and_comes_back(tmp_path):
    model = gpt.load(models.folder_of("othello6-v1"))
    model_formats.write(model, "hugging-face", tmp_path)
    assert gpt.identity(model_formats.read(tmp_path, "othello6")) == gpt.identity(model)
