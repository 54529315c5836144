"""A run is a folder that SAELens opens as it is: asked of the library itself, where `make test-saelens` installs it.

BOARDSAE_SAELENS names a Python that has sae-lens, which cannot be installed beside transformer-lens 4.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from made_task import opened
from safetensors.torch import save_file

from boardsae import dictionary, exports, train_sae
from boardsae.runs import Spec
from boardsae.saes import VARIANTS

PYTHON = os.environ.get("BOARDSAE_SAELENS")
pytestmark = pytest.mark.skipif(not PYTHON, reason="make test-saelens installs what it needs")
SEEN_AS = {  # an annealed penalty is gone with training; a threshold stands for a choice among a batch
    "standard": "standard p_anneal local e2e e2e_ds neurons pca probe_oracle",
    "gated": "gated gated_p_anneal",
    "topk": "topk gradient frozen_decoder random",
    "jumprelu": "jumprelu batch_topk matryoshka mutual_choice feature_choice",
}
ARCHITECTURE = {name: seen for seen, names in SEEN_AS.items() for name in names.split()}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What SAELens says of a trained run of every variant, and of its export."""
    folder, patch = tmp_path_factory.mktemp("saelens"), pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr(train_sae, "FITTED_GAMES", 200)
        small.setitem(train_sae.saes.RECIPES, "common", train_sae.saes.RECIPES["common"]._replace(batch=256))
        specs = {name: spec(name) for name in VARIANTS}
        train_sae.train([(each, folder / name) for name, each in specs.items()], opened(folder))
    for name in VARIANTS:
        exports.export(folder / name, "saelens", folder / "exported" / name)
    folders = [folder / kind / name for name in VARIANTS for kind in ("", "exported")]
    for each in folders:
        expect(each)
    script = Path(__file__).parent / "golden" / "saelens_reads.py"
    told = subprocess.run([str(PYTHON), script, *folders], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout.splitlines()[-1])
    return {str(Path(name).relative_to(folder)): seen for name, seen in found.items()}


def spec(name):
    options = {"k": 4} if VARIANTS[name].sparsity == "k" else {}
    return Spec("made", name, options, 32, 256 * 30, layer=1)


def expect(folder):
    sae = dictionary.read(folder)
    x = 2 * torch.randn(64, sae.d, generator=torch.Generator().manual_seed(7)) + 0.3
    f = sae.encode(x)
    assert (f != 0).any()
    save_file({"x": x, "f": f, "x_hat": sae.decode(f)}, folder / "expected.safetensors")


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("kind", ["", "exported/"])
def test_saelens_opens_every_variant_and_computes_the_same(name, kind, read):
    seen = read[kind + name]
    assert seen["architecture"] == ARCHITECTURE[name]
    assert seen["f"] < 1e-5
    assert seen["x_hat"] < 1e-5
    assert seen["hook"].startswith("blocks.")
