"""``streamproc info``: what a source is, or what a run has."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, StreamprocError, one_line
from .common import OK, AsJson, note, size

if TYPE_CHECKING:
    from rich.console import Console

    from ..inspection import Told, View


def info(
    what: Annotated[
        str,
        typer.Argument(metavar="SOURCE|RUN", help="A path, glob, YAML text, or run."),
    ],
    as_json: AsJson = False,
    png: Annotated[
        Path | None, typer.Option(help="Draw a frame here; a run's with its objects.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option(help="The frame to draw; default: the first.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Of a run: the label image to outline; default: the last."),
    ] = None,
) -> int:
    """Tell what a source is, or what a run has; draw a frame of it."""
    from .. import inspection
    from ..view import terminal

    on = None if as_json else terminal.console()
    if inspection.is_run(what):
        told = inspection.tell_run(what)
        view = _viewed(
            lambda: inspection.view_run(what, frame, labels), png, on, frame, labels
        )
    else:
        if labels is not None:
            raise ConfigError("--labels belongs to a run; a source has no label images")
        opened = inspection.read_source(what)
        try:
            told = inspection.tell_source(opened.info)
            # a camera is opened for a picture only where one is asked for
            seen = None if told.live and frame is None else on
            view = _viewed(
                lambda: inspection.view_source(opened, frame or 0), png, seen, frame
            )
        finally:
            opened.close()
    if view is not None:
        _show_view(view, png, on)
    if as_json:
        print(inspection.as_json(told))
    else:
        _show_told(told)
    return OK


def _viewed(
    view: Callable[[], "View"], png: Path | None, on: object, *asked: object
) -> "View | None":
    """Return the frame to draw, if any; what nobody asked for is no error."""
    if png is None and on is None:
        return None
    try:
        return view()
    except StreamprocError as error:
        if png is not None or any(value is not None for value in asked):
            raise
        note(f"nothing is drawn: {one_line(error)}")
        return None


def _show_view(view: "View", png: Path | None, on: "Console | None") -> None:
    """Draw a frame where it was asked for, and in the terminal."""
    from ..view import picture, terminal

    drawn = picture.draw(
        view.image, view.axes, labels=view.labels, pixel_size_um=view.pixel_size_um
    )
    said = ", ".join(picture.axes_said(view.image, view.axes))
    shown = f"frame {view.frame}" + (f" ({said})" if said else "")
    if png is not None:
        picture.write(png, drawn)
        note(f"drew {shown} in {png}")
    if on is not None:
        terminal.show(drawn, on)
        on.print(shown, style="dim", markup=False)


def _show_told(told: "Told") -> None:
    from ..progress import show_rows

    sizes = " x ".join(f"{size:g}" for size in told.pixel_size_um.values())
    frames = "unknown" if told.frames is None else f"{told.frames:,}"
    rows = [
        ("frames", frames + (" (live)" if told.live else "")),
        ("shape", f"{size(told.shape)} ({told.axes})"),
        ("dtype", told.dtype),
        (
            "pixel",
            f"{sizes} um ({', '.join(told.pixel_size_um)})" if sizes else "unknown",
        ),
        ("fps", f"{told.fps:g}" if told.fps else "unknown"),
        *([("channels", ", ".join(told.channels))] if told.channels else []),
    ]
    for key, value in told.metadata.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        rows.append((key, text if len(text) <= 200 else text[:197] + "..."))
    show_rows(rows)
