"""The workers of an executor: what each is at, and what it has done so far."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from streamproc.stage import Result

from .protocol import Task, WindowValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker at this moment.

    ``frames`` are those it has computed, ``busy`` the seconds that it was at work, what
    it is at included: ``frame``, where it is one alone, for ``since`` seconds. Of
    ``threads`` each may be at another frame. ``memory`` is its process's own, in bytes,
    ``limit`` what it may have; None for threads of the run's process.
    """

    name: str
    state: Literal["busy", "idle"]
    frames: int
    busy: float
    frame: int | None = None
    since: float | None = None
    threads: int = 1
    memory: int | None = None
    limit: int | None = None


class Desk:
    """Where one thread works; only that thread writes here, others may look."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._frames = 0
        self._busy = 0.0
        #: the frame, and since when: in one piece, for those who look meanwhile
        self._at: tuple[int | None, float] | None = None

    def analyse(self, task: Task) -> Result:
        """Run a frame."""
        result = self._work(task.ref.frame, task.run)
        self._frames += 1
        return result

    def average(self, window: WindowValue) -> None:
        """Compute a background."""
        self._work(None, window.compute)

    def _work(self, frame: int | None, call: Callable[[], T]) -> T:
        begun = time.perf_counter()
        self._at = (frame, begun)
        try:
            return call()
        finally:
            self._busy += time.perf_counter() - begun
            self._at = None

    def worker(self) -> Worker:
        """Return what it is at (any thread)."""
        busy, at = self._busy, self._at
        if at is None:
            return Worker(self.name, "idle", self._frames, busy)
        frame, begun = at
        since = time.perf_counter() - begun
        return Worker(self.name, "busy", self._frames, busy + since, frame, since)
