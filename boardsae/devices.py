"""The device that computes: which one is asked for, and whether it multiplies bfloat16 faster than float32."""

import torch


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is the fastest there is."""
    names = names_here()
    if name != "auto" and name not in names:
        raise ValueError(f"no device {name!r} here; there are auto, {', '.join(names)}")
    return torch.device(names[0] if name == "auto" else name)


def names_here() -> list[str]:
    """What devices are called on this machine, the fastest first; GPUs of CUDA by their numbers too."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ["cuda", *(f"cuda:{number}" for number in range(gpus))] if gpus else []
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was asked for; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def bf16_pays(device: torch.device) -> bool:
    """Whether bfloat16 is faster here: asked of the hardware, not of a clock, so that a resumed run agrees with itself.

    On Intel's cores AVX-512's bfloat16 was no faster than float32, and a step of training took up to 1.4 times as long
    (LOG.md): there it pays by the matrix units (AMX) alone.
    """
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if has_matrix_units():
        return True
    return cpu_has("_is_avx512_bf16_supported") and not cpu_name().startswith("Intel")


def has_matrix_units() -> bool:
    """Whether this CPU multiplies bfloat16 in tiles (AMX), ten times as fast as float32 in vectors."""
    return cpu_has("_is_amx_tile_supported")


def cpu_has(ask: str) -> bool:
    return bool(getattr(torch.cpu, ask, bool)())  # bool() is False: this torch cannot tell


def cpu_name() -> str:
    return str(getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name", ""))
