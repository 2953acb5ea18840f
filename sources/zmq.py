"""Frames that another program sends over ZeroMQ."""

import hashlib
import time
from collections import deque
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt

from streamproc.errors import ConfigError, SourceError
from streamproc.frame import Notice, SourceInfo
from streamproc.messages import Header, MessageError, read
from streamproc.sockets import Socket

from ._live import Ended, LiveSource, Picture, Roi, Spoiled

#: Seconds in which a first frame comes, where ``stall_timeout`` is null.
_PATIENCE = 30.0
#: Seconds within which `Zmq.stop` is heard while nothing comes.
_LOOK = 0.1
#: Messages that are no frames, after which nobody waits for a first one any more.
_JUNK = 100


class Zmq(LiveSource):
    """Receive frames from ``streamproc send``, or from any program that sends such.

    A message is a JSON header and the pixels, as `streamproc.messages` describes
    them. Shape, dtype, axes and calibration are those of the first frame, which
    `streamproc info` takes from the sender, too.

    Parameters
    ----------
    address
        Where the sender is: ``tcp://HOST:PORT``, or ``ipc://PATH``.
    socket
        ``pull``: the sender waits for us, and loses nothing. ``sub``: it does not,
        and drops what we are too slow for; that is recorded as a gap.
    bind
        Wait for the sender at the address, rather than go there.
    topic
        Of ``sub``: take only what is sent under topics that begin so.
    high_water
        Messages that may wait to be taken.
    max_fps
        Leave out frames that come sooner after the last one kept.
    every_nth
        Keep one of so many.
    roi
        Cut frames to this part: first row, first column, height, width.
    stall_timeout
        Seconds without a frame after which the connection is made anew; null: never,
        as a sender may be silent, and one that is gone is found out in any case.

    Raises
    ------
    MissingDependency
        The package pyzmq is not installed.
    SourceError
        The address is none or in use, or no frame comes. While reading: a frame of
        another shape or dtype.
    ConfigError
        A ``topic`` with ``pull``, or a ``roi`` beyond the frame.

    Notes
    -----
    ``source_index`` is the number in the header, so that frames lost on the way, or
    while no run was on, are counted exactly; a sender that begins to count anew is a
    gap of an unknown number. A message that is no frame is a lost frame with the
    reason. What is received is at most 1 GiB per frame; nothing is unpickled, ever.
    Nothing is encrypted, and whoever reaches the address can send frames or take
    them: beyond this machine, use a network that you trust, or a tunnel.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        address: str,
        *,
        socket: Literal["pull", "sub"] = "pull",
        bind: bool = False,
        topic: str = "",
        high_water: Annotated[int, Gt(0)] = 100,
        max_fps: Annotated[float, Gt(0)] | None = None,
        every_nth: Annotated[int, Gt(0)] = 1,
        roi: Roi | None = None,
        stall_timeout: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__(
            max_fps=max_fps, every_nth=every_nth, roi=roi, stall_timeout=stall_timeout
        )
        if topic and socket != "sub":
            raise ConfigError(f"topic {topic!r} needs socket: sub; pull has no topics")
        self._address, self._socket, self._bind = address, socket, bind
        self._topic, self._high_water = topic, high_water
        self._first: Header | None = None
        self._link = link = self._open()
        try:
            self._first = link.wait(stall_timeout or _PATIENCE)
            self.info = self._describe(self._first)
        except BaseException:
            self.close()
            raise

    def _describe(self, header: Header) -> SourceInfo:
        """Return what the sender is, by its first frame."""
        place = (self._address, self._socket, self._topic, self._roi)
        shape, axes = tuple(header.shape), header.named_axes
        hashed = hashlib.sha256(repr((place, shape, header.type, axes)).encode())
        return SourceInfo(
            shape=self.cut_shape(shape),
            dtype=header.dtype,
            axes=axes,
            identity="zmq:" + hashed.hexdigest()[:16],
            live=True,
            pixel_size_um=header.pixel_size_um,
            fps=header.fps,
            channels=header.channels,
            metadata={"address": self._address, "socket": self._socket},
        )

    def _open(self) -> "_Received":
        socket = Socket(
            self._socket, self._address, bind=self._bind, waiting=self._high_water
        )
        topic = self._topic if self._socket == "sub" else None
        return _Received(socket, topic, self._first)

    def _connect(self) -> "_Received":
        """Connect anew, and wait for a message, for as long as the run is on.

        Raises
        ------
        SourceError
            The address is in use, or the run ends.
        """
        link = self._open()
        while not link.has_message(_LOOK):
            if self._stopping.is_set():
                link.close()
                raise SourceError("stopped before the first frame")
        return link


class _Received:
    """The link: messages as they come, and what becomes of the connection.

    ``first`` is the header that all others are to resemble, once there is one.
    """

    def __init__(self, socket: Socket, topic: str | None, first: Header | None) -> None:
        import zmq

        self._socket, self.first = socket, first
        #: what was taken to know the first frame
        self._waiting: deque[Picture | Spoiled | Notice] = deque()
        self._gone_at: float | None = None
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        self._monitor = socket.raw.get_monitor_socket(events)
        if topic is not None:
            socket.raw.subscribe(topic)
        self._poller = zmq.Poller()
        self._poller.register(socket.raw, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)

    def wait(self, patience: float) -> Header:
        """Wait for the first frame, return its header, and have `take` give it again.

        Raises
        ------
        SourceError
            None comes in time.
        """
        until, reason = time.monotonic() + patience, f"no frame within {patience:g} s"
        try:
            while time.monotonic() < until and len(self._waiting) < _JUNK:
                given = self._next(_LOOK)
                if given is not None:
                    self._waiting.append(given)
                if self.first is not None:
                    return self.first
        except Ended:
            reason = "the sender ended before its first frame"
        said = [item.reason for item in self._waiting if isinstance(item, Spoiled)]
        if said:
            reason = f"no frames, but {len(said)} other messages, the last: {said[-1]}"
        raise SourceError(
            f"{self._socket.address}: {reason}; is it the address of a sender, "
            "and the kind of its socket (push for pull, pub for sub)?"
        )

    def has_message(self, timeout: float) -> bool:
        """Return whether one is there, within ``timeout`` seconds."""
        return bool(self._socket.raw.poll(round(1000 * timeout)))

    def take(self, timeout: float) -> Picture | Spoiled | Notice | None:
        """Return the next picture, or what became of the connection.

        Raises
        ------
        Ended
            The sender says so.
        SourceError
            A frame is of another shape or dtype than the first.
        """
        return self._waiting.popleft() if self._waiting else self._next(timeout)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _next(self, timeout: float) -> Picture | Spoiled | Notice | None:
        """Take what comes next, within ``timeout`` seconds."""
        ready = dict(self._poller.poll(round(1000 * timeout)))
        # what was received before the connection broke comes before the news of it
        if self._socket.raw in ready:
            return self._message()
        return self._news() if self._monitor in ready else None

    def _message(self) -> Picture | Spoiled:
        """Take a message."""
        parts = self._socket.raw.recv_multipart(copy=False)
        arrived = time.time()
        try:
            message = read([part.buffer for part in parts])
            if message is None:
                raise Ended
            header = message.header
            self._compare(header)
            pixels = message.pixels()
        except MessageError as error:
            return Spoiled(str(error), error.frame, arrived, "network")
        if self.first is None:
            self.first = header
        when = arrived if header.time is None else header.time
        return Picture(pixels, header.frame, when, header.metadata)

    def _compare(self, header: Header) -> None:
        """Refuse a frame that is not like the first."""
        if self.first is None:
            return
        now, then = _said(header), _said(self.first)
        if now != then:
            raise SourceError(
                f"frames change shape: frame {header.frame} from "
                f"{self._socket.address} is {now}, those before are {then}; "
                "begin another run for it"
            )

    def _news(self) -> Notice | None:
        """Return what became of the connection, where that is new."""
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        event = recv_monitor_message(self._monitor)["event"]
        is_gone, now = event == zmq.EVENT_DISCONNECTED, time.monotonic()
        # attempts to connect that fail, or a first one that does not, are no news
        if is_gone == (self._gone_at is not None):
            return None
        if is_gone:
            self._gone_at = now
            said = f"{self._socket.address}: the sender is gone"
            return Notice("disconnect", said)
        assert self._gone_at is not None
        said = f"no connection for {now - self._gone_at:.1f} s"
        self._gone_at = None
        return Notice("reconnect", said)


def _said(header: Header) -> str:
    shape = " x ".join(map(str, header.shape))
    return f"{shape} ({header.named_axes}) {header.type}"
