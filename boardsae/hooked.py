"""A GPT with hooks: the same weights and logits, every activation under the name that TransformerLens gives it.

    hooked = HookedGPT(gpt.load(folder))
    logits, cache = hooked.run_with_cache(tokens)
    cache["blocks.1.attn.hook_pattern"]                            # (game, head, query, key)
    hooked.run_with_hooks(tokens, fwd_hooks=[("blocks.1.hook_resid_post", change)])
    hooked(hooked(tokens, stop_at_layer=2), start_at_layer=2)      # the logits again

Needs the extra `hooks`; slower than the GPT itself, which nothing hooks.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import HookedRootModule  # type: ignore  # an extra, not always there
from transformer_lens.hook_points import HookPoint  # type: ignore

from boardsae.gpt import GPT, Block

Stream = Float[Tensor, "game ply d"]


class HookedNorm(nn.Module):
    def __init__(self, norm: nn.LayerNorm):
        super().__init__()
        self.norm = norm
        self.hook_scale, self.hook_normalized = HookPoint(), HookPoint()

    def forward(self, x: Stream) -> Stream:
        centred = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((centred.square().mean(-1, keepdim=True) + self.norm.eps).sqrt())
        return self.hook_normalized(centred / scale * self.norm.weight + self.norm.bias)


class HookedAttention(nn.Module):
    def __init__(self, block: Block):
        super().__init__()
        self.heads, self.qkv, self.out = block.heads, block.qkv, block.out
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern, self.hook_z = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x: Stream, mask: Tensor) -> Stream:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)  # (game, ply, head, d) each
        q, k, v = self.hook_q(q), self.hook_k(k), self.hook_v(v)
        scores = torch.einsum("gqhd,gkhd->ghqk", q, k) / q.shape[-1] ** 0.5
        pattern = self.hook_pattern(self.hook_attn_scores(scores + mask).softmax(-1))
        z = self.hook_z(torch.einsum("ghqk,gkhd->gqhd", pattern, v))
        return self.out(z.flatten(-2))


class HookedNeurons(nn.Module):
    def __init__(self, block: Block):
        super().__init__()
        self.up, self.down, self.approximate = block.up, block.down, block.approximate
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(self, x: Stream) -> Stream:
        return self.down(self.hook_post(F.gelu(self.hook_pre(self.up(x)), approximate=self.approximate)))


class HookedBlock(nn.Module):
    def __init__(self, block: Block):
        super().__init__()
        self.ln1, self.ln2 = HookedNorm(block.ln1), HookedNorm(block.ln2)
        self.attn, self.mlp = HookedAttention(block), HookedNeurons(block)
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()

    def forward(self, x: Stream, mask: Tensor) -> Stream:
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(self.ln1(x), mask)))
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(self.ln2(x))))


class HookedGPT(HookedRootModule):
    """Shares its parameters with the GPT that it is made of."""

    later: Tensor

    def __init__(self, model: GPT):
        super().__init__()
        self.shape = model.shape
        self.embed, self.positions, self.unembed = model.embed, model.positions, model.unembed
        self.blocks = nn.ModuleList(HookedBlock(block) for block in model.blocks)  # type: ignore[arg-type]
        self.ln_final = HookedNorm(model.ln)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()
        self.register_buffer("later", model.later, persistent=False)
        self.setup()

    def forward(
        self, x: Tensor, start_at_layer: int | None = None, stop_at_layer: int | None = None
    ) -> Tensor:
        """Logits of tokens; from the residual stream before block `start_at_layer`, or up to that before another."""
        if start_at_layer is None:
            places = self.positions.weight[: x.shape[1]].expand(len(x), -1, -1)
            x = self.hook_embed(self.embed(x)) + self.hook_pos_embed(places)
        mask = self.later[: x.shape[1], : x.shape[1]]
        for block in self.blocks[start_at_layer:stop_at_layer]:
            x = block(x, mask)
        return x if stop_at_layer is not None else self.unembed(self.ln_final(x)).float()
