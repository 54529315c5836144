"""The device that computes: which one is asked for, and whether it multiplies bfloat16 faster than float32."""

import torch


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is the fastest there is."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    if not there.get(name.partition(":")[0], False):
        usable = ", ".join(kind for kind, is_there in there.items() if is_there)
        raise ValueError(f"no device {name!r} here; there are auto, {usable}")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def bf16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is faster here: asked of the hardware, not of a clock, so that a resumed run agrees with itself.

    On Intel's cores AVX-512's bfloat16 was no faster than float32, and a step of training took up to 1.4 times as long
    (LOG.md): there it pays by the matrix units (AMX) alone.
    """
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    if cpu_has("_is_amx_tile_supported"):
        return True
    return cpu_has("_is_avx512_bf16_supported") and not cpu_name().startswith("Intel")


def cpu_has(ask: str) -> bool:
    return bool(getattr(torch.cpu, ask, bool)())  # bool() is False: this torch cannot tell


def cpu_name() -> str:
    return str(getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name", ""))
