"""The reference models: the commands that train each one, and how its weights get into the package.

    python -m benchmarks.models othello6-v1 --dry-run     # what would be run
    python -m benchmarks.models othello6-v1               # runs it; every step resumes

    python -m benchmarks.models othello6-v1 --controls    # scores the controls of its task, for the package

Weights are shipped in float16, which has three bits more for the size of bfloat16, as the first models were. The gate
measures what is shipped. The SHA-256 that is printed at the end belongs into `boardsae/models.py`.
"""

import argparse
import gzip
import json
import shlex
import subprocess
import sys
from pathlib import Path

from boardsae import controls, gate, gpt, plots, tasks
from boardsae.evidence import Evidence
from boardsae.files import read_json, sha256, write_json, write_tensors
from boardsae.models import REFERENCE

COMMANDS = {
    # 130M tokens: two hours and a half on one slow core
    "othello6-v1": (
        "boardsae generate-data othello6 --games 6000000 --seed 100 --out data/othello6-models",
        "boardsae train-gpt othello6 --size small --objective soft --tokens 130000000 --batch 256 --lr-others 0.002"
        " --data data/othello6-models --out models/othello6-v1",
    ),
    # 62M tokens: two hours on two cores, by `torchrun --nproc-per-node 2 -m boardsae`
    "othello6-v2": (
        "boardsae generate-data othello6 --games 6000000 --seed 100 --out data/othello6-models",
        "boardsae train-gpt othello6 --size medium --objective soft --tokens 62000000 --batch 256 --lr 0.015"
        " --lr-others 0.002 --data data/othello6-models --out models/othello6-v2",
    ),
    # 47M tokens: 38 minutes on one core
    "othello-v1": (
        "boardsae generate-data othello --games 2000000 --seed 100 --out data/othello-models",
        "boardsae train-gpt othello --size small --objective soft --tokens 47396352 --batch 256 --lr-others 0.002"
        " --data data/othello-models --out models/othello-v1",
    ),
    # 60M tokens: two hours on two cores, by `torchrun --nproc-per-node 2 -m boardsae`
    "othello-v2": (
        "boardsae generate-data othello --games 2000000 --seed 100 --out data/othello-models",
        "boardsae train-gpt othello --size medium --objective soft --tokens 60000000 --batch 256 --lr 0.015"
        " --lr-others 0.002 --data data/othello-models --out models/othello-v2",
    ),
    # 80M tokens: 65 minutes on one core
    "chess-v2": (
        "boardsae generate-data chess --policy uniform --games 800000 --seed 100 --out data/chess-models",
        "boardsae train-gpt chess --size small --objective soft --tokens 80000000 --data data/chess-models"
        " --out models/chess-v2",
    ),
    # 56M tokens: two hours on two cores, by `torchrun --nproc-per-node 2 -m boardsae`
    "chess-v3": (
        "boardsae generate-data chess --policy uniform --games 800000 --seed 100 --out data/chess-models",
        "boardsae train-gpt chess --size medium --objective soft --tokens 56000000 --batch 64 --lr 0.015"
        " --lr-others 0.002 --data data/chess-models --out models/chess-v3",
    ),
    # 35M tokens: 36 minutes on one core
    "chess-pgn-v1": (
        "boardsae generate-data chess-pgn --games 800000 --seed 100 --out data/chess-pgn-models",
        "boardsae train-gpt chess-pgn --size small --objective next --tokens 35381760 --batch 256 --lr-others 0.002"
        " --data data/chess-pgn-models --out models/chess-pgn-v1",
    ),
    # for a GPU, hours; not yet run
    "othello6-next": (
        "boardsae generate-data othello6 --games 20000000 --seed 100 --out data/othello6-gpu",
        "boardsae train-gpt othello6 --size base --objective soft --tokens 600000000 --batch 256"
        " --data data/othello6-gpu --out models/othello6-next",
    ),
    "othello-next": (
        "boardsae generate-data othello --games 20000000 --seed 100 --out data/othello-gpu",
        "boardsae train-gpt othello --size base --objective next --tokens 2000000000 --batch 256"
        " --data data/othello-gpu --out models/othello-next",
    ),
    "chess-next": (
        "boardsae generate-data chess --policy uniform --games 10000000 --seed 100 --out data/chess-gpu",
        "boardsae train-gpt chess --size base --objective next --tokens 1200000000 --batch 64"
        " --data data/chess-gpu --out models/chess-next",
    ),
    "chess-pgn-next": (
        "boardsae generate-data chess-pgn --games 10000000 --seed 100 --out data/chess-pgn-gpu",
        "boardsae train-gpt chess-pgn --size base --objective next --tokens 2500000000 --batch 64"
        " --data data/chess-pgn-gpu --out models/chess-pgn-next",
    ),
}


def ship(trained: Path, name: str) -> str:
    """Puts a trained model into the package, gate and all; answers with the SHA-256 of its weights."""
    model, folder = gpt.load(trained), REFERENCE / name
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: tensor.half() for key, tensor in model.state_dict().items()}
    write_tensors(folder / "model.safetensors", weights)
    write_json(folder / "model.json", read_json(trained / "model.json"))
    record = gate.gate(folder)
    plots.gate_figure(record, name, folder / "gate.png")
    print(gate.told(record))
    return sha256(folder / "model.safetensors")


def ship_controls(name: str, root: Path) -> None:
    """Puts the controls of a named task into the package, so that nobody waits for them."""
    evidence = Evidence(tasks.open_task(tasks.of(name)))
    made = controls.records(evidence, root)
    with gzip.GzipFile(controls.shipped_at(name), "wb", mtime=0) as file:
        file.write(json.dumps({"controls": made}).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=COMMANDS)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--controls", action="store_true", help="of the task of that name, once it is pinned")
    asked = parser.parse_args()
    if asked.controls:
        ship_controls(asked.name, Path("results"))
        return
    for command in COMMANDS[asked.name]:
        print(command)
        if not asked.dry_run:
            subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)
    if not asked.dry_run:
        print(f"{asked.name}: {ship(Path('models') / asked.name, asked.name)}")


if __name__ == "__main__":
    main()
