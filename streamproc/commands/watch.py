"""Several runs, one after the other, as one live line."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from ..report import Report
    from ..session import Run
    from ..signals import Signals

#: Seconds between two looks at a run.
_LOOK = 0.1


class Watch:
    """The line of a batch or a sweep, on stderr, where that is a terminal.

    A context manager; the first signal drains the run of the moment, the second stops
    it.
    """

    def __init__(self, total: int, what: str, signals: "Signals") -> None:
        self._signals = signals
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {what}"),
            TextColumn("{task.fields[now]}", style="dim", markup=False),
            console=self._console,
            auto_refresh=False,
        )
        self._task: TaskID | None = None
        self._total = total

    def __enter__(self) -> "Watch":
        """Begin the line."""
        if self._console.is_terminal:
            self._progress.start()
            self._task = self._progress.add_task("runs", total=self._total, now="")
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line as it is."""
        if self._task is not None:
            self._progress.stop()

    def wait(self, run: "Run", settled: int, now: str) -> "Report":
        """Wait for a run's end and return its report, as `Run.wait` does."""
        heard = 0
        while True:
            if heard < self._signals.count:
                heard += 1
                run.interrupt()
            self._show(run, settled, now)
            try:
                return run.wait(timeout=_LOOK)
            except TimeoutError:
                if not run.is_alive:
                    raise

    def _show(self, run: "Run", settled: int, now: str) -> None:
        if self._task is None:
            return
        frames = run.report().frames
        of = "?" if run.total is None else f"{run.total:,}"
        text = f"{now}  {frames.done + frames.failed:,}/{of} frames"
        self._progress.update(self._task, completed=settled, now=text)
        self._progress.refresh()
