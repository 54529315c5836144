"""Every variant of the zoo keeps the contract of `boardsae.saes.base`; a new one is covered without a new test."""

import copy

import pytest
import torch

from boardsae.dictionary import Dictionary
from boardsae.saes import CONTROLS, METHODS, RECIPES, VARIANTS, build
from boardsae.saes.base import Downstream, Step, options_of
from boardsae.saes.finetune import kl_loss

D, FEATURES, ROWS = 8, 24, 64
TRAINED = [name for name, variant in VARIANTS.items() if not variant.untrained]
OPTIONS = {name: {"k": 4} for name, variant in VARIANTS.items() if variant.sparsity == "k"}


class Tail:
    """A model's tail of one matrix and one later residual stream before the last."""

    def __init__(self, seed=0):
        random = torch.Generator().manual_seed(seed)
        self.mix = torch.randn(D, D, generator=random)
        self.out = torch.randn(D, 5, generator=random)

    def __call__(self, x):
        later = x + torch.tanh(x @ self.mix)
        return Downstream(later @ self.out, [later, 2 * later])


def step_for(sae, progress=0.5, seed=1, rows=ROWS):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, sae.d, generator=random)
    grad = torch.randn(rows, sae.d, generator=random) if "grad" in sae.needs else None
    tail = Tail() if "tail" in sae.needs else None
    return Step(x, progress, grad, tail, tail(x) if tail else None)


def made(name, recipe="common", **options):
    sae = build(name, D, FEATURES, seed=3, recipe=recipe, **{**OPTIONS.get(name, {}), **options})
    x = torch.randn(512, D, generator=torch.Generator().manual_seed(9))
    if sae.untrained:
        sae.fit(x, torch.stack([x[:, 0] > 0, x[:, 1] > 1, x[:, 2] < 0], 1) if "truth" in sae.needs else None)
    else:
        sae.start(x)
    return sae


def train(sae, steps, adam=None, first=0):
    adam = adam or torch.optim.Adam(sae.parameters(), 1e-2, betas=sae.betas)
    for i in range(first, first + steps):
        step = step_for(sae, i / 20, seed=i)
        outcome = sae.loss(step)
        adam.zero_grad()
        sum(outcome.terms.values()).backward()
        sae.before_update()
        adam.step()
        sae.after_step(step, outcome)
    return adam


