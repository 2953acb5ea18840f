"""The bound on frames and bytes between admission and commit."""

import threading


class Budget:
    """Counts input and output bytes in flight; admission waits while it is full.

    One frame is always admitted, however large.
    """

    def __init__(self, limit: int, frames: int) -> None:
        self.limit = limit
        self.max_frames = frames
        self._condition = threading.Condition()
        self._bytes = 0
        self._frames = 0
        self._closed = False
        #: the most bytes ever in flight
        self.peak = 0

    @property
    def frames(self) -> int:
        """Frames in flight."""
        return self._frames

    @property
    def bytes(self) -> int:
        """Bytes in flight."""
        return self._bytes

    def make_room(self, frames: int) -> None:
        """Allow at least so many frames at once; the bound on bytes stays."""
        self.max_frames = max(self.max_frames, frames)

    def acquire(self, nbytes: int) -> bool:
        """Wait for room for one frame; False once `close` was called."""
        with self._condition:
            while not self._closed and self._frames and self._full(nbytes):
                self._condition.wait()
            if self._closed:
                return False
            self._frames += 1
            self._grow(nbytes)
            return True

    def try_acquire(self, nbytes: int) -> bool:
        """Take room for one frame if there is some; never wait."""
        with self._condition:
            if self._frames and self._full(nbytes):
                return False
            self._frames += 1
            self._grow(nbytes)
            return True

    def _full(self, nbytes: int) -> bool:
        return self._frames >= self.max_frames or self._bytes + nbytes > self.limit

    def _grow(self, nbytes: int) -> None:
        self._bytes += nbytes
        self.peak = max(self.peak, self._bytes)

    def add(self, nbytes: int) -> None:
        """Count bytes that a frame in flight turned out to need."""
        if nbytes:
            with self._condition:
                self._grow(nbytes)

    def release(self, nbytes: int, frames: int = 1) -> None:
        """Give back what finished frames held."""
        with self._condition:
            self._bytes -= nbytes
            self._frames -= frames
            self._condition.notify_all()

    def close(self) -> None:
        """Wake whoever waits; nothing is admitted any more."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
