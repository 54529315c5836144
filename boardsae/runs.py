"""A run: one SAE, trained and scored; a directory whose path is its name.

results/<task>/<variant>/<options>/seed=0/
    spec.json                 first: what was asked for, and what it was made from
    log.csv                   training, row by row
    checkpoint.safetensors    while it trains
    cfg.json, sae_weights.safetensors    the SAE, as SAELens reads it
    boardsae.json             last: the run is trained
    error.json                instead: how it failed
    scores.json               what it scored
"""

import dataclasses
import datetime
import math
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boardsae import DEFAULT_TASK, Broken, __version__, checkpoints
from boardsae.files import read_json, write_json
from boardsae.saes import VARIANTS, build
from boardsae.saes.base import RECIPES, options_of
from games.core import no_such

MARKS = ("spec.json", "boardsae.json", "error.json", "scores.json")
SCHEMA = 1  # of a record in scores.json
CONTROLS_FOLDER = "controls"  # beside the runs of a task


@dataclasses.dataclass(frozen=True)
class Spec:
    """All that decides a trained SAE. Options that are not given get the variant's defaults."""

    task: str = DEFAULT_TASK
    variant: str = "standard"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    d_sae: int = 1024
    rows: int = 2_000_000  # activations to train on
    seed: int = 0  # of the first weights; the order of the games is the same for all
    layer: int | None = None  # the task's own
    recipe: str = "common"
    kl_finetune: float = 0.0  # share of the run, at its end, with the model's KL divergence in the loss

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(no_such("variant", self.variant, VARIANTS))
        if self.recipe not in RECIPES:
            raise ValueError(no_such("recipe", self.recipe, RECIPES))
        known = options_of(VARIANTS[self.variant])
        for name in self.options:
            if name not in known:
                raise ValueError(no_such(f"option of {self.variant}", name, known))
        object.__setattr__(self, "options", {**known, **self.options})
        object.__setattr__(self, "task", str(Path(self.task)))  # a folder is the same with a slash at its end
        for name, least in (("d_sae", 1), ("rows", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} to be {least} or more, got {getattr(self, name)}")
        if self.seed >= 2**63:
            raise ValueError(f"expected a seed below 2**63, got {self.seed}")
        for name, value in self.options.items():
            least = 0 if name == VARIANTS[self.variant].sparsity else -math.inf
            if isinstance(value, float) and not (math.isfinite(value) and value >= least):
                raise ValueError(f"expected {name} to be a number of {least:g} or more, got {value}")
        if not 0 <= self.kl_finetune < 1:
            raise ValueError(f"expected kl_finetune from 0 to below 1, got {self.kl_finetune}")
        build(self.variant, 1, self.d_sae, **self.options)  # refuses values that cannot be, before any work

    @property
    def batch(self) -> int:
        return RECIPES[self.recipe].batch

    @property
    def steps(self) -> int:
        return max(1, self.rows // self.batch)

    @property
    def own_steps(self) -> int:
        """Steps with the variant's own loss; what follows is fine-tuned."""
        return self.steps - round(self.steps * self.kl_finetune)


def path_of(spec: Spec, root: Path) -> Path:
    """Where the run belongs: its path says all that differs from the defaults."""
    defaults = Spec()
    usual = options_of(VARIANTS[spec.variant])
    swept = VARIANTS[spec.variant].sparsity
    told = {name: value for name, value in spec.options.items() if name == swept or value != usual[name]}
    for name in ("d_sae", "rows", "layer", "recipe", "kl_finetune"):
        if (value := getattr(spec, name)) != getattr(defaults, name):
            told[name] = value
    options = ",".join(f"{name}={value}" for name, value in told.items()) or "default"
    task = Path(spec.task).name
    return root / task / spec.variant / options / f"seed={spec.seed}"


def begin(folder: Path, spec: Spec, hashes: dict[str, str]) -> None:
    """Writes spec.json, unless the folder holds something else."""
    folder.mkdir(parents=True, exist_ok=True)
    check_free(folder, spec, hashes)
    if not (folder / "spec.json").exists():
        facts = {"hashes": hashes, "made_with": surroundings()}
        write_json(folder / "spec.json", dataclasses.asdict(spec) | facts)
    (folder / "error.json").unlink(missing_ok=True)


def check_free(folder: Path, spec: Spec, hashes: dict[str, str]) -> None:
    """Whether the folder can be that of the run; one of another spec, model or games is refused."""
    if (folder / "spec.json").exists():
        asked = dataclasses.asdict(spec) | {"hashes": hashes}
        if difference := first_difference(read_json(folder / "spec.json"), asked):
            name, held, value = difference
            raise FileExistsError(
                f"{folder} holds a run with {name} {held!r}, not {value!r};"
                " choose another --out, or --force replaces it"
            )
    elif others := [name for name in ("cfg.json", "sae_weights.safetensors") if (folder / name).exists()]:
        raise FileExistsError(
            f"{folder} holds an SAE that is no run of ours: {others[0]} without spec.json; choose another --out"
        )


def first_difference(held: dict[str, Any], asked: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """The first name under which something else is held than what is asked for."""
    for name, value in asked.items():
        other = held.get(name)
        if isinstance(value, dict) and isinstance(other, dict):
            if (inner := first_difference(other, value)) is not None:
                return inner
        elif other != value:
            return name, other, value
    return None


def is_trained(folder: Path) -> bool:
    return (folder / "boardsae.json").exists()


def clear(folder: Path) -> None:
    """Takes away what a run wrote; what else lies in the folder stays. The mark of a trained run goes first."""
    names = (
        "boardsae.json",
        "scores.json",
        "counts.npz",
        "error.json",
        "cfg.json",
        "sae_weights.safetensors",
    )
    for name in (*names, checkpoints.FILE, "log.csv", "spec.json"):
        (folder / name).unlink(missing_ok=True)


def fail(folder: Path, error: str) -> None:
    """A failed run is a result too."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "error.json", {"error": error, "made_with": surroundings()})


def spec_of(folder: Path) -> Spec:
    """The spec of a run directory."""
    if not (folder / "spec.json").exists():
        raise FileNotFoundError(f"{folder} is no run: it has no spec.json; boardsae train-sae makes runs")
    held = read_json(folder / "spec.json")
    if "imported" in held:
        raise ValueError(f"{folder} is an imported SAE, which no spec trained")
    try:
        return Spec(**{field.name: held[field.name] for field in dataclasses.fields(Spec)})
    except (KeyError, TypeError) as error:
        raise Broken(
            f"{folder / 'spec.json'} is no spec of boardsae: {type(error).__name__}: {error}"
        ) from None


def facts_of(folder: Path) -> dict[str, Any]:
    """What identifies the SAE of a run directory: its spec, or where it was imported from."""
    if is_imported(folder):
        held = read_json(folder / "spec.json")
        return {name: value for name, value in held.items() if name not in ("hashes", "made_with")}
    spec = spec_of(folder)
    return {"name": spec.variant, **dataclasses.asdict(spec)}


def task_of(folder: Path) -> str | None:
    """The task that a run was asked for on; none where that cannot be read, which whoever reads the run will say."""
    try:
        return read_json(folder / "spec.json").get("task")
    except (OSError, Broken):
        return None


def is_imported(folder: Path) -> bool:
    """Whether the SAE is another library's; `boardsae import` writes such runs."""
    path = folder / "spec.json"
    return path.exists() and "imported" in read_json(path)


def runs(root: Path) -> Iterator[Path]:
    """Every run directory below a folder, itself included."""
    yield from sorted(path.parent for path in root.rglob("spec.json"))


def surroundings() -> dict[str, Any]:
    """What made a record: versions, commit, machine and date."""
    import numpy
    import torch

    return {
        "boardsae": __version__,
        "commit": commit(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def commit() -> str | None:
    """The git commit of the source, with `+` where files differ from it; None outside of a clone."""
    home = Path(__file__).parent.parent
    if not (home / ".git").exists():
        return None
    ask = ["git", "-C", str(home), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None
