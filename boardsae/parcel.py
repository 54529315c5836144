"""A folder as it travels: its kind, the files that belong to it, and a manifest that whoever receives it holds them to.

    model     model.json, model.safetensors; gate and figures where they are
    run       spec.json and what the run wrote, without its checkpoint
    results   such runs at any depth, trained or failed, and what was found of pairs of them

The manifest, `boardsae-hub.json`, travels beside the files. One that somebody else wrote is believed in nothing: names
that no folder of its kind has, paths that lead elsewhere and sizes that cannot be are refused before a byte is fetched.
"""

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from boardsae import Broken, __version__
from boardsae.files import json_text, read_json, sha256

MANIFEST = "boardsae-hub.json"
SCHEMA = 1
RUN = (
    *("spec.json", "boardsae.json", "error.json", "cfg.json", "sae_weights.safetensors"),
    *("log.csv", "scores.json", "counts.npz"),
)
BELONGS = {
    "model": ("model.json", "model.safetensors", "gate.json", "log.csv", "curves.png", "gate.png"),
    "run": RUN,
    "results": (*RUN, "matching.csv"),
}
LARGEST = 4 * 10**9  # bytes of a file; the weights of the largest GPT here are a fortieth of it
ALTOGETHER = 50 * 10**9
LONGEST = 64 * 10**6  # bytes of a manifest


class Parcel(NamedTuple):
    kind: str
    title: str
    folder: Path
    files: dict[str, Path | bytes]
    holds: dict[
        str, str
    ]  # each run by its place, or "." for the one thing there is: a hash of what identifies it

    def manifest(self) -> dict[str, Any]:
        files = {name: weighed(content) for name, content in self.files.items()}
        told = {"schema": SCHEMA, "boardsae": __version__, "kind": self.kind, "title": self.title}
        return told | {"holds": self.holds, "files": files}


def weighed(content: Path | bytes) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    return {"sha256": sha256(content), "size": content.stat().st_size}


def blob_id(content: bytes) -> str:
    """What git, and with it the Hub, calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pack(folder: Path) -> Parcel:
    """What there is to send of a model folder, a run, or a folder of runs."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; give a model of train-gpt, a run, or a folder of runs")
    if (folder / "model.safetensors").exists() and (folder / "model.json").exists():
        return model(folder)
    if (folder / "spec.json").exists():
        return run(folder)
    if next(folder.rglob("spec.json"), None) is not None:
        return results(folder)
    raise ValueError(
        f"expected a model of train-gpt (model.json), a run (spec.json) or a folder of runs, and {folder} is none;"
        " boardsae import makes a run of another library's SAE"
    )


def model(folder: Path) -> Parcel:
    from boardsae import gpt

    loaded = gpt.load(folder)
    shape = loaded.shape
    title = f"GPT of {shape.game}, {shape.layers} layers of width {shape.width}"
    files = gathered("model", folder, folder)
    games, facts = place_of_games(folder), read_json(folder / "model.json")
    places = {}  # instead of those on this machine, where nobody else has games or models
    if leads_elsewhere(games):
        places["data"] = f"data/{shape.game}"
    if start := facts["recipe"].get("start"):
        places["start"] = PurePosixPath(start).name
    if places:
        facts["recipe"] |= places
        files["model.json"] = json_text(facts).encode()
    return Parcel("model", title, folder, files, {".": gpt.identity(loaded)})


def run(folder: Path) -> Parcel:
    for name in ("boardsae.json", "sae_weights.safetensors"):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"{folder} has no {name}: it is not trained, or its weights are not here; boardsae train-sae makes runs"
            )
    spec = spec_in(folder)
    return Parcel("run", title_of(spec), folder, gathered("run", folder, folder), {".": identity(spec)})


