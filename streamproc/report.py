"""What a run says at its end."""

from dataclasses import dataclass, field
from pathlib import Path

from .metrics import Metrics


@dataclass(frozen=True, slots=True)
class Frames:
    """How many frames met which fate; admitted = done + failed + skipped + pending."""

    admitted: int
    done: int
    failed: int
    skipped: int
    lost: int
    pending: int


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a run.

    ``state`` is ``finished``, ``stopped`` or ``interrupted``; ``fps`` counts frames
    committed per second of this process's run; ``latency_ms`` runs from admission
    to commit (``p50``, ``p99``, within 2 %; None without frames); ``stages`` holds
    mean milliseconds per frame by step, ``read``, ``encode`` and ``commit``
    included; ``notes`` says what the run could not promise.
    """

    path: Path
    state: str
    frames: Frames
    fps: float
    latency_ms: dict[str, float | None]
    stages: dict[str, float]
    objects: int
    seconds: float
    saved: tuple[str, ...] = ()
    reason: str | None = None
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """Return the counts, the speed and the place in one line."""
        f = self.frames
        text = (
            f"{self.state}: {f.done} done, {f.failed} failed, {f.skipped} skipped, "
            f"{f.pending} pending, {f.lost} lost; {self.fps:.1f} fps; {self.path}"
        )
        return text + (f"; {self.reason}" if self.reason else "")

    def __repr__(self) -> str:
        return f"<Report {self}>"

    def _repr_html_(self) -> str:
        """Return the numbers as a notebook shows them."""
        from .view.notebook import of_report

        return of_report(self)


def make_report(
    path: Path,
    metrics: Metrics,
    *,
    state: str,
    saved: tuple[str, ...],
    reason: str | None,
    notes: tuple[str, ...],
) -> Report:
    """Return the report of a run from what it measured."""
    c = metrics.counters
    end = metrics.finished if metrics.finished is not None else metrics.started
    return Report(
        path=path,
        state=state,
        frames=Frames(c.admitted, c.done, c.failed, c.skipped, c.lost, c.pending),
        fps=metrics.fps,
        latency_ms={
            "p50": metrics.latency.percentile(50),
            "p99": metrics.latency.percentile(99),
        },
        stages=metrics.milliseconds(),
        objects=c.objects,
        seconds=end - metrics.started,
        saved=saved,
        reason=reason,
        notes=notes,
    )
