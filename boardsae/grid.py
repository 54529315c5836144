"""The runs of a table: every variant at its sparsities, as often as there are seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from boardsae.runs import Spec
from boardsae.saes import VARIANTS
from games.core import no_such


def zoo(ks: Sequence[int], **coefficients: Sequence[float]) -> dict[str, Sequence[float]]:
    """Sparsities for every variant that has one: those that count features take `ks`, the others the coefficients of
    their name; one that is given none is left out. Dictionaries without a sparsity are controls, which every score is
    read beside anyway.
    """
    lacking = {name for name, variant in VARIANTS.items() if variant.sparsity not in ("k", None)} - set(
        coefficients
    )
    if lacking:
        raise ValueError(
            f"expected coefficients for every variant with a penalty, got none for {sorted(lacking)}"
        )
    sparse = [name for name, variant in VARIANTS.items() if variant.sparsity]
    return {name: values for name in sparse if (values := coefficients.get(name, ks))}


def further(sparsities: Mapping[str, Sequence[float]], **values: float) -> dict[str, Sequence[float]]:
    """The same sparsities, and one more for the variants that are named."""
    return {**sparsities, **{name: (*sparsities[name], value) for name, value in values.items()}}


def published(task: str, sparsities: Mapping[str, Sequence[float]], **settings: Any) -> tuple[Spec, ...]:
    """The runs of a published table: three seeds of each, the first of all before the second of any, and TopK once
    more with an end of KL fine-tuning.
    """
    tuned = {"topk": sparsities["topk"]}
    return (
        *(spec for seed in range(3) for spec in grid(task, sparsities, (seed,), **settings)),
        *grid(task, tuned, range(3), kl_finetune=0.1, **settings),
    )


def grid(
    task: str, sparsities: Mapping[str, Sequence[float]], seeds: Sequence[int] = (0,), **settings: Any
) -> tuple[Spec, ...]:
    """A spec for each variant, value and seed; a variant without values has no sparsity, and needs one run only.

    The values go to the option that decides the variant's sparsity. `settings` are other fields of all specs.
    """
    for variant in sparsities:
        if variant not in VARIANTS:
            raise ValueError(no_such("variant", variant, VARIANTS))
    return tuple(
        Spec(task, variant, {VARIANTS[variant].sparsity: value} if values else {}, seed=seed, **settings)  # type: ignore[dict-item]
        for variant, values in sparsities.items()
        for value in values or (None,)
        for seed in (seeds if values else seeds[:1])
    )
