"""From words on the command line to what a spec holds."""

from collections.abc import Sequence
from typing import Any

from boardsae.saes import VARIANTS
from boardsae.saes.base import options_of
from games.core import no_such


def options_from(variant: str, words: Sequence[str], sparsity: float | None = None) -> dict[str, Any]:
    """The options of a variant from `--k 32 --p-end=0.2`; `sparsity` goes to the option that sets it."""
    if variant not in VARIANTS:
        raise ValueError(no_such("variant", variant, VARIANTS))
    known, options = options_of(VARIANTS[variant]), {}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("--"):
            raise ValueError(
                f"expected an option of {variant} such as --{next(iter(known), 'seed')}, got {word!r}"
            )
        name, given, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name not in known:
            raise ValueError(no_such(f"option of {variant}", name, known))
        if not given and not waiting:
            raise ValueError(f"{word} lacks a value; it is {known[name]!r} by default")
        options[name] = as_kind_of(known[name], value if given else waiting.pop(0), word)
    if sparsity is not None:
        name = VARIANTS[variant].sparsity
        if name is None:
            raise ValueError(f"{variant} has no option that sets its sparsity; leave --sparsity out")
        if name in options:
            raise ValueError(f"expected --sparsity or --{name}, got both")
        options[name] = as_kind_of(known[name], f"{sparsity:g}", "--sparsity")
    return options


def as_kind_of(default: Any, text: str, word: str) -> Any:
    """The text as a value of the default's type."""
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"expected true or false for {word}, got {text!r}")
        return text.lower() == "true"
    try:
        return type(default)(text)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(type(default), "a value")
        raise ValueError(f"expected {kind} for {word}, got {text!r}") from None


def width_of(d: int, d_sae: int | None, expansion: int | None) -> int:
    """How many features, said outright or as a multiple of the model's width."""
    if d_sae is not None and expansion is not None:
        raise ValueError("expected --d-sae or --expansion, got both")
    return d_sae if d_sae is not None else (8 if expansion is None else expansion) * d


def layer_of(layer: int | None, hook: str | None, layers: int) -> int | None:
    """The block, said by number or by the name of its hook; None for the task's own."""
    if hook is not None:
        if layer is not None:
            raise ValueError("expected --layer or --hook, got both")
        block, _, site = hook.removeprefix("blocks.").partition(".")
        if not (hook.startswith("blocks.") and block.isdigit() and site == "hook_resid_post"):
            raise ValueError(f"expected a hook blocks.N.hook_resid_post, got {hook!r}")
        layer = int(block)
    if layer is not None and not 0 <= layer < layers:
        raise ValueError(f"expected a layer from 0 to {layers - 1}, got {layer}")
    return layer
