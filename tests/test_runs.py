"""Specs and run directories: names, completeness, refusals."""

import json
from pathlib import Path

import pytest

from boardsae import Broken, runs
from boardsae.runs import Spec
from boardsae.saes import VARIANTS
from boardsae.saes.base import options_of

HASHES = {"model": "aa", "games": "bb"}


def test_a_spec_holds_every_option():
    spec = Spec(variant="topk", options={"k": 5})
    assert spec.options == options_of(VARIANTS["topk"]) | {"k": 5}
    assert Spec(variant="topk", options=spec.options) == spec
    assert spec.steps == 2_000_000 // 1024
    tuned = Spec(rows=1024 * 10, kl_finetune=0.3)
    assert (tuned.steps, tuned.own_steps) == (10, 7)
    assert Spec(rows=5).steps == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"variant": "topkk"}, "no variant 'topkk', did you mean 'topk'"),
        ({"variant": "topk", "options": {"l1": 1.0}}, "no option of topk 'l1'; there are k, aux"),
        (
            {"variant": "topk", "options": {"k": 40}, "d_sae": 32},
            "expected k from 1 to the 32 features, got 40",
        ),
        ({"recipe": "paper"}, "no recipe 'paper'"),
        ({"rows": 0}, "expected rows to be 1 or more, got 0"),
        ({"seed": -1}, "expected seed to be 0 or more, got -1"),
        ({"d_sae": 0}, "expected d_sae to be 1 or more"),
        ({"kl_finetune": 1.0}, "expected kl_finetune from 0 to below 1"),
        ({"seed": 2**64}, "expected a seed below"),
        ({"options": {"l1": -0.1}}, "expected l1 to be a number of 0 or more, got -0.1"),
        ({"options": {"l1": float("nan")}}, "expected l1 to be a number of 0 or more, got nan"),
        ({"variant": "topk", "options": {"aux": float("inf")}}, "expected aux to be a number"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_written_down(fields, message):
    with pytest.raises(ValueError, match=message):
        Spec(**fields)


def test_every_variant_has_a_spec():
    for name in VARIANTS:
        assert Spec(variant=name, d_sae=64).variant == name


def test_the_path_says_what_differs_from_the_defaults():
    root = Path("results")
    usual = Spec(variant="topk", options={"k": 32}, seed=2)
    assert runs.path_of(usual, root) == root / "othello6-v2/topk/k=32/seed=2"
    other = Spec(
        "models/mine", "topk", {"aux": 0.5}, rows=1000, layer=2, recipe="paper-2024", kl_finetune=0.1
    )
    text = str(runs.path_of(other, root))
    assert text == "results/mine/topk/k=16,aux=0.5,rows=1000,layer=2,recipe=paper-2024,kl_finetune=0.1/seed=0"
    assert runs.path_of(Spec(variant="pca"), root) == root / "othello6-v2/pca/default/seed=0"


def test_a_path_belongs_to_one_spec():
    specs = [
        Spec(variant=variant, d_sae=d_sae, seed=seed, layer=layer)
        for variant in VARIANTS
        for d_sae in (64, 1024)
        for seed in (0, 1)
        for layer in (None, 0)
    ]
    assert len({runs.path_of(spec, Path("r")) for spec in specs}) == len(specs)


def test_begin_writes_the_spec_once_and_reads_it_back(tmp_path):
    spec = Spec(variant="topk", options={"k": 3}, layer=1, kl_finetune=0.25)
    runs.begin(tmp_path, spec, HASHES)
    record = json.loads((tmp_path / "spec.json").read_text())
    assert record["hashes"] == HASHES
    assert {"boardsae", "commit", "torch", "numpy", "python", "machine", "date"} <= set(record["made_with"])
    assert runs.spec_of(tmp_path) == spec
    runs.begin(tmp_path, spec, HASHES)
    assert json.loads((tmp_path / "spec.json").read_text()) == record


def test_a_folder_of_a_model_is_the_same_task_with_a_slash_behind_it():
    assert Spec(task="models/mine/") == Spec(task="models/mine")


def test_begin_leaves_somebody_elses_sae_alone(tmp_path):
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"no run of ours: cfg\.json without spec\.json"):
        runs.begin(tmp_path, Spec(), HASHES)
    assert [path.name for path in tmp_path.iterdir()] == ["cfg.json"]


def test_a_spec_that_lacks_a_field_is_named(tmp_path):
    (tmp_path / "spec.json").write_text('{"variant": "topk"}')
    with pytest.raises(Broken, match=r"spec\.json is no spec of boardsae: KeyError: 'task'"):
        runs.spec_of(tmp_path)


def test_begin_names_what_differs(tmp_path):
    runs.begin(tmp_path, Spec(variant="topk", options={"k": 3}), HASHES)
    for spec, hashes, message in (
        (Spec(variant="topk", options={"k": 4}), HASHES, "a run with k 3, not 4; choose another --out"),
        (Spec(), HASHES, "a run with variant 'topk', not 'standard'"),
        (Spec(variant="topk", options={"k": 3}), HASHES | {"model": "cc"}, "a run with model 'aa', not 'cc'"),
    ):
        with pytest.raises(FileExistsError, match=message):
            runs.begin(tmp_path, spec, hashes)


def test_a_failure_is_kept_until_the_run_is_tried_again(tmp_path):
    runs.begin(tmp_path, Spec(), HASHES)
    runs.fail(tmp_path, "it broke")
    assert json.loads((tmp_path / "error.json").read_text())["error"] == "it broke"
    assert not runs.is_trained(tmp_path)
    runs.begin(tmp_path, Spec(), HASHES)
    assert not (tmp_path / "error.json").exists()


def test_clear_takes_away_only_what_a_run_wrote(tmp_path):
    runs.begin(tmp_path, Spec(), HASHES)
    for name in ("boardsae.json", "cfg.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    runs.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_runs_are_found_below_a_folder(tmp_path):
    for spec in (Spec(), Spec(seed=1), Spec(variant="pca")):
        runs.begin(runs.path_of(spec, tmp_path), spec, HASHES)
    (tmp_path / "other").mkdir()
    found = list(runs.runs(tmp_path))
    assert len(found) == 3
    assert [runs.spec_of(folder).seed for folder in found] == [0, 0, 1]
    assert list(runs.runs(found[0])) == [found[0]]
    with pytest.raises(FileNotFoundError, match="is no run"):
        runs.spec_of(tmp_path)
