"""The Hugging Face Hub as its own client reaches it: what a repository holds, and what goes wrong in one line."""

import re
import sys
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
    from huggingface_hub.errors import HfHubHTTPError

MAIN = "main"


def client(repository: str) -> "HfApi":
    """The Hub's own client, for a repository whose name can be one."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", repository, re.ASCII) or re.search(
        r"--|\.\.|\.git$", repository
    ):
        raise ValueError(f"expected a repository such as OWNER/NAME, got {repository!r}")
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils import disable_progress_bars
    except ImportError:
        raise ValueError("the Hugging Face Hub needs its client: pip install 'boardsae[hub]'") from None
    if not sys.stderr.isatty():  # a log has no use for them
        disable_progress_bars()
    return HfApi(library_name="boardsae", library_version=__version__)


@contextmanager
def in_one_line(repository: str, revision: str) -> Iterator[None]:
    """What the network, the Hub or its client object to, as one line that says what to do."""
    from huggingface_hub import constants, errors

    http: Any = errors.HfHubHTTPError.__bases__[0]  # of whichever HTTP library the client is built on
    unreachable = (http, ConnectionError, errors.LocalEntryNotFoundError, errors.LocalTokenNotFoundError)
    try:
        yield
    except errors.HfHubHTTPError as error:
        raise answered(error, repository, revision) from None
    except (*unreachable, RuntimeError) as error:  # the latter from transfers in compiled code
        raise ConnectionError(
            f"no connection to {constants.ENDPOINT}: {first_line(error.__cause__ or error)};"
            " the same command goes on from here"
        ) from None


def answered(error: "HfHubHTTPError", repository: str, revision: str) -> OSError:
    """What an answer of the Hub means to whoever asked."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    log_in = "hf auth login, or set HF_TOKEN"
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(f"{repository} has no revision {revision!r}")
    if not isinstance(error, EntryNotFoundError):
        match error.response.status_code:
            case 401:
                return PermissionError(f"{repository} needs a token, if there is one of that name: {log_in}")
            case 403:
                return PermissionError(f"this token may not write to {repository}: {log_in} to one that may")
            case 404:
                return FileNotFoundError(f"no repository {repository}; a private one needs a token: {log_in}")
            case 412:
                return FileExistsError(f"{repository} has changed meanwhile; push again")
    return ConnectionError(f"the Hub refused: {first_line(error)}")


def first_line(error: BaseException) -> str:
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
