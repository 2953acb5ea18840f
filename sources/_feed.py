"""A link to what blocks while it waits for a picture: read in a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from streamproc.errors import SourceError, one_line

from ._live import Disconnected, Ended, Picture, Spoiled

#: Bytes of pictures that may wait to be taken, and how many may in any case.
_WAITING_BYTES, _WAITING = 64 << 20, 16
#: Bytes that one that is spoiled counts for.
_SMALL = 1024
#: Seconds that a driver has to let go: one that is still at work when Python ends may
#: end the process in its own way.
_PATIENCE = 0.7
#: Seconds within which a wish to stop is heard.
_LOOK = 0.1


class Feed(Protocol):
    """A device or a stream as its driver gives it; one thread does all of this."""

    def open(self) -> Mapping[str, Any]:
        """Open it and return what it tells of itself, in plain JSON values."""
        ...

    def pictures(self) -> Iterator[Picture | Spoiled]:
        """Yield pictures in memory of their own; raises `Disconnected` at the end."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Threaded:
    """The link to a feed: a thread takes pictures at once, and stamps them.

    They are numbered by us, from 0: those that nobody took in time are left out, and
    so counted. Whoever lets go of the link hardly waits for the driver.

    Attributes
    ----------
    told
        What the feed tells of itself, once the first picture is there.
    """

    def __init__(self, feed: Feed) -> None:
        self.told: Mapping[str, Any] = {}
        self._feed = feed
        self._pictures: deque[Picture | Spoiled] = deque()
        self._waiting_bytes = 0
        self._error: Exception | None = None
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)
        self._thread.start()

    def wait(self, timeout: float, stopping: threading.Event) -> Picture:
        """Wait until a picture is there; return it, and leave it there.

        Raises
        ------
        SourceError
            There is none within ``timeout`` seconds, or never will be.
        """
        until = time.monotonic() + timeout
        with self._changed:
            while (picture := self._first()) is None:
                if self._error is not None:
                    raise SourceError(str(self._error)) from self._error
                if stopping.is_set():
                    raise SourceError("stopped before the first picture")
                if time.monotonic() > until:
                    raise SourceError(f"no picture within {timeout:g} s")
                self._changed.wait(_LOOK)
            return picture

    def take(self, timeout: float) -> Picture | Spoiled | None:
        """Return the next picture; None: none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._pictures or self._error, timeout)
            if self._pictures:
                given = self._pictures.popleft()
                self._waiting_bytes -= _size(given)
                return given
            if self._error is not None:
                raise self._error
            return None

    def close(self) -> None:
        """End the thread; one whose driver does not let it is left behind."""
        with self._changed:
            self._closing = True
            self._pictures.clear()
        self._thread.join(_PATIENCE)

    def _read(self) -> None:
        """Run in the thread: from opening the feed to its end."""
        try:
            self.told = self._feed.open()
            for number, given in enumerate(self._feed.pictures()):
                if not self._put(replace(given, counter=number)):
                    break
            else:
                raise Disconnected("the stream ended")
        except (Disconnected, Ended, SourceError) as error:
            self._fail(error)
        except Exception as error:
            # a driver may fail in any way; to connect anew is all that can be done
            self._fail(Disconnected(one_line(error)))
        finally:
            with suppress(Exception):
                self._feed.close()

    def _put(self, given: Picture | Spoiled) -> bool:
        """Keep a picture, if there is room; return whether more are wanted."""
        size = _size(given)
        with self._changed:
            has_room = self._waiting_bytes + size <= _WAITING_BYTES
            if has_room or len(self._pictures) < _WAITING:
                self._pictures.append(given)
                self._waiting_bytes += size
                self._changed.notify_all()
            return not self._closing

    def _first(self) -> Picture | None:
        return next((p for p in self._pictures if isinstance(p, Picture)), None)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()


def _size(given: Picture | Spoiled) -> int:
    return given.pixels.nbytes if isinstance(given, Picture) else _SMALL
