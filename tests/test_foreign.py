"""SAEs of other libraries: read as they compute there, written so that they compute the same, imported, tried."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from made_records import write
from made_task import opened
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from boardsae import (
    Broken,
    dictionary,
    exports,
    foreign,
    imports,
    records,
    runs,
    scoring,
    targets,
    tasks,
    trial,
)
from boardsae.cli import app
from boardsae.dictionary import Dictionary
from boardsae.files import read_json
from boardsae.saes.base import Saved

GOLDEN = Path(__file__).parent / "golden" / "saes"
FOLDERS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def same(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FOLDERS)
def test_what_a_library_saved_computes_what_it_did_there(name):
    found = foreign.read(GOLDEN / name)
    assert found.library.lower() == name.split("-")[0]
    expected, sae = load_file(GOLDEN / name / "expected.safetensors"), Dictionary(found.saved)
    f = sae.encode(expected["x"])
    same(f, expected["f"])
    same(sae.decode(f), expected["x_hat"])


def made(architecture, d=16, features=24, unit=True, seed=0):
    """An SAE whose every bias and threshold matters."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: 0.5 * torch.randn(shape, generator=random)  # noqa: E731
    t = {"W_enc": draw(d, features), "W_dec": draw(features, d), "b_dec": draw(d)}
    if unit:
        t["W_dec"] /= t["W_dec"].norm(dim=1, keepdim=True)
    for name in dictionary.ADDED[architecture]:
        t[name] = draw(features).abs() if name == "threshold" else draw(features)
    return Saved(architecture, t, 5 if architecture == "topk" else None)


def saved_in(folder, saved, **metadata):
    folder.mkdir(parents=True, exist_ok=True)
    dictionary.write(folder, saved, {"hook_name": "blocks.1.hook_resid_post", **metadata})
    return folder


X = torch.randn(40, 16, generator=torch.Generator().manual_seed(3)) + 0.3


