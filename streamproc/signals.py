"""Ctrl-C and SIGTERM while a run is on: the first drains it, the second stops it."""

import signal
import threading
from types import FrameType
from typing import Any


class Signals:
    """Counts requests to end, in place of raising in the middle of anything.

    A context manager; it takes the handlers over in the main thread only, and puts
    the former ones back, unless it has heard one: then the process is about to end,
    and ignores the rest. The third request raises `KeyboardInterrupt`: something
    hangs that neither a drain nor a stop has ended.
    """

    _LAST = 3

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        """Take the handlers over."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the former handlers back."""
        for number, handler in self._before.items():
            if self.count or handler is None:
                handler = signal.SIG_IGN if self.count else signal.SIG_DFL
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= self._LAST:
            raise KeyboardInterrupt
