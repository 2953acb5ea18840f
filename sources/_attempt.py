"""One attempt to read files that may not be written to their end."""

from collections.abc import Callable, Iterator
from typing import Any

from streamproc.errors import FrameError, StreamprocError, one_line
from streamproc.frame import Array, SourceInfo
from streamproc.values import hash_image

from ._image_files import ImageFiles


class Attempt:
    """Files that were decoded to their end, or the reason why not.

    Parameters
    ----------
    open_files
        Opens them.
    begin
        The first frame that is wanted.
    info
        What every frame is to be.
    """

    def __init__(
        self, open_files: Callable[[], ImageFiles], begin: int, info: SourceInfo
    ) -> None:
        self._begin, self._info = begin, info
        self._images: ImageFiles | None = None
        self._first: tuple[Array, str] | None = None
        #: why not all can be read
        self.error: StreamprocError | None = None
        try:
            self._images = open_files()
            for index in range(begin, len(self._images)):
                made = self._images.pixels(index)
                if index == begin:
                    self._first = made
        except StreamprocError as error:
            self.error = error

    def __len__(self) -> int:
        """Return how many frames the files announce; one where they cannot be opened.

        Those that were taken before are among them.
        """
        return max(self._begin, 1) if self._images is None else len(self._images)

    @property
    def content(self) -> int:
        """A number of the first frame's pixels; 0 where it cannot be read."""
        return 0 if self._first is None else int(hash_image(self._first[0]), 16)

    def skip(self, begin: int) -> None:
        """Want no frame before `begin`."""
        self._begin, self._first = begin, None

    def frames(self) -> Iterator[tuple[int, Array | str]]:
        """Yield every frame's place, and its pixels or why there are none."""
        for index in range(self._begin, len(self)):
            try:
                yield index, self._frame(index)
            except StreamprocError as error:
                yield index, one_line(error)

    def time(self, index: int) -> float | None:
        """Return when a frame was taken, if its file tells."""
        return None if self._images is None else self._images.time(index)

    def metadata(self, index: int) -> dict[str, Any]:
        """Return what the files tell of a frame."""
        if self._images is None:
            return {}
        return self._images.metadata(index, file=False)

    def close(self) -> None:
        """Close the files."""
        if self._images is not None:
            self._images.close()

    def _frame(self, index: int) -> Array:
        """Return a frame's pixels, which are forgotten here.

        Raises
        ------
        FrameError
            It cannot be read, or is not like the others.
        """
        if self._images is None:
            raise self.error or FrameError("it cannot be read")
        made, self._first = self._first, None
        pixels, axes = self._images.pixels(index) if made is None else made
        info = self._info
        if (pixels.shape, axes, pixels.dtype) != (info.shape, info.axes, info.dtype):
            raise FrameError(
                f"{self._images.file(index).name} is {axes} {pixels.shape} "
                f"{pixels.dtype}, the first image was {info.axes} {info.shape} "
                f"{info.dtype}"
            )
        return pixels
