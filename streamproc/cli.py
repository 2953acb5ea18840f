"""The command line: parse, build, call the library, say what happened."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .commands.check import check
from .commands.common import ERROR, INTERRUPTED, REFUSED, Stopped
from .commands.compare import compare
from .commands.control import control
from .commands.dashboard import dashboard
from .commands.doctor import doctor
from .commands.export import export
from .commands.info import info
from .commands.list import list_
from .commands.preview import preview
from .commands.replay import replay
from .commands.run import demo, resume, run
from .commands.schema import schema
from .commands.send import send
from .commands.status import status
from .commands.sweep import sweep
from .commands.verify import verify
from .errors import ConfigError, StreamprocError, nearest, one_line

_VERBOSE = ("-v", "--verbose")


class _Commands(TyperGroup):
    """A group that names the nearest command for one it does not know."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # typer's own types
        """Find the command, or refuse in one line."""
        name = args[0]
        if ctx.resilient_parsing:  # a shell asks how a line may go on
            return super().resolve_command(ctx, args)
        if name not in self.commands:
            raise ConfigError(f"no command {name!r}{nearest(name, self.commands)}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Streaming image processing: frames in; labels, measurements and images out.",
    epilog="Begin with: streamproc demo",
)


def dispatch(arguments: list[str]) -> int:
    """Run one command; say in one line why it was refused or stopped.

    Returns
    -------
    int
        0 all frames done; 1 stopped by an error, resumable; 2 refused before the
        first frame; 3 ended with failed or skipped frames; 130 interrupted.
    """
    verbose = any(flag in arguments for flag in _VERBOSE)
    arguments = [a for a in arguments if a not in _VERBOSE]
    _find_user_modules()
    try:
        code = app(
            arguments or ["--help"], prog_name="streamproc", standalone_mode=False
        )
        with contextlib.suppress(AttributeError, OSError):
            # a reader that has gone changes nothing of what is done
            sys.stdout.flush()
        return int(code or 0) if arguments else REFUSED
    except Stopped as stopped:
        return _say(stopped.message, stopped.code, stopped.__cause__, verbose)
    except StreamprocError as error:
        return _say(one_line(error), REFUSED, error, verbose)
    except KeyboardInterrupt as error:
        return _say("interrupted", INTERRUPTED, error, verbose)
    except BrokenPipeError:
        # the reader of our output has gone; nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except Exception as error:
        # the last resort: a usage error of typer, or a bug
        usage = _usage(error)
        if usage is not None:
            return _say(usage, REFUSED, error, verbose)
        text = f"{one_line(error)}; this is a bug, rerun with -v to see where"
        return _say(text, ERROR, error, verbose)


def _find_user_modules() -> None:
    """Let functions of the current folder be imported, as ``python -m`` does."""
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _usage(error: Exception) -> str | None:
    """Return typer's usage error as one line; None for any other error."""
    if not hasattr(error, "format_message"):
        return None
    text = " ".join(str(error.format_message()).split()).rstrip(".")
    option = getattr(error, "option_name", None)
    if option and text.startswith("No such option"):
        close = getattr(error, "possibilities", None)
        return f"no option {option!r}{nearest(option, close) if close else ''}"
    return text[:1].lower() + text[1:] if text else "usage: streamproc --help"


def _say(message: str, code: int, error: BaseException | None, verbose: bool) -> int:
    if verbose and error is not None:
        traceback.print_exception(error)
    word = "" if code == INTERRUPTED else "error: "
    print(f"streamproc: {word}{message}", file=sys.stderr)
    return code


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Add the traceback to an error.")
    ] = False,
) -> None:
    """Streaming image processing: frames in; labels, measurements and images out."""
    if version:
        print(f"streamproc {installed_version('streamproc')}")
        raise typer.Exit


#: In the order of ``--help``.
COMMANDS: tuple[Callable[..., int], ...] = (
    demo,
    run,
    resume,
    replay,
    control,
    check,
    status,
    dashboard,
    info,
    list_,
    verify,
    doctor,
    export,
    preview,
    send,
    schema,
    sweep,
    compare,
)
for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)
