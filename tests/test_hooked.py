"""The hooked twin: the logits of the GPT, and TransformerLens's names for what is inside."""

import warnings

import pytest
import torch

from boardsae import gpt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    pytest.importorskip("transformer_lens")
    from boardsae.hooked import HookedGPT

TOKENS = torch.randint(1, 33, (5, 31), generator=torch.Generator().manual_seed(0))
IN_A_BLOCK = {
    *("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"),
    *(f"{norm}.{hook}" for norm in ("ln1", "ln2") for hook in ("hook_scale", "hook_normalized")),
    *(f"attn.hook_{hook}" for hook in ("q", "k", "v", "attn_scores", "pattern", "z")),
    *("mlp.hook_pre", "mlp.hook_post"),
}


@pytest.fixture(params=["gelu", "gelu_new"])
def model(request):
    shape = gpt.Shape("othello6", 33, 31, 3, 32, 2, request.param, unembed_bias=request.param == "gelu_new")
    model = gpt.GPT(shape, seed=3).eval()
    for parameter in model.parameters():  # large enough that attention is not flat
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return model.requires_grad_(False)


def test_logits_are_those_of_the_gpt(model):
    torch.testing.assert_close(HookedGPT(model)(TOKENS), model(TOKENS), atol=1e-4, rtol=0)


def test_every_site_has_its_name_and_its_value(model):
    hooked = HookedGPT(model)
    logits, cache = hooked.run_with_cache(TOKENS)
    torch.testing.assert_close(logits, model(TOKENS), atol=1e-4, rtol=0)
    named = {f"blocks.{layer}.{site}" for layer in range(3) for site in IN_A_BLOCK}
    outer = {"hook_embed", "hook_pos_embed", "ln_final.hook_scale", "ln_final.hook_normalized"}
    assert set(cache.keys()) == named | outer
    for layer in range(3):
        torch.testing.assert_close(cache[f"blocks.{layer}.hook_resid_post"], model.body(TOKENS, layer))
        torch.testing.assert_close(cache[f"blocks.{layer}.mlp.hook_post"], model.neurons(TOKENS, layer))
        assert cache[f"blocks.{layer}.attn.hook_pattern"].shape == (5, 2, 31, 31)
        torch.testing.assert_close(cache[f"blocks.{layer}.attn.hook_pattern"].sum(-1), torch.ones(5, 2, 31))
        assert cache[f"blocks.{layer}.attn.hook_z"].shape == (5, 31, 2, 16)
    summed = cache["hook_embed"] + cache["hook_pos_embed"]
    torch.testing.assert_close(summed, cache["blocks.0.hook_resid_pre"])


def test_a_hook_changes_what_follows_as_the_tail_says(model):
    hooked = HookedGPT(model)
    changed = hooked.run_with_hooks(
        TOKENS, fwd_hooks=[("blocks.1.hook_resid_post", lambda value, **_: value * 0.5)]
    )
    torch.testing.assert_close(changed, model.tail(model.body(TOKENS, 1) * 0.5, 1), atol=1e-4, rtol=0)
    for name in ("blocks.0.attn.hook_v", "blocks.2.attn.hook_pattern", "blocks.1.mlp.hook_pre", "hook_embed"):
        ablated = hooked.run_with_hooks(TOKENS, fwd_hooks=[(name, lambda value, **_: value * 0)])
        assert not torch.allclose(ablated, model(TOKENS), atol=1e-3), name
    torch.testing.assert_close(hooked(TOKENS), model(TOKENS), atol=1e-4, rtol=0)  # no hook is left


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_stop_and_start_at_a_layer(model, layer):
    hooked = HookedGPT(model)
    x = hooked(TOKENS, stop_at_layer=layer)
    torch.testing.assert_close(x, model.body(TOKENS, layer - 1))
    torch.testing.assert_close(hooked(x, start_at_layer=layer), model(TOKENS), atol=1e-4, rtol=0)
    kept, cache = hooked.run_with_cache(TOKENS, stop_at_layer=layer)
    assert torch.equal(kept, x)
    assert not [name for name in cache if name.startswith(f"blocks.{layer}.")]
