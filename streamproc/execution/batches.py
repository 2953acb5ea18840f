"""What is on its way to dask workers, how much at once and for how long."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamproc.frame import FrameRef
from streamproc.stage import Result
from streamproc.window import Method

from .protocol import Task

#: Seconds that a task costs beside its kernels, and the share of them it may take.
_TASK, _SHARE = 0.0064, 0.025
#: Seconds of work per worker thread that a batch holds at least: the loop of the
#: scheduler needs 2 to 3 ms per task, and while it is busy all workers wait.
_LOOP = 0.006
#: A batch holds at most so many frames, and bytes of pixels.
FRAMES, BYTES = 64, 64 << 20
#: Replies that are fetched at once at most.
_REPLIES = 32
#: Seconds that a batch may take by default, and how many times its kernels' time.
TIMEOUT, _TIMES = 300.0, 20.0


@dataclass(eq=False, slots=True, weakref_slot=True, kw_only=True)
class Sent:
    """A task of dask's: its future, and who has begun with it when."""

    future: Any = None
    #: address of the worker, and time.monotonic() here
    worker: str = ""
    begun: float | None = None
    #: seconds after which its worker is taken to hang
    limit: float = TIMEOUT
    #: send the pixels: workers cannot read them
    is_inline: bool = False

    def is_overdue(self, now: float) -> bool:
        """Tell whether it was begun too long ago."""
        if self.begun is None or now <= self.begun + self.limit:
            return False
        return self.future is not None and not self.future.done()


@dataclass(eq=False, slots=True, weakref_slot=True, kw_only=True)
class Batch(Sent):
    """Frames for one stage. One attempt: whoever takes it out of flight, settles it."""

    tasks: list[Task]
    #: nothing else was in flight
    is_alone: bool = False
    #: how often its only frame has hung
    hangs: int = 0
    #: its reply is being taken: too late to give it up
    has_landed: bool = False


@dataclass(eq=False, slots=True, weakref_slot=True, kw_only=True)
class Background(Sent):
    """A background, and what computes it again."""

    refs: list[FrameRef]
    block: int
    method: Method = "mean"


class Sizes:
    """How many frames a batch holds, from what frames have cost so far."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._kernel: float | None = None
        #: bytes of the largest reply
        self._largest = 0

    @property
    def shortest(self) -> float:
        """Seconds that any batch may take."""
        return self._timeout or TIMEOUT

    def learn(self, results: Sequence[Result]) -> None:
        """Take what frames have cost."""
        if not results:
            return
        each = sum(sum(r.seconds.values()) for r in results) / len(results)
        self._largest = max(self._largest, sum(r.nbytes for r in results))
        known = self._kernel
        self._kernel = max(each if known is None else (known + each) / 2, 1e-6)

    def frames(self, waiting: int, workers: int) -> int:
        """Return how many of the waiting frames the next batch holds at most.

        Half of a worker's share: where no more come, batches get shorter to the end,
        and workers end together.
        """
        return min(self.full(workers), math.ceil(waiting / (2 * workers)))

    def full(self, workers: int) -> int:
        """Return how many frames a batch holds where enough of them wait."""
        if self._kernel is None:
            return 1
        seconds = max(_TASK / _SHARE, workers * _LOOP)
        return min(math.ceil(seconds / self._kernel), FRAMES)

    def replies(self) -> int:
        """Return how many replies are fetched at once at most."""
        return max(1, min(_REPLIES, BYTES // max(self._largest, 1)))

    def limit(self, frames: int) -> float:
        """Return how many seconds a batch may take."""
        if self._timeout is not None:
            return self._timeout
        return max(TIMEOUT, _TIMES * frames * (self._kernel or 0.0))
