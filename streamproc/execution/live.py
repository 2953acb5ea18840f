"""From a camera to admitted frames: through the raw log."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from streamproc.frame import (
    Frame,
    Gap,
    Mindful,
    Notice,
    Receipt,
    Source,
    Unreadable,
)
from streamproc.schedule import Schedule
from streamproc.store.log import RawLog

from .admission import Admitted, Item, change, checked, stop_quietly, told
from .continuity import Continuity
from .handover import Handover
from .waiting import OnFull, Waiting

#: Frames of one append at most.
_GROUP = 64
#: Bytes that may wait for the log at most, however much memory is allowed.
_WAITING_BYTES = 256 << 20


class Live:
    """A live source through the raw log: admitted once pixels and journal are synced.

    One thread takes frames from the camera, another appends whatever is ready
    (group commit); analysis follows behind and never holds them up. Frames stay hot
    while there is memory, and are read from the log otherwise.

    Parameters
    ----------
    source, log
        Where frames come from, and where they go.
    limit
        How many frames the log is to hold in the end; None: as many as come.
    schedule
        Is told which frames are numbered.
    on_full
        What becomes of frames when the log is slower than the camera.
    memory
        Bytes of pixels on each side of the log.
    failed
        Is told why the log ended, at once.
    say
        Is told what the source has to say.
    took
        Is told how many seconds it took each frame to be admitted.
    """

    def __init__(
        self,
        source: Source,
        log: RawLog,
        limit: int | None,
        *,
        schedule: Schedule,
        on_full: OnFull,
        memory: int,
        failed: Callable[[BaseException], None],
        say: Callable[[Notice], None],
        took: Callable[[Iterable[float]], None] = lambda seconds: None,
    ) -> None:
        self._say, self._took = say, took
        #: source index and time.perf_counter() of frames that wait for the log
        self._taken: deque[tuple[int, float]] = deque()
        self._source = source
        self._log = log
        self._limit = limit
        self._schedule = schedule
        self._failed = failed
        most = min(memory, _WAITING_BYTES) // max(source.info.nbytes, 1)
        self._waiting = Waiting(max(2, most), on_full)
        self._handover = Handover(log, memory)
        self._stopped = self._source_ended = False
        #: whether more frames are to come from the camera
        self.is_taking = True
        self._error: BaseException | None = None
        #: held while a group is written; for good once nothing more may be
        self._writing = threading.Lock()
        self.exhausted = False

    def frames(self, start: int) -> Iterator[Admitted]:
        """Yield what the log holds from ``start`` on, then what the camera gives.

        The camera begins at once, whatever is still to be read from the log. An error
        of the camera is raised once all frames before it were yielded.
        """
        threads = [
            threading.Thread(target=self._take, name="camera", daemon=True),
            threading.Thread(target=self._append, name="log", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            while (item := self._handover.get()) is not None:
                if isinstance(item, Gap) or item.frame >= start:
                    yield item
        except GeneratorExit:
            self.stop()
            raise
        finally:
            # who leaves early must not close a log that is still written
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error
        self.exhausted = self._source_ended and not self._stopped

    def stop(self) -> None:
        """Take no more frames from the camera; what was taken is still admitted."""
        self._stopped = True
        self._waiting.hasten()
        stop_quietly(self._source)

    def abandon(self) -> None:
        """Admit nothing more of what was taken; wait for what is being written."""
        self._waiting.clear()
        self._waiting.end()
        self._writing.acquire()

    def _take(self) -> None:
        """Run in the camera thread: source to the waiting queue."""
        number, ended = self._log.admitted, False
        try:
            if self._limit is None or number < self._limit:
                expected = self._log.next_source_index
                continuity = Continuity(expected if self._log.admitted else None)
                if self._log.admitted and isinstance(self._source, Mindful):
                    self._source.resumed(self._log.receipts())
                for given in self._source.frames(expected):
                    if (notice := told(given)) is not None:
                        self._say(notice)
                        continue
                    item = checked(given)
                    if not isinstance(item, Gap):
                        self._taken.append((item.source_index, time.perf_counter()))
                    for gap in continuity.before(item):
                        self._waiting.put(gap)
                    self._waiting.put(item)
                    number += not isinstance(item, Gap)
                    if self._stopped or number - self._waiting.dropped == self._limit:
                        break
            ended = not self._stopped
        except BaseException as error:  # raised by `frames`, after the frames before it
            self._error = error
        finally:
            self._source_ended, self.is_taking = ended, False
            self._waiting.end()

    def _append(self) -> None:
        """Run in the log thread: append, sync, journal, hand on."""
        try:
            while group := self._waiting.take(_GROUP):
                if not self._admit(group):
                    self._end_camera()
                    break
        except BaseException as error:  # reported by the run, which ends
            self._end_camera()
            self._failed(error)
        finally:
            self._handover.end()

    def _end_camera(self) -> None:
        self._stopped = True
        self._waiting.clear()
        stop_quietly(self._source)

    def _admit(self, group: Sequence[Item]) -> bool:
        """Admit a group; False where it ended at a frame of another shape."""
        alike = self._alike(group)
        items = [item for item in alike if not isinstance(item, Gap)]
        gaps = [item for item in alike if isinstance(item, Gap)]
        # a change of a parameter falls before the group or behind it
        with self._writing, self._schedule.admission():
            mark = self._log.mark()
            refs = self._log.admit(items, self._schedule.version)
            self._schedule.admitted(self._log.admitted)
        if items and isinstance(self._source, Mindful):
            self._source.admitted([_receipt(item) for item in items])
        self._handover.put(refs, gaps, mark)
        self._took(self._waited(items))
        return len(alike) == len(group)

    def _waited(self, items: Sequence[Frame | Unreadable]) -> list[float]:
        """Return how long ago frames were taken; those dropped are passed over."""
        now, found = time.perf_counter(), []
        for item in items:
            while self._taken:
                index, taken = self._taken.popleft()
                if index == item.source_index:
                    found.append(now - taken)
                    break
        return found

    def _alike(self, group: Sequence[Item]) -> Sequence[Item]:
        """Return the items before the first frame of another shape or dtype."""
        for i, item in enumerate(group):
            changed = change(self._source.info, item)
            if changed is not None:
                self._error = changed
                return group[:i]
        return group


def _receipt(item: Frame | Unreadable) -> Receipt:
    error = item.error if isinstance(item, Unreadable) else None
    return Receipt(item.source_index, item.metadata, error)
