"""Frames of image files: TIFF in its dialects, sequences of PNG, JPEG and BMP."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import xxhash
from annotated_types import Ge, Gt

from streamproc.errors import ConfigError, FrameError, SourceError
from streamproc.frame import Array, Frame, Gap, SourceInfo, Unreadable

from . import _images, _paths, _pattern, _pixels, _recording
from ._colour import Choice
from ._layout import Layout
from ._stack import stack
from ._tiff import Tiff

#: TIFF files kept open.
_OPEN = 8


class Files:
    """Read images from files.

    A folder or glob of single images is a sequence in natural order (img2 before
    img10); every page of a TIFF file is a frame, or what its OME, ImageJ or tifffile
    description makes of them: T is frames, C channels, Z depth.

    Parameters
    ----------
    path
        A file, a folder, a glob (``**`` too), or a list of them, read in order; or
        a pattern whose fields are named: in ``plate/{well}_{t:d}_{c}.tif`` t orders
        the frames, c and z are stacked into each (c names the channels), and what
        other fields say goes with every frame. ``{name}`` takes as little text as it
        can, ``{name:d}`` digits, ``{name:03d}`` three of them, ``{name=value}`` that
        value; double a brace that is no field. A number t that is missing among others
        is a frame that cannot be read.
    color
        ``gray``: red, green and blue become round(0.299 R + 0.587 G + 0.114 B), half
        up, in the image's dtype, and alpha is ignored; ``rgb``: axis c first. Only
        samples are colours: the channels of a microscope stay channels.
    channel
        Only this sample or channel, as counted in the file, or by its name.
    pixel_size_um
        Micrometres per pixel (y and x); default: what the file says.
    fps
        Frames per second; default: what the file says.
    batch
        One run per image: per file, or per group of a pattern's files that differ
        in t, c and z alone. `streamproc.run_batch` and ``streamproc run`` take it.

    Raises
    ------
    SourceError
        Nothing to read, a format or mixture that cannot be read, a pattern that
        matches several images or two files for one place, or (while reading) a frame
        of another shape or dtype.
    ConfigError
        ``batch: true``, which is no one source.

    Notes
    -----
    Pixels are native; bool becomes uint8, float16 float32, and 64-bit pixels their
    32-bit kind, where a value that does not fit makes the frame unreadable. Values
    are as stored: palettes of TIFF, white-is-zero and rotation tags are not applied.
    """

    suffixes: ClassVar[tuple[str, ...]] = _paths.SUFFIXES

    def __init__(
        self,
        path: str | list[str],
        *,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | str | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
        batch: bool = False,
    ) -> None:
        if batch:
            raise ConfigError(
                "batch: true is a run per image, not one source; use sp.run_batch(), "
                "or streamproc run"
            )
        stacked = stack(path)
        plain = _pattern.plain(path)
        self._paths = stacked.paths if stacked else _paths.resolve(plain)
        self._channels = stacked.channels if stacked else ()
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Tiff | str] = OrderedDict()
        counts = self._counts()
        self._ends = list(accumulate(counts))
        self._stacked = stacked.frames(counts) if stacked else None
        names = self._channels or getattr(self._layout(0), "channels", ())
        number = _recording.channel_number(channel, names, str(self._paths[0]))
        self._choice = Choice(color, number)
        self._told: tuple[Any, ...] = (color, number)
        if stacked:
            self._told += (stacked.axes,)
        self.info = self._describe(pixel_size_um, fps)

    @staticmethod
    def images(path: str | list[str]) -> list[tuple[str, str]]:
        """Return name and path of each image of a batch, in order.

        Raises
        ------
        SourceError
            There are none.
        """
        return _pattern.images(path)

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield every frame from position ``start`` on, in order."""
        for index in range(start, self._count):
            try:
                yield self.read(index)
            except FrameError as error:
                metadata = self._metadata(index)
                yield Unreadable(index, str(error), self._time(index), metadata)

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            No such frame, or one that cannot be decoded.
        SourceError
            Its shape or dtype is not that of the others.
        """
        if not 0 <= index < self._count:
            raise FrameError(f"no frame {index}; there are {self._count}")
        pixels, axes = self._pixels(index)
        info = self.info
        if (pixels.shape, axes, pixels.dtype) != (info.shape, info.axes, info.dtype):
            raise SourceError(
                f"frames change shape: frame {index} in {self._file(index)[0].name} is "
                f"{_words(pixels, axes)}, those before are {info.axes} {info.shape} "
                f"{info.dtype}; with batch: true each file is a run of its own"
            )
        return Frame(pixels, index, self._time(index), self._metadata(index))

    def stop(self) -> None:
        """Do nothing: files end by themselves."""

    def close(self) -> None:
        """Close files; they open again when they are read."""
        with self._lock:
            self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the open files."""
        left_out = ("_lock", "_open")
        return {k: v for k, v in self.__dict__.items() if k not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state; files open when they are read."""
        self.__dict__.update(state, _lock=threading.Lock(), _open=OrderedDict())

    def _describe(self, pixel_size_um: float | None, fps: float | None) -> SourceInfo:
        """Return what the files are; the first readable frame tells shape and dtype."""
        index, pixels, axes = self._first()
        if 0 in pixels.shape:
            raise SourceError(f"{self._paths[0]} has frames without pixels")
        layout = self._layout(index)
        said: Mapping[str, float] = layout.pixel_size_um if layout else {}
        if pixel_size_um is not None:
            said = {**said, "y": pixel_size_um, "x": pixel_size_um}
        said_fps = layout.fps if layout and self._count > 1 else None
        self._fps = fps or said_fps
        self._start = (layout.start if layout else None) or 0.0
        self._given_fps = fps is not None
        names = [path.name for path in self._paths]
        channels, one = _recording.channels(
            self._channels or (layout.channels if layout else ()),
            axes,
            pixels.shape,
            self._choice.channel,
        )
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=self._identity(pixels),
            frames=self._count,
            random_access=True,
            pixel_size_um={a: s for a, s in said.items() if a in axes},
            fps=self._fps,
            channels=channels,
            metadata={
                "files": len(names),
                "first_file": names[0],
                "format": layout.kind + " tiff"
                if layout
                else names[0].rpartition(".")[2],
                **one,
            },
        )

    def _first(self) -> tuple[int, Array, str]:
        """Return the first frame that can be read."""
        reason = "no frames"
        for index in range(self._count):
            try:
                return (index, *self._pixels(index))
            except FrameError as error:
                reason = reason if index else str(error)
        count = self._count
        of = f"none of the {count} frames" if count > 1 else "not even one frame"
        raise SourceError(f"{of} of {self._paths[0]} can be read: {reason}")

    def _identity(self, pixels: Array) -> str:
        """Return a name of the content: names, sizes, choices, first pixels."""
        content = xxhash.xxh3_64(repr(self._told).encode())
        for path in self._paths:
            content.update(f"{path.name} {path.stat().st_size}\n".encode())
        little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        content.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
        return "files:" + content.hexdigest()

    def _counts(self) -> list[int]:
        """Return the number of frames each file announces; a broken one counts one.

        Files of an OME data set whose frames an earlier one gives count none.
        """
        counts, covered = [], set()
        for which, path in enumerate(self._paths):
            tiff = self._tiff(which) if _paths.is_tiff(path) else ""
            if path in covered:
                counts.append(0)
            elif isinstance(tiff, str):
                counts.append(1)
            else:
                counts.append(tiff.count)
                covered |= {path.parent / name for name in tiff.layout.others}
        return counts

    @property
    def _count(self) -> int:
        return len(self._stacked) if self._stacked is not None else self._ends[-1]

    def _file(self, index: int) -> tuple[Path, int, int]:
        """Return the (first) file of a frame, its number and the position in it."""
        return self._place(self._stacked[index].first if self._stacked else index)

    def _place(self, index: int) -> tuple[Path, int, int]:
        """Return a file, its number and a position in it, by the count over files."""
        which = bisect_right(self._ends, index)
        before = self._ends[which - 1] if which else 0
        return self._paths[which], which, index - before

    def _tiff(self, which: int) -> Tiff | str:
        """Return an open TIFF file, or why it cannot be opened."""
        with self._lock:
            if which in self._open:
                self._open.move_to_end(which)
                return self._open[which]
        opened: Tiff | str
        try:
            opened = Tiff(self._paths[which])
        except FrameError as error:
            opened = str(error)
        with self._lock:
            opened = self._open.setdefault(which, opened)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return opened

    def _layout(self, index: int) -> Layout | None:
        """Return what a frame's TIFF says, None for other formats."""
        path, which, _ = self._file(index)
        tiff = self._tiff(which) if _paths.is_tiff(path) else ""
        return None if isinstance(tiff, str) else tiff.layout

    def _pixels(self, index: int) -> tuple[Array, str]:
        """Return a frame's pixels as they were asked for, and their axes."""
        if self._stacked is not None:
            return self._stacked[index].pixels(self._planes)
        return self._planes(index)

    def _planes(self, index: int) -> tuple[Array, str]:
        """Return what a file holds of a frame, by the count over files."""
        path, which, position = self._place(index)
        if _paths.is_tiff(path):
            tiff = self._tiff(which)
            if isinstance(tiff, str):
                raise FrameError(tiff)
            image, axes = tiff.read(position)
        else:
            image, axes = _images.decode(path)
        _pixels.target(image.dtype)
        made = self._choice.axes(axes, image.shape, path.name)
        return _pixels.native(self._choice.apply(image, axes)), made

    def _time(self, index: int) -> float | None:
        """Return the acquisition time of a frame, None where nothing tells it."""
        if not self._given_fps and len(self._paths) == 1:
            layout = self._layout(index)
            if layout and index in layout.delta:
                return self._start + float(layout.delta[index])
        return None if self._fps is None else self._start + index / self._fps

    def _metadata(self, index: int) -> dict[str, Any]:
        """Return what is told of one frame."""
        path, _, position = self._file(index)
        metadata = {"file": path.name} if len(self._paths) > 1 else {}
        if self._stacked is not None:
            metadata = self._stacked[index].metadata(metadata)
        layout = self._layout(index)
        return {**metadata, **(layout.notes.get(position, {}) if layout else {})}


def _words(pixels: Array, axes: str) -> str:
    return f"{axes} {pixels.shape} {pixels.dtype}"
