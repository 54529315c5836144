"""Models and runs from the Hugging Face Hub: at a pinned revision, held to their manifest, whole or not at all.

What has been loaded lies in `<folder>.partial` until all of it is there and verified, and the same command goes on with
it. The finished folder tells in its manifest which commit it is.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boardsae import Broken, parcel
from boardsae.files import read_json, sha256, write_json
from boardsae.hub import MAIN, client, in_one_line, listed, manifest_of
from boardsae.parcel import MANIFEST
from boardsae.progress import progress, say

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

AT_ONCE = 8  # downloads: most files of a folder of results are small


def fetch(
    repository: str, revision: str | None = None, folder: Path | None = None, force: bool = False
) -> tuple[Path, str]:
    """Downloads a revision, by default the latest one: where to, and which commit it is."""
    api, out = client(repository), folder or Path("hub") / repository
    with in_one_line(repository, revision or MAIN):
        there = api.model_info(repository, revision=revision, files_metadata=True)
        commit = str(there.sha)
        if is_there(out, repository, commit, force):
            say(f"{out} holds {repository} at {commit} already")
            return out, commit
        manifest = manifest_of(api, repository, there)
        check_listed(repository, there, manifest)
        partial = out.with_name(out.name + ".partial")
        download(api, repository, commit, manifest["files"], partial)
    parcel.check_content(partial, manifest["kind"])
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's notes on what it has downloaded
    write_json(partial / MANIFEST, {"repository": repository, "revision": commit, **manifest})
    put_in_place(partial, out)
    return out, commit


def is_there(out: Path, repository: str, commit: str, force: bool) -> bool:
    """Whether the folder is this very revision; another folder is replaced by force alone, if a fetch made it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    fetched = read_json(out / MANIFEST) if (out / MANIFEST).is_file() else {}
    if (fetched.get("repository"), fetched.get("revision")) == (repository, commit) and not force:
        return True
    if "revision" not in fetched:
        raise FileExistsError(f"{out} holds something that no fetch put there; choose another --out")
    if not force:
        held = f"{fetched.get('repository')} at {fetched['revision']}"
        raise FileExistsError(f"{out} holds {held}; choose another --out, or --force replaces it")
    return False


def check_listed(repository: str, there: "ModelInfo", manifest: dict[str, Any]) -> None:
    """Whether the repository has the files of the manifest, as large as it says, before any of them is fetched."""
    files = listed(there)
    for name, facts in manifest["files"].items():
        size = files[name].size if name in files else None
        if size != facts["size"]:
            raise Broken(
                f"{MANIFEST} of {repository} says that {name} has {facts['size']:,} bytes, and the Hub says"
                f" {'that there is none' if size is None else f'{size:,}'}; another --revision may be whole"
            )


def download(api: "HfApi", repository: str, commit: str, files: dict[str, Any], partial: Path) -> None:
    """Every file that is not there yet, each verified; what does not belong to them is taken away."""
    from huggingface_hub.utils import disable_progress_bars

    def take(name: str) -> int:
        path = Path(api.hf_hub_download(repository, name, revision=commit, local_dir=partial))
        if (found := sha256(path)) != (expected := files[name]["sha256"]):
            path.unlink()
            raise Broken(
                f"{name} of {repository} is not what was pushed: expected SHA-256 {expected}, got {found};"
                " another --revision may be whole"
            )
        return files[name]["size"]

    disable_progress_bars()  # a bar for each file would be hundreds
    for path in (path for path in sorted(partial.rglob("*")) if path.is_file()):
        name = path.relative_to(partial).as_posix()
        belongs = name in files and sha256(path) == files[name]["sha256"]
        if not belongs and not name.startswith(".cache/"):
            path.unlink()
    waiting = [name for name in files if not (partial / name).is_file()]
    total, left = (sum(files[name]["size"] for name in names) for names in (files, waiting))
    bar = progress("fetching", total, "bytes", done=total - left)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for size in pool.map(take, waiting):
            bar.update(size)
    bar.close()


def put_in_place(partial: Path, out: Path) -> None:
    """A folder that stands there already is gone only when the new one has its name."""
    old = out.with_name(out.name + ".replaced")
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)  # of an earlier call, killed while it took that away
        out.replace(old)
    partial.replace(out)
    shutil.rmtree(old, ignore_errors=True)
