"""A model that was trained before is trained further: its weights, its shape, its record."""

import pytest
import torch

from boardsae import beginning, checkpoints, generate, gpt, models, train_gpt
from boardsae.files import read_json
from boardsae.play import ruled
from boardsae.ranks import ALONE
from boardsae.train_gpt import CPU, Recipe, Training, moves_at, summed_loss, train

STEP = 16 * 31  # tokens


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Games, and a model that was trained on them."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("further")
    generate.from_policy("othello6", 1500, 0, "uniform", 1, root / "data")
    list(train("othello6", asked(root), root / "first"))
    return root


def asked(root, **changes):
    return Recipe(str(root / "data"), "nano", "soft", 20 * STEP, batch=16, bf16=False)._replace(**changes)


def test_the_first_step_is_taken_from_the_weights_of_the_model(root):
    recipe = asked(root, start=str(root / "first"))
    training = Training(train_gpt.checked("othello6", recipe), recipe, CPU, ALONE)
    model = gpt.load(root / "first")
    read, legal = ruled(training.game, moves_at(training.moves, recipe, 0))
    expected = summed_loss(model(read.tokens), read, legal) / read.goes_on.sum()
    assert training.take(0).item() == pytest.approx(expected.item(), rel=1e-6)


def test_what_was_learnt_is_kept_and_more_is_learnt(root, tmp_path):
    first = checkpoints.log_of(root / "first")[-1]["gap"]
    rows = list(train("othello6", asked(root, start=str(root / "first"), seed=1), tmp_path / "m"))
    again = list(train("othello6", asked(root, seed=1), tmp_path / "new"))
    assert rows[-1]["gap"] < min(first, again[-1]["gap"])


def test_the_record_says_from_which_weights_all_objectives_and_all_tokens(root, tmp_path):
    list(train("othello6", asked(root, start=str(root / "first")), tmp_path / "second"))
    list(
        train(
            "othello6",
            asked(root, start=str(tmp_path / "second"), tokens=STEP, objective="next"),
            tmp_path / "third",
        )
    )
    for name, before, tokens in (("second", root / "first", 20), ("third", tmp_path / "second", 40)):
        facts = read_json(tmp_path / name / "model.json")
        assert facts["recipe"]["start"] == str(before)
        assert facts["started_from"] == {
            "weights": gpt.identity(gpt.load(before)),
            "objective": "soft",
            "tokens": tokens * STEP,
        }
    assert models.schooling(read_json(tmp_path / "third" / "model.json")) == ("soft, then next", 41 * STEP)
    assert models.schooling(read_json(root / "first" / "model.json")) == ("soft", 20 * STEP)


def test_a_folder_that_was_begun_from_other_weights_is_refused(root, tmp_path):
    recipe = asked(root, start=str(tmp_path / "start"), tokens=STEP)
    (tmp_path / "start").mkdir()
    gpt.save(gpt.GPT(gpt.load(root / "first").shape, 1), tmp_path / "start", {"recipe": {}})
    list(train("othello6", recipe, tmp_path / "m"))
    gpt.save(gpt.GPT(gpt.load(root / "first").shape, 2), tmp_path / "start", {"recipe": {}})
    with pytest.raises(FileExistsError, match="was begun with other first weights; choose"):
        list(train("othello6", recipe, tmp_path / "m"))
    with pytest.raises(FileExistsError, match="was begun with start "):
        list(train("othello6", recipe._replace(start=None), tmp_path / "m"))


def test_a_model_of_another_shape_is_refused_by_what_differs(root):
    recipe = asked(root, start=str(root / "first"), size="small")
    said = (
        "expected layers 4, width 128, heads 4 of the model to start from, .* has layers 2, width 64, heads 2"
    )
    with pytest.raises(ValueError, match=said):
        Training(train_gpt.checked("othello6", recipe), recipe, CPU, ALONE)
    recipe = asked(root, start="othello-v1", size="small")
    with pytest.raises(ValueError, match=r"game othello6, vocabulary 33, .* has game othello, vocabulary 61"):
        Training(train_gpt.checked("othello6", recipe), recipe, CPU, ALONE)


def test_size_and_objective_are_those_of_the_model_to_start_from(root, tmp_path):
    assert beginning.objective_of(None) == "next"
    assert beginning.objective_of(str(root / "first")) == "soft"
    assert beginning.objective_of("chess-pgn-v1") == "next"
    assert beginning.size_of(None) == "small"
    assert beginning.size_of(str(root / "first")) == "nano"
    assert beginning.size_of("othello6-v2") == "medium"
    gpt.save(gpt.GPT(gpt.Shape("othello6", 33, 31, 1, 20, 2)), tmp_path, {"recipe": {}})
    with pytest.raises(
        ValueError, match=r"1 layers of width 20 and 2 heads, which is none of the sizes nano"
    ):
        beginning.size_of(str(tmp_path))
    with pytest.raises(ValueError, match="no reference model 'othello6-v9'"):
        beginning.size_of("othello6-v9")


def test_a_model_from_elsewhere_keeps_its_activation_and_its_bias(root, tmp_path):
    shape = gpt.load(root / "first").shape._replace(activation="gelu_new", unembed_bias=True)
    (tmp_path / "theirs").mkdir()
    gpt.save(gpt.GPT(shape), tmp_path / "theirs", {"recipe": {"data": ""}, "imported": "x"})
    list(train("othello6", asked(root, start=str(tmp_path / "theirs"), tokens=STEP), tmp_path / "m"))
    assert gpt.load(tmp_path / "m").shape == shape
    facts = read_json(tmp_path / "m" / "model.json")
    assert models.schooling(facts) == ("elsewhere, then soft", STEP)


def test_killed_and_repeated_it_ends_with_the_same_bits(root, tmp_path, monkeypatch):
    recipe = asked(root, start=str(root / "first"))
    list(train("othello6", recipe, tmp_path / "whole"))
    monkeypatch.setattr(checkpoints, "SECONDS", 0)  # after every step
    take = Training.take

    def take_or_die(self, step):
        if step == 7:
            raise KeyboardInterrupt
        return take(self, step)

    monkeypatch.setattr(Training, "take", take_or_die)
    with pytest.raises(KeyboardInterrupt):
        list(train("othello6", recipe, tmp_path / "killed"))
    monkeypatch.setattr(Training, "take", take)
    list(train("othello6", recipe, tmp_path / "killed"))
    whole, resumed = (gpt.load(tmp_path / name).state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    facts = [read_json(tmp_path / name / "model.json")["started_from"] for name in ("whole", "killed")]
    assert facts[0] == facts[1]
