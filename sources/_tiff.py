"""A TIFF file as frames: its planes found, then read by several threads at once."""

import logging
import struct
import threading
import weakref
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line
from streamproc.frame import Array

from . import _layout
from ._ifd import Bytes, walk

if TYPE_CHECKING:
    from tifffile import TiffPage

# a damaged file is our message, not tifffile's chatter on stderr
logging.getLogger("tifffile").addHandler(logging.NullHandler())

#: What decoders raise on damaged data.
DAMAGE = (
    ValueError,
    RuntimeError,
    OSError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
#: Photometric interpretations with red, green and blue; alpha's extra samples.
_COLOURS, _ALPHA = (2, 6), (1, 2)
#: More pixels per stored byte than any picture has.
_MOST_COMPRESSED = 5000


@dataclass(frozen=True, slots=True)
class Place:
    """Where one page's pixels are, and how they are stored (its key page)."""

    file: Bytes
    key: "TiffPage"
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    def read(self) -> Array:
        """Return the page's pixels as stored."""
        key = self.key
        if key.dtype is None or not key.shape or 0 in key.shape:
            raise FrameError("it has no pixels")
        dtype = np.dtype(key.parent.byteorder + key.dtype.char)
        if key.is_final:
            image = np.empty(key.shape, dtype)
            if self.offsets[0] + image.nbytes > self.file.size:
                raise FrameError(
                    f"the file is cut off: it needs {self.offsets[0] + image.nbytes} "
                    f"bytes and has {self.file.size}"
                )
            self.file.into(self.offsets[0], image.reshape(-1).view(np.uint8).data)
            return image
        return self._decoded()

    def _decoded(self) -> Array:
        """Return the pixels of a page stored in compressed or scattered segments."""
        key = self.key
        if key.nbytes > _MOST_COMPRESSED * self.file.size:
            raise FrameError(f"its size of {key.shape} cannot be right")
        image = np.empty(key.shaped, key.dtype)
        tables = {} if key.jpegtables is None else {"jpegtables": key.jpegtables}
        expected = int(np.prod(key.chunked))
        if len(self.offsets) < expected or len(self.counts) < expected:
            raise FrameError(f"{len(self.offsets)} of {expected} segments are there")
        for index in range(expected):
            offset, count = self.offsets[index], self.counts[index]
            if offset == 0 or count == 0:
                raise FrameError(f"segment {index} was never written")
            data = self.file.exactly(offset, count)
            segment, place, shape = key.decode(data, index, **tables)
            sample, depth, row, column, _ = place
            if segment is None or len(segment.shape) != 4:
                raise FrameError(f"segment {index} is damaged")
            d, h, w = (
                min(size, limit - first)
                for size, limit, first in zip(
                    shape[:3],
                    (key.imagedepth, key.imagelength, key.imagewidth),
                    (depth, row, column),
                    strict=True,
                )
            )
            image[sample, depth : depth + d, row : row + h, column : column + w] = (
                segment[:d, :h, :w]
            )
        return image.reshape(key.shape)


class Tiff:
    """One TIFF file: how many frames it announces, and each of them on demand.

    Raises
    ------
    FrameError
        No page of the file can be read.
    SourceError
        No permission to read it.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        self.path = path
        self._lock = threading.Lock()
        self._places: dict[int, Place] = {}
        self._keys: dict[int, TiffPage] = {}
        self._others: dict[str, Tiff] = {}
        try:
            self.file = Bytes(path)
            self.tif = tifffile.TiffFile(path)
            # before its parts are finalized, each by itself, in no order
            weakref.finalize(self, self.tif.close)
        except PermissionError:
            raise SourceError(f"no permission to read {path}") from None
        except DAMAGE as error:
            raise FrameError(f"{path.name} cannot be read: {one_line(error)}") from None
        try:
            self.chain = walk(self.file)
            if not self.tif.pages:
                self.tif.close()
                raise FrameError(f"{path.name} cannot be read: it has no pages")
            self.layout = _layout.of(self)
        except DAMAGE as error:
            self.tif.close()
            if isinstance(error, FrameError):
                raise
            raise FrameError(f"{path.name} cannot be read: {one_line(error)}") from None

    def close(self) -> None:
        """Close it, and the other files of its data set; nobody reads it any more."""
        self.tif.close()
        self.file.close()
        for other in self._others.values():
            other.close()

    @property
    def count(self) -> int:
        """Frames announced, and one more where the chain of pages is broken."""
        return self.layout.count + bool(self.layout.broken)

    def read(self, frame: int) -> tuple[Array, str]:
        """Return a frame as stored, and its axes (within ``czyxs``)."""
        name = self.path.name
        if frame >= self.layout.count:
            raise FrameError(
                f"{name}: the chain of pages is broken: {self.layout.broken}; "
                "later pages are lost"
            )
        series, planes = self.layout.find(frame)
        parts: list[Array] = []
        for plane in planes.ravel():
            try:
                place = series.locate(int(plane))
                image = place.read()
                if parts and image.shape != parts[0].shape:
                    raise FrameError(f"it is {image.shape}, not {parts[0].shape}")
            except DAMAGE as error:
                if "imagecodecs" in str(error):
                    raise MissingDependency(
                        f"{name} needs imagecodecs; pip install 'streamproc[codecs]'"
                    ) from None
                raise FrameError(
                    f"{name}, page {int(plane) + series.first} (of 0 to "
                    f"{self.layout.pages - 1}): {one_line(error)}"
                ) from None
            parts.append(image)
        axes = series.lead + _axes(place.key)
        stacked = parts[0] if len(parts) == 1 else np.stack(parts)
        return _arranged(stacked.reshape(planes.shape + parts[0].shape), axes, name)

    def page(self, index: int, other: str | None = None) -> Place:
        """Return where the page at ``index`` of the chain is (any thread)."""
        if other is not None and other != self.path.name:
            return self._sibling(other).page(index)
        place = self._places.get(index)
        if place is None:
            with self._lock:
                place = self._places[index] = self._parse(index)
        return place

    def inside(self, key: "TiffPage", index: int) -> Place:
        """Return plane ``index`` of those that follow each other without pages."""
        offset = key.dataoffsets[0] + index * key.nbytes
        return Place(self.file, key, (offset,), (key.nbytes,))

    def key(self, index: int) -> "TiffPage":
        """Return the page at ``index`` of the chain in full."""
        with self._lock:
            return self._full(index)

    def _full(self, index: int) -> "TiffPage":
        import tifffile

        if index >= len(self.chain.offsets):
            raise FrameError(self.chain.broken or "the page is missing")
        if index == 0:
            return self.tif.pages.first
        self.tif.filehandle.seek(self.chain.offsets[index])
        return tifffile.TiffPage(self.tif, index=index)

    def _parse(self, index: int) -> Place:
        """Return a page's place; pages stored alike share one key page."""
        page = self._full(index)
        key = page
        if page.jpegtables is None:
            key = self._keys.setdefault(page.hash, page)
        return Place(self.file, key, page.dataoffsets, page.databytecounts)

    def _sibling(self, name: str) -> "Tiff":
        """Return another file of the same OME data set."""
        with self._lock:
            if name not in self._others:
                path = self.path.parent / Path(name).name
                if not path.exists():
                    raise FrameError(f"its file {name} is missing")
                self._others[name] = Tiff(path)
            return self._others[name]


def _axes(page: "TiffPage") -> str:
    """Return a page's axes: samples are ``s`` where they are colours, else ``c``."""
    axes = str(page.axes).lower()
    alpha = any(kind in _ALPHA for kind in page.extrasamples)
    colours = page.photometric in _COLOURS or (page.samplesperpixel == 2 and alpha)
    return axes if colours else axes.replace("s", "c")


def _arranged(image: Array, axes: str, name: str) -> tuple[Array, str]:
    """Return an image with its axes in the order ``czyxs``, those of one dropped."""
    for position in range(len(axes) - 1, -1, -1):
        if axes[position] not in "yx" and image.shape[position] == 1:
            image = image.squeeze(position)
            axes = axes[:position] + axes[position + 1 :]
    if len(set(axes)) < len(axes) or not set(axes) <= set("czyxs"):
        raise FrameError(f"{name} has frames with the axes {axes}, which have no order")
    order = [axes.index(axis) for axis in "czyxs" if axis in axes]
    return image.transpose(order), "".join(axes[i] for i in order)
