"""The reference executor: every task runs in the thread that submits it."""

import threading

from .crew import Desk, Worker
from .protocol import Deliver, Task, WindowValue


class Inline:
    """One frame at a time, in order; for debugging and as the oracle of the others."""

    name = "inline"
    workers = appetite = 1
    page = None

    def __init__(self) -> None:
        self._desk: Desk | None = None

    def start(self, deliver: Deliver) -> None:
        """Remember where results go."""
        self._deliver = deliver

    def crew(self) -> list[Worker]:
        """Return what the thread that submits is at."""
        return [] if self._desk is None else [self._desk.worker()]

    @property
    def _here(self) -> Desk:
        if self._desk is None:
            self._desk = Desk(threading.current_thread().name)
        return self._desk

    def submit(self, task: Task) -> None:
        """Run it now."""
        self._deliver(self._here.analyse(task))

    def submit_window(self, window: WindowValue) -> None:
        """Compute it now."""
        self._here.average(window)

    def cancel(self) -> None:
        """Do nothing: no task waits."""

    def close(self, patience: float) -> None:
        """Do nothing: no task runs."""