@pytest.mark.parametrize("layout", ["saelens", "dictionary_learning", "sparsify"])
@pytest.mark.parametrize("architecture", dictionary.ADDED)
@pytest.mark.parametrize("unit", [True, False])
def test_written_and_read_again_it_is_the_same(layout, architecture, unit, tmp_path):
    source = saved_in(tmp_path / "ours", made(architecture, unit=unit), model_name="made")
    if layout == "sparsify" and architecture != "topk":
        with pytest.raises(
            ValueError, match=f"holds topk alone and .* is {architecture}; --format saelens or"
        ):
            exports.export(source, layout, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return
    folder = exports.export(source, layout, tmp_path / "out")
    again = foreign.read(folder)
    ours, theirs = Dictionary(foreign.read(source).saved), Dictionary(again.saved)
    f = theirs.encode(X)
    same(f, ours.encode(X))
    same(theirs.decode(f), ours.decode(ours.encode(X)))
    assert again.library.lower() == layout
    assert layout == "sparsify" or foreign.layer_of(again.claims) == 1
    with pytest.raises(FileExistsError, match="choose another --out, or --force"):
        exports.export(source, layout, folder)
    exports.export(source, layout, folder, force=True)
    assert not list(folder.glob("*.tmp"))


def test_layouts_that_share_a_file_do_not_replace_each_others(tmp_path):
    source = saved_in(tmp_path / "ours", made("topk"), model_name="made")
    there = exports.export(source, "saelens", tmp_path / "out")
    before = (there / "cfg.json").read_bytes()
    with pytest.raises(FileExistsError, match=r"cfg\.json exists; choose another --out, or --force"):
        exports.export(source, "sparsify", there)
    with pytest.raises(ValueError, match="is what is exported; choose another --out"):
        exports.export(source, "sparsify", source, force=True)
    assert (there / "cfg.json").read_bytes() == before
    assert sorted(path.name for path in there.iterdir()) == ["cfg.json", "sae_weights.safetensors"]


@pytest.mark.parametrize("name", FOLDERS)
def test_one_library_to_another(name, tmp_path):
    expected = load_file(GOLDEN / name / "expected.safetensors")
    folder = exports.export(GOLDEN / name, "dictionary_learning", tmp_path)
    theirs = Dictionary(foreign.read(folder).saved)
    same(theirs.encode(expected["x"]), expected["f"])


@pytest.mark.parametrize("name", ["saelens-topk", "dictionary_learning-AutoEncoderTopK", "sparsify-latents"])
def test_our_files_have_the_keys_and_shapes_of_the_library(name, tmp_path):
    library = name.split("-")[0]
    source = saved_in(tmp_path / "ours", foreign.read(GOLDEN / name).saved)
    folder = exports.export(source, library, tmp_path / "out")
    kind = foreign.kind_of(folder)
    ours, theirs = read_json(folder / kind.config), read_json(GOLDEN / name / kind.config)
    assert theirs.keys() <= ours.keys()
    if library == "dictionary_learning":
        assert theirs["trainer"].keys() <= ours["trainer"].keys()
        ours, theirs = (torch.load(at / "ae.pt") for at in (folder, GOLDEN / name))
    else:
        ours, theirs = (load_file(at / kind.weights) for at in (folder, GOLDEN / name))
    assert {key: (t.shape, t.dtype) for key, t in ours.items()} == {
        key: (t.shape, t.dtype) for key, t in theirs.items()
    }


def changed(name, folder, config=None, tensors=None):
    """A golden folder with other entries in its configuration or other tensors."""
    shutil.copytree(GOLDEN / name, folder)
    kind = foreign.kind_of(folder)
    write(folder / kind.config, read_json(folder / kind.config) | (config or {}))
    if tensors:
        held = {**load_file(folder / kind.weights), **tensors}
        save_file({key: t for key, t in held.items() if t is not None}, folder / kind.weights)
    return folder


TRAINER = {"dict_class": "AutoEncoder", "activation_dim": 8, "dict_size": 16}
REFUSED = [
    ("saelens-standard", {"architecture": "transcoder"}, None, "no architecture in .*cfg.json 'transcoder'"),
    (
        "saelens-standard",
        {"normalize_activations": "layer_norm"},
        None,
        "expected normalize_activations to be 'none'",
    ),
    (
        "saelens-standard",
        {"reshape_activations": "hook_z"},
        None,
        "reshape_activations to be 'none', got 'hook_z'",
    ),
    ("saelens-standard", {"d_sae": 10**9}, None, "cfg.json says d_sae 1000000000 and the weights say 16"),
    ("saelens-standard", None, {"b_enc": None}, "b_enc differ"),
    ("saelens-standard", None, {"b_dec_out": torch.zeros(8)}, "b_dec_out differ"),
    ("saelens-standard-uncentred", None, {"W_enc": torch.zeros(8)}, "of two dimensions"),
    ("saelens-standard-uncentred", None, {"b_dec": torch.zeros(3)}, "do not fit together"),
    ("saelens-topk", {"k": "many"}, None, "expected k in cfg.json to be a whole number above 0, got 'many'"),
    ("saelens-topk", {"k": 3.5}, None, "expected k in cfg.json to be a whole number above 0, got 3.5"),
    ("saelens-topk", {"k": 99}, None, "expected k from 1 to the 16 features, got 99"),
    (
        "saelens-before-v6-standard",
        {"activation_fn_str": "tanh-relu"},
        None,
        "activation_fn to be 'relu' or 'topk'",
    ),
    (
        "saelens-before-v6-standard",
        {"normalize_activations": True},
        None,
        "normalize_activations to be 'none'",
    ),
    (
        "saelens-before-v6-standard",
        {"finetuning_scaling_factor": True},
        None,
        "finetuning_scaling_factor to be False",
    ),
    (
        "dictionary_learning-AutoEncoder",
        {"trainer": {"dict_class": "IdentityDict"}},
        None,
        "no dict_class .*Identity",
    ),
    ("dictionary_learning-AutoEncoder", {"trainer": {}}, None, "lacks 'dict_class'"),
    ("dictionary_learning-AutoEncoder", {"trainer": TRAINER | {"dict_size": 9}}, None, "says dict_size 9"),
    ("dictionary_learning-AutoEncoderNew", {"trainer": TRAINER}, None, "lacks 'bias'"),
    (
        "dictionary_learning-AutoEncoderTopK",
        {"trainer": {"dict_class": "AutoEncoderTopK", "k": 3}},
        None,
        "says k 3",
    ),
    ("dictionary_learning-GatedAutoEncoder", {"trainer": []}, None, "do not fit together"),
    ("sparsify-factor", {"activation": "groupmax"}, None, "expected activation to be 'topk', got 'groupmax'"),
    ("sparsify-factor", {"transcode": True}, None, "expected transcode to be False, got True"),
    ("sparsify-factor", {"expansion_factor": 3}, None, "cfg.json says num_latents 24 and the weights say 16"),
    ("sparsify-factor", None, {"W_skip": torch.zeros(8, 8)}, "W_skip differ"),
]


@pytest.mark.parametrize(("name", "config", "tensors", "message"), REFUSED)
def test_what_cannot_be_held_is_refused_by_its_name(name, config, tensors, message, tmp_path):
    with pytest.raises((ValueError, Broken), match=message):
        foreign.read(changed(name, tmp_path / "sae", config, tensors))


def test_a_folder_of_no_library_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no SAE in .* expected one of sae_weights\.safetensors \(SAELens\)"
    ):
        foreign.read(tmp_path)
    folder = shutil.copytree(GOLDEN / "saelens-topk", tmp_path / "sae")
    (folder / "cfg.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds sae_weights\.safetensors and no cfg\.json"):
        foreign.read(folder)
    shutil.copy(GOLDEN / "sparsify-factor" / "sae.safetensors", folder)
    with pytest.raises(ValueError, match="which of them is meant"):
        foreign.read(folder)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"), layer=1)


