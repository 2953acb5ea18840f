"""Admitted frames between the raw log and the analysis, which may be far behind."""

import threading
import time
from collections import deque
from collections.abc import Sequence

from streamproc.frame import FrameRef, Gap
from streamproc.store.log import Mark, RawLog

from .admission import Admitted

#: Frames that are handed on in memory; those beyond are read from the journal.
_MOST = 1024


class Handover:
    """A queue of any length in little memory: its middle is the journal itself.

    Parameters
    ----------
    log
        The raw log; what it admitted before comes first.
    hot_bytes
        How many bytes of pixels may wait; frames beyond are read from the log again.
    """

    def __init__(self, log: RawLog, hot_bytes: int) -> None:
        self._log = log
        self._hot_bytes = hot_bytes
        self._hot = 0
        self._changed = threading.Condition()
        self._items: deque[FrameRef] = deque()
        self._gaps: deque[Gap] = deque()
        #: frames that were handed on, or were there before
        self._known = self._before = log.admitted
        #: where to go on reading the journal; None while all that waits is in memory
        self._behind: Mark | None = log.first
        self._has_ended = False

    def put(self, refs: Sequence[FrameRef], gaps: Sequence[Gap], mark: Mark) -> None:
        """Hand on a group that was admitted; ``mark`` is where its records begin."""
        with self._changed:
            self._gaps.extend(gaps)
            self._known = mark.frame + len(refs)
            if self._behind is None and len(self._items) + len(refs) > _MOST:
                self._behind = mark
            if self._behind is None:
                self._items.extend(self._kept_hot(ref) for ref in refs)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that nothing more is admitted."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def get(self) -> Admitted | None:
        """Wait for the next frame or gap; None after the last one."""
        with self._changed:
            while True:
                if self._gaps:
                    return self._gaps.popleft()
                if not self._items and self._behind is not None:
                    self._catch_up()
                if self._items:
                    ref = self._items.popleft()
                    if ref.pixels is not None:
                        self._hot -= ref.pixels.nbytes
                    return ref
                if self._has_ended:
                    return None
                self._changed.wait()

    def _kept_hot(self, ref: FrameRef) -> FrameRef:
        """Return the frame, its pixels dropped where too many wait already."""
        if ref.pixels is not None:
            if self._hot + ref.pixels.nbytes <= self._hot_bytes:
                self._hot += ref.pixels.nbytes
            else:
                ref.release()
        return ref

    def _catch_up(self) -> None:
        """Read the next frames from the journal."""
        if self._behind is not None:
            count = min(_MOST, self._known - self._behind.frame)
            refs, self._behind = self._log.reader.read(self._behind, count)
            now = time.time()
            for ref in refs:
                if ref.frame >= self._before:  # it waits since it was admitted
                    ref.clock -= max(0.0, now - ref.admitted_at)
            self._items.extend(refs)
            if self._behind.frame == self._known:
                self._behind = None
