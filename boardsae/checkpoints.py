"""What a training that was killed goes on from: one file that appears whole, and the log beside it for people.

It holds weights as `weight NAME`, the moments of optimizers as `MOMENT NAME`, and the step, the seconds and the log.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import nn
from torch.optim import Optimizer

from boardsae import Broken
from boardsae.files import write_tensors, write_text
from boardsae.progress import say

FILE = "checkpoint.safetensors"
SECONDS = 60  # between two of them
Row = dict[str, float]


class Reached(NamedTuple):
    """How far a training has come."""

    step: int
    seconds: float
    rows: list[Row]  # of its log


def write(folder: Path, model: nn.Module, optimizers: Sequence[Optimizer], reached: Reached) -> None:
    """All that the next step depends on."""
    tensors = {f"weight {name}": tensor for name, tensor in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for optimizer in optimizers:
            moments = optimizer.state.get(parameter, {})
            tensors |= {f"{moment} {name}": tensor for moment, tensor in moments.items()}
    facts = {name: json.dumps(value) for name, value in reached._asdict().items()}
    write_tensors(folder / FILE, tensors, facts)
    write_log(folder, reached.rows)


def resume(folder: Path, model: nn.Module, optimizers: Sequence[Optimizer]) -> Reached | None:
    """Puts model and optimizers where the folder's checkpoint left them, if it has one."""
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, str] = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict({name: tensors.pop(f"weight {name}") for name in model.state_dict()})
        reached = Reached(**{name: json.loads(facts[name]) for name in Reached._fields})
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise Broken(f"{path} is not a checkpoint of this training: {error}") from None
    parameters = dict(model.named_parameters())
    owners = {p: o for o in optimizers for group in o.param_groups for p in group["params"]}
    for key, tensor in tensors.items():
        moment, name = key.split(" ", 1)
        parameter = parameters[name]
        owners[parameter].state[parameter][moment] = tensor.to(parameter.device)
    say(f"going on at step {reached.step:,} of {folder}")
    return reached


def write_log(folder: Path, rows: Sequence[Row]) -> None:
    """log.csv, a row of which may lack what only later ones have."""
    if rows:
        names = list(rows[-1])
        lines = [",".join(names), *(",".join(cell(row.get(name)) for name in names) for row in rows)]
        write_text(folder / "log.csv", "\n".join(lines) + "\n")


def cell(value: float | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6g}"


def log_of(folder: Path) -> list[Row]:
    """The rows of log.csv."""
    head, *lines = (folder / "log.csv").read_text().splitlines()
    return [dict(zip(head.split(","), map(float, line.split(",")), strict=True)) for line in lines]