@pytest.fixture
def _known(task, monkeypatch):
    monkeypatch.setattr(tasks, "of", lambda _: task.task)
    monkeypatch.setattr(tasks, "open_task", lambda _: task)
    monkeypatch.setattr("boardsae.evidence.GAMES", 100)


@pytest.mark.usefixtures("_known")
def test_a_foreign_folder_is_scored_and_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = exports.export(
        saved_in(tmp_path / "a", made("topk")), "dictionary_learning", tmp_path / "theirs"
    )
    before = sorted(folder.iterdir())
    ((name, record),) = scoring.score_targets([str(folder)], "made")
    assert (name, record["subject"]["name"], record["layer"]) == (str(folder), "theirs", 1)
    assert record["metrics"]["l0@1"]["value"] == pytest.approx(5, abs=0.5)
    assert {name for name, _ in scoring.score_targets([str(tmp_path)], "made", limit=20)} == {
        str(folder),
        str(tmp_path / "a"),
    }
    said = CliRunner().invoke(app, ["report", str(folder), "--top", "1"])
    assert said.stdout == "report.html\n", said.output
    assert sorted(folder.iterdir()) == before
    elsewhere = saved_in(tmp_path / "b", made("topk"), hook_name="blocks.7.hook_resid_post")
    ((_, record),) = scoring.score_targets([str(elsewhere)], "made")
    assert record["error"] == "expected a layer from 0 to 2, those of made, got 7"
    outside = saved_in(tmp_path / "c", made("topk"), hook_name="blocks.1.hook_mlp_out")
    with pytest.raises(
        ValueError, match=r"expected an SAE of the residual stream, .* got one of blocks\.1\.hook_mlp"
    ):
        list(scoring.score_targets([str(outside)], "made"))


@pytest.mark.usefixtures("_known")
def test_an_imported_sae_is_a_run(tmp_path, capsys):
    source = saved_in(tmp_path / "theirs", made("jumprelu"), l0=1.0, explained_variance=0.99)
    out = imports.take_in(source, "made", tmp_path / "made" / "imported" / "one")
    warned = capsys.readouterr().err.splitlines()
    measured = read_json(out / "boardsae.json")["measured"]
    assert f"its files say L0 1, measured {measured['l0']:.1f} on made" in warned[0]
    assert (
        f"its files say explained variance 0.990, measured {measured['explained_variance']:.3f}" in warned[1]
    )
    ((_, record),) = scoring.score_targets([str(out)], "made")
    assert record["metrics"]["l0@1"]["value"] == pytest.approx(measured["l0"], rel=0.1)
    (run,) = records.find(tmp_path).runs
    assert (run.spec["variant"], run.spec["imported"]["library"]) == ("imported/one", "SAELens")
    same(targets.read(out)[1].coder.encode(X), Dictionary(foreign.read(source).saved).encode(X))
    with pytest.raises(FileExistsError, match="choose another --out"):
        imports.take_in(source, "made", out)
    with pytest.raises(ValueError, match="is a run already"):
        imports.take_in(out, "made", tmp_path / "again")
    with pytest.raises(ValueError, match="which no spec trained"):
        runs.spec_of(out)
    path = exports.export(out, "saebench-json", tmp_path / "bench")
    told = json.loads(path.read_text())
    assert path.name == "made_made_imported_one_eval_results.json"
    assert told["eval_result_metrics"]["sparsity"]["l0"] == record["metrics"]["l0@1"]["value"]
    assert "other" not in told["eval_result_metrics"] or told["eval_result_metrics"]["other"]
    with pytest.raises(ValueError, match=r"has no scores\.json"):
        exports.export(source, "saebench-json", tmp_path / "bench")


