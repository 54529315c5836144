"""Where bfloat16 pays, for machines that are not this one."""

from types import SimpleNamespace

import pytest
import torch

from boardsae.devices import bf16_pays

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "instructions", "matrix_units", "pays"),
    [
        ("AMD EPYC", True, False, True),
        ("Intel Xeon", True, False, False),
        ("Intel Xeon", True, True, True),
        ("Intel Core i7", False, False, False),
        ("", True, False, True),  # a torch that does not name the processor
    ],
)
def test_bfloat16_pays_where_a_cpu_multiplies_it_faster(name, instructions, matrix_units, pays, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix_units)
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"cpu_name": name} if name else {}, raising=False
    )
    assert bf16_pays(CPU) == pays


@pytest.mark.parametrize(("major", "pays"), [(7, False), (8, True)])
def test_bfloat16_that_a_gpu_only_emulates_does_not_pay(major, pays, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=major))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True, raising=False)
    assert bf16_pays(torch.device("cuda")) == pays


def test_a_torch_that_cannot_tell_multiplies_in_float32(monkeypatch):
    for ask in ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "get_capabilities"):
        monkeypatch.delattr(torch.cpu, ask, raising=False)
    assert not bf16_pays(CPU)
