"""From a source to admitted frames: by address, hot, or through the raw log."""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamproc.errors import SourceError, one_line, plain_text
from streamproc.frame import (
    Frame,
    FrameRef,
    Gap,
    Source,
    SourceInfo,
    Unreadable,
    metadata_json,
)
from streamproc.store.log import RawLog

Admitted = FrameRef | Gap


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A frame of a recording that can be read at random."""

    source: Source
    index: int

    def read(self) -> Frame:
        """Read it from the source; raises `SourceError` for another shape."""
        frame = self.source.read(self.index)
        changed = _change(self.source.info, frame)
        if changed is not None:
            raise changed
        return frame


class Admission(Protocol):
    """Yields the frames of a run from a given number on, in order, admitted."""

    #: whether the source ran to its end (a stop or a limit of frames is not its end)
    exhausted: bool

    def frames(self, start: int) -> Iterator[Admitted]:
        """Yield frames from ``start`` on; ends at the source's end or after `stop`."""
        ...

    def stop(self) -> None:
        """End soon: admit nothing more (any thread)."""
        ...


Item = Frame | Unreadable | Gap
#: The camera thread's last word.
_END = object()


def checked(item: object) -> Item:
    """Return what a source yielded, in plain numbers and pixels of our own.

    A source may go on to use its buffer, and may count in NumPy's numbers.

    Raises
    ------
    SourceError
        It is no Frame, Unreadable or Gap, or its numbers are none.
    """
    try:
        if isinstance(item, Frame):
            pixels = item.pixels
            if pixels.base is not None or sys.getrefcount(pixels) > _OURS:
                pixels = pixels.copy()
            return Frame(pixels, int(item.source_index), _time(item), item.metadata)
        if isinstance(item, Unreadable):
            error = plain_text(str(item.error))
            return Unreadable(int(item.source_index), error, _time(item), item.metadata)
        if isinstance(item, Gap):
            first, last = int(item.first_source_index), int(item.last_source_index)
            if last >= first:
                reason = plain_text(str(item.reason))
                return Gap(first, last, reason, _time(item), item.place)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"the source gave {item!r:.80}: {one_line(error)}") from error
    raise SourceError(
        f"the source gave {item!r:.80}; it yields Frame, Unreadable or Gap "
        "(with a last index not below its first)"
    )


def _time(item: Item) -> float | None:
    """Return the time as a finite number, or None."""
    when = None if item.time is None else float(item.time)
    return when if when is not None and math.isfinite(when) else None


def _references(frame: Frame) -> int:
    """Return the references to pixels that a frame alone holds, as `checked` sees."""
    pixels = frame.pixels
    return sys.getrefcount(pixels)


_OURS = _references(Frame(np.empty(1), 0))


def _change(info: SourceInfo, item: Item) -> SourceError | None:
    """Return the error of a frame that is not what its source said."""
    if not isinstance(item, Frame):
        return None
    pixels = item.pixels
    if pixels.shape == info.shape and pixels.dtype == info.dtype:
        return None
    return SourceError(
        f"frames change shape: the frame with source index {item.source_index} is "
        f"{pixels.shape} {pixels.dtype}, the source said {info.shape} {info.dtype}"
    )


def _ref(frame: int, item: Frame | Unreadable) -> FrameRef:
    """Return a hot reference to a frame that was just read."""
    hot = isinstance(item, Frame)
    return FrameRef(
        frame=frame,
        source_index=item.source_index,
        time=item.time,
        metadata=metadata_json(item.metadata),
        address=None,
        pixels=item.pixels if isinstance(item, Frame) else None,
        error=None if hot else getattr(item, "error", "unreadable"),
        admitted_at=time.time(),
        clock=time.perf_counter(),
    )


class Recording:
    """A source read at random: frames are addresses until a worker needs them."""

    def __init__(self, source: Source, limit: int | None) -> None:
        self._source = source
        known = source.info.frames or 0
        self._end = known if limit is None else min(known, limit)
        self._stopped = False
        self.exhausted = False

    def frames(self, start: int) -> Iterator[Admitted]:
        """Yield addresses; nothing is read here."""
        for index in range(start, self._end):
            if self._stopped:
                return
            yield FrameRef(
                frame=index,
                source_index=index,
                time=None,
                metadata=None,
                address=SourceAddress(self._source, index),
                admitted_at=time.time(),
                clock=time.perf_counter(),
            )
        self.exhausted = True

    def stop(self) -> None:
        """Yield no more addresses."""
        self._stopped = True


class Sequence:
    """A source read once, in order (video; or live with ``log: none``)."""

    def __init__(self, source: Source, limit: int | None) -> None:
        self._source = source
        self._limit = limit
        self._stopped = False
        self.exhausted = False

    def frames(self, start: int) -> Iterator[Admitted]:
        """Yield hot frames, decoded in this thread."""
        number = start
        if self._limit is not None and number >= self._limit:
            self.exhausted = True
            return
        for given in self._source.frames(start):
            if self._stopped:
                return
            item = checked(given)
            if isinstance(item, Gap):
                yield item
                continue
            changed = _change(self._source.info, item)
            if changed is not None:
                raise changed
            yield _ref(number, item)
            number += 1
            if number == self._limit:
                self.exhausted = True
                return
        self.exhausted = not self._stopped

    def stop(self) -> None:
        """Take no more frames."""
        self._stopped = True
        self._source.stop()


