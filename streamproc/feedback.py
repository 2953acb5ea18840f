"""The way back: what a sink decides reaches the source that acquires on demand.

A source that can act on results opens a `Mailbox` under a name while it is open; a sink
of the same process finds it there, posts what is to be acquired next, and says how far
it has come. The source ends once all that it gave is decided on and nothing is left.
"""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from .errors import ConfigError, nearest
from .frame import Notice

_lock = threading.Lock()
_open: dict[str, "Mailbox"] = {}


class Mailbox:
    """Events for one source, in order; any thread may use it.

    ``name`` is what the source is found by.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._changed = threading.Condition()
        self._events: deque[Any] = deque()
        self._notices: deque[Notice] = deque()
        self._decided = -1
        self._is_left = False

    def attend(self) -> None:
        """Say that somebody decides from now on."""
        with self._changed:
            self._is_left = False

    def leave(self) -> None:
        """Say that nobody decides any more: nothing is waited for."""
        with self._changed:
            self._is_left = True
            self._changed.notify_all()

    def post(self, source_index: int, events: Iterable[Any] = ()) -> None:
        """Decide on the frame of a source index, and on all before it."""
        with self._changed:
            self._events.extend(events)
            self._decided = max(self._decided, source_index)
            self._changed.notify_all()

    def say(self, notice: Notice) -> None:
        """Have the source tell something: a row of ``events``."""
        with self._changed:
            self._notices.append(notice)

    def notices(self) -> list[Notice]:
        """Return what is to be told, once."""
        with self._changed:
            told = list(self._notices)
            self._notices.clear()
            return told

    def take(self, timeout: float, given: int) -> Any | None:
        """Wait for the next event; None where there is none (yet).

        ``given`` is the source index of the last frame that was given.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._events or self._is_decided(given), timeout
            )
            return self._events.popleft() if self._events else None

    def is_done(self, given: int) -> bool:
        """Return whether all up to a source index is decided on, and nothing left."""
        with self._changed:
            return self._is_decided(given) and not self._events

    def _is_decided(self, given: int) -> bool:
        return self._is_left or self._decided >= given


def announce(name: str) -> Mailbox:
    """Open the mailbox of a source.

    Raises
    ------
    ConfigError
        There is one of this name: two sources would take each other's events.
    """
    with _lock:
        if name in _open:
            raise ConfigError(
                f"a source {name!r} that takes events is open in this process already; "
                "close it first"
            )
        _open[name] = Mailbox(name)
        return _open[name]


def withdraw(mailbox: Mailbox) -> None:
    """Close a mailbox; idempotent."""
    with _lock:
        if _open.get(mailbox.name) is mailbox:
            del _open[mailbox.name]


def find(name: str | None = None) -> Mailbox:
    """Return the mailbox of a name; None: the only one there is.

    Raises
    ------
    ConfigError
        There is none of this name, or none at all, or several.
    """
    with _lock:
        names = [name] if name is not None else list(_open)
        if len(names) == 1 and names[0] in _open:
            return _open[names[0]]
        if not _open:
            raise ConfigError(
                "no source of this process takes events; give micromanager a sequence "
                "and feedback: true"
            )
        if name is None:
            raise ConfigError(
                f"{len(_open)} sources take events: {', '.join(sorted(_open))}; say "
                "which one is meant"
            )
        raise ConfigError(f"no source {name!r} takes events{nearest(name, _open)}")
