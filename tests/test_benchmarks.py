"""The sweeps of the published tables can be built, to the last SAE, and hold what a published number needs."""

from collections import Counter
from pathlib import Path

import pytest

from boardsae import gpt, models, runs, sweep, tasks
from boardsae.grid import grid, zoo
from boardsae.leaderboard import AT, SEEDS
from boardsae.saes import VARIANTS, build

ROOT = Path(__file__).parent.parent
TABLES = ("othello6_v1", "othello6_v2", "othello_v1", "othello_v2", "chess_v3", "chess_pgn_v1")


@pytest.fixture(scope="module", params=TABLES)
def specs(request):
    return sweep.specs_in(ROOT / "benchmarks" / f"{request.param}.py")


def test_every_sae_can_be_built(specs):
    built = {(spec.variant, spec.d_sae, spec.recipe, *spec.options.items()) for spec in specs}
    for variant, features, recipe, *options in built:
        sae = build(variant, 8, features, 0, recipe, **dict(options))
        assert sae.d == 8


def test_every_variant_at_four_sparsities_and_three_seeds(specs):
    task = tasks.TASKS[specs[0].task]
    later = tasks.has_later(task.layer, gpt.shape_of(models.folder_of(task.model)))
    sparse = {
        name: variant
        for name, variant in VARIANTS.items()
        if variant.sparsity and (later or "later" not in variant.needs)
    }
    assert {spec.variant for spec in specs} == set(sparse)
    for name, variant in sparse.items():
        mine = [spec for spec in specs if spec.variant == name and not spec.kl_finetune]
        seeds = Counter(spec.options[variant.sparsity] for spec in mine)
        assert len(seeds) >= 4, name
        assert set(seeds.values()) == {SEEDS}, name


def test_ks_reach_beyond_the_l0s_of_the_table(specs):
    for name, variant in VARIANTS.items():
        if variant.sparsity == "k":
            ks = [spec.options["k"] for spec in specs if spec.variant == name]
            assert min(ks) < min(AT) < max(AT) < max(ks)


def test_no_two_runs_have_one_folder_and_all_are_of_one_task(specs):
    paths = {runs.path_of(spec, Path("results")) for spec in specs}
    assert len(paths) == len(specs)
    assert len({(spec.task, spec.d_sae, spec.rows) for spec in specs}) == 1


def test_tables_are_of_the_task_that_their_file_is_named_for():
    """The leaderboard names the file of a task's sweep by this rule."""
    for name in TABLES:
        specs = sweep.specs_in(ROOT / "benchmarks" / f"{name}.py")
        assert specs[0].task.replace("-", "_") == name


def test_a_grid_by_hand():
    made = grid("othello6-v1", {"topk": (4, 8), "pca": ()}, (0, 1), rows=10)
    told = [(spec.variant, spec.options.get("k"), spec.seed, spec.rows) for spec in made]
    assert told == [
        ("topk", 4, 0, 10),
        ("topk", 4, 1, 10),
        ("topk", 8, 0, 10),
        ("topk", 8, 1, 10),
        ("pca", None, 0, 10),
    ]


def test_a_new_variant_with_a_penalty_must_be_given_coefficients():
    coefficients = {name: (0.1,) for name, variant in VARIANTS.items() if variant.sparsity not in ("k", None)}
    made = zoo((4,), **coefficients)
    assert (made["topk"], made["standard"], "pca" in made) == ((4,), (0.1,), False)
    del coefficients["jumprelu"]
    with pytest.raises(ValueError, match=r"got none for \['jumprelu'\]"):
        zoo((4,), **coefficients)
