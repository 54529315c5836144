"""Makes tests/golden/saes: tiny SAEs written by the libraries whose files boardsae reads, with what they compute.

Run where those libraries are installed, which is not where boardsae is (sae-lens needs transformer-lens below 4):

    python -m venv golden && golden/bin/pip install sae-lens==6.54.12 eai-sparsify==1.3.3 natsort \
        schedulefree "nnsight<0.5" zstandard && golden/bin/pip install --no-deps dictionary-learning==0.1.0
    golden/bin/python tests/golden/make_saes.py

Every folder holds an SAE as the library's own code saved it and expected.safetensors: rows `x`, and `f` and `x_hat`
that the library's own loader and forward pass made of them. versions.json says which releases did. Weights are random,
with every bias, threshold and norm away from its first value. The pre-v6 folders are v6 weights under a cfg.json in
the older words, as sae-lens 5 wrote it; sae-lens 6 read them for `f` and `x_hat`.
"""

import importlib.metadata
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent / "saes"
D, FEATURES, ROWS, K = 8, 16, 12, 4


def randomised(module, seed):
    """The module with weights, biases and thresholds that all matter."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.5)
            if "threshold" in name:
                parameter.abs_()
    return module


def unit(directions, dim):
    directions.data /= directions.data.norm(dim=dim, keepdim=True)


@torch.no_grad()
def expect(folder, encode, decode):
    x = torch.randn(ROWS, D, generator=torch.Generator().manual_seed(7)) + 0.3
    f = encode(x)
    save_file({"x": x, "f": f.contiguous(), "x_hat": decode(f).contiguous()}, folder / "expected.safetensors")


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def saelens():
    from sae_lens import (
        SAE,
        GatedSAE,
        GatedSAEConfig,
        JumpReLUSAE,
        JumpReLUSAEConfig,
        StandardSAE,
        StandardSAEConfig,
        TopKSAE,
        TopKSAEConfig,
    )

    made = {
        "standard": (StandardSAE, StandardSAEConfig, {}),
        "standard-uncentred": (StandardSAE, StandardSAEConfig, {"apply_b_dec_to_input": False}),
        "topk": (TopKSAE, TopKSAEConfig, {"k": K}),
        "topk-rescaled": (TopKSAE, TopKSAEConfig, {"k": K, "rescale_acts_by_decoder_norm": True}),
        "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig, {}),
        "gated": (GatedSAE, GatedSAEConfig, {}),
        "gated-uncentred": (GatedSAE, GatedSAEConfig, {"apply_b_dec_to_input": False}),
    }
    for seed, (name, (sae, config, options)) in enumerate(made.items()):
        folder = fresh(f"saelens-{name}")
        randomised(sae(config(D, FEATURES, **options)), seed).save_model(folder)
        config = json.loads((folder / "cfg.json").read_text())
        config["metadata"]["hook_name"] = "blocks.1.hook_resid_post"
        (folder / "cfg.json").write_text(json.dumps(config, indent=1))
        loaded = SAE.load_from_disk(folder)
        expect(folder, loaded.encode, loaded.decode)
    batch_topk(SAE)
    older = {
        "standard": {"activation_fn_str": "relu"},
        "topk": {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}},
    }
    for name, words in older.items():
        folder = fresh(f"saelens-before-v6-{name}")
        shutil.copy(HERE / f"saelens-{name}" / "sae_weights.safetensors", folder)
        config = {
            "architecture": "standard", "d_in": D, "d_sae": FEATURES, "dtype": "torch.float32", "device": "cpu",
            "hook_point": "blocks.1.hook_resid_post", "hook_point_layer": 1, "hook_point_head_index": None,
            "prepend_bos": False, "context_size": 59, "apply_b_dec_to_input": True,
            "normalize_activations": False, "finetuning_scaling_factor": False, **words,
        }  # fmt: skip
        (folder / "cfg.json").write_text(json.dumps(config, indent=1))
        loaded = SAE.load_from_disk(folder)
        expect(folder, loaded.encode, loaded.decode)


def batch_topk(SAE):
    """Trained as batch top-k, saved by the library for inference, which makes it a jumprelu."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    trained = randomised(BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(D, FEATURES, k=K)), 20)
    trained.topk_threshold = torch.tensor(0.7, dtype=trained.topk_threshold.dtype)
    folder = fresh("saelens-batchtopk")
    trained.save_inference_model(folder)
    loaded = SAE.load_from_disk(folder)
    expect(folder, loaded.encode, loaded.decode)


def dictionary_learning():
    from dictionary_learning import dictionary
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    made = {
        "AutoEncoder": (dictionary.AutoEncoder(D, FEATURES), {}),
        "AutoEncoder-unit": (dictionary.AutoEncoder(D, FEATURES), {}),
        "AutoEncoderNew": (dictionary.AutoEncoderNew(D, FEATURES), {}),
        "GatedAutoEncoder": (dictionary.GatedAutoEncoder(D, FEATURES), {}),
        "JumpReluAutoEncoder": (dictionary.JumpReluAutoEncoder(D, FEATURES), {}),
        "AutoEncoderTopK": (AutoEncoderTopK(D, FEATURES, K), {"k": K}),
        "BatchTopKSAE": (BatchTopKSAE(D, FEATURES, K), {"k": K}),
        "MatryoshkaBatchTopKSAE": (MatryoshkaBatchTopKSAE(D, FEATURES, K, [4, 12]), {"k": K}),
    }
    for seed, (name, (sae, options)) in enumerate(made.items(), 30):
        randomised(sae, seed)
        if name.endswith("-unit"):
            unit(sae.decoder.weight, 0)
        if "TopK" in name:
            sae.threshold.fill_(0.6)
        folder = fresh(f"dictionary_learning-{name}")
        torch.save(sae.state_dict(), folder / "ae.pt")
        trainer = {
            "dict_class": type(sae).__name__, "activation_dim": D, "dict_size": FEATURES, "layer": 1,
            "lm_name": "othello", "submodule_name": "resid_post_layer_1", **options,
        }  # fmt: skip
        (folder / "config.json").write_text(
            json.dumps({"trainer": trainer, "buffer": {"d_submodule": D}}, indent=1)
        )
        loaded = type(sae).from_pretrained(str(folder / "ae.pt"), **options)
        expect(folder, loaded.encode, loaded.decode)


def sparsify():
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its kernels are for GPUs
    from sparsify import SparseCoder, SparseCoderConfig

    made = {
        "factor": SparseCoderConfig(expansion_factor=FEATURES // D, num_latents=0, k=K),
        "latents": SparseCoderConfig(num_latents=FEATURES, k=K, multi_topk=True, normalize_decoder=False),
    }
    for seed, (name, config) in enumerate(made.items(), 50):
        folder = fresh(f"sparsify-{name}")
        randomised(SparseCoder(D, config), seed).save_to_disk(folder)
        loaded = SparseCoder.load_from_disk(folder)

        def encode(x, loaded=loaded):
            told = loaded.encode(x)
            return torch.zeros(len(x), FEATURES).scatter_(1, told.top_indices, told.top_acts)

        def decode(f, loaded=loaded):
            top, places = f.topk(K, sorted=False)
            return loaded.decode(top, places)

        expect(folder, encode, decode)


if __name__ == "__main__":
    for library in (saelens, dictionary_learning, sparsify):
        library()
    packages = ("torch", "safetensors", "sae-lens", "dictionary-learning", "eai-sparsify")
    versions = {package: importlib.metadata.version(package) for package in packages}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")