def state(sae):
    return {name: tensor.clone() for name, tensor in sae.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_names_are_as_typed():
    assert [*VARIANTS] == [variant.name for variant in (*METHODS, *CONTROLS)]
    asked = "standard p_anneal gated gated_p_anneal topk batch_topk mutual_choice feature_choice gradient local e2e"
    others = "e2e_ds jumprelu matryoshka frozen_decoder random pca neurons probe_oracle"
    assert set(VARIANTS) == {*asked.split(), *others.split()}


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("recipe", RECIPES)
def test_loss_is_pure(name, recipe):
    sae = made(name, recipe)
    train(sae, 2)
    step, before = step_for(sae), state(sae)
    random = torch.get_rng_state()
    first, second = sae.loss(step), sae.loss(step)
    assert equal(before, state(sae))
    assert torch.equal(random, torch.get_rng_state())
    assert first.terms.keys() == second.terms.keys()
    assert all(torch.equal(first.terms[term], second.terms[term]) for term in first.terms)
    assert all(torch.isfinite(term) for term in first.terms.values())


@pytest.mark.parametrize("name", VARIANTS)
def test_encode_is_row_wise(name):
    sae = made(name)
    if not sae.untrained:
        train(sae, 3)
    x = step_for(sae).x
    for _ in range(2):
        together = sae.encode(x)
        alone = torch.cat([sae.encode(row[None]) for row in x])
        assert torch.allclose(together, alone, atol=1e-6)
        assert (together >= 0).all()
        sae.finish(torch.randn(300, D, generator=torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("name", TRAINED)
def test_decoder_directions_keep_norm_1(name):
    sae = made(name)
    train(sae, 3)
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(FEATURES), atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_saved_sae_on_raw_activations_is_the_trained_one_times_the_scale(name):
    sae = made(name)
    if not sae.untrained:
        train(sae, 5)
    x = step_for(sae).x
    sae.finish(x)
    f, scale = sae.encode(x), 7.5
    x_hat = sae.decode(f)
    sae.fold(scale)
    saved = Dictionary(sae.saved())
    assert torch.allclose(saved.encode(x * scale), f * scale, atol=1e-3)
    assert torch.allclose(saved.decode(saved.encode(x * scale)), x_hat * scale, atol=1e-3)
    assert torch.allclose(sae.encode(x * scale), f * scale, atol=1e-3)


@pytest.mark.parametrize("name", TRAINED)
def test_a_copy_by_its_state_goes_on_to_the_same_bits(name):
    sae = made(name)
    adam = train(sae, 8)
    other = build(name, D, FEATURES, seed=5, **OPTIONS.get(name, {}))
    other.load_state_dict(state(sae))
    again = torch.optim.Adam(other.parameters(), 1e-2, betas=other.betas)
    again.load_state_dict(copy.deepcopy(adam.state_dict()))
    train(sae, 8, adam, first=8)
    train(other, 8, again, first=8)
    assert equal(state(sae), state(other))


@pytest.mark.parametrize("name", TRAINED)
def test_uses_only_what_it_declares(name):
    sae = made(name)
    step = step_for(sae)
    if "grad" in sae.needs:
        with pytest.raises(AssertionError, match="declared"):
            sae.loss(Step(step.x, step.progress))
    elif "tail" in sae.needs:
        with pytest.raises(AssertionError, match="declared"):
            sae.loss(Step(step.x, step.progress, torch.zeros_like(step.x)))
    else:
        sae.loss(Step(step.x, step.progress))


@pytest.mark.parametrize("name", TRAINED)
def test_every_option_has_an_effect(name):
    few = {"k": 1} if "dead_after" in options_of(VARIANTS[name]) else {}  # so that some features are silent
    changed = {
        "k": 7,
        "dead_after": 1,
        "updates": 3,
        "phase": 0.0,
        "beta": 5.0,
        "multi": 0.3,
        "theta": 0.2,
        "eps": 0.5,
    }

    def trained(**options):
        sae = made(name, **(few | options))
        train(sae, 20)
        sae.finish(step_for(sae).x)
        return state(sae)

    usual = trained()
    for option, default in options_of(VARIANTS[name]).items():
        value = changed.get(option, default / 3 if default else 0.5)
        other = trained(**{option: value})
        if option == "aux" and "dead_after" in options_of(VARIANTS[name]):
            usual_dead, other = trained(dead_after=1), trained(dead_after=1, aux=value)
            assert not equal(usual_dead, other), option
        else:
            assert not equal(usual, other), option


@pytest.mark.parametrize("name", TRAINED)
def test_fine_tuning_adds_the_divergence_at_the_scale_of_the_loss(name):
    sae = made(name)
    train(sae, 3)
    step, tail = step_for(sae), Tail()
    step = Step(step.x, step.progress, step.grad, tail, tail(step.x))
    own, tuned = sae.loss(step), kl_loss(sae, step)
    loss = sum(own.terms.values())
    assert torch.allclose(sum(tuned.terms.values()), loss, rtol=1e-3)
    assert torch.allclose(sum(tuned.terms.values()) - tuned.terms["model_kl"], loss / 2, rtol=1e-4)


def planted(rows, random, directions, active=2, zipf=False):
    """Sums of a few of the directions with positive strengths, all alike frequent or by a Zipf law."""
    codes = torch.zeros(rows, len(directions))
    chances = -(-torch.rand(rows, len(directions), generator=random).log()).log()  # Gumbel: a draw by weight
    places = (chances - zipf * torch.arange(1, len(directions) + 1).log()).topk(active, dim=1).indices
    codes.scatter_(1, places, 0.5 + torch.rand(rows, active, generator=random))
    return codes @ directions


CLAIMS = {  # options under which a planted dictionary is to be found, in 400 short steps
    "standard": {"l1": 0.15},
    "p_anneal": {"l1": 0.1, "p_end": 0.5},
    "gated": {"l1": 0.15},
    "gated_p_anneal": {"l1": 0.1, "p_end": 0.5},
    "topk": {"k": 2, "dead_after": 2000},
    "batch_topk": {"k": 2, "dead_after": 2000},
    "mutual_choice": {"k": 2},
    "feature_choice": {"k": 2},
    "matryoshka": {"k": 2, "dead_after": 2000},
    "local": {"l1": 0.15},
    "jumprelu": {"l0": 0.02, "eps": 0.2, "theta": 0.1},
    "gradient": {"k": 2, "dead_after": 2000, "beta": 0.1},
}


@pytest.mark.parametrize("name", CLAIMS)
def test_finds_a_planted_dictionary(name):
    random = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(20, 32, generator=random), dim=1)
    sae = build(name, 32, 64, **CLAIMS[name])
    zipf = name == "feature_choice"  # whose budgets assume it
    sae.start(planted(512, random, directions, zipf=zipf))
    adam = torch.optim.Adam(sae.parameters(), 5e-3, betas=sae.betas)
    steps = 400 if not zipf else 600
    for i in range(steps):
        x = planted(256, random, directions, zipf=zipf)
        grad = torch.randn(256, 32, generator=random) if "grad" in sae.needs else None
        step = Step(x, i / steps, grad)
        outcome = sae.loss(step)
        adam.zero_grad()
        sum(outcome.terms.values()).backward()
        sae.before_update()
        adam.step()
        sae.after_step(step, outcome)
    found = (directions @ sae.W_dec.T).max(dim=1).values
    assert (found > 0.9).float().mean() >= 0.9, found.sort().values
