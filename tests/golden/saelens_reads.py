"""Run where sae-lens is, which is not where boardsae is: what SAELens makes of folders of SAEs.

    python tests/golden/saelens_reads.py FOLDER...

Every folder holds an SAE and expected.safetensors: rows `x`, and `f` and `x_hat` that boardsae made of them. Prints, by
folder, the architecture that SAELens sees and how far its features and reconstructions lie from those, at most.
"""

import json
import sys

import torch
from sae_lens import SAE
from safetensors.torch import load_file


@torch.no_grad()
def read(folder):
    sae, expected = SAE.load_from_disk(folder), load_file(f"{folder}/expected.safetensors")
    f = sae.encode(expected["x"])
    x_hat = sae.decode(f)
    return {
        "architecture": sae.cfg.architecture(),
        "f": (f - expected["f"]).abs().max().item(),
        "x_hat": (x_hat - expected["x_hat"]).abs().max().item(),
        "hook": sae.cfg.metadata.hook_name,
    }


if __name__ == "__main__":
    json.dump({folder: read(folder) for folder in sys.argv[1:]}, sys.stdout)
