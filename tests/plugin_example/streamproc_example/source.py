"""Frames one behind the other in a file without a header, as cameras dump them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt

from streamproc import Frame, FrameError, Gap, SourceError, SourceInfo, Unreadable


class Dump:
    """Read a file of frames without a header.

    Parameters
    ----------
    path
        The file; a last frame that is cut off is unreadable.
    shape
        Height and width in pixels.
    dtype
        Of the pixels, little-endian.
    pixel_size_um
        Micrometres per pixel.

    Raises
    ------
    SourceError
        The file cannot be read, or holds less than a frame.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".dump",)

    def __init__(
        self,
        path: str,
        *,
        shape: tuple[int, int] = (96, 96),
        dtype: Literal["uint8", "uint16"] = "uint16",
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        self._path, self._stored = Path(path), np.dtype(dtype).newbyteorder("<")
        self._bytes = shape[0] * shape[1] * self._stored.itemsize
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error}") from error
        if size < self._bytes:
            raise SourceError(
                f"{path} has {size} bytes, a frame of {shape[0]} x {shape[1]} {dtype} "
                f"has {self._bytes}; give its shape and dtype"
            )
        um = pixel_size_um
        self.info = SourceInfo(
            shape=(shape[0], shape[1]),
            dtype=np.dtype(dtype),
            axes="yx",
            # what it is, not where; times of files change when these are copied
            identity=f"dump:{self._path.name}:{size}:{shape}:{dtype}",
            frames=-(-size // self._bytes),
            random_access=True,
            pixel_size_um={} if um is None else {"y": um, "x": um},
            metadata={"file": self._path.name},
        )

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield every frame from ``start`` on."""
        for index in range(start, self.info.frames or 0):
            try:
                yield self.read(index)
            except FrameError as error:
                yield Unreadable(index, str(error))

    def read(self, index: int) -> Frame:
        """Return one frame, from any thread: the file is open only meanwhile."""
        if not 0 <= index < (self.info.frames or 0):
            raise FrameError(f"no frame {index}; there are {self.info.frames}")
        with self._path.open("rb") as file:
            file.seek(index * self._bytes)
            data = file.read(self._bytes)
        if len(data) < self._bytes:
            raise FrameError(f"frame {index} is cut off: {len(data)} of {self._bytes}")
        pixels = np.frombuffer(data, self._stored).reshape(self.info.shape)
        return Frame(pixels.astype(self.info.dtype), index)

    def stop(self) -> None:
        """Do nothing: a file ends by itself."""

    def close(self) -> None:
        """Release nothing."""