class Live:
    """A live source through the raw log: admitted once pixels and journal are synced.

    One thread takes frames from the camera, another appends whatever is ready
    (group commit); analysis follows behind and never holds them up. Frames stay hot
    while ``hot_bytes`` allows, and are read from the log otherwise.
    """

    #: frames taken from the camera and not yet in the log
    _WAITING_BYTES = 256 << 20
    _GROUP = 64

    def __init__(
        self,
        source: Source,
        log: RawLog,
        limit: int | None,
        *,
        hot_bytes: int,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._source = source
        self._log = log
        self._limit = limit
        self._hot_bytes = hot_bytes
        self._failed = failed
        self._nbytes = source.info.nbytes
        self._room = threading.Condition()
        self._taken: deque[Item | object] = deque()
        self._admitted: deque[Admitted | None] = deque()
        self._news = threading.Condition()
        self._hot = 0
        self._stopped = False
        self._source_ended = False
        self._error: BaseException | None = None
        self.exhausted = False

    @property
    def admitted(self) -> int:
        """Frames in the journal."""
        return self._log.admitted

    def frames(self, start: int) -> Iterator[Admitted]:
        """Yield what the log holds from ``start`` on, then what the camera gives.

        An error of the camera is raised once all frames before it were yielded.
        """
        before = self._log.admitted
        yield from self._log.refs(start)
        threads = [
            threading.Thread(target=self._take, args=(before,), name="camera"),
            threading.Thread(target=self._append, name="log"),
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        try:
            while (item := self._next()) is not None:
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
        self._source.stop()
        with self._room:
            self._room.notify_all()

    def _next(self) -> Admitted | None:
        with self._news:
            while not self._admitted:
                self._news.wait()
            item = self._admitted.popleft()
            if isinstance(item, FrameRef) and item.pixels is not None:
                self._hot -= self._nbytes
            return item

    def _take(self, number: int) -> None:
        """Run in the camera thread: source to the waiting queue."""
        most = max(2, self._WAITING_BYTES // max(self._nbytes, 1))
        ended = False
        try:
            if self._limit is None or number < self._limit:
                for given in self._source.frames(self._log.next_source_index):
                    item = checked(given)
                    with self._room:
                        while len(self._taken) >= most and not self._stopped:
                            self._room.wait()
                        self._taken.append(item)
                        self._room.notify_all()
                    number += not isinstance(item, Gap)
                    if self._stopped or number == self._limit:
                        break
            ended = not self._stopped
        except BaseException as error:  # raised by `frames`, after the frames before it
            self._error = error
        finally:
            self._source_ended = ended
            with self._room:
                self._taken.append(_END)
                self._room.notify_all()

    def _append(self) -> None:
        """Run in the log thread: append, sync, journal, hand on."""
        more = True
        try:
            while more:
                with self._room:
                    while not self._taken:
                        self._room.wait()
                    group: list[Item | object] = []
                    while self._taken and len(group) < self._GROUP:
                        group.append(self._taken.popleft())
                    self._room.notify_all()
                if group[-1] is _END:
                    more = False
                    group.pop()
                if not self._admit([i for i in group if isinstance(i, Item)]):
                    more = False
                    self._end_camera()
        except BaseException as error:  # reported by the run, which ends
            self._end_camera()
            self._failed(error)
        finally:
            with self._news:
                self._admitted.append(None)
                self._news.notify_all()

    def _end_camera(self) -> None:
        self._stopped = True
        self._source.stop()
        with self._room:
            # the camera thread must not wait for room for ever
            self._taken.clear()
            self._room.notify_all()

    def _admit(self, group: list[Frame | Unreadable | Gap]) -> bool:
        """Admit a group; False where it ended at a frame of another shape."""
        whole = len(group)
        group = self._alike(group)
        if not group:
            return not whole
        refs = iter(self._log.admit([i for i in group if not isinstance(i, Gap)]))
        with self._news:
            for item in group:
                if isinstance(item, Gap):
                    self._admitted.append(item)
                    continue
                ref = next(refs)
                if ref.pixels is not None:
                    if self._hot + self._nbytes <= self._hot_bytes:
                        self._hot += self._nbytes
                    else:
                        ref.release()
                self._admitted.append(ref)
            self._news.notify_all()
        return len(group) == whole

    def _alike(
        self, group: list[Frame | Unreadable | Gap]
    ) -> list[Frame | Unreadable | Gap]:
        """Return the items before the first frame of another shape or dtype."""
        info = self._source.info
        for i, item in enumerate(group):
            changed = _change(info, item)
            if changed is not None:
                self._error = changed
                return group[:i]
        return group
