"""The default executor: threads of this process, no pixel copied."""

import threading
import time
from collections import deque
from queue import SimpleQueue

from .protocol import Deliver, Task, WindowValue

Work = Task | WindowValue


class Threads:
    """``workers`` threads on one queue; backgrounds go before frames.

    NumPy, OpenCV, SciPy and numba release the GIL; a pure-Python function does not
    and gains nothing here.
    """

    name = "threads"

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # tokens wake the threads, the deques hold the work: a background taken from
        # its own deque overtakes frames already queued
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._urgent: deque[WindowValue] = deque()
        self._tasks: deque[Task] = deque()
        self._threads: list[threading.Thread] = []

    def start(self, deliver: Deliver) -> None:
        """Start the threads."""
        self._deliver = deliver
        for number in range(self.workers):
            thread = threading.Thread(
                target=self._loop, name=f"worker-{number}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def submit(self, task: Task) -> None:
        """Queue a frame."""
        self._tasks.append(task)
        self._tokens.put(True)

    def submit_window(self, window: WindowValue) -> None:
        """Queue a background ahead of all frames."""
        self._urgent.append(window)
        self._tokens.put(True)

    def cancel(self) -> None:
        """Forget queued work; waiting tasks on a forgotten background fail."""
        self._tasks.clear()
        while True:
            try:
                self._urgent.popleft().abandon()
            except IndexError:
                return

    def close(self, patience: float) -> None:
        """Let the threads finish what they run, and end."""
        for _ in self._threads:
            self._tokens.put(False)
        end = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        self._threads.clear()

    def _take(self) -> Work | None:
        try:
            return self._urgent.popleft()
        except IndexError:
            pass
        try:
            return self._tasks.popleft()
        except IndexError:
            return None

    def _loop(self) -> None:
        while self._tokens.get():
            work = self._take()
            if isinstance(work, Task):
                self._deliver(work.run())
            elif work is not None:
                work.compute()
