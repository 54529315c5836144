"""The zoo: every variant one file, built by name."""

from typing import Any

import torch

from boardsae.saes.base import RECIPES, SAE, options_of
from boardsae.saes.standard import Standard
from boardsae.saes.topk import TopK
from games.core import no_such

VARIANTS: dict[str, type[SAE]] = {variant.name: variant for variant in (Standard, TopK)}


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
