"""The GPT and its training: cut exactly, scored by the rules, resumed to the bit."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import games
from boardsae import Broken, checkpoints, generate, gpt, train_gpt
from boardsae.files import alone_in, write_json
from boardsae.muon import Muon
from boardsae.optimizers import OPTIMIZERS
from boardsae.play import by_ply, ruled, totals
from boardsae.train_gpt import Recipe, moves_at, summed_loss, train
from games.core import play_all

SHAPE = gpt.Shape("othello6", 33, 31, 3, 32, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "othello6"
    generate.from_policy("othello6", 3000, 0, "uniform", 1, folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tiny(folder, **changes):
    return Recipe(str(folder), "nano", "soft", 30 * 64 * 31, batch=64, bf16=False)._replace(**changes)


class Oracle(torch.nn.Module):
    """Knows the rules: the same chance for every legal move."""

    def __init__(self, legal):
        super().__init__()
        self.legal = legal

    def forward(self, tokens):
        return torch.where(self.legal, 0.0, -1e9)


@pytest.mark.parametrize("layer", [-1, 0, 1, 2])
def test_body_then_tail_is_forward(layer):
    model = gpt.GPT(SHAPE, seed=3)
    tokens = torch.randint(1, 33, (5, 31))
    assert torch.equal(model.tail(model.body(tokens, layer), layer), model(tokens))


def test_no_position_sees_a_later_one():
    model = gpt.GPT(SHAPE, seed=3)
    tokens = torch.randint(1, 33, (2, 31))
    changed = tokens.clone()
    changed[:, 20:] = 1 + changed[:, 20:] % 32
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


def test_attention_is_that_of_torch():
    block = gpt.Block(32, 2)
    qkv = torch.randn(3, 7, 96)
    mask = torch.triu(torch.full((7, 7), -1e4), 1)
    q, k, v = (part.view(3, 7, 2, 16).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(block.attend(qkv, mask), expected.transpose(1, 2).reshape(3, 7, 32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_games_are_attended_to_as_short_ones_are(dtype, monkeypatch):
    """By another kernel in float32: the same values and gradients, and those of its first plies alone."""
    block, plies = gpt.Block(32, 2), gpt.LONG + 3
    room = gpt.whole_vectors(plies)
    mask = torch.triu(torch.full((room, room), -1e4), 1)
    qkv = torch.randn(2, plies, 96, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    found = []
    for long in (gpt.LONG, plies + 1):
        monkeypatch.setattr(gpt, "LONG", long)
        mixed = block.attend(qkv, mask)
        found.append((mixed, *torch.autograd.grad(mixed.float().square().sum(), qkv)))
    torch.testing.assert_close(found[0], found[1])
    short = block.attend(qkv[:, :50], mask)
    close = {"atol": 0.03, "rtol": 0.03} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(short, found[0][0][:, :50], **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_fused_kernel_gives_what_the_products_give(dtype):
    heads = torch.randn(3, 4, 2, 7, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.triu(torch.full((7, 7), -1e4), 1)
    close = {"atol": 0.03, "rtol": 0.03} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(gpt.fused(heads), gpt.written_out(heads, mask), **close)


def test_a_batch_pairs_every_token_with_what_the_rules_allow_next():
    game = games.load("othello6")
    moves, _ = game.generate(2, 0, 400, game.policy("uniform"))
    short = np.flatnonzero((moves != 0).sum(1) < 32)[:2]
    moves = moves[np.r_[short, 0, 1]]
    read, rules = ruled(game, moves)
    for g, line in enumerate(moves):
        states = play_all(game, line[line != 0])
        for p in range(31):
            known = states[p + 1] if p + 1 < len(states) else None
            legal = game.legal(known) if known else []
            assert rules[g, p].nonzero()[:, 0].tolist() == legal
            assert int(read.following[g, p]) in (legal or [0])


def test_an_oracle_has_no_gap_and_a_blind_model_has_the_known_one():
    game = games.load("othello6")
    moves, _ = game.generate(0, 0, 100, game.policy("uniform"))
    _, legal = ruled(game, moves)
    scores = totals(by_ply(Oracle(legal), game, moves))
    assert scores["gap"] == pytest.approx(0, abs=1e-6)
    assert (scores["top1_legal"], scores["legal_mass"]) == (1, pytest.approx(1))
    blind = totals(by_ply(Oracle(torch.ones_like(legal)), game, moves))
    counts = legal.sum(-1)[legal.any(-1)]
    assert blind["loss"] == pytest.approx(np.log(33), rel=1e-5)
    assert blind["gap"] == pytest.approx(np.log(33) - counts.log().mean().item(), rel=1e-4)
    assert blind["legal_mass"] == pytest.approx((counts / 33).mean().item(), rel=1e-5)


def test_both_objectives_have_the_same_expectation():
    """Averaged over the moves that could have been played, `next` is `soft`."""
    game = games.load("othello6")
    moves, _ = game.generate(0, 0, 3, game.policy("uniform"))
    read, legal = ruled(game, moves)
    logits = gpt.GPT(SHAPE, seed=1)(read.tokens)
    random = torch.Generator().manual_seed(0)
    chances = legal.float() + (~legal.any(-1, keepdim=True)).float()
    nexts = [
        summed_loss(
            logits,
            read._replace(following=chances.flatten(0, 1).multinomial(1, generator=random).view(3, 31)),
        )
        for _ in range(2000)
    ]
    mean, live = torch.stack(nexts).mean().item(), read.goes_on.sum().item()
    assert mean / live == pytest.approx(summed_loss(logits, read, legal).item() / live, abs=2e-3)


def test_every_epoch_sees_every_game_once():
    moves = np.arange(1, 11, dtype=np.uint8)[:, None]
    recipe = Recipe("", "nano", "next", 0, batch=4)
    seen = np.concatenate([moves_at(moves, recipe, step)[:, 0] for step in range(5)])
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(1, 11))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_muon_steps_are_nearly_orthogonal_and_of_the_right_length():
    random = torch.Generator().manual_seed(0)
    for rows, columns in ((16, 48), (48, 16)):
        weight = torch.nn.Parameter(torch.randn(rows, columns, generator=random))
        before, weight.grad = weight.detach().clone(), torch.randn(rows, columns, generator=random) * 1e-3
        Muon([weight], lr=0.1, weight_decay=0.5).step()
        step = before * (1 - 0.1 * 0.5) - weight.detach()
        singular = torch.linalg.svdvals(step) / (0.1 * max(1, rows / columns) ** 0.5)
        assert ((singular > 0.6) & (singular < 1.3)).all()
        u, _, v = torch.linalg.svd(weight.grad, full_matrices=False)
        assert torch.nn.functional.cosine_similarity(step.flatten(), (u @ v).flatten(), dim=0) > 0.98


def weights(path):
    return {name: tensor.clone() for name, tensor in gpt.load(path).state_dict().items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_killed_and_resumed_gives_the_same_bits(folder, tmp_path, monkeypatch, optimizer):
    asked = tiny(folder, optimizer=optimizer, lr=OPTIMIZERS[optimizer].lr)
    list(train("othello6", asked, tmp_path / "whole"))
    monkeypatch.setattr(checkpoints, "SECONDS", 0)  # after every step
    for die_after in (1, 13):
        pid = os.fork()
        if pid == 0:
            calls = iter(range(die_after))
            real = checkpoints.write

            def deadly(*args, calls=calls, real=real):
                if next(calls, None) is None:
                    os._exit(9)
                real(*args)

            monkeypatch.setattr(checkpoints, "write", deadly)
            list(train("othello6", asked, tmp_path / "killed"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
        assert not (tmp_path / "killed" / "model.json").exists()
    list(train("othello6", asked, tmp_path / "killed"))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_learns(folder, tmp_path):
    rows = list(train("othello6", tiny(folder, tokens=150 * 64 * 31), tmp_path / "m"))
    assert rows[-1]["legal_mass"] > 0.4  # 0.16 for the blind model above
    assert rows[-1]["gap"] < 1.3  # 1.9
    assert (tmp_path / "m" / "log.csv").read_text().startswith("step,tokens,seconds,train_loss,loss,gap")


def test_a_folder_is_for_one_recipe(folder, tmp_path):
    train_gpt.begin(tmp_path / "m", tiny(folder)._asdict())
    train_gpt.begin(tmp_path / "m", tiny(folder, seed=1)._asdict())  # nothing was trained yet
    (tmp_path / "m" / checkpoints.FILE).write_bytes(b"some steps")
    train_gpt.begin(tmp_path / "m", tiny(folder, seed=1)._asdict())
    with pytest.raises(FileExistsError, match=r"m was begun with lr 0.02, seed 1; choose another --out"):
        train_gpt.begin(tmp_path / "m", tiny(folder, lr=0.01)._asdict())


def test_requests_from_before_optimizers_could_be_chosen_are_of_muon(folder, tmp_path):
    asked = tiny(folder)._asdict()
    del asked["optimizer"]
    write_json(tmp_path / "request.json", asked)
    (tmp_path / checkpoints.FILE).write_bytes(b"some steps")
    train_gpt.begin(tmp_path, tiny(folder)._asdict())
    with pytest.raises(FileExistsError, match="was begun with optimizer muon"):
        train_gpt.begin(tmp_path, tiny(folder, optimizer="adamw")._asdict())


def test_an_unknown_optimizer_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"no optimizer 'adam'.*adamw"):
        list(train("othello6", tiny(folder, optimizer="adam"), tmp_path / "m"))


def test_two_processes_do_not_train_one_model(folder, tmp_path):
    with alone_in(tmp_path / "m"), pytest.raises(FileExistsError, match="another process is writing"):
        list(train("othello6", tiny(folder), tmp_path / "m"))


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_model_from_elsewhere_is_not_trained_over(folder, tmp_path, name):
    (tmp_path / name).write_text("somebody's")
    with pytest.raises(FileExistsError, match=f"{name}.*holds a model.*; choose another --out"):
        list(train("othello6", tiny(folder), tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_training_does_not_go_on_with_other_games(tmp_path):
    generate.from_policy("othello6", 3000, 0, "uniform", 1, tmp_path / "data")
    recipe = tiny(tmp_path / "data", tokens=64 * 31)
    list(train("othello6", recipe, tmp_path / "m"))
    generate.from_policy("othello6", 3000, 1, "uniform", 1, tmp_path / "data", force=True)
    with pytest.raises(FileExistsError, match="was begun with other games; choose"):
        list(train("othello6", recipe, tmp_path / "m"))


def test_a_model_file_of_another_kind_is_refused(tmp_path):
    for text, lacks in (('{"name": "theirs"}', "shape"), ('{"shape": {"depth": 3}}', "depth")):
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(Broken, match=rf"model\.json does not say the shape of a GPT: .*{lacks}"):
            gpt.load(tmp_path)
    gpt.save(gpt.GPT(SHAPE), tmp_path, {})
    for changed, said in (
        ({"width": "x"}, "expected width in .* to be a whole number above 0, got 'x'"),
        ({"layers": True}, "expected layers in .*, got True"),
        ({"heads": 3}, "expected a width that heads divide"),
        ({"activation": "sin"}, "one of gelu, gelu_new"),
        ({"layers": 10**9}, "expected .* bytes or more, got"),
        ({"vocabulary": 10**9}, "expected .* bytes or more, got"),
    ):
        write_json(tmp_path / "model.json", {"shape": SHAPE._asdict() | changed})
        with pytest.raises(Broken, match=said):
            gpt.load(tmp_path)


def test_broken_files_are_refused(folder, tmp_path):
    recipe = tiny(folder, tokens=64 * 31)
    list(train("othello6", recipe, tmp_path / "m"))
    for name, call in (
        ("checkpoint", lambda: list(train("othello6", recipe, tmp_path / "m"))),
        ("model", lambda: gpt.load(tmp_path / "m")),
    ):
        path = Path(tmp_path / "m" / f"{name}.safetensors")
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(Broken, match=f"{name}.safetensors is not a"):
            call()
    with pytest.raises(FileNotFoundError, match="train one: boardsae train-gpt GAME"):
        gpt.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("chess", {}, "expected chess games, .* holds othello6"),
        ("othello", {}, "expected othello games, .* holds othello6"),
        ("othello6", {"size": "smal"}, "no size 'smal', did you mean 'small'"),
        ("othello6", {"objective": "sfot"}, "no objective 'sfot', did you mean 'soft'"),
        ("othello6", {"tokens": 0}, "expected tokens to be 1 or more, got 0"),
        ("othello6", {"minutes": 0.0}, "expected --minutes to be a number above 0, got 0.0"),
        ("othello6", {"minutes": float("inf")}, "expected --minutes to be a number above 0, got inf"),
        ("othello6", {"lr": float("nan")}, "expected --lr to be a number above 0, got nan"),
        ("othello6", {"lr_others": -1.0}, "expected --lr-others to be a number above 0, got -1.0"),
        ("othello6", {"seed": -1}, "expected a seed from 0 to .*, got -1"),
        ("othello6", {"seed": 2**63}, "expected a seed from 0 to .*, got 9223372036854775808"),
    ],
)
def test_bad_requests(folder, tmp_path, name, changes, said):
    with pytest.raises(ValueError, match=said):
        list(train(name, tiny(folder, **changes), tmp_path / "m"))
    assert not (tmp_path / "m").exists()
