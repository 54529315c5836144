"""The command line itself: its options, and what happens to errors."""

import errno
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer

from boardsae import Broken, __version__
from boardsae.memory import keep_freed
from boardsae.progress import say

app = typer.Typer(
    help="Did your sparse autoencoder find the board? Transcripts of exact board games, with the truth about them.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would triple the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

# The UsageError of the click that this typer brings.
Misused = cast(type[Exception], typer.BadParameter.__bases__[0])


def version(asked: bool) -> None:
    if asked:
        print(f"boardsae {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print it.")
    ] = False,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(help="A Python file that registers variants, metrics or games; repeat for more."),
    ] = None,
) -> None:
    from boardsae import plugins

    plugins.installed_games()
    plugins.add(plugin or [])


def main() -> None:
    """Runs the command line; what a user can cause is one line and an exit code, never a traceback.

    A fault in somebody's own variant keeps its traceback, which says where it is; `check` tells it in a line.
    """
    keep_freed()
    # Threads that wait for work spin by default: where others want the cores too, scores took six times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = app(standalone_mode=False)
    except Misused as error:
        misused(error)
    except Broken as fault:
        fail(str(fault), 3)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        fail(text, 1 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else 2)
    except ValueError as error:
        fail(str(error), 2)
    except FloatingPointError as error:
        fail(str(error), 1)
    except (MemoryError, RuntimeError) as error:
        lacking = any(words in str(error) for words in ("out of memory", "allocate memory"))
        if not (lacking or isinstance(error, MemoryError)):
            raise
        fail("out of memory; a smaller --batch, --size or --d-sae, or fewer SAEs at once, needs less", 1)
    else:
        raise SystemExit(code or 0)


def misused(error: Any) -> NoReturn:
    """A command or an option that there is not, or a value of another kind, in one line; help for who gave nothing."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        raise SystemExit(error.exit_code)
    options = getattr(getattr(error, "param", None), "opts", ())
    came = [f", got {value!r}" for word, value in pairwise(sys.argv) if word in options]
    command = f"boardsae {error.ctx.info_name}" if error.ctx and error.ctx.parent else "boardsae"
    fail(f"{error.format_message().rstrip('.')}{''.join(came[:1])}; see {command} --help", error.exit_code)


def fail(text: str, code: int) -> NoReturn:
    say(f"error: {text}")
    raise SystemExit(code)
