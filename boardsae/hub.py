"""Models, runs and results on the Hugging Face Hub: pushed as one commit, fetched at a pinned one, hashes proved.

A pushed repository holds the files of a model folder, of a run, or of all runs below a folder, a model card, and
`boardsae-hub.json`:

    {"kind": "model" | "run" | "results", "of": what it is, "files": {path: {"sha256", "size"}}, "boardsae": version}

Weights are safetensors, and nothing that is fetched is unpickled or run.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from boardsae import Broken, __version__, model_card
from boardsae.files import read_json, sha256, write_json
from boardsae.progress import progress, say
from boardsae.runs import runs
from boardsae.weights import check_header

MARKER = "boardsae-hub.json"
CARD = "README.md"
FILES = {
    "model": ("model.json", "model.safetensors", "gate.json", "gate.png", "log.csv", "curves.png"),
    "run": (
        *("spec.json", "boardsae.json", "cfg.json", "sae_weights.safetensors", "log.csv"),
        *("scores.json", "counts.npz", "error.json"),
    ),
}
BESIDE_RUNS = ("controls/scores.json", "matching.csv")  # of a folder of runs
ENDINGS = {".json", ".csv", ".png", ".safetensors", ".npz"}
MOST_FILES, MOST_BYTES = 100_000, 200 * 2**30  # of a repository that is fetched
NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


class Pushed(NamedTuple):
    repository: str
    commit: str


def push(
    target: Path, repository: str, branch: str = "main", private: bool = False, force: bool = False
) -> Pushed:
    """Uploads what belongs to the target in one commit; what another kind of thing holds is not replaced."""
    kind = kind_of(target)
    files = {path.relative_to(target).as_posix(): path for path in sorted(files_of(target, kind))}
    held = {name: {"sha256": sha256(path), "size": path.stat().st_size} for name, path in files.items()}
    of = model_card.name_of(target, kind)
    marker = {"kind": kind, "of": of, "files": held, "boardsae": __version__}
    with hub(repository) as api, tempfile.TemporaryDirectory() as scratch:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(repository, private=private, exist_ok=True)
        if branch != "main":
            api.create_branch(repository, branch=branch, exist_ok=True)
        there = held_there(api, repository, branch, Path(scratch))
        if not force:
            check_replaces(there, marker, repository)
        write_json(Path(scratch, MARKER), marker)
        Path(scratch, CARD).write_text(model_card.card(target, kind, repository))
        added = {**files, MARKER: Path(scratch, MARKER), CARD: Path(scratch, CARD)}
        gone = (there or {}).get("files", {}).keys() - added.keys()
        operations = [
            *(CommitOperationAdd(name, str(path)) for name, path in added.items()),
            *(CommitOperationDelete(name) for name in sorted(gone)),
        ]
        done = api.create_commit(repository, operations, commit_message=f"{kind} {of}", revision=branch)
    return Pushed(repository, done.oid)


def kind_of(target: Path) -> str:
    if not target.is_dir():
        raise FileNotFoundError(f"no folder {target}; push a model folder, a run, or a folder of runs")
    if (target / "model.json").exists():
        return "model"
    if (target / "spec.json").exists():
        return "run"
    if next(runs(target), None) is not None:
        return "results"
    raise ValueError(f"expected a model folder, a run, or a folder of runs, got {target}")


def files_of(target: Path, kind: str) -> Iterator[Path]:
    """What belongs to it and is there; checkpoints, caches and half-written files do not."""
    if kind != "results":
        yield from (path for name in FILES[kind] if (path := target / name).exists())
        return
    for run in runs(target):
        yield from files_of(run, "run")
    for name in BESIDE_RUNS:
        yield from target.rglob(name)


def held_there(api: Any, repository: str, branch: str, scratch: Path) -> dict[str, Any] | None:
    """The marker of what the repository holds already; None of an empty one."""
    names = {each.rfilename for each in api.repo_info(repository, revision=branch).siblings or []}
    if not names - {".gitattributes", CARD}:
        return None
    if MARKER not in names:
        return {"kind": "something else", "of": "not ours", "files": {}}
    return read_json(
        Path(api.hf_hub_download(repository, MARKER, revision=branch, local_dir=scratch / "there"))
    )


def check_replaces(there: dict[str, Any] | None, marker: dict[str, Any], repository: str) -> None:
    if there is not None and (there["kind"], there["of"]) != (marker["kind"], marker["of"]):
        raise FileExistsError(
            f"{repository} holds {there['kind']} {there['of']}, not {marker['kind']} {marker['of']};"
            " choose another name, or --force replaces it"
        )


def fetch(
    repository: str, revision: str | None, out: Path | None = None, force: bool = False
) -> tuple[Path, str]:
    """Downloads a revision, by default the newest, into a folder that appears whole; answers with it and its commit."""
    with hub(repository) as api:
        commit = api.repo_info(repository, revision=revision).sha
        folder = out or Path("fetched") / repository.split("/")[1]
        if folder.exists() and not force:
            if (folder / MARKER).exists() and read_json(folder / MARKER).get("commit") == commit:
                say(f"{folder} is {commit} of {repository} already")
                return folder, commit
            raise FileExistsError(f"{folder} exists; choose another --out, or --force replaces it")
        if folder.exists() and not (folder / MARKER).exists():
            raise FileExistsError(f"{folder} holds what no fetch made, and stays; choose another --out")
        partial = folder.with_name(f"{folder.name}.{commit[:12]}.partial")
        marker = checked(Path(taken(api, repository, MARKER, commit, partial)), repository)
        bar = progress("fetching", len(marker["files"]), "files")
        for name, facts in marker["files"].items():
            if not is_whole(partial / name, facts):
                (partial / name).unlink(missing_ok=True)
                prove(Path(taken(api, repository, name, commit, partial)), facts)
            bar.update(1)
        bar.close()
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    if marker["kind"] == "model":
        check_stays(partial / "model.json")
    write_json(partial / MARKER, marker | {"repository": repository, "commit": commit})
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)
    return folder, commit


def taken(api: Any, repository: str, name: str, commit: str, folder: Path) -> str:
    from huggingface_hub import errors

    try:
        return api.hf_hub_download(repository, name, revision=commit, local_dir=folder)
    except errors.LocalEntryNotFoundError:  # which is how it says that it cannot connect
        raise
    except errors.EntryNotFoundError:
        why = "was not pushed by boardsae, or not whole"
        raise ValueError(f"{repository} {why}: it has no {name}") from None


def checked(path: Path, repository: str) -> dict[str, Any]:
    """The marker, if all that it names can be fetched without danger."""
    marker = read_json(path)
    files = marker.get("files")
    if marker.get("kind") not in (*FILES, "results") or not isinstance(files, dict):
        raise Broken(f"{MARKER} of {repository} names no model, run or results")
    for name in files:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name or place.suffix not in ENDINGS:
            raise Broken(
                f"{repository} holds {name!r}; only {', '.join(sorted(ENDINGS))} files below it are fetched"
            )
    size = sum(int(facts["size"]) for facts in files.values())
    if len(files) > MOST_FILES or size > MOST_BYTES:
        raise Broken(f"{repository} holds {len(files):,} files of {size:,} bytes, more than can be meant")
    return marker


def check_stays(model: Path) -> None:
    """Games that a task lacks are made where its model says; a model of others may say so below this folder alone."""
    place = PurePosixPath(str(read_json(model).get("recipe", {}).get("data", "")))
    if place.is_absolute() or ".." in place.parts:
        raise Broken(f"expected a folder below this one for the games of a fetched model, got {place}")


def is_whole(path: Path, facts: dict[str, Any]) -> bool:
    return path.exists() and path.stat().st_size == facts["size"] and sha256(path) == facts["sha256"]


def prove(path: Path, facts: dict[str, Any]) -> None:
    if not is_whole(path, facts):
        path.unlink()
        raise Broken(
            f"expected {path.name} to have SHA-256 {facts['sha256']}, as its marker says, and it has another"
        )
    if path.suffix == ".safetensors":
        check_header(path)


@contextmanager
def hub(repository: str) -> Iterator[Any]:
    """The hub, whose errors are one line each."""
    if not NAME.fullmatch(repository):
        raise ValueError(f"expected OWNER/NAME of a repository, got {repository!r}")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        from huggingface_hub import HfApi, errors
    except ImportError:
        raise ValueError("the hub needs an extra: pip install 'boardsae[hub]'") from None
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    login = "log in with `hf auth login` or set HF_TOKEN"
    try:
        yield api
    except errors.RepositoryNotFoundError:
        raise ValueError(f"no repository {repository} on {api.endpoint}, or a private one: {login}") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{repository} has no such revision; leave --revision out for the newest") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise ValueError(f"{api.endpoint} does not let you do that to {repository}: {login}") from None
        raise OSError(f"{api.endpoint} answers {status}: {first_line(error)}") from None
    except errors.LocalEntryNotFoundError:
        raise OSError(f"no connection to {api.endpoint}; is there a network?") from None
    except Exception as error:
        if not {"TransportError", "ConnectionError"} & {kind.__name__ for kind in type(error).__mro__}:
            raise  # those of httpx and of requests, whichever the client stands on
        raise OSError(f"no connection to {api.endpoint}: {first_line(error)}; is there a network?") from None


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
