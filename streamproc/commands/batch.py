"""What ``run``, ``resume`` and ``check`` do with a batch: a line, and a table."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, StreamprocError, one_line
from .common import ERROR, INCOMPLETE, INTERRUPTED, OK, REFUSED, Stopped, note

if TYPE_CHECKING:
    from ..config import Pipeline
    from ..multirun.batch import Batch, BatchReport
    from ..multirun.index import ImageRow
    from ..report import Report
    from ..session import Run
    from ..signals import Signals


def run_batch(
    pipeline: "Pipeline", place: Path, *, frames: int | None, resume: bool
) -> int:
    """Start a batch, or go on with the one in its folder; return the exit code."""
    from ..multirun.batch import resume_batch, start_batch
    from ..signals import Signals

    with Signals() as signals:
        if resume and place.exists():
            if frames is not None:
                raise ConfigError(
                    "--frames belongs to the begin of a batch; leave it out"
                )
            batch = resume_batch(place, expected=pipeline)
        else:
            batch = start_batch(pipeline, place, frames=frames)
        return follow_batch(batch, signals)


def follow_batch(batch: "Batch", signals: "Signals") -> int:
    """Run a batch to its end, show it, and return the exit code.

    Raises
    ------
    Stopped
        It was interrupted, or stopped by an error.
    """
    from .watch import Watch

    path = batch.folder.path
    note(f"{len(batch.images)} images, one run each; results in {path}")
    with batch, Watch(len(batch.images), "images", signals) as watch:

        def wait(run: "Run") -> "Report":
            now = f"{run.path.name}  failed {batch.failed}"
            return watch.wait(run, batch.settled, now)

        try:
            report = batch.run(wait)
        except (Exception, KeyboardInterrupt) as error:
            if not path.exists():
                raise Stopped(REFUSED, one_line(error)) from error
            done = sum(row.state == "finished" for row in batch.images)
            text = (
                f"{done} of {len(batch.images)} images are finished in {path}; "
                f"go on with: streamproc resume {path}"
            )
            if isinstance(error, KeyboardInterrupt):
                raise Stopped(INTERRUPTED, f"interrupted: {text}") from error
            raise Stopped(ERROR, f"{one_line(error)}; {text}") from error
    return show_batch(report)


def show_batch(report: "BatchReport") -> int:
    """Print the table of a batch and the failures; return the exit code."""
    from rich.console import Console

    from ..progress import show_rows

    show_table(
        ["image", "frames", "objects", "fps", "state"],
        [
            [
                row.image,
                f"{row.frames:,}",
                "-" if row.objects is None else f"{row.objects:,}",
                _speed(report.path, row),
                row.state,
            ]
            for row in report.images
        ],
    )
    objects = sum(row.objects or 0 for row in report.images)
    finished = sum(row.state == "finished" for row in report.images)
    Console().print()
    show_rows(
        [
            ("images", f"{finished:,} of {len(report.images):,} finished"),
            ("objects", f"{objects:,}"),
            ("results", str(report.path)),
            ("tables", str(report.path / "index.sqlite")),
        ]
    )
    for row in report.failed:
        note(f"error: {row.image}: {row.error}")
    return INCOMPLETE if report.failed else OK


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns: the first one to the left, numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(head):
        text = not number or name in ("state", "error")
        justify = "left" if text else "right"
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # a literal
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    # into a file or a pipe nothing is cut
    width = console.width if console.is_terminal else console.measure(table).maximum
    console.print(table, width=max(width, 1), crop=False)


def _speed(batch: Path, row: "ImageRow") -> str:
    from ..folder import status

    if row.run is None:
        return "-"
    try:
        return f"{status(batch / row.run)['fps']:.1f}"
    except (StreamprocError, OSError, sqlite3.Error):
        return "-"
