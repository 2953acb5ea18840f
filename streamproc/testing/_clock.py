"""A clock that goes on only when it is told to."""

import threading


class Clock:
    """Take the place of the module ``time`` in the code under test.

    It stands still until `advance` or `sleep` moves it, so that tests of what waits
    are exact and take no time::

        clock = Clock()
        monkeypatch.setattr("my_package.camera.time", clock)

    Safe to use from several threads.

    Parameters
    ----------
    now
        Seconds since the Unix epoch at which it begins.

    Examples
    --------
    >>> clock = Clock(100.0)
    >>> clock.sleep(0.5)
    >>> clock.time(), clock.monotonic()
    (100.5, 0.5)
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._began = now
        self._passed = 0.0
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        """Let time pass: ``seconds`` >= 0."""
        if seconds < 0:
            raise ValueError(f"time goes forward: seconds must be >= 0, got {seconds}")
        with self._lock:
            self._passed += seconds

    def time(self) -> float:
        """Return seconds since the Unix epoch."""
        return self._began + self.monotonic()

    def monotonic(self) -> float:
        """Return seconds since this clock began."""
        with self._lock:
            return self._passed

    def perf_counter(self) -> float:
        """Return the same as `monotonic`."""
        return self.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.advance(seconds)

    def event(self) -> threading.Event:
        """Return an Event whose ``wait(timeout)`` lets that time pass at once.

        Waiting for it without a timeout waits until it is set.
        """
        return _Event(self)


class _Event(threading.Event):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        if not self.is_set():
            self._clock.advance(max(0.0, timeout))
        return self.is_set()