@pytest.mark.usefixtures("_known")
def test_what_cannot_be_imported_leaves_nothing(tmp_path):
    narrow = saved_in(tmp_path / "narrow", made("topk", d=8))
    with pytest.raises(Broken, match="expected an SAE of width 16, that of the activations, got 8"):
        imports.take_in(narrow, "made", tmp_path / "out")
    other = saved_in(tmp_path / "other", made("topk"), hook_name="blocks.5.hook_resid_post")
    with pytest.raises(ValueError, match="expected a layer from 0 to 2"):
        imports.take_in(other, "made", tmp_path / "out")
    assert not (tmp_path / "out").exists()


MINE = """
import torch
class Base:
    W_dec = torch.eye(16)
    def encode(self, x): return x.relu()
    def decode(self, f): return f
class Wide(Base):
    def decode(self, f): return f[:, :3]
class Whole(Base):
    def encode(self, x): return x.relu().long()
class Noisy(Base):
    def encode(self, x): return (x + torch.randn(x.shape)).relu()
class Batchy(Base):
    def encode(self, x): return x.relu() * (x > 0.5 * x.amax())
class Deaf(Base):
    def encode(self, x): return 0 * x
class Angry(Base):
    def encode(self, x): raise RuntimeError("no GPU\\nhere")
def angry(): raise RuntimeError("no weights")
"""


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize(
    ("name", "last", "fault"),
    [
        ("Base", "a toy score", None),
        ("Wide", "shapes", "decode: expected shape (512, 16), got (512, 3)"),
        ("Whole", "dtype", "encode: expected torch.float32, as x is, got torch.int64"),
        ("Noisy", "the same twice", "encode: expected the same features twice"),
        ("Batchy", "each row by itself", "expected an encoder that reads each row by itself"),
        ("Deaf", "a toy score", "expected features that fire, got none"),
        ("Angry", "shapes", "RuntimeError: no GPU here"),
        ("angry", "found and read", "failed: RuntimeError: no weights"),
    ],
)
def test_a_mock_run_says_what_is_wrong(name, last, fault, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    *before, final = trial.trial(f"{tmp_path / 'mine.py'}:{name}", "made")
    assert final.name == last
    assert (final.fault is None) if fault is None else (fault in final.fault)
    assert all(look.fault is None for look in before)


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize("target", ["batch_topk", "folder"])
def test_a_mock_run_of_a_variant_and_of_a_folder(target, tmp_path):
    if target == "folder":
        target = str(saved_in(tmp_path / "sae", made("gated")))
    looks = list(trial.trial(target, "made"))
    assert [look.fault for look in looks] == [None] * 7
    assert "l0@1" in looks[-1].note


@pytest.mark.usefixtures("_known")
def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = saved_in(tmp_path / "sae", made("topk"))
    call = lambda *words: CliRunner().invoke(app, list(words))  # noqa: E731
    assert call("check", str(source)).exit_code == 0
    assert call("check", "nowhere").exit_code == 2
    assert call("import", str(source)).stdout == "results/made/imported/sae\n"
    made_run = "results/made/imported/sae"
    assert call("export", made_run, "--format", "sparsify", "--out", "there").stdout == "there\n"
    assert "expected --out DIR for an SAE" in str(call("export", made_run).exception)
    assert "no format of SAEs 'sparsifi'" in str(
        call("export", made_run, "--format", "sparsifi", "--out", "x").exception
    )
    (tmp_path / "mine.py").write_text(MINE)
    assert "no weights" in str(call("score", "mine.py:angry", "--task", "made").exception)
    failed = call("score", "mine.py:Angry", "--task", "made")
    assert failed.exit_code == 2
    assert "encode failed" in failed.stdout
    assert not list(tmp_path.rglob("scores.json"))
