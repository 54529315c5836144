"""The Hugging Face Hub as its own client reaches it: what a repository holds, and what goes wrong in one line."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boardsae import Broken, __version__, parcel
from boardsae.files import read_json
from boardsae.parcel import MANIFEST

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

MAIN = "main"


def client(repository: str) -> "HfApi":
    """The Hub's own client, for a repository whose name can be one."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII) or re.search(
        r"--|\.\.|\.git$", repository
    ):
        raise ValueError(f"expected a repository such as OWNER/NAME, got {repository!r}")
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ValueError("the Hugging Face Hub needs its client: pip install 'boardsae[hub]'") from None
    return HfApi(library_name="boardsae", library_version=__version__)


@contextmanager
def in_one_line(repository: str, revision: str) -> Iterator[None]:
    """What the network, the Hub or its client object to, as one line that says what to do."""
    from huggingface_hub import constants, errors

    transport: Any = errors.HfHubHTTPError.__bases__[0]  # whichever HTTP library the client is built on
    try:
        yield
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        log_in = "hf auth login, or set HF_TOKEN to a token"
        if isinstance(error, errors.RevisionNotFoundError):
            raise FileNotFoundError(f"{repository} has no revision {revision!r}") from None
        if status == 401:
            raise PermissionError(
                f"no repository {repository} for whoever is not logged in: {log_in}"
            ) from None
        if status == 403:
            raise PermissionError(
                f"the token may not do this with {repository}: {log_in} that may write"
            ) from None
        if status == 404:
            raise FileNotFoundError(
                f"no repository {repository}; a private one needs a token: {log_in}"
            ) from None
        if status == 412:
            raise FileExistsError(f"{repository} has changed meanwhile; push again") from None
        raise ConnectionError(f"the Hub refused: {first_line(error)}") from None
    except (
        transport,
        ConnectionError,
        errors.LocalEntryNotFoundError,
        errors.LocalTokenNotFoundError,
    ) as error:
        raise ConnectionError(
            f"cannot reach {constants.ENDPOINT}: {first_line(error)}; the same command goes on from here"
        ) from None


def first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def listed(info: "ModelInfo") -> dict[str, Any]:
    """What the Hub knows of each file."""
    return {each.rfilename: each for each in info.siblings or ()}


def manifest_of(api: "HfApi", repository: str, there: "ModelInfo") -> dict[str, Any]:
    """The manifest of what was pushed, if it can be one."""
    entry = listed(there).get(MANIFEST)
    if entry is None:
        raise FileNotFoundError(f"{repository} has no {MANIFEST}: boardsae push did not make it")
    if (entry.size or 0) > parcel.LONGEST:
        raise Broken(
            f"{MANIFEST} of {repository} has {entry.size:,} bytes; expected {parcel.LONGEST:,} at most"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(repository, MANIFEST, revision=there.sha, local_dir=folder)
        return parcel.checked(read_json(Path(path)), f"{MANIFEST} of {repository}")
