"""The zoo: every variant one class, built by name."""

import re
from typing import Any

import torch

from boardsae import plugins
from boardsae.saes.base import RECIPES, SAE, options_of
from boardsae.saes.batch_topk import BatchTopK
from boardsae.saes.controls import PCA, FrozenDecoder, Neurons, ProbeOracle, Random
from boardsae.saes.e2e import E2E, Local
from boardsae.saes.e2e_ds import E2EDownstream
from boardsae.saes.feature_choice import FeatureChoice
from boardsae.saes.gated import Gated
from boardsae.saes.gated_p_anneal import GatedPAnneal
from boardsae.saes.gradient import Gradient
from boardsae.saes.jumprelu import JumpReLU
from boardsae.saes.matryoshka import Matryoshka
from boardsae.saes.mutual_choice import MutualChoice
from boardsae.saes.p_anneal import PAnneal
from boardsae.saes.standard import Standard
from boardsae.saes.topk import TopK
from games.core import no_such

METHODS = (Standard, PAnneal, Gated, GatedPAnneal, TopK, BatchTopK, MutualChoice, FeatureChoice, Gradient)
METHODS = (*METHODS, Local, E2E, E2EDownstream, JumpReLU, Matryoshka)
CONTROLS = (FrozenDecoder, Random, PCA, Neurons, ProbeOracle)
BASELINES = tuple(control.name for control in CONTROLS)
VARIANTS: dict[str, type[SAE]] = {variant.name: variant for variant in (*METHODS, *CONTROLS)}


def register(variant: type[SAE]) -> None:
    """Makes a variant known by its name, as if it stood in this package."""
    if not (isinstance(variant, type) and issubclass(variant, SAE)):
        raise ValueError(f"expected a class of boardsae.saes.base.SAE, got {variant!r}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name := str(getattr(variant, "name", ""))):
        raise ValueError(f"expected {variant!r} to have a name of small letters, digits and _, got {name!r}")
    if VARIANTS.get(variant.name, variant) is not variant:
        raise ValueError(f"there is a variant {variant.name!r} already")
    for option, default in options_of(variant).items():
        if not isinstance(default, (bool, int, float, str)):
            raise ValueError(
                f"expected {variant.name}'s option {option} to have a number or a word as its default"
            )
    if variant.sparsity is not None and variant.sparsity not in options_of(variant):
        raise ValueError(
            no_such(f"option of {variant.name}, its sparsity,", variant.sparsity, options_of(variant))
        )
    VARIANTS[variant.name] = variant


def build(name: str, d: int, features: int, seed: int = 0, recipe: str = "common", **options: Any) -> SAE:
    """An untrained SAE of a variant; the seed decides its first weights."""
    if name not in VARIANTS:
        raise ValueError(no_such("variant", name, VARIANTS))
    if recipe not in RECIPES:
        raise ValueError(no_such("recipe", recipe, RECIPES))
    known = options_of(VARIANTS[name])
    for option in options:
        if option not in known:
            raise ValueError(no_such(f"option of {name}", option, known))
    return VARIANTS[name](d, features, torch.Generator().manual_seed(seed), RECIPES[recipe], **options)


plugins.installed("variants", lambda _, variant: register(variant))
