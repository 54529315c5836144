"""Probes and the gate: right on planted data, blind to clocks, and with rows that mean what they say."""

import json
import re

import numpy as np
import pytest
import torch

import games
from boardsae import gate, generate, gpt, plots, train_gpt
from boardsae.activations import after_each_block, scored_rows
from boardsae.play import by_ply, ruled
from boardsae.probes import STRENGTHS, best_thresholds, f1, fits, phi_within_ply
from games.core import rows

RANDOM = np.random.default_rng(0)


def test_scored_rows_are_all_rows_but_the_start_and_the_padding():
    game = games.load("othello6")
    moves, _ = game.generate(4, 0, 500, game.policy("uniform"))
    assert (moves[:, -1] == 0).any()
    expected = [row for row in rows(moves).tolist() if 1 <= row[1] <= 31]
    assert scored_rows(moves, 31).tolist() == expected


def test_the_model_has_read_just_the_plies_of_its_row():
    """A change of a later move never shows in a row; a change of the row's own last move does."""
    game = games.load("othello6")
    moves, _ = game.generate(4, 0, 40, game.policy("uniform"))
    model = gpt.GPT(gpt.Shape("othello6", 33, 31, 2, 32, 2), seed=0)
    other = moves.copy()
    other[:, 12] = 1 + other[:, 12] % 32
    where = scored_rows(moves, 31)
    before, after = ([*after_each_block(model, each, batch)][1] for each, batch in ((moves, 7), (other, 256)))
    same = torch.isclose(before, after, atol=1e-6).all(1).numpy()
    assert (same == (where[:, 1] < 13)).all()


def test_ridge_is_that_of_the_normal_equations():
    x, y = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) + 3, torch.rand(200, 2) > 0.5
    (probes,) = fits(x, y, [0.1])
    centred = (x - x.mean(0)).double()
    moment = centred.T @ centred / 200
    ridge = 0.1 * moment.diagonal().mean() * torch.eye(5)
    weights = torch.linalg.inv(moment + ridge) @ (centred.T @ (y.double() - y.double().mean(0)) / 200)
    torch.testing.assert_close(probes.weights.double(), weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probes(x).mean(0), y.float().mean(0))


def phi_by_hand(a, y, ply):
    a, y = a.astype(float), y.astype(float)
    for p in np.unique(ply):
        a[ply == p] -= a[ply == p].mean()
        y[ply == p] -= y[ply == p].mean()
    return (a * y).sum() / np.sqrt((a**2).sum() * (y**2).sum())


def test_phi_within_ply_by_hand_and_its_degenerate_cases():
    ply = np.repeat(np.arange(1, 6), 40)
    y = RANDOM.random(200) < 0.2 * ply
    a = np.where(RANDOM.random(200) < 0.7, y, RANDOM.random(200) < 0.5)
    columns = np.stack([a, y, ~y, ply > 3, np.ones(200, bool)], axis=1)
    truth = np.repeat(y[:, None], 5, axis=1)
    phi = phi_within_ply(torch.tensor(columns), torch.tensor(truth), torch.tensor(ply)).numpy()
    assert phi[:3] == pytest.approx([phi_by_hand(a, y, ply), 1, -1], abs=1e-5)
    assert (phi[3:] == 0).all()  # a clock and an always-on detector never vary within a ply
    clock = torch.tensor(ply > 3)[:, None]
    assert phi_within_ply(torch.tensor(y)[:, None], clock, torch.tensor(ply)).isnan().all()


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(7)
    x, y = random.normal(size=(300, 8)) * np.arange(1, 9), random.random((300, 4)) < 0.4
    for probes, strength in zip(
        fits(torch.from_numpy(x).float(), torch.from_numpy(y)), STRENGTHS, strict=True
    ):
        judge = Ridge(alpha=strength * x.var(0).mean() * len(x)).fit(x, y.astype(float))
        assert probes.weights.numpy() == pytest.approx(judge.coef_.T, abs=1e-5)
        assert probes.bias.numpy() == pytest.approx(judge.intercept_, abs=1e-5)


def test_thresholds_are_the_best_of_those_tried():
    """Each of 19 even steps tried by itself."""
    random = torch.Generator().manual_seed(3)
    y = torch.rand(400, 6, generator=random) < torch.linspace(0, 1, 6)
    scores = torch.randn(400, 6, generator=random) + 1.5 * y
    ply = torch.randint(1, 9, (400,), generator=random)
    found = best_thresholds(scores, y, ply)
    low, high = scores.min(0).values, scores.max(0).values
    tried = [low + (high - low) * i / 20 for i in range(1, 20)]
    for mine, judge in (
        (found.f1, f1),
        (found.phi, lambda a, y: phi_within_ply(a, y, ply)),
    ):
        best = torch.stack([judge(scores > level, y).nan_to_num(-1) for level in tried]).max(0).values
        assert judge(scores > mine, y).nan_to_num(-1) == pytest.approx(best.numpy(), abs=1e-6)


def test_f1_by_hand():
    a = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 0]], dtype=torch.bool)
    y = torch.tensor([[1, 0], [0, 0], [1, 0], [0, 0]], dtype=torch.bool)
    scores = f1(a, y)
    assert scores[0] == 0.5
    assert scores[1].isnan()


