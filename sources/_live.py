"""What live sources share: a link that may break, frames left out, frames lost."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias

from annotated_types import Ge, Gt

from streamproc.buffers import Buffers
from streamproc.errors import ConfigError, FrameError, SourceError
from streamproc.frame import Array, Frame, Gap, Notice, SourceInfo, Unreadable

#: Seconds within which `LiveSource.stop` is heard.
POLL = 0.2
#: Seconds before the first attempt to connect again, and between attempts at most.
FIRST_WAIT, LONGEST_WAIT = 0.25, 5.0
#: Bytes of memory that frames are copied into again and again.
_BUFFERS = 512 << 20
#: ``place`` of a gap between two processes of one run.
RESTART = "restart"

_logger = logging.getLogger(__name__)

#: A part of the picture: first row, first column, height, width.
Roi: TypeAlias = tuple[
    Annotated[int, Ge(0)],
    Annotated[int, Ge(0)],
    Annotated[int, Gt(0)],
    Annotated[int, Gt(0)],
]


class Disconnected(Exception):  # noqa: N818  # an event, caught within this folder
    """The link is broken; the text says why, in one line."""


class Ended(Exception):  # noqa: N818
    """The other side has no more pictures to give."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a device or a publisher gave.

    ``pixels`` may lie in its buffer: they are read before the next one is asked for;
    ``is_own`` says that they are in memory that nobody else has, and need no copy.
    ``counter`` is its own number, one more each time; None where it does not count.
    ``time`` and ``metadata`` are those of a `Frame`.
    """

    pixels: Array
    counter: int | None = None
    time: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A picture that arrived in part, or that nobody can read: it is lost."""

    reason: str
    counter: int | None = None
    time: float | None = None
    place: str = "source"


class DeviceClock:
    """A device's clock told in seconds since the Unix epoch.

    A picture arrives late by what its way takes, never early: of all arrivals the
    quickest tells how far the clocks are apart, as far back as they keep step.
    """

    #: What clocks lose or gain at most, in seconds per second.
    _DRIFT = 1e-4

    def __init__(self) -> None:
        self._apart: float | None = None
        self._last = 0.0

    def __call__(self, device: float, arrival: float) -> float:
        """Return the time of a picture by both clocks, in seconds; it ascends."""
        apart = arrival - device
        if self._apart is not None and device >= self._last:
            drift = self._DRIFT * (device - self._last)
            apart = min(apart, self._apart + drift)
        self._apart, self._last = apart, device
        return device + apart


