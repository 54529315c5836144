"""What each method promises beyond the contract of all variants: the facts that its paper rests on."""

import pytest
import torch
from test_saes import FEATURES, ROWS, D, Tail, made, step_for, train

from boardsae.saes import choice, feature_choice
from boardsae.saes.annealing import powered
from boardsae.saes.base import Step
from boardsae.saes.choice import zipf


def penalty_across(sae):
    """The penalty of the rows that the annealer has seen, before and after each stair that is taken."""
    annealer, seen = sae.annealer, []
    f = sae.encode(step_for(sae).x).detach()
    for i in range(200):
        stage, before = int(annealer.stage), float(annealer.penalty(f))
        annealer.follow(annealer.powers_of(f), i / 200)
        if int(annealer.stage) > stage:
            seen.append((before, float(annealer.penalty(f))))
    return seen


@pytest.mark.parametrize("name", ["p_anneal", "gated_p_anneal"])
def test_the_penalty_is_continuous_where_p_changes(name):
    sae = made(name)
    seen = penalty_across(sae)
    assert len(seen) == len(sae.annealer.places)
    assert sae.annealer.p == pytest.approx(0.2)
    for before, after in seen:
        assert after == pytest.approx(before, rel=1e-5)


def test_more_stairs_than_steps_keep_the_penalty_continuous():
    annealer, f = made("p_anneal", updates=400).annealer, torch.rand(ROWS, FEATURES)
    penalty = float(annealer.penalty(f))
    for i in range(200):
        annealer.follow(annealer.powers_of(f), i / 200)
        assert float(annealer.penalty(f)) == pytest.approx(penalty, rel=1e-4)
    assert annealer.p < 0.8


def test_the_papers_staircase_ends_at_0_289():
    """The last of its places is the end of the run, which no step reaches."""
    annealer = made("p_anneal", recipe="paper-2024").annealer
    f = torch.rand(ROWS, FEATURES)
    for step in range(36_621):
        if step % 50 == 0 or step > 36_600:
            annealer.follow(annealer.powers_of(f), step / 36_621)
    assert annealer.p == pytest.approx(1 - 0.8 * 8 / 9, abs=1e-4)  # 0.289


def test_a_power_by_hand():
    f = torch.tensor([[0.0, 4.0, 9.0], [1.0, 0.0, 0.0]])
    assert powered(f, 1.0).item() == pytest.approx((13 + 1) / 2)
    assert powered(f, 0.5).item() == pytest.approx((2 + 3 + 1) / 2)


@pytest.mark.parametrize(("name", "k"), [("mutual_choice", 3), ("mutual_choice", 9), ("batch_topk", 3)])
def test_a_batch_spends_its_budget_exactly(name, k):
    sae = made(name, k=k)
    train(sae, 4)
    f = sae.loss(step_for(sae)).f
    assert int((f > 0).sum()) == k * ROWS
    assert (f > 0).sum(1).unique().numel() > 1, "rows share one budget, and not k each"


def test_every_feature_keeps_to_its_own_budget():
    sae = made("feature_choice", phase=0.0)
    train(sae, 6)
    budgets = sae.budgets(ROWS)
    f = sae.loss(step_for(sae)).f
    used = (f > 0).sum(0)
    assert int(budgets.sum()) == 4 * ROWS
    assert (used <= budgets).all()
    positive = (sae.pre(step_for(sae).x) > 0).sum(0)
    assert torch.equal(used, torch.minimum(budgets, positive)), "less only where its values are 0"


def test_feature_choice_begins_as_mutual_choice():
    late, early = made("feature_choice", phase=0.8), made("mutual_choice")
    early.load_state_dict({name: t for name, t in late.state_dict().items() if name in early.state_dict()})
    step = step_for(late, progress=0.7)
    assert torch.equal(late.loss(step).f, early.loss(step).f)
    assert not torch.equal(late.loss(step_for(late, 0.9)).f, early.loss(step_for(early, 0.9)).f)


def test_zipf_by_hand():
    assert zipf(3, 1.1, 1.0).tolist() == pytest.approx([0.6, 0.3, 0.2])
    shares = zipf(4, 2.0, 1.0).tolist()  # 24/25 before any cap: nothing is capped
    assert shares == pytest.approx([0.96, 0.48, 0.32, 0.24])
    capped = zipf(4, 3.0, 1.0)  # the first two would take more than every row
    assert capped.sum().item() == pytest.approx(3.0)
    assert capped.max().item() == 1.0