def test_planted_directions_are_found_and_noise_is_not():
    rows_, ply = 4000, torch.arange(4000) % 20
    y = torch.rand(rows_, 3, generator=torch.Generator().manual_seed(1)) < 0.3
    x = torch.randn(rows_, 16, generator=torch.Generator().manual_seed(2)) * 0.1
    x[:, 0] += y[:, 0]
    x[:, 1:3] += y[:, 1, None]
    (probes,) = fits(x[:2000], y[:2000], [1e-3])
    thresholds = best_thresholds(probes(x[:2000]), y[:2000], ply[:2000])
    scores = probes(x[2000:])
    assert (f1(scores > thresholds.f1, y[2000:])[:2] > 0.97).all()
    phi = phi_within_ply(scores > thresholds.phi, y[2000:], ply[2000:])
    assert (phi[:2] > 0.97).all()
    assert abs(phi[2]) < 0.06


class Knowing(torch.nn.Module):
    """Gives 0.6 of its chance to the legal moves alike, and the rest to the illegal ones alike."""

    def __init__(self, game, moves):
        super().__init__()
        self.legal = ruled(game, moves).legal

    def forward(self, tokens):
        counts = self.legal.sum(-1, keepdim=True)
        illegal = (~self.legal).sum(-1, keepdim=True)
        return torch.where(self.legal, 0.6 / counts.clamp(min=1), 0.4 / illegal).log()


def test_play_by_ply_of_a_model_that_is_mostly_right():
    game = games.load("othello6")
    moves, _ = game.generate(0, 0, 128, game.policy("uniform"))
    model = Knowing(game, moves)
    play = by_ply(model, game, moves)
    assert play["live"][0] == 128
    assert play["legal_mass"][:20] == pytest.approx([0.6] * 20)
    assert play["gap"][:20] == pytest.approx([-np.log(0.6)] * 20, rel=1e-5)
    assert play["top1_legal"][:20] == [1] * 20
    counts = model.legal.sum(-1)[:, :12].float()  # all games go on that long
    illegal_too = 0.4 / (33 - counts) > 0.5 / counts
    chosen = torch.where(illegal_too, 33, counts)
    assert play["legal_f1"][:12] == pytest.approx((2 * counts / (chosen + counts)).mean(0).tolist(), rel=1e-5)


def test_board_accuracy_counts_squares():
    game = games.load("othello6")
    moves, _ = game.generate(0, 0, 5, game.policy("uniform"))
    y = torch.from_numpy(games.truth(games.Transcripts("othello6", moves), scored_rows(moves, 31)))
    for frame in ("player to move", "parity of the ply"):
        assert gate.board_accuracy(game, frame, y.float(), y) == 1
    groups = [p.group for p in games.predicates(game)]
    always_empty = torch.tensor([group == "empty" for group in groups]).float().expand(len(y), -1)
    empty = y[:, torch.tensor([group == "empty" for group in groups])].float().mean().item()
    assert gate.board_accuracy(game, "player to move", always_empty, y) == pytest.approx(empty)
    assert [*games.load("chess").frames] == ["pieces"]


def test_the_gate_of_a_small_model(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr(gate, "GAMES", {"train": 150, "select": 100, "report": 100})
    generate.from_policy("othello6", 3000, 0, "uniform", 1, tmp_path / "data")
    recipe = train_gpt.Recipe(str(tmp_path / "data"), "nano", "soft", 60 * 64 * 31, batch=64, bf16=False)
    list(train_gpt.train("othello6", recipe, tmp_path / "model"))
    record = gate.gate(tmp_path / "model")
    assert record == json.loads((tmp_path / "model" / "gate.json").read_text())
    assert not record["passes"]
    assert set(record["missed"]) == set(gate.BARS)
    assert record["totals"]["board_accuracy"] == record["frames"][record["frame"]]
    assert len(record["frames"]) == 2
    assert re.search(r"% by the player to move, [\d.]+% by the parity of the ply\)", gate.told(record))
    assert "by the" not in gate.told({**record, "frames": {}})
    assert "does not pass the gate: top1_legal below 99.5%" in gate.told(record)
    assert gate.told(record).startswith(f"trained with objective soft on {60 * 64 * 31:,} tokens\n")
    trained, random = (record["by_layer"][name][0]["groups"] for name in ("trained", "random"))
    assert trained["last_move"]["phi"] > 0.5
    assert random["mine"]["predicates"] > 20
    plots.gate_figure(record, "nano", tmp_path / "gate.png")
    assert (tmp_path / "gate.png").stat().st_size > 20_000
    generate.from_policy("othello6", 60, 0, "uniform", 1, tmp_path / "few")
    with pytest.raises(ValueError, match="expected 100 games or more in the train split"):
        gate.gate(tmp_path / "model", tmp_path / "few")


def test_activations_after_each_block_are_those_of_the_whole_model():
    game = games.load("othello6")
    moves, _ = game.generate(0, 0, 40, game.policy("uniform"))
    model = gpt.GPT(gpt.Shape("othello6", 33, 31, 3, 16, 2), seed=2)
    found = [*after_each_block(model, moves, batch=16)]
    assert len(found) == 3
    assert not any(x.requires_grad for x in found)
    parts = torch.from_numpy(moves[:, :31].astype(np.int64)).split(16)
    for layer, x in enumerate(found):
        assert torch.equal(x, torch.cat([model.body(tokens, layer)[tokens != 0] for tokens in parts]))
