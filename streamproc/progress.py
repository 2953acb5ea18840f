"""A run as the terminal shows it: one live line, and a short table at its end."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from .report import Report
from .signals import Signals

if TYPE_CHECKING:
    from .session import Run

#: Seconds between two looks at a run.
_LOOK = 0.1
#: Columns of a terminal that has room for a bar.
_WIDE = 110


def follow(run: "Run", signals: Signals) -> Report:
    """Show a run on stderr, where that is a terminal, until it has ended.

    The first signal drains the run, the second stops it.

    Raises
    ------
    Exception
        What `Run.wait` raises at its end.
    KeyboardInterrupt
        The run was interrupted by a signal, and has ended.
    """
    heard = 0
    with Line(run.total) as line:
        while True:
            if heard < signals.count:
                heard += 1
                run.interrupt()
                line.say("finishing what is admitted; once more stops at once")
            line.show(run)
            try:
                report = run.wait(timeout=_LOOK)
            except TimeoutError:
                if run.is_alive:
                    continue
                raise
            finally:
                line.show(run)
            return report


class Line:
    """The live line: frames, speed and counts; nothing where stderr is no terminal."""

    def __init__(self, total: int | None) -> None:
        self._console = Console(stderr=True)
        bar = [BarColumn(bar_width=20)] if self._console.width >= _WIDE else []
        self._progress = Progress(
            TextColumn("{task.completed:,.0f}/{task.fields[of]} frames"),
            *bar,
            TextColumn("{task.fields[counts]}", style="dim"),
            console=self._console,
            auto_refresh=False,
        )
        self._total = total
        self._task: TaskID | None = None

    def __enter__(self) -> "Line":
        """Begin the line."""
        if self._console.is_terminal:
            self._progress.start()
            of = "?" if self._total is None else f"{self._total:,}"
            self._task = self._progress.add_task(
                "run", total=self._total, of=of, counts=""
            )
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line as it is."""
        if self._task is not None:
            self._progress.stop()

    def show(self, run: "Run") -> None:
        """Show a run's counts of this moment."""
        if self._task is None:
            return
        report = run.report()
        f = report.frames
        counts = (
            f"{report.fps:.0f} fps  {report.objects:,} objects  lost {f.lost}  "
            f"skipped {f.skipped}  failed {f.failed}  pending {f.pending}"
        )
        self.count(f.done + f.failed + f.skipped, counts)

    def count(self, completed: int, counts: str) -> None:
        """Show how many frames are behind us, and what is said of them."""
        if self._task is None:
            return
        self._progress.update(self._task, completed=completed, counts=counts)
        self._progress.refresh()

    def say(self, text: str) -> None:
        """Print a line above, in a terminal."""
        if self._task is not None:
            self._progress.console.print(text, highlight=False)


def show_report(report: Report, more: Iterable[tuple[str, str]] = ()) -> None:
    """Print the end of a run: counts, speed, and where the files are.

    Parameters
    ----------
    report
        Of the run.
    more
        Further lines, each a name and its value.
    """
    f = report.frames
    frames = [f"{f.done:,} done"]
    for name in ("failed", "skipped", "pending", "lost"):
        count = getattr(f, name)
        if count:
            frames.append(f"{count:,} {name}")
    rows = [("frames", ", ".join(frames))]
    if report.objects:
        rows.append(("objects", f"{report.objects:,}"))
    if report.latency_ms["p50"] is not None:
        speed = f"{report.fps:.1f} frames/s in {report.seconds:.1f} s"
        rows += [("speed", speed), ("latency", latency_text(report.latency_ms))]
    rows += [
        *more,
        *places(report.path, report.saved),
        *(("note", note) for note in report.notes),
    ]
    show_rows(rows)


def latency_text(latency: dict[str, float | None]) -> str:
    """Return p50 and p99 in words."""
    if latency["p50"] is None or latency["p99"] is None:
        return "-"
    return f"{latency['p50']:.0f} ms (p50), {latency['p99']:.0f} ms (p99)"


def places(path: Path, saved: Sequence[str]) -> list[tuple[str, str]]:
    """Return where the parts of a run lie."""
    rows = [("results", str(path))]
    if saved:
        rows.append(("saved", ", ".join(saved)))
        rows.append(("images", str(path / "images.ome.zarr")))
    rows.append(("tables", str(path / "run.sqlite")))
    return rows


def show_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns, never wrapped."""
    console = Console(highlight=False, soft_wrap=True)
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console.print(f"[bold]{name:<{width}}[/bold]  ", end="")
        console.print(value, markup=False)


def show_next(commands: Iterable[tuple[str, str]]) -> None:
    """Print commands to try, and what each is for."""
    console = Console(highlight=False, soft_wrap=True)
    console.print("\n[bold]next[/bold]")
    for command, purpose in commands:
        console.print(f"  {command}", markup=False, style="cyan", end="")
        console.print(f"   # {purpose}", markup=False, style="dim")


def next_commands(
    path: Path, *, table: str | None, picture: bool, source: bool = True
) -> list[tuple[str, str]]:
    """Return the commands that look at a run's results.

    Parameters
    ----------
    path
        The run folder.
    table
        A saved table, if there is one.
    picture
        Whether there is an image to show.
    source
        Whether the source is saved; else a viewer shows black behind the labels.
    """
    run = shlex.quote(str(path))
    commands = [(f"streamproc status {run}", "counts, speed, state")]
    if picture:
        commands.append(
            (f"streamproc info {run} --png first.png", "the first frame, outlined")
        )
    if table is not None:
        sql = f'SELECT * FROM "{table}" LIMIT 5'
        commands.append(
            (f"sqlite3 -box {run}/run.sqlite {shlex.quote(sql)}", "the table, by SQL")
        )
        code = f"import streamproc as sp; print(sp.load('{path}').tables['{table}'])"
        commands.append((f'python -c "{code}"', "the table, as a DataFrame"))
    if picture:
        commands.append(
            (
                f"napari --plugin napari-ome-zarr {run}/images.ome.zarr/source",
                "images and labels"
                if source
                else "labels, by their eye symbol (the source is not saved)",
            )
        )
    return [*commands, (f"streamproc verify {run}", "check every pixel and row")]
