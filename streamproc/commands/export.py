"""``streamproc export``: a run's results in other programs' formats."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .common import OK, REFUSED, RunArgument, Stopped, note


class Format(StrEnum):
    """The formats, as the command line completes them."""

    parquet = "parquet"
    csv = "csv"
    ome_tiff = "ome-tiff"
    overlay = "overlay"


Names = list[str] | None


def export(
    path: RunArgument,
    form: Annotated[
        Format,
        typer.Argument(
            metavar="FORMAT",
            help="Tables: parquet, csv. Images and labels: ome-tiff. "
            "Pictures with outlines: overlay.",
        ),
    ],
    to: Annotated[
        Path,
        typer.Option(
            "--to", help="A file (.mp4 or .png for overlay), or a folder for several."
        ),
    ],
    tables: Annotated[
        Names, typer.Option(help="A table, or frames; again for more (default: all).")
    ] = None,
    images: Annotated[
        Names,
        typer.Option(help="An image; again for more (default: all, or the source)."),
    ] = None,
    labels: Annotated[
        Names,
        typer.Option(help="A label image; again for more (default: all, or the last)."),
    ] = None,
    frames: Annotated[
        str, typer.Option(metavar="A:B", help="From frame A to before B, or A alone.")
    ] = ":",
    fps: Annotated[
        float | None,
        typer.Option(min=0.1, max=240, help="Of a video (default: the run's)."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there.")
    ] = False,
) -> int:
    """Write tables, images or pictures of a run for other programs."""
    from ..export import export as write

    done = write(
        path,
        form.value,
        to,
        tables=tables or (),
        images=images or (),
        labels=labels or (),
        frames=_span(frames),
        fps=fps,
        overwrite=overwrite,
    )
    for text in done.notes:
        note(text)
    shown = done.files if len(done.files) <= 20 else done.files[:1]
    for file in shown:
        print(file)
    if len(shown) < len(done.files):
        print(f"… and {len(done.files) - 1:,} more in {to}")
    return OK


def _span(text: str) -> slice:
    """Return ``A:B``, ``A:``, ``:B`` or ``A`` as a slice."""
    found = re.fullmatch(r"\s*(\d*)\s*(:?)\s*(\d*)\s*", text)
    start, stop = (int(found[1] or 0), int(found[3] or 0)) if found else (0, 0)
    if not found or not text.strip() or (found[3] and stop <= start):
        raise Stopped(
            REFUSED, f"--frames {text!r}: write it as 10:20 (20 is left out), or 10"
        )
    if not found[2]:
        return slice(start, start + 1)
    return slice(start, stop if found[3] else None)
