"""How many live frames may be in work at once, so that results keep a deadline."""

import threading

from .protocol import Executor

#: Share of the deadline in which frames are computed, their wait for a worker included:
#: the rest is for the commit, and for a disk that is busy for a moment.
_SHARE = 0.25
#: Weight of the newest frame in the mean time that a frame takes.
_NEWEST = 0.1


class Pace:
    """The bound on frames in work while ``on_overload: skip``.

    A frame may wait for a worker as long as it still keeps the deadline, so that a
    short burst is not skipped. Without a deadline, or where a frame alone takes too
    long for it, each worker has one frame, and none that newer ones have overtaken:
    what is analysed is as new as can be.

    Parameters
    ----------
    executor
        Says how many frames are computed at once, as soon as it knows.
    deadline_ms
        From admission to commit.
    """

    def __init__(self, executor: Executor, deadline_ms: float | None) -> None:
        self._executor = executor
        self._seconds = None if deadline_ms is None else _SHARE * deadline_ms / 1e3
        self._each: float | None = None
        self._in_work = 0
        self._lock = threading.Lock()

    @property
    def most(self) -> int:
        """How many frames may be in work now."""
        rounds = 1.0
        if self._seconds is not None and self._each is not None:
            rounds = max(1.0, self._seconds / max(self._each, 1e-6))
        return int(self._executor.workers * rounds)

    def begin(self, age: float, newer: int) -> bool:
        """Take a frame into work, if it may be (driver thread).

        Parameters
        ----------
        age
            Seconds since its admission.
        newer
            How many frames were admitted after it.
        """
        is_late = newer >= self.most if self._seconds is None else age > self._seconds
        with self._lock:
            if (is_late and newer) or self._in_work >= self.most:
                return False
            self._in_work += 1
            return True

    def end(self, seconds: float) -> None:
        """Note that a frame is computed, and how long that took (any thread)."""
        with self._lock:
            self._in_work -= 1
            known = self._each
            self._each = (
                seconds if known is None else known + _NEWEST * (seconds - known)
            )
