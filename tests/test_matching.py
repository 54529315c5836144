"""Directions paired between dictionaries: by hand, against all pairings, and on runs of a made task."""

import shutil
from itertools import permutations

import pytest
import torch
from made_task import opened

from boardsae import Broken, matching, train_sae
from boardsae.records import ALIKE, Run, add_matches
from boardsae.runs import Spec, path_of


def unit(count, d=4, seed=0):
    return torch.nn.functional.normalize(
        torch.randn(count, d, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def test_the_same_directions_in_another_order_and_length_are_all_found():
    one = unit(7)
    found = matching.match(one, 3.0 * one[torch.randperm(7, generator=torch.Generator().manual_seed(1))])
    assert found == pytest.approx((1.0, 1.0, 1.0), abs=1e-6)


def test_the_pairing_is_the_best_of_all():
    one, other = unit(5), unit(5, seed=1)
    cosines = one @ other.T
    best = max(cosines[range(5), order].mean().item() for order in permutations(range(5)))
    found = matching.match(one, other)
    assert found.matched == pytest.approx(best, abs=1e-6)
    assert found.best == pytest.approx((cosines.amax(1).mean() + cosines.amax(0).mean()).item() / 2, abs=1e-6)


def test_half_of_them_shared():
    basis = torch.eye(4)
    found = matching.match(basis[:2], torch.stack([basis[1], basis[2]]))
    assert found == pytest.approx((0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two seeds at two sparsities, another variant, and dictionaries that nothing has learnt."""
    root = tmp_path_factory.mktemp("matched") / "made"
    task = opened(root.parent)
    asked = [("topk", {"k": k}, seed) for k in (2, 20) for seed in (0, 1)]
    asked += [("standard", {"l1": 0.1}, 0), ("random", {"k": 2}, 0)]
    specs = [Spec("made", variant, options, 32, 8192, seed=seed) for variant, options, seed in asked]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_sae, "FITTED_GAMES", 50)
        train_sae.train([(spec, path_of(spec, root.parent)) for spec in specs], task)
    return root


def test_seeds_and_variants_are_paired(root):
    found = matching.write(root)
    assert [each.kind for each in found] == ["seeds", "seeds", "variants"]
    for each in found[:2]:
        assert each.one.removesuffix("seed=0") == each.other.removesuffix("seed=1")
    assert {name.split("/")[0] for name in found[2][1:3]} == {"standard", "topk"}
    assert found[2].one[-1] != found[2].other[-1], "of different seeds"
    assert "k=20" in found[2].one + found[2].other, "the run nearest to L0 20"
    lines = (root / "matching.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].split(",") == [*matching.COLUMNS]
    tables = matching.summary(found)
    assert [len(table.rows) for table in tables] == [2, 2]


def test_variants_of_two_tasks_are_not_paired(root):
    folders = [folder for _, folder in matching.trained(root)]
    one = next(folder for folder in folders if "k=20" in str(folder))
    other = next(folder for folder in folders if "standard" in str(folder))
    specs = [
        Spec(task, variant, seed=seed) for task, variant, seed in (("a", "topk", 0), ("b", "standard", 1))
    ]
    assert list(matching.by_variant([(specs[0], one), (specs[1], other)])) == []


def test_records_take_what_was_found(root):
    found = matching.write(root)
    runs = [Run(root / name, {}, {"metrics": {}}) for name in (found[0].one, found[0].other, found[2].other)]
    add_matches(runs, root / "matching.csv")
    assert runs[0].value(ALIKE) == runs[1].value(ALIKE) == pytest.approx(found[0].found.matched, abs=1e-4)
    stranger = Run(root / "other" / "run", {}, {"metrics": {}})
    add_matches([stranger], root / "matching.csv")
    assert stranger.value(ALIKE) is None


def test_random_directions_are_no_start_of_a_run(root):
    """In 16 dimensions and 32 directions: what chance gives is far from 1."""
    assert all(each.random.matched < 0.7 for each in matching.write(root))


def test_one_run_is_too_few(tmp_path):
    with pytest.raises(ValueError, match=r"expected runs with weights in .* that differ in their seed"):
        matching.write(tmp_path)


def test_counts_that_are_broken_are_named(root, tmp_path):
    shutil.copytree(root, tmp_path / "made")
    folder = next(folder for _, folder in matching.trained(tmp_path / "made"))
    (folder / "counts.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(Broken, match=r"counts\.npz cannot be read: .* makes it again"):
        matching.write(tmp_path / "made")
