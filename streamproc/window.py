"""Which frames a windowed step reaches over, and what it makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Method = Literal["mean", "median", "first", "previous"]


def noun(method: Method) -> str:
    """Return what it is called in messages."""
    return "reference" if method in ("first", "previous") else "background"


#: Frames that may take the place of a reference that cannot be read, itself included.
TRIES = 8


@dataclass(frozen=True)
class Window:
    """A windowed step's reach over frames.

    ``mean`` and ``median`` are made of the up to ``window`` frames before a block of
    ``every``, those of the first block of its own frames. ``first`` is the first
    readable one of the first ``window`` frames, ``previous`` the last readable one of
    the ``window`` frames before each (that of the first is itself).
    """

    step: str
    window: int
    every: int
    method: Method = "mean"

    def block(self, frame: int) -> int:
        """Return the block a frame is in."""
        if self.method == "first":
            return min(frame, self.window - 1)
        return frame // self.every

    def frames(self, block: int) -> Sequence[int]:
        """Return the frames that the block's value is made of, in order of reading."""
        if self.method == "first":
            return range(block + 1)
        start = block * self.every
        past = range(max(0, start - self.window), start)
        if self.method == "previous":
            return (*past[::-1], start) if start < self.window else past[::-1]
        return past if block else range(self.every)

    def reaches(self, frame: int) -> int:
        """Return the first frame that the window of a frame reaches."""
        return min(self.frames(self.block(frame)))

    @property
    def pinned(self) -> int:
        """How many of the first frames are needed to the end of the run."""
        return self.window if self.method == "first" else 0

    @property
    def reach(self) -> int:
        """How many frames are at hand at most while a block runs."""
        return self.window + self.every

    @property
    def takes_all(self) -> bool:
        """Whether it needs the pixels of all frames of a window at once."""
        return self.method == "median"