def results(root: Path) -> Parcel:
    """Runs that are trained or failed; one that trains just now is not a result yet."""
    files, holds, specs = {}, {}, []
    for path in sorted(root.rglob("spec.json")):
        if (path.parent / "boardsae.json").exists() or (path.parent / "error.json").exists():
            specs.append(spec_in(path.parent))
            holds[path.parent.relative_to(root).as_posix()] = identity(specs[-1])
            files |= gathered("results", path.parent, root)
    for path in sorted([*root.rglob("matching.csv"), *root.rglob("controls/scores.json")]):
        files[path.relative_to(root).as_posix()] = path
    if not holds:
        raise ValueError(f"no run below {root} is trained; the command that began them goes on with it")
    tasks = sorted({Path(spec["task"]).name for spec in specs})
    title = f"{len(holds)} {'run' if len(holds) == 1 else 'runs'} on {', '.join(tasks)}"
    return Parcel("results", title, root, files, holds)


def gathered(kind: str, folder: Path, root: Path) -> dict[str, Path | bytes]:
    """The files of the folder that belong to it, by their place below the root."""
    found = [folder / name for name in BELONGS[kind] if (folder / name).is_file()]
    names = {path.relative_to(root).as_posix(): path for path in found}
    for name in names:
        check_name(kind, name)
    return {**names}


def spec_in(folder: Path) -> dict[str, Any]:
    """What was asked of a run, as far as it takes to name it."""
    spec = read_json(folder / "spec.json")
    if not isinstance(spec.get("task"), str) or not isinstance(spec.get("variant"), str):
        raise Broken(f"{folder / 'spec.json'} is no spec of boardsae: it names no task or no variant")
    return spec


def title_of(spec: dict[str, Any]) -> str:
    seed = f", seed {spec['seed']}" if "seed" in spec else ""
    return f"{spec['variant']} on {Path(spec['task']).name}{seed}"


def identity(spec: dict[str, Any]) -> str:
    """The same for runs of one spec on one model and one set of games, whoever trained them and when."""
    asked = {name: value for name, value in spec.items() if name != "made_with"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def checked(held: dict[str, Any], source: str) -> dict[str, Any]:
    """A manifest that somebody else wrote, if every name, hash and size in it can be."""
    if held.get("schema") != SCHEMA:
        raise Broken(f"{source} is of schema {held.get('schema')!r}, expected {SCHEMA}; update boardsae")
    kind, files, holds = held.get("kind"), held.get("files"), held.get("holds")
    if kind not in BELONGS or not isinstance(files, dict) or not files or not isinstance(holds, dict):
        raise Broken(f"{source} is no manifest: expected kind {', '.join(BELONGS)}, holds and files")
    for name, facts in files.items():
        check_name(kind, name)
        size, digest = (facts.get("size"), facts.get("sha256")) if isinstance(facts, dict) else (None, None)
        if type(size) is not int or not 0 <= size <= LARGEST:
            raise Broken(f"{source}: expected {name} of at most {LARGEST:,} bytes, got {size!r}")
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise Broken(f"{source}: expected the SHA-256 of {name}, got {digest!r}")
    if (total := sum(facts["size"] for facts in files.values())) > ALTOGETHER:
        raise Broken(f"{source}: expected at most {ALTOGETHER:,} bytes altogether, got {total:,}")
    return held


def check_name(kind: str, name: str) -> None:
    """Refuses whatever a folder of the kind does not have: pickles, code, hidden files, ways out of the folder."""
    path = PurePosixPath(name)
    if leads_elsewhere(name) or not name.isprintable() or any(part.startswith(".") for part in path.parts):
        raise Broken(f"{name!r} is no path inside of a folder of boardsae; nothing of it was taken")
    if path.name not in BELONGS[kind] or (kind != "results" and len(path.parts) > 1):
        raise Broken(
            f"{name!r} is no file of a {kind} of boardsae, which has {', '.join(BELONGS[kind])}; nothing was taken"
        )


def leads_elsewhere(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or path.as_posix() != name


def check_content(folder: Path, kind: str) -> None:
    """A model's games are made where its files say; that must be a place below the one where it is used."""
    if kind == "model" and leads_elsewhere(place := place_of_games(folder)):
        raise Broken(f"{folder / 'model.json'} keeps its games in {place!r}; expected a relative path")


def place_of_games(folder: Path) -> str:
    recipe = read_json(folder / "model.json").get("recipe")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("data"), str):
        raise Broken(
            f"{folder / 'model.json'} does not say what games it was trained on: it lacks recipe.data"
        )
    return recipe["data"]
