"""A sweep of a minute: two variants at two sparsities, to see that everything works."""

from boardsae.runs import Spec

SPECS = tuple(
    Spec(variant=variant, options={option: value}, rows=200_000)
    for variant, option, values in (("standard", "l1", (0.02, 0.05)), ("topk", "k", (8, 32)))
    for value in values
)
