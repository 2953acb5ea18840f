"""What commands share: exit codes, options, and the lines they say."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..config import Pipeline

OK, ERROR, REFUSED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

To = Annotated[
    Path | None,
    typer.Option("--to", help="Run folder (default: runs/<UTC time>-<name>)."),
]
Frames = Annotated[int | None, typer.Option(help="Stop after so many frames.")]
ExecutorOption = Annotated[
    str | None,
    typer.Option(help="inline, threads, or YAML: '{threads: {workers: 2}}'."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A pipeline in YAML.")
]
SourceOption = Annotated[
    str | None,
    typer.Option(help="In place of the file's: a path, a glob, or YAML text."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Such as graph.smooth.gaussian.sigma=3."
    ),
]
Port = Annotated[
    int,
    typer.Option(
        min=0, max=65535, help="Of the page; default: the first free from 5006."
    ),
]
Address = Annotated[
    str, typer.Option(help="Of the page; any other than this needs --token-file.")
]
#: Who is on another machine does not reach it.
LOCAL = "127.0.0.1"
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Tokens of viewers and operators; made if it does not exist.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Stopped(Exception):  # noqa: N818  # it ends a command, it is not always an error
    """A command that ended early: its exit code and the line that says why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def note(text: str) -> None:
    """Say a line beside the output proper."""
    print(f"streamproc: {text}", file=sys.stderr)


def size(shape: tuple[int, ...]) -> str:
    """Return a shape in words: ``3 x 512 x 512``."""
    return " x ".join(map(str, shape))


def read_given(file: Path, source: str | None) -> dict[str, Any]:
    """Return what a file says, with the command line's source in place of its own."""
    from ..config import read_yaml
    from ..inspection import source_argument

    given = read_yaml(file)
    if source is not None:
        given["source"] = source_argument(source)
    return given


def read_pipeline(
    file: Path,
    source: str | None = None,
    executor: str | None = None,
    settings: Sequence[str] | None = None,
) -> "Pipeline":
    """Return the file's pipeline, with what the command line says in its place."""
    from ..config import override, parse

    given = read_given(file, source)
    if executor is not None:
        given["executor"] = read_executor(executor)
    for setting in settings or ():
        override(given, setting)
    return parse(given, str(file))


def read_executor(text: str | None) -> str | dict[str, Any]:
    """Return the executor that ``--executor`` asks for."""
    from ..inspection import source_argument

    return "threads" if text is None else source_argument(text)
