"""How many live frames may be in work at once, so that results keep a deadline."""

from .protocol import Executor

#: Share of the deadline that results are steered towards: the rest is for outliers.
_AIM = 0.5
#: Frames in work at most, however fast they are.
_MOST = 64


class Pace:
    """The bound on frames in work while ``on_overload: skip``.

    Additive increase, multiplicative decrease, as in TCP: as long as results come
    within half of the deadline a little more may be in work, so that a short burst is
    not skipped; when they come later, less. Without a deadline each worker has one
    frame: what is analysed is as new as can be.

    Parameters
    ----------
    executor
        Says how many frames are computed at once, as soon as it knows.
    deadline_ms
        From admission to commit.
    """

    def __init__(self, executor: Executor, deadline_ms: float | None) -> None:
        self._aim = None if deadline_ms is None else _AIM * deadline_ms
        self._executor = executor
        #: beyond one frame for each worker; less than 0: not every worker has one
        self._more = 0.0

    @property
    def most(self) -> int:
        """How many frames may be in work now."""
        return max(1, int(self._executor.workers + self._more))

    def learn(self, latencies_ms: list[float]) -> None:
        """Take the latencies of the frames that were committed together."""
        if self._aim is None or not latencies_ms:
            return
        workers = self._executor.workers
        most = max(1.0, workers + self._more)
        late = max(latencies_ms) > self._aim
        self._more = (0.7 * most if late else min(_MOST, most + 0.25)) - workers
