"""Made the files beside it: tiny random models saved by the libraries whose layouts they are, with their logits.

python tests/golden/models/make.py      # needs transformer-lens 3.9 and transformers
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformers import GPT2Config, GPT2LMHeadModel

HERE = Path(__file__).parent


def shaken(model):
    """Biases and norms that are not what they start as."""
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


def othello_gpt():
    """As the published Othello-GPT: 61 tokens, 59 positions; and once more with the norms folded into the weights."""
    config = HookedTransformerConfig(
        n_layers=2, d_model=8, d_head=4, n_heads=2, d_mlp=32, d_vocab=61, n_ctx=59, act_fn="gelu", seed=0
    )
    model = shaken(HookedTransformer(config))
    torch.save(model.state_dict(), HERE / "transformer-lens.pth")
    tokens = torch.randint(1, 61, (2, 59))
    logits = {"tokens": tokens, "logits": model(tokens)}
    model.process_weights_(center_writing_weights=False, center_unembed=False)
    assert model.cfg.normalization_type == "LNPre"
    torch.save(model.state_dict(), HERE / "transformer-lens-folded.pth")
    torch.testing.assert_close(model(tokens), logits["logits"], atol=1e-4, rtol=0)
    save_file(logits, HERE / "transformer-lens.safetensors")


def chess_gpt():
    """As the published ChessGPT: characters; tanh GELU, and the unembedding is the embedding."""
    config = GPT2Config(vocab_size=32, n_positions=256, n_embd=8, n_layer=2, n_head=2)
    model = shaken(GPT2LMHeadModel(config))
    model.save_pretrained(HERE / "hugging-face")
    (HERE / "hugging-face" / "generation_config.json").unlink()
    tokens = torch.randint(0, 32, (2, 40))
    save_file({"tokens": tokens, "logits": model(tokens).logits}, HERE / "hugging-face.safetensors")


with torch.no_grad():
    torch.manual_seed(0)
    othello_gpt()
    chess_gpt()