class Link(Protocol):
    """One connection to a device or a publisher, from `LiveSource._connect`."""

    def take(self, timeout: float) -> Picture | Spoiled | Notice | None:
        """Wait up to ``timeout`` seconds for the next picture; None: none came.

        A link that is made anew by itself says so: what a `Notice` of the kind
        ``reconnect`` tells is why pictures may be missing before the next one.

        Raises
        ------
        Disconnected
            The device or publisher is gone.
        Ended
            It said that it has no more.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class LiveSource:
    """Frames of a device or a publisher that may go away and come back.

    A subclass sets ``info`` and says how to connect. When the link breaks, or gives
    nothing for ``stall_timeout`` seconds, it is made anew, after longer and longer
    waits, for as long as the run is on. What was lost meanwhile is a gap: of a known
    number of frames where the other side counts them, else of none, which says so.

    Parameters
    ----------
    max_fps
        Leave out frames that come sooner after the last one kept.
    every_nth
        Keep one of so many.
    roi
        Cut pictures to this part; a subclass whose device does that passes None.
    stall_timeout
        Seconds without a picture after which the link is made anew; None: never.

    Notes
    -----
    What is left out on purpose is no loss and is counted nowhere. ``source_index`` is
    the device's counter, divided by ``every_nth``; with ``max_fps``, or without a
    counter, it counts what was kept or lost.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    #: Whether the other side counts while nobody listens; False: we start and stop it.
    counts_on: ClassVar[bool] = True
    info: SourceInfo

    def __init__(
        self,
        *,
        max_fps: float | None = None,
        every_nth: int = 1,
        roi: Roi | None = None,
        stall_timeout: float | None = None,
    ) -> None:
        self._max_fps, self._every_nth = max_fps, every_nth
        self._roi, self._stall_timeout = roi, stall_timeout
        self._buffers = Buffers(_BUFFERS)
        self._stopping = threading.Event()
        #: what was connected to learn ``info``, for the first `frames`
        self._link: Link | None = None

    def _connect(self) -> Link:
        """Connect to the device or publisher.

        Raises
        ------
        SourceError
            There is none, or it refuses; one line that says what and why.
        """
        raise NotImplementedError

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield frames as they come, until `stop`, or until the other side ends."""
        self._stopping.clear()
        link, self._link = self._link, None
        tally = _Tally(
            start,
            self._every_nth,
            is_thinned=self._max_fps is not None,
            counts_on=self.counts_on,
        )
        is_due = _Beat(self._max_fps)
        heard, lost = time.monotonic(), ""
        try:
            while not self._stopping.is_set():
                if link is None:
                    link = self._reach()
                    if link is None:
                        return
                    if lost:
                        seconds = time.monotonic() - heard
                        tally.reason = f"no connection for {seconds:.1f} s ({lost})"
                        yield Notice("reconnect", f"connected after {seconds:.1f} s")
                    heard, lost = time.monotonic(), ""
                notice: Notice | None = None
                try:
                    given = link.take(POLL)
                except Ended:
                    return
                except Disconnected as error:
                    notice = Notice("disconnect", str(error))
                else:
                    if isinstance(given, Notice):
                        yield given
                        if given.kind == "reconnect":
                            tally.reason = given.message
                    elif given is not None:
                        yield from self._items(given, tally, is_due)
                    if given is not None:
                        # only now: who takes the frames may have held us up
                        heard = time.monotonic()
                    notice = self._stalled(heard)
                if notice is not None:
                    yield notice
                    _let_go(link)
                    link, lost = None, notice.message
        finally:
            _let_go(link)

    def read(self, index: int) -> Frame:
        """Refuse: a live source has no past.

        Raises
        ------
        FrameError
            Always.
        """
        raise FrameError(f"frame {index}: a live source cannot be read again")

    def stop(self) -> None:
        """End `frames` within a second (any thread); it may be begun again."""
        self._stopping.set()

    def close(self) -> None:
        """Let go of the device; idempotent."""
        link, self._link = self._link, None
        _let_go(link)

    def cut_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a frame that ``roi`` leaves of a picture.

        Raises
        ------
        ConfigError
            The part reaches beyond the picture.
        """
        if self._roi is None:
            return shape
        y, x, height, width = self._roi
        if y + height > shape[-2] or x + width > shape[-1]:
            raise ConfigError(
                f"roi {list(self._roi)} (y, x, height, width) reaches beyond the "
                f"picture of {shape[-2]} x {shape[-1]} pixels"
            )
        return (*shape[:-2], height, width)

    def _reach(self) -> Link | None:
        """Connect, however often it takes; None once the run ends."""
        wait = 0.0
        while not self._stopping.wait(wait):
            try:
                return self._connect()
            except SourceError as error:
                _logger.info("cannot connect: %s", error)
            wait = min(max(FIRST_WAIT, 2 * wait), LONGEST_WAIT)
        return None

    def _stalled(self, heard: float) -> Notice | None:
        """Return what to say where nothing came for too long."""
        limit = self._stall_timeout
        if limit is None or time.monotonic() - heard < limit:
            return None
        return Notice("stall", f"no frame for {limit:g} s; connecting anew")

    def _items(
        self, given: Picture | Spoiled, tally: "_Tally", is_due: Callable[[], bool]
    ) -> Iterator[Frame | Gap]:
        """Yield the frame, if it is one that is kept, after what was lost before it."""
        is_kept = is_due if isinstance(given, Picture) else lambda: True
        gap, index = tally.take(given.counter, given.time, is_kept)
        if gap is not None:
            yield gap
        if index is None:
            return
        if isinstance(given, Spoiled):
            yield Gap(index, index, given.reason, given.time, given.place)
        else:
            yield Frame(self._cut(given), index, given.time, given.metadata)

    def _cut(self, given: Picture) -> Array:
        """Return the part that is kept, in memory of its own."""
        pixels = given.pixels
        if self._roi is not None and pixels.ndim >= 2:
            y, x, height, width = self._roi
            pixels = pixels[..., y : y + height, x : x + width]
        if given.is_own and pixels.flags.c_contiguous:
            return pixels
        return self._buffers.copy(pixels)


