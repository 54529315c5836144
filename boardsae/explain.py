"""What a variant or a metric is: its docstring or its entry, and its options, for `boardsae show`."""

import inspect
from collections.abc import Iterator

from boardsae.metrics import METRICS
from boardsae.saes import VARIANTS
from boardsae.saes.base import options_of

ARROWS = {"up": "higher is better", "down": "lower is better", "": "neither end is better"}


def variant(name: str) -> Iterator[str]:
    found = VARIANTS[name]
    module = inspect.getmodule(found)
    assert module is not None, "a variant is defined in a file"
    yield f"{name}: {inspect.getdoc(module)}"
    yield ""
    yield inspect.getdoc(found) or ""
    yield ""
    options = options_of(found)
    for option, default in options.items():
        mark = "  (sets the sparsity)" if option == found.sparsity else ""
        yield f"  --{option.replace('_', '-'):<12} {default!r}{mark}"
    if not options:
        yield "  no options"
    needs = {
        "grad": "the gradient of the model's loss",
        "tail": "the rest of the model",
        "later": "a block between its layer and the last",
        "truth": "the truth",
    }
    if found.needs:
        yield f"  needs {' and '.join(needs[need] for need in found.needs)}"


def metric(name: str) -> Iterator[str]:
    """By its id, or by its name alone."""
    identity = name if name in METRICS else next(known for known in METRICS if known.split("@")[0] == name)
    found = METRICS[identity]
    yield f"{identity}: {found.title}, {found.range}, {ARROWS[found.direction]}"
    yield ""
    yield found.definition
    if found.weakness:
        yield f"Known weakness: {found.weakness}"
    yield f"Versions: {identity.split('@')[1]} is the first." if identity.endswith("@1") else ""


def knows(name: str) -> bool:
    return name in VARIANTS or is_metric(name)


def is_metric(name: str) -> bool:
    return name in METRICS or name in {known.split("@")[0] for known in METRICS}


def lines(name: str) -> Iterator[str]:
    return variant(name) if name in VARIANTS else metric(name)
