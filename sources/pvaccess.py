"""Pictures of a detector on EPICS' pvAccess, as areaDetector publishes them."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Gt

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line
from streamproc.frame import SourceInfo

from . import _ntndarray
from ._live import POLL, Disconnected, LiveSource, Picture, Roi, Spoiled

if TYPE_CHECKING:
    from p4p.client.raw import Context  # type: ignore[import-untyped]  # untyped

T = TypeVar("T")

#: Bytes of pictures that may wait in a channel; how many at least, and at most.
_WAITING_BYTES, _FEWEST, _MOST = 256 << 20, 4, 1024


class PvAccess(LiveSource):
    """Read the pictures that a channel of EPICS' pvAccess publishes.

    The channel is an NTNDArray, such as areaDetector's plugin NDPluginPva serves:
    plain or compressed by blosc, bslz4, lz4 or jpeg; mono, Bayer (one plane, as it
    is), RGB1, RGB2 or RGB3; of any type of number. Where servers are is said by EPICS'
    own variables of the environment, EPICS_PVA_ADDR_LIST and others.

    Parameters
    ----------
    channel
        The channel's name, such as ``13SIM1:Pva1:Image``.
    color
        For colour pictures: ``gray`` (luma) or ``rgb`` (axis c first).
    connect_timeout
        Seconds to wait for the channel, and for its first picture.
    max_fps
        Leave out frames that come sooner after the last one kept.
    every_nth
        Keep one of so many.
    roi
        Cut pictures to this part: first row, first column, height, width.
    stall_timeout
        Seconds without a picture after which the channel is opened anew; None: never.

    Raises
    ------
    SourceError
        No such channel, no picture in it, or one that cannot be read; while reading,
        a picture of another shape or type.
    ConfigError
        The roi reaches beyond the picture.
    MissingDependency
        The package p4p (for bslz4 imagecodecs) is not installed.

    Notes
    -----
    A channel holds its last picture for whoever comes later: the one that was there
    before the run is none of its frames. pvAccess leaves out pictures for a client
    that is slow: what is missing, whoever left it out, ``uniqueId`` tells, and it is a
    gap. A publisher that gives the same ``uniqueId`` again does not count, and nobody
    knows what is missing. Times are those of ``dataTimeStamp``, else of ``timeStamp``,
    else of arrival. Attributes are metadata of the frame.
    """

    def __init__(
        self,
        channel: str,
        *,
        color: Literal["gray", "rgb"] = "gray",
        connect_timeout: Annotated[float, Gt(0)] = 5.0,
        max_fps: Annotated[float, Gt(0)] | None = None,
        every_nth: Annotated[int, Ge(1)] = 1,
        roi: Roi | None = None,
        stall_timeout: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__(
            max_fps=max_fps, every_nth=every_nth, roi=roi, stall_timeout=stall_timeout
        )
        self._channel, self._color = channel, color
        self._connect_timeout, self._queue = connect_timeout, _FEWEST
        self._context: Context | None = None
        #: the mark of the picture that was looked at last
        self._seen: tuple[int, ...] = ()
        try:
            self.info = self._describe()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the channel; idempotent."""
        super().close()
        context, self._context = self._context, None
        if context is not None:
            context.close()

    def _describe(self) -> SourceInfo:
        """Return what the channel gives, by the picture that it holds."""
        channel = self._connect()
        try:
            value = self._wait(lambda: channel.picture(POLL))
            if value is None:
                raise SourceError(
                    f"channel {self._channel!r} has no picture after "
                    f"{self._connect_timeout:g} s; start the detector first"
                )
            pixels, axes = _ntndarray.picture(value, self._color)
        except (Disconnected, FrameError) as error:
            raise SourceError(f"channel {self._channel!r}: {error}") from None
        finally:
            channel.close()
        self._seen = _mark(value)
        self._expected = (pixels.shape, pixels.dtype)
        self._queue = min(max(_WAITING_BYTES // pixels.nbytes, _FEWEST), _MOST)
        return SourceInfo(
            shape=self.cut_shape(pixels.shape),
            dtype=pixels.dtype,
            axes=axes,
            identity=f"pvaccess:{self._channel}:{self._color}:{self._roi}",
            live=True,
            metadata={"channel": self._channel},
        )

    def _connect(self) -> "_Channel":
        """Subscribe to the channel."""
        channel = _Channel(self._opened(), self._channel, self._queue, self._read)
        try:
            if self._wait(lambda: channel.begin(POLL) or None) is None:
                raise SourceError(
                    f"no channel {self._channel!r} within {self._connect_timeout:g} s; "
                    "check its name, and that EPICS_PVA_ADDR_LIST leads to its server"
                )
        except BaseException as error:
            channel.close()
            if isinstance(error, Disconnected):
                raise SourceError(str(error)) from None
            raise
        return channel

    def _opened(self) -> "Context":
        """Return the client, which is one for all connections."""
        if self._context is None:
            try:
                from p4p.client.raw import Context
            except ImportError:
                raise MissingDependency(
                    "source 'pvaccess' needs the package p4p: "
                    "pip install 'streamproc[pvaccess]'"
                ) from None
            self._context = Context("pva", useenv=True, nt=False)
        return self._context

    def _wait(self, ask: Callable[[], T | None]) -> T | None:
        """Ask until there is an answer, for ``connect_timeout`` or until `stop`."""
        deadline = time.monotonic() + self._connect_timeout
        answer = None
        while answer is None and time.monotonic() < deadline:
            if self._stopping.is_set():
                break
            answer = ask()
        return answer

    def _read(self, value: Any, *, is_held: bool) -> Picture | Spoiled | None:
        """Return what the channel gave; None where it was looked at before.

        ``is_held`` marks the picture that the channel held when it was opened.
        """
        mark, last = _mark(value), self._seen
        if is_held and mark == last:
            return None
        self._seen = mark
        # 32 bits with a sign, which may have run over
        counter = mark[0] % 2**32 if mark[0] != last[0] else None
        when = _ntndarray.moment(value)
        try:
            pixels, _ = _ntndarray.picture(value, self._color)
        except FrameError as error:
            return Spoiled(str(error), counter, when)
        if (pixels.shape, pixels.dtype) != self._expected:
            shape, dtype = self._expected
            raise SourceError(
                f"channel {self._channel!r} gives {pixels.shape} {pixels.dtype} now, "
                f"before {shape} {dtype}; set the detector back and resume"
            )
        return Picture(pixels, counter, when, _ntndarray.metadata(value))


class _Channel:
    """A subscription to a channel, whose pictures are read as they are taken."""

    def __init__(
        self,
        context: "Context",
        name: str,
        queue: int,
        read: Callable[..., Picture | Spoiled | None],
    ) -> None:
        self._context, self._name, self._read = context, name, read
        self._woken = threading.Event()
        self._held: Any = None
        self._subscription = context.monitor(
            name, self._woken.set, request=f"field()record[queueSize={queue}]"
        )

    def begin(self, timeout: float) -> bool:
        """Return whether it is there: its first update is what it holds.

        Raises
        ------
        Disconnected
            The server refuses.
        SourceError
            The channel gives no pictures.
        """
        self._held = self._update(timeout)
        if self._held is None:
            return False
        if not _ntndarray.is_array(self._held):
            raise SourceError(
                f"channel {self._name!r} is {self._held.getID()}, not an NTNDArray; "
                "areaDetector's end with :Image"
            )
        return True

    def picture(self, timeout: float) -> Any:
        """Return the next update, if there is one and it has a picture."""
        value, self._held = self._held, None
        if value is None:
            value = self._update(timeout)
        # what tells of no pixels, as of an alarm, is no picture
        is_new = value is not None and value.changed("value")
        return value if is_new and value.value is not None else None

    def take(self, timeout: float) -> Picture | Spoiled | None:
        """Wait for the next picture, and read it."""
        is_held = self._held is not None
        value = self.picture(timeout)
        return None if value is None else self._read(value, is_held=is_held)

    def close(self) -> None:
        """End the subscription, and forget the channel: it is looked for anew."""
        self._subscription.close()
        self._context.disconnect(self._name)

    def _update(self, timeout: float) -> Any:
        """Return the next update; None: none came."""
        deadline = time.monotonic() + timeout
        while True:
            self._woken.clear()
            update = self._subscription.pop()
            if isinstance(update, Exception):
                raise Disconnected(
                    f"channel {self._name!r} is gone: {one_line(update)}"
                )
            left = max(deadline - time.monotonic(), 0)
            if update is not None or not self._woken.wait(left):
                return update


def _mark(value: Any) -> tuple[int, ...]:
    """Return what tells a picture from others, its ``uniqueId`` first."""
    stamps = (value.timeStamp, value.dataTimeStamp)
    times = [int(t) for s in stamps for t in (s.secondsPastEpoch, s.nanoseconds)]
    return (int(value.uniqueId), *times)
