"""What commands share: exit codes, options, and the lines they say."""

import sys
from pathlib import Path
from typing import Annotated

import typer

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
