"""Pixels into the chunks of all levels of a picture, wherever they were computed."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from streamproc.errors import FrameError
from streamproc.frame import Array, trailing_axes
from streamproc.grid import Grid
from streamproc.store.codecs import Chunk, Codec
from streamproc.store.layout import ArrayLayout

from ._pyramid import halve_image, halve_labels

#: Levels are added until y and x are at most this long.
SMALLEST_LEVEL = 256

PixelKind = Literal["image", "mask", "labels"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One frame of one output, ready to append: per level its layout and chunks."""

    levels: tuple[tuple[ArrayLayout, tuple[Chunk, ...]], ...]

    @property
    def nbytes(self) -> int:
        """Bytes that wait to be written."""
        return sum(len(chunk) for _, chunks in self.levels for chunk in chunks)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Makes chunks of pixels, wherever these were computed; picklable and pure.

    ``path`` is the picture's place in the store, ``kind`` says how it is scaled down
    and which dtype it takes (labels uint32, masks uint8, images their own).
    ``count`` is the number of levels where it is given: label images have as many
    as the image that they belong to. ``grid`` says where the pixels lie.
    """

    name: str
    path: str
    kind: PixelKind
    axes: str
    codec: Codec
    pyramid: bool = True
    files: bool = False
    count: int | None = None
    grid: Grid | None = None

    def __call__(self, pixels: Array, first_level: int = 0) -> Encoded:
        """Return the chunks of all levels from ``first_level`` on.

        Parameters
        ----------
        pixels
            One frame; its axes are those of the encoder, or what a user's function
            left of them (`trailing_axes`).
        first_level
            1 where something else (the raw log) writes the full size.
        """
        if not 2 <= pixels.ndim <= len(self.axes):
            raise FrameError(
                f"{self.name!r} has the axes {self.axes!r}, the frame has the shape "
                f"{pixels.shape}; return one dimension per axis, or the last ones"
            )
        pixels = self._plain(pixels)
        halve = halve_image if self.kind == "image" else halve_labels
        levels = []
        for level in range(self.levels(pixels.shape)):
            if level:
                pixels = halve(pixels)
            if level >= first_level:
                layout = self.layout(level, pixels.shape, pixels.dtype)
                levels.append((layout, layout.encode(pixels)))
        return Encoded(tuple(levels))

    def _plain(self, pixels: Array) -> Array:
        """Return the pixels little-endian, contiguous, in the dtype of the kind."""
        if self.kind == "image":
            return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
        if pixels.dtype.kind not in "bui":
            raise FrameError(
                f"{self.name!r} is {pixels.dtype}, a {self.kind} image holds whole "
                "numbers; give it the kind 'image' or return integers"
            )
        if self.kind == "mask":
            return np.ascontiguousarray(pixels != 0).view(np.uint8)
        return np.ascontiguousarray(pixels, "<u4")

    def levels(self, shape: tuple[int, ...]) -> int:
        """Return how many levels a frame of this shape has."""
        if self.count is not None:
            return self.count
        count, longest = 1, max(shape[-2:])
        while self.pyramid and longest > SMALLEST_LEVEL:
            count, longest = count + 1, -(-longest // 2)
        return count

    def layout(
        self, level: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> ArrayLayout:
        """Return the layout of a level whose frames have this shape."""
        name = f"{self.path}/{level}"
        axes = trailing_axes(len(shape), self.axes)
        return ArrayLayout.of(
            name, shape, dtype, self.codec, axes=axes, files=self.files
        )

    def all_layouts(
        self, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> list[ArrayLayout]:
        """Return the layouts of all levels of frames with this full shape."""
        found = []
        for level in range(self.levels(shape)):
            found.append(self.layout(level, shape, dtype))
            shape = (*shape[:-2], *(-(-n // 2) for n in shape[-2:]))
        return found
