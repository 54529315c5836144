"""Gradients by hand are those of autograd, and the largest values are those of a sort."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from test_saes import FEATURES, ROWS, TRAINED, made, step_for, train

from boardsae.saes import VARIANTS, build, passes, sparse
from boardsae.saes.base import Step
from boardsae.saes.top import keep_each, keep_largest, keep_top

BY_HAND = [name for name in TRAINED if VARIANTS[name].has_gradients_by_hand()]


def gradients(sae, outcome=None):
    if outcome is not None:
        sae.zero_grad()
        sum(outcome.terms.values()).backward()
    return {name: p.grad.clone() for name, p in sae.named_parameters() if p.grad is not None}


def compared(name, bf16=False, progress=0.5, asleep=0):
    """The outcomes and gradients of a step, by autograd and by hand."""
    sae = made(name)
    train(sae, 6)
    sae.bf16 = bf16
    if asleep:
        sae.rows_since_fired[:asleep] = 10**9
        if hasattr(sae, "density"):
            sae.density[:asleep] = 0.0
    step = step_for(sae, progress)
    reference = sae.loss(step)
    expected = gradients(sae, reference)
    sae.zero_grad()
    found = sae.by_hand(step)
    return reference, expected, found, gradients(sae)


@pytest.fixture(params=["all features", "active features"])
def multiplied(request, monkeypatch):
    """Either is made to happen, however many features are active."""
    share = 1.0 if request.param == "active features" else -1.0
    monkeypatch.setattr(sparse, "most", lambda _: share)


def test_most_methods_have_a_faster_way():
    assert set(TRAINED) - set(BY_HAND) == {"e2e", "e2e_ds"}  # which the model itself judges


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("asleep", [0, 6])
@pytest.mark.parametrize("progress", [0.04, 0.9])
def test_they_are_those_of_autograd(name, asleep, progress):
    reference, expected, found, gradients = compared(name, asleep=asleep, progress=progress)
    assert set(expected) == set(gradients)
    for parameter, gradient in expected.items():
        scale = gradient.abs().max().item() + 1e-6
        assert torch.allclose(gradients[parameter], gradient, atol=1e-5 * scale, rtol=1e-4), parameter
    assert set(reference.terms) == set(found.terms)
    for term, value in reference.terms.items():
        assert found.terms[term].item() == pytest.approx(value.item(), rel=1e-4, abs=1e-7), term
    assert torch.allclose(found.f.float(), reference.f, atol=1e-5)
    assert torch.allclose(found.x_hat, reference.x_hat, atol=1e-5)
    assert torch.equal(found.fired, reference.f.sum(0) > 0)


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("name", BY_HAND)
def test_in_bfloat16_they_point_the_same_way(name):
    _, expected, _, gradients = compared(name, bf16=True)
    for parameter, gradient in expected.items():
        cosine = torch.cosine_similarity(gradients[parameter].flatten(), gradient.flatten(), dim=0)
        assert cosine > 0.99, parameter


@pytest.mark.usefixtures("multiplied")
def test_a_power_is_charged_to_active_features():
    sae = made("p_anneal")
    train(sae, 6)
    sae.annealer.stage.fill_(5)
    sae.bf16 = True
    step = step_for(sae)
    reference = sae.loss(step)
    expected = gradients(sae, reference)
    sae.zero_grad()
    found = sae.by_hand(step)
    for parameter, gradient in expected.items():
        cosine = torch.cosine_similarity(gradients(sae)[parameter].flatten(), gradient.flatten(), dim=0)
        assert cosine > 0.99, parameter
    assert found.terms["l_p"].item() == pytest.approx(reference.terms["l_p"].item(), rel=0.02)
    asked = sae.annealer.powers_of(reference.f.detach())
    assert torch.allclose(found.powers, asked, rtol=0.02)


@pytest.mark.parametrize("name", ["p_anneal", "gated", "jumprelu", "topk"])
def test_small_values_keep_their_digits_in_bfloat16(name):
    """8 + 0.01 is 8 in bfloat16: a bias of -8 must join the product before it is rounded."""
    sae = build(name, 2, 1, **({"k": 1} if name == "topk" else {}))
    x = torch.tensor([[1.0, 0.01], [1.0, 0.2], [1.0, -0.01]])
    with torch.no_grad():
        sae.W_enc.copy_(torch.tensor([[8.0], [1.0]]))
        (sae.b_gate if name == "gated" else sae.b_enc).fill_(-8.0)
        if name == "jumprelu":
            sae.threshold.zero_()
    sae.bf16 = True
    outcome = sae.by_hand(Step(x))
    found = outcome.f if outcome.penalised is None else outcome.penalised
    assert found[:, 0].tolist() == pytest.approx([0.01, 0.2, 0.0], rel=0.01)


def test_a_charge_by_hand():
    f = torch.tensor([[0.0, 4.0], [0.25, 0.0]], dtype=torch.bfloat16)
    by_f = torch.tensor([[5.0, 1.0], [-1.0, 7.0]], dtype=torch.bfloat16)
    over_rows, sums = passes.charged(by_f, f, 0.5, (0.5, 1.0))
    assert by_f.tolist() == [[0.0, 1.25], [0.0, 0.0]]  # 1 + 0.5 / sqrt(4), -1 + 0.5 / sqrt(0.25)
    assert over_rows.tolist() == [0.0, 1.25]
    assert sums.tolist() == pytest.approx([2.5, 4.25])


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_passes_are_those_of_torch(kind):
    random = torch.Generator().manual_seed(0)
    z, by_f = (torch.randn(37, 50, generator=random).to(kind) for _ in range(2))
    z[0, :3] = torch.tensor([-0.0, float("inf"), -float("inf")])
    z[:, 7], theta = -1.0, torch.rand(50, generator=random)
    beyond, near, count = passes.jumped(z, theta, 0.1)
    wide = z.float()
    assert torch.equal(beyond.float(), wide.where(wide > theta, 0))
    assert torch.equal(near.float(), ((wide - theta).abs() < 0.1).float())
    assert count == (wide > theta).sum()
    f = wide.relu()
    assert torch.allclose(passes.rectified(z), f.sum(0))
    assert torch.equal(z.float(), f)
    assert not z[0, 0].signbit()  # -0 would count as active
    assert torch.equal(passes.active_rows(z), (f > 0).sum(0).float())
    assert passes.least(z) == f[f > 0].min()
    assert passes.least(torch.zeros_like(z)) == torch.inf
    kept = by_f.float().where(f > 0, 0)
    assert torch.allclose(passes.let_through(by_f, z), kept.sum(0), atol=1e-5)
    assert torch.equal(by_f.float(), kept)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_no_number_is_not_cleared(sign, kind):
    z = torch.full((2, 40), float("nan"), dtype=kind).copysign(torch.tensor(sign))
    assert passes.rectified(z).isnan().all()
    assert z.isnan().all()
    by_f = torch.ones_like(z)
    over_rows, sums = passes.charged(by_f, z, 0.5, (0.5, 1.0))
    assert by_f.isnan().all() or kind == torch.float32  # whose sums tell it
    assert over_rows.isnan().all() or kind == torch.float32
    assert sums.isnan().all()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [1, 3])
def test_products_of_active_features_by_brute_force(kind, threads, monkeypatch):
    random = torch.Generator().manual_seed(0)
    f = torch.rand(37, 50, generator=random).to(kind) * (torch.rand(37, 50, generator=random) < 0.08)
    f[[0, 5, 36]] = 0.0
    f[:, [0, 49]] = 0.0
    w_dec, back, x = (torch.randn(n, 21, generator=random) for n in (50, 37, 37))
    monkeypatch.setattr(sparse, "has_matrix_units", bool)  # with them 8% are many
    active = sparse.few(f)
    assert active is not None
    charge = torch.arange(len(active.values)).float()
    g = back @ w_dec.T * (f > 0)
    g[f > 0] += charge  # of rows one after the other, as they are listed
    torch.set_num_threads(threads)
    try:
        by_enc, sums, by_dec = sparse.gradients(active, charge, back, x, w_dec)
        decoded = sparse.decoded(active, w_dec)
    finally:
        torch.set_num_threads(1)
    for found, expected in (
        (decoded, f.float() @ w_dec),
        (by_enc, x.T @ g),
        (sums, g.sum(0)),
        (by_dec, f.float().T @ back),
    ):
        assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_with_matrix_units_few_are_fewer(monkeypatch):
    f = torch.zeros(10, 20, dtype=torch.bfloat16)
    f[:, 0] = 1.0
    for there, found in ((False, True), (True, False)):
        monkeypatch.setattr(sparse, "has_matrix_units", lambda there=there: there)
        assert (sparse.few(f) is not None) == found
        assert sparse.few(f.float()) is not None


def test_many_active_features_and_none_at_all():
    assert sparse.few(torch.ones(4, 20)) is None
    nothing = sparse.few(torch.zeros(4, 20))
    assert nothing is not None
    assert sparse.decoded(nothing, torch.ones(20, 3)).count_nonzero() == 0


def test_a_variant_with_a_loss_of_its_own_is_left_to_autograd():
    class Other(VARIANTS["topk"]):
        def loss(self, step):
            return super().loss(step)

    assert not Other.has_gradients_by_hand()
    assert type(made("frozen_decoder")).has_gradients_by_hand()
    frozen = made("frozen_decoder")
    frozen.by_hand(step_for(frozen))
    assert frozen.W_dec.grad is None


@given(some.integers(0, 2**32), some.integers(1, 40), some.sampled_from([torch.float32, torch.bfloat16]))
def test_the_largest_are_those_of_a_sort(seed, k, kind):
    random = torch.Generator().manual_seed(seed)
    values = (torch.randn(30, 40, generator=random) - 0.4).relu()
    values = ((values * 8).round() / 8 if seed % 2 else values).to(kind)  # some with many ties
    for kept, rows in ((keep_top(values, k), values), (keep_largest(values, 30 * k), values.view(1, -1))):
        found = kept.reshape(rows.shape)
        count = k * 30 // len(rows)
        assert torch.equal(found.sort(1).values[:, -count:], rows.topk(count, 1).values.flip(1))
        assert ((found == 0) | (found == rows)).all()
        assert ((found > 0).sum(1) <= count).all()


@given(some.integers(0, 2**32), some.sampled_from([torch.float32, torch.bfloat16]))
def test_every_row_keeps_as_many_as_it_may(seed, kind):
    random = torch.Generator().manual_seed(seed)
    values = ((torch.randn(30, 40, generator=random) * 8).round() / 8).to(kind)
    ks = torch.randint(0, 41, (30,), generator=random)
    order = values.argsort(dim=1, descending=True, stable=True)  # of equal values the first are kept
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(40).expand_as(order))
    assert torch.equal(keep_each(values, ks), values.relu() * (rank < ks[:, None]))


def test_what_is_below_0_is_never_kept():
    values = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)) - 1
    for kept, rectified in zip(
        (keep_top(values, 9), keep_largest(values, 180)),
        (keep_top(values.relu(), 9), keep_largest(values.relu(), 180)),
        strict=True,
    ):
        assert torch.equal(kept, rectified)


def test_gradients_flow_to_what_is_kept():
    values = torch.rand(ROWS, FEATURES, requires_grad=True)
    keep_top(values, 3).sum().backward()
    assert torch.equal(values.grad > 0, keep_top(values.detach(), 3) > 0)
    assert torch.equal(values.detach(), values), "values of others are not overwritten"
