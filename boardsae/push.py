"""Models and runs to the Hugging Face Hub, with a card: one commit on top of the one that was looked at."""

from pathlib import Path
from typing import TYPE_CHECKING

from boardsae import model_card, parcel
from boardsae.files import json_text
from boardsae.hub import MAIN, client, in_one_line, listed, manifest_of
from boardsae.parcel import MANIFEST, Parcel

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

CARD = "README.md"
HUBS_OWN = ".gitattributes"  # in every repository from its first commit


def push(
    folder: Path, repository: str, branch: str = MAIN, private: bool = False, force: bool = False
) -> str:
    """Uploads what belongs to the folder, and says as which commit."""
    api, sent = client(repository), parcel.pack(folder)
    card = model_card.card(sent, repository).encode()
    manifest = sent.manifest() | {"card": parcel.blob_id(card)}
    contents = sent.files | {CARD: card, MANIFEST: json_text(manifest).encode()}
    with in_one_line(repository, branch):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api.create_repo(repository, private=private or None, exist_ok=True)
        there, empty = looked_at(api, repository, branch)
        if private and not there.private:
            raise ValueError(f"{repository} is public; make it private on the Hub, or leave --private away")
        gone = set(listed(there)) - {HUBS_OWN}
        if not (empty or force):
            gone &= replaceable(api, repository, there, sent)
        added = [CommitOperationAdd(name, content) for name, content in contents.items()]
        deleted = [CommitOperationDelete(name, is_folder=False) for name in sorted(gone - contents.keys())]
        done = api.create_commit(
            repository,
            [*added, *deleted],
            commit_message=f"{sent.kind}: {sent.title}",
            revision=branch,
            parent_commit=there.sha,
        )
    return done.oid


def looked_at(api: "HfApi", repository: str, branch: str) -> tuple["ModelInfo", bool]:
    """What the branch holds, and whether it was made just now: then its files are another's, and nothing is lost."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return api.model_info(repository, revision=branch, files_metadata=True), False
    except RevisionNotFoundError:
        api.create_branch(repository, branch=branch)
        return api.model_info(repository, revision=branch, files_metadata=True), True


def replaceable(api: "HfApi", repository: str, there: "ModelInfo", sent: Parcel) -> set[str]:
    """Files that an earlier push of the same left there; refuses to replace anything else."""
    files, way_out = listed(there), "choose another name or --revision, or --force replaces all that is there"
    names = sorted(files.keys() - {HUBS_OWN})
    if not names:
        return set()
    if MANIFEST not in files:
        raise FileExistsError(f"{repository} holds {names[0]}, which boardsae did not push; {way_out}")
    held = manifest_of(api, repository, there)
    if held["kind"] != sent.kind or not held["holds"].items() <= sent.holds.items():
        what = f"the {held['kind']} {held.get('title')!r}"
        raise FileExistsError(
            f"{repository} holds {what}, of which {sent.folder} lacks something or has another; {way_out}"
        )
    if CARD in files and files[CARD].blob_id != held.get("card"):
        raise FileExistsError(f"{CARD} of {repository} was edited since it was pushed; {way_out}")
    return {CARD, MANIFEST, *held["files"]}
