"""From a source to admitted frames: by address, hot, or through the raw log."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamproc.buffers import is_own
from streamproc.errors import SourceError, one_line, plain_text
from streamproc.frame import (
    Frame,
    FrameRef,
    Gap,
    Notice,
    Source,
    SourceInfo,
    Unreadable,
    metadata_json,
)
from streamproc.store.log import LogReader, Mark

Admitted = FrameRef | Gap


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A frame of a recording that can be read at random."""

    source: Source
    index: int

    def read(self) -> Frame:
        """Read it from the source; raises `SourceError` for another shape."""
        frame = self.source.read(self.index)
        changed = change(self.source.info, frame)
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
#: Frames that are read from a journal at once.
_BATCH = 1024


def told(given: object) -> Notice | None:
    """Return what a source has to say, as one line of text; None for a frame."""
    if not isinstance(given, Notice):
        return None
    message = plain_text(str(given.message))
    return Notice(plain_text(str(given.kind)), message, given.level)


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
            is_ours = pixels.base is None and sys.getrefcount(pixels) <= _OURS
            if not is_ours and not is_own(pixels):
                pixels = pixels.copy()
            return Frame(pixels, int(item.source_index), _time(item), item.metadata)
        if isinstance(item, Unreadable):
            error = plain_text(str(item.error))
            return Unreadable(int(item.source_index), error, _time(item), item.metadata)
        if isinstance(item, Gap):
            first, last = int(item.first_source_index), int(item.last_source_index)
            if last >= first - 1:
                reason = plain_text(str(item.reason))
                return Gap(first, last, reason, _time(item), item.place)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"the source gave {item!r:.80}: {one_line(error)}") from error
    raise SourceError(
        f"the source gave {item!r:.80}; it yields Frame, Unreadable, Notice or Gap "
        "(whose last index is not more than 1 below its first)"
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


def change(info: SourceInfo, item: Item) -> SourceError | None:
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


def stop_quietly(source: Source) -> None:
    """Ask a source to end; one that cannot, as it was unplugged, must not end us."""
    with suppress(Exception):
        source.stop()


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
    """A source read once, in order (video; or live with ``log: none``).

    ``say`` is told what the source has to say.
    """

    def __init__(
        self,
        source: Source,
        limit: int | None,
        say: Callable[[Notice], None] = lambda notice: None,
    ) -> None:
        self._source = source
        self._limit = limit
        self._say = say
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
            if (notice := told(given)) is not None:
                self._say(notice)
                continue
            item = checked(given)
            if isinstance(item, Gap):
                yield item
                continue
            changed = change(self._source.info, item)
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
        stop_quietly(self._source)


class Logged:
    """Frames of a raw log that is there: a replay, or a later pass.

    Parameters
    ----------
    log
        Where they are.
    end
        How many the log has.
    fates
        Returns the states of committed frames, by number, between two numbers
        (inclusive); a replay has none.
    """

    def __init__(
        self,
        log: LogReader,
        end: int,
        fates: Callable[[int, int], Mapping[int, str]] = lambda first, last: {},
    ) -> None:
        self._log = log
        self._end = end
        self._fates = fates
        self._stopped = False
        self.exhausted = False

    def frames(self, start: int) -> Iterator[Admitted]:
        """Yield the frames from ``start`` on, cold."""
        mark = Mark()
        while mark.frame < self._end:
            refs, mark = self._log.read(mark, min(_BATCH, self._end - mark.frame))
            if mark.frame <= start:
                continue
            fates = self._fates(refs[0].frame, refs[-1].frame)
            for ref in refs:
                if self._stopped:
                    return
                if ref.frame >= start:
                    ref.fate = fates.get(ref.frame)
                    ref.clock = time.perf_counter()
                    yield ref
        self.exhausted = True

    def stop(self) -> None:
        """Yield no more frames."""
        self._stopped = True
