"""The reference models: the commands that train each one, and how its weights get into the package.

    python -m benchmarks.models othello6-v1 --dry-run     # what would be run
    python -m benchmarks.models othello6-v1               # runs it; every step resumes

Weights are shipped in bfloat16, and the gate measures what is shipped. The SHA-256 that is printed at the end belongs
into `boardsae/models.py`.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from boardsae import gate, gpt, plots
from boardsae.files import read_json, sha256, write_json
from boardsae.models import REFERENCE

GAMES = 6_000_000
COMMANDS = {
    # 130M tokens: two hours and a half on one slow core
    "othello6-v1": (
        f"boardsae generate-data othello6 --games {GAMES} --seed 100 --out data/othello6-models",
        "boardsae train-gpt othello6 --size small --objective soft --tokens 130000000 --data data/othello6-models"
        " --out models/othello6-v1",
    ),
    # for a GPU; not yet run
    "othello-v1": (
        f"boardsae generate-data othello --games {GAMES} --seed 100 --out data/othello-models",
        "boardsae train-gpt othello --size base --objective next --tokens 2000000000 --data data/othello-models"
        " --out models/othello-v1",
    ),
}


def ship(trained: Path, name: str) -> str:
    """Puts a trained model into the package, gate and all; answers with the SHA-256 of its weights."""
    from safetensors.torch import save_file

    model, folder = gpt.load(trained), REFERENCE / name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {key: tensor.bfloat16() for key, tensor in model.state_dict().items()}, folder / "model.safetensors"
    )
    write_json(folder / "model.json", read_json(trained / "model.json"))
    record = gate.gate(folder)
    plots.gate_figure(record, name, folder / "gate.png")
    print(gate.told(record))
    return sha256(folder / "model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=COMMANDS)
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()
    for command in COMMANDS[asked.name]:
        print(command)
        if not asked.dry_run:
            subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)
    if not asked.dry_run:
        print(f"{asked.name}: {ship(Path('models') / asked.name, asked.name)}")


if __name__ == "__main__":
    main()
