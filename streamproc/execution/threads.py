"""The default executor: threads of this process, no pixel copied."""

import threading
import time
from collections import deque
from queue import SimpleQueue

from .crew import Desk, Worker
from .protocol import Deliver, Task, WindowValue

#: Frames per worker that a background is begun ahead of those that wait for it.
_AHEAD = 4


class Threads:
    """``workers`` threads on one queue; backgrounds go before the frames they serve.

    NumPy, OpenCV, SciPy and numba release the GIL; a pure-Python function does not
    and gains nothing here.
    """

    name = "threads"
    page = None

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # tokens wake the threads, the deques hold the work: a background overtakes
        # frames already queued
        self._tokens: SimpleQueue[bool] = SimpleQueue()
        self._urgent: deque[WindowValue] = deque()
        # one background at a time: two would read the same frames twice
        self._averaging = threading.Lock()
        self._tasks: deque[Task] = deque()
        self._threads: list[threading.Thread] = []
        self._desks: list[Desk] = []

    @property
    def appetite(self) -> int:
        """Return two frames per thread: one runs, one waits."""
        return 2 * self.workers

    def start(self, deliver: Deliver) -> None:
        """Start the threads."""
        self._deliver = deliver
        self._desks = [Desk(f"worker-{number}") for number in range(self.workers)]
        for desk in self._desks:
            thread = threading.Thread(
                target=self._loop, args=(desk,), name=desk.name, daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def submit(self, task: Task) -> None:
        """Queue a frame."""
        self._tasks.append(task)
        self._tokens.put(True)

    def submit_window(self, window: WindowValue) -> None:
        """Queue a background, ahead of the frames that wait for it."""
        self._urgent.append(window)
        self._tokens.put(True)

    def crew(self) -> list[Worker]:
        """Return what each thread is at."""
        return [desk.worker() for desk in self._desks]

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

    def _loop(self, desk: Desk) -> None:
        while self._tokens.get():
            if self._averaging.acquire(blocking=False):
                try:
                    is_done = self._is_due() and self._average(desk)
                finally:
                    self._averaging.release()
                if is_done:
                    continue
            if not self._analyse(desk):
                with self._averaging:
                    self._average(desk)

    def _is_due(self) -> bool:
        """Return whether frames come soon that wait for the next background.

        Its frames are best read by their own tasks: then they are still in the
        processor's cache when they are filtered.
        """
        try:
            ahead = self._urgent[0].first - self._tasks[0].ref.frame
        except IndexError:  # nothing to average, or nothing else to do
            return True
        return ahead <= _AHEAD * self.workers

    def _average(self, desk: Desk) -> bool:
        """Compute the next background, if there is one."""
        try:
            window = self._urgent.popleft()
        except IndexError:
            return False
        desk.average(window)
        return True

    def _analyse(self, desk: Desk) -> bool:
        """Run the next frame, if there is one."""
        try:
            task = self._tasks.popleft()
        except IndexError:
            return False
        self._deliver(desk.analyse(task))
        return True
