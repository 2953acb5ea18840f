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
#: A step that has the processor for less than this share of its time waits for
#: something else; for more, for a processor that others use, too.
_BUSY = 0.1
#: Seconds that a batch may take by default, how many times its kernels' time, and how
#: many times what it is expected to take.
TIMEOUT, _TIMES, _MARGIN = 300.0, 20.0, 8.0


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
        #: seconds per frame: of its steps, and what of them a batch is sized by
        self._kernel: float | None = None
        self._cost: float | None = None
        #: bytes of the largest reply
        self._largest = 0

    @property
    def shortest(self) -> float:
        """Seconds that any batch may take."""
        return self._timeout or TIMEOUT

    def learn(self, results: Sequence[Result], cpu: float) -> None:
        """Take what frames have cost, ``cpu`` seconds of a processor together.

        Where others use the processors, too, steps take longer, and so does what a
        task costs beside them: batches are sized by the processor's time. By their
        own time are those of steps that wait for a device or a disk.
        """
        if not results:
            return
        steps = sum(sum(r.seconds.values()) for r in results)
        cost = cpu if _BUSY * steps < cpu < steps else steps
        self._largest = max(self._largest, sum(r.nbytes for r in results))
        self._kernel = _mean(self._kernel, steps / len(results))
        self._cost = _mean(self._cost, cost / len(results))

    def frames(self, waiting: int, workers: int) -> int:
        """Return how many of the waiting frames the next batch holds at most.

        Half of a worker's share, where that is work enough: where no more frames
        come, batches get shorter to the end, and workers end together.
        """
        share = math.ceil(waiting / workers)
        half = max(math.ceil(share / 2), self._holding(workers * _LOOP))
        return min(self.full(workers), share, half)

    def full(self, workers: int) -> int:
        """Return how many frames a batch holds where enough of them wait."""
        return self._holding(max(_TASK / _SHARE, workers * _LOOP))

    def _holding(self, seconds: float) -> int:
        """Return how many frames are so much work; one as long as that is not known."""
        if self._cost is None or self._kernel is None:
            return 1
        most = self.shortest / (_MARGIN * self._kernel)
        return min(math.ceil(seconds / self._cost), max(int(most), 1), FRAMES)

    def replies(self) -> int:
        """Return how many replies are fetched at once at most."""
        return max(1, min(_REPLIES, BYTES // max(self._largest, 1)))

    def limit(self, frames: int) -> float:
        """Return how many seconds a batch may take."""
        if self._timeout is not None:
            return self._timeout
        return max(TIMEOUT, _TIMES * frames * (self._kernel or 0.0))


def _mean(known: float | None, new: float) -> float:
    """Return a mean in which what is new counts half."""
    return max(new if known is None else (known + new) / 2, 1e-6)
