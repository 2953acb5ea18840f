"""A source's frames sent to another program, in a thread of its own."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from . import messages
from .errors import SourceError, one_line
from .frame import Frame, Gap, Notice, Source, Unreadable
from .messages import Compression
from .sockets import Socket

#: Milliseconds within which a wish to end is heard.
_LOOK = 100
#: Bytes that may wait for each receiver, and messages in any case.
_WAITING_BYTES, _WAITING = 64 << 20, 4
#: Seconds that the last messages have to be taken.
LINGER = 30.0


@dataclass(slots=True)
class Sent:
    """What became of the frames so far."""

    frames: int = 0
    unreadable: int = 0
    lost: int = 0
    #: of pixels, and as they went
    plain_bytes: int = 0
    bytes: int = 0
    seconds: float = 0.0
    #: why the first unreadable frame was
    error: str = ""


class Sender:
    """Sends frames until the source ends, then says so to the receiver.

    Parameters
    ----------
    source
        Its frames are sent by their ``source_index``; what it cannot read or has lost
        is left out, so that the receiver misses the number.
    address
        Where to wait for receivers, or where one is.
    pattern
        ``push`` waits for the receiver, and loses nothing; ``pub`` sends to all who
        listen, from the first one on, and drops what one of them is too slow for.
    bind
        Wait at the address; False goes there.
    topic
        Of ``pub``; may not begin with ``{``.
    compression
        Of the pixels.
    fps
        Frames per second at most.
    frames
        How many; None: as many as there are.
    linger
        Seconds that the last messages have to be taken.

    Raises
    ------
    SourceError
        The address is none or in use, or a frame has more bytes than a message may.
    MissingDependency
        pyzmq is not installed.
    """

    def __init__(
        self,
        source: Source,
        address: str,
        *,
        pattern: Literal["push", "pub"] = "push",
        bind: bool = True,
        topic: str = "",
        compression: Compression = "none",
        fps: float | None = None,
        frames: int | None = None,
        linger: float = LINGER,
    ) -> None:
        self._source, self._pattern = source, pattern
        self._topic = [topic.encode()] if topic else []
        self._compression, self._fps, self._limit = compression, fps, frames
        self._linger = linger
        size = source.info.nbytes
        if size > messages.MOST:
            raise SourceError(
                f"a frame of {size:,} bytes is too large to be sent; at most "
                f"{messages.MOST:,}"
            )
        waiting = max(_WAITING, _WAITING_BYTES // max(size, 1))
        self._socket = Socket(pattern, address, bind=bind, waiting=waiting)
        self.address = self._socket.address
        self.sent = Sent()
        self._stopping, self._aborting = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more frames, deliver those sent; a second time: end at once."""
        if self._stopping.is_set():
            self._aborting.set()
        self._stopping.set()
        self._source.stop()

    def wait(self, timeout: float) -> bool:
        """Wait for the end; return whether it is there.

        Raises
        ------
        Exception
            What the source raised, or `TimeoutError` where nobody took the last
            messages.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True

    def _run(self) -> None:
        """Run in the thread: from the first frame to the last message delivered."""
        try:
            if self._pattern == "pub":
                self._await_listener()
            self._send_frames()
            # who is interrupted may come back: only a source's end is one
            if not self._stopping.is_set():
                self._send(messages.end())
        except Exception as error:  # raised by `wait`
            self._error = error
        with suppress(Exception):  # an unplugged camera, say
            self._source.stop()
        began = time.monotonic()
        self._socket.close(0.0 if self._aborting.is_set() else self._linger)
        if self._error is None and 0 < self._linger <= time.monotonic() - began:
            self._error = TimeoutError(
                f"the last frames were not taken within {self._linger:g} s"
            )

    def _await_listener(self) -> None:
        while not self._stopping.is_set():
            if self._socket.raw.poll(_LOOK):
                self._socket.raw.recv()
                return

    def _send_frames(self) -> None:
        began, sent = time.monotonic(), self.sent
        items = iter(self._source.frames())
        while not self._stopping.is_set() and sent.frames != self._limit:
            item = next(items, None)
            if item is None:
                return
            if isinstance(item, Frame):
                if self._fps is not None:
                    due = began + sent.frames / self._fps
                    self._stopping.wait(max(0.0, due - time.monotonic()))
                self._send_frame(item)
                sent.seconds = time.monotonic() - began
            elif isinstance(item, Gap):
                sent.lost += item.count
            elif not isinstance(item, Notice):
                self._leave_out(item)

    def _send_frame(self, frame: Frame) -> None:
        parts = messages.encode(frame, self._source.info, self._compression)
        if self._send(parts):
            self.sent.frames += 1
            self.sent.plain_bytes += frame.pixels.nbytes
            self.sent.bytes += sum(memoryview(part).nbytes for part in parts)

    def _leave_out(self, item: Unreadable) -> None:
        self.sent.unreadable += 1
        self.sent.error = self.sent.error or one_line(ValueError(item.error))

    def _send(self, parts: Sequence[Any]) -> bool:
        """Send a message once there is room; return whether it was sent."""
        import zmq

        message = [*self._topic, *parts]
        while not self._stopping.is_set():
            if self._socket.raw.poll(_LOOK, zmq.POLLOUT):
                with suppress(zmq.Again):  # the receiver has just gone
                    self._socket.raw.send_multipart(message, zmq.NOBLOCK, copy=False)
                    return True
        return False