def _let_go(link: Link | None) -> None:
    """Close a link; one that cannot be closed, as it was unplugged, must not end us."""
    if link is not None:
        with suppress(Exception):
            link.close()


class _Beat:
    """Says which frames are due, so that they are ``fps`` per second at most."""

    #: How early a frame may come, in periods: cameras are no clocks.
    _EARLY = 0.1

    def __init__(self, fps: float | None) -> None:
        self._period = 0.0 if fps is None else 1 / fps
        self._due = 0.0

    def __call__(self) -> bool:
        now, period = time.monotonic(), self._period
        if now < self._due - self._EARLY * period:
            return False
        # late by less than a period: the next one is due as if this one was in time
        self._due = (now if now - self._due >= period else self._due) + period
        return True


class _Tally:
    """Numbers what is kept, and knows what is missing between.

    Parameters
    ----------
    start
        The source index that comes next, if nothing is missing.
    every_nth
        One of so many pictures is kept.
    is_thinned
        Others are left out, too: indices count what is kept or lost.
    counts_on
        The other side counts while nobody listens.
    """

    def __init__(
        self, start: int, every_nth: int, *, is_thinned: bool, counts_on: bool
    ) -> None:
        self._index, self._every, self._is_thinned = start, every_nth, is_thinned
        self._counts_on = counts_on
        self._expected: int | None = None  # the next picture's counter
        #: what to add to the device's counter: it may begin anew
        self._offset = 0
        #: why frames may be missing before the next picture, if so
        self.reason: str | None = "the run was not on" if start else None
        self._place = RESTART if start else "source"

    def take(
        self, counter: int | None, when: float | None, is_kept: Callable[[], bool]
    ) -> tuple[Gap | None, int | None]:
        """Return the gap before a picture and its index; None: none, or not kept."""
        gap, number = self._before(counter, when)
        self._expected = number + 1
        if number % self._every or not is_kept():
            return gap, None
        index = self._index if self._is_thinned else number // self._every
        self._index = index + 1
        return gap, index

    def _before(
        self, counter: int | None, when: float | None
    ) -> tuple[Gap | None, int]:
        """Return what is missing before a picture, and its number."""
        reason, place = self.reason, self._place
        self.reason, self._place = None, "source"
        begins = self._expected is None
        expected = self._index * self._every if begins else self._expected
        assert expected is not None
        if counter is None:
            return self._unknown(
                reason, "it does not count them", when, place
            ), expected
        number = counter + self._offset
        if reason is not None and not self._counts_on:
            self._offset = expected - counter
            return self._unknown(reason, "it was not on", when, place), expected
        if begins and self._is_thinned:
            self._offset = expected - counter
            return self._unknown(reason, "some are left out", when, place), expected
        if number < expected and (reason is not None or not begins):
            self._offset += expected - number
            anew = f"its counter begins anew at {counter}"
            reason = reason or "the device was started again"
            return self._unknown(reason, anew, when, place), expected
        # what a restart cost is told by who knows the log
        if begins or number == expected:
            return None, number
        return self._gap(expected, number, reason or "", when), number

    def _unknown(
        self, reason: str | None, why: str, when: float | None, place: str
    ) -> Gap | None:
        """Return a gap of no frames: nobody knows how many are missing."""
        if reason is None:
            return None
        said = f"{reason}; how many frames are missing is unknown ({why})"
        return Gap(self._index, self._index - 1, said, when, place)

    def _gap(
        self, expected: int, number: int, reason: str, when: float | None
    ) -> Gap | None:
        """Return the gap of the pictures from ``expected`` up to before ``number``."""
        reason = reason or f"the camera counts on from {expected - 1} to {number}"
        if self._is_thinned:
            first, last = self._index, self._index + number - expected - 1
        else:
            first, last = -(-expected // self._every), (number - 1) // self._every
        if last < first:
            return None
        self._index = last + 1
        return Gap(first, last, reason, when)
