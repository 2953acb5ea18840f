"""A recording in memory, so that nothing but the work on it is measured."""

from collections.abc import Iterator
from typing import Any, ClassVar

from numpy.typing import NDArray

import streamproc as sp


class Memory:
    """A recording in memory: one frame, again and again."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, frames: int, pixels: NDArray[Any]) -> None:
        self._frame = sp.Frame(pixels, 0)
        self.info = sp.SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes="yx",
            identity="memory",
            frames=frames,
            random_access=True,
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame]:
        """Yield the frame."""
        for _ in range(start, self.info.frames or 0):
            yield self._frame

    def read(self, index: int) -> sp.Frame:
        """Return the frame."""
        return self._frame

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""