@pytest.mark.parametrize("name", ["mutual_choice", "feature_choice"])
def test_the_zipf_law_is_drawn_up_once(name, monkeypatch):
    asked = []
    for module in (choice, feature_choice):
        module_law = module.zipf
        monkeypatch.setattr(module, "zipf", lambda *law, of=module_law: asked.append(law) or of(*law))
    choice.expected.cache_clear()
    feature_choice.budgets_by_rank.cache_clear()
    train(made(name, **({"phase": 0.0} if name == "feature_choice" else {})), 6)
    assert 0 < len(asked) == len(set(asked))


@pytest.mark.parametrize("name", ["mutual_choice", "batch_topk"])
def test_the_threshold_gives_the_asked_l0_on_rows_it_has_not_seen(name):
    sae = made(name)
    train(sae, 10)
    random = torch.Generator().manual_seed(5)
    sae.finish(torch.randn(4000, D, generator=random))
    l0 = (sae.encode(torch.randn(4000, D, generator=random)) > 0).sum(1).float().mean().item()
    assert l0 == pytest.approx(4, rel=0.1)


def test_thresholds_of_feature_choice_let_each_feature_fire_as_often_as_it_may():
    sae = made("feature_choice")
    train(sae, 10)
    rows, random = 4000, torch.Generator().manual_seed(5)
    sae.finish(torch.randn(rows, D, generator=random))
    held_out = torch.randn(rows, D, generator=random)
    fired = (sae.encode(held_out) > 0).sum(0)
    expected = torch.minimum(sae.budgets(rows), (sae.pre(held_out) > 0).sum(0))
    assert torch.allclose(fired.float(), expected.float(), rtol=0.1, atol=rows * 0.01)


def test_e2e_learns_from_the_model_alone():
    """With a tail that ignores its input, KL gives no gradient, and nothing else does but the penalty."""

    class Deaf(Tail):
        def __call__(self, x):
            return super().__call__(0 * x)

    sae, step = made("e2e", l1=0.0), step_for(made("e2e"))
    deaf = Deaf()
    sum(sae.loss(Step(step.x, 0.5, None, deaf, deaf(step.x))).terms.values()).backward()
    assert all(p.grad is None or not p.grad.any() for p in sae.parameters())
    sum(sae.loss(step).terms.values()).backward()
    assert sae.W_dec.grad.any()


def test_e2e_ds_also_follows_later_streams_but_the_last():
    sae = made("e2e_ds", downstream=3.0)
    step = step_for(sae)
    terms = sae.loss(step).terms
    first, _ = step.tail(sae.decode(sae.encode(step.x))).later
    missed = (step.clean.later[0] - first).square().sum(-1).mean().item()
    assert terms["downstream"].item() == pytest.approx(3.0 * missed, rel=1e-5)
    assert terms["kl"].item() == pytest.approx(made("e2e").loss(step).terms["kl"].item() / 2, rel=1e-5)


@pytest.mark.parametrize("name", ["topk", "gradient", "batch_topk", "mutual_choice", "feature_choice"])
def test_the_auxiliary_loss_teaches_sleeping_features_alone(name):
    zipf_kind = "choice" in name
    sae = made(name, **({"aux_zipf": 1.0} if zipf_kind else {"aux": 1.0}))
    asleep = torch.arange(FEATURES) < 8
    with torch.no_grad():
        if zipf_kind:
            sae.density.copy_(torch.where(asleep, 0.0, 4 / 16))
        else:
            sae.rows_since_fired.copy_(asleep * sae.dead_after)
    step, values = step_for(sae), []
    for _ in range(40):
        aux = sae.loss(step).terms["aux"]
        sae.zero_grad()
        aux.backward()
        assert sae.W_dec.grad[asleep].any()
        assert not sae.W_dec.grad[~asleep].any()
        assert not sae.W_enc.grad[:, ~asleep].any()
        with torch.no_grad():
            for parameter in (sae.W_dec, sae.W_enc, sae.b_enc):
                parameter -= 0.05 * parameter.grad
        values.append(aux.item())
    assert values[-1] < 0.9 * values[0], "they come to rebuild what the others miss"


def test_the_gradient_decides_what_is_kept_in_training_and_never_at_scoring():
    sae = made("gradient", beta=50.0)
    step = step_for(sae)
    with_it, without = sae.encode_as_trained(step.x, step.grad), sae.encode(step.x)
    assert ((with_it > 0) != (without > 0)).any()
    assert torch.equal(sae.encode_as_trained(step.x, 0 * step.grad), without)
    kept = (with_it > 0) & (without > 0)
    assert torch.equal(with_it[kept], without[kept]), "values are those of z, whatever selects them"


def test_gated_gates_are_those_of_the_signs():
    sae = made("gated")
    train(sae, 5)
    x = step_for(sae).x
    u = (x - sae.b_dec) @ sae.W_enc
    expected = (u + sae.b_gate > 0) * (u * sae.r_mag.exp() + sae.b_mag).relu()
    assert torch.allclose(sae.encode(x), expected, atol=1e-6)
