"""Frames of image files: TIFF in its dialects, sequences of PNG, JPEG and BMP."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import xxhash
from annotated_types import Ge, Gt

from streamproc.errors import ConfigError, FrameError, SourceError
from streamproc.frame import Array, Frame, Gap, SourceInfo, Unreadable

from . import _paths, _pattern, _recording
from ._image_files import ImageFiles
from ._stack import stack


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
        paths = stacked.paths if stacked else _paths.resolve(plain)
        self._images = ImageFiles(paths, stacked, color=color, channel=channel)
        self._told: tuple[Any, ...] = (color, self._images.choice.channel)
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
        for index in range(start, len(self._images)):
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
        images = self._images
        if not 0 <= index < len(images):
            raise FrameError(f"no frame {index}; there are {len(images)}")
        pixels, axes = images.pixels(index)
        info = self.info
        if (pixels.shape, axes, pixels.dtype) != (info.shape, info.axes, info.dtype):
            raise SourceError(
                f"frames change shape: frame {index} in {images.file(index).name} is "
                f"{_words(pixels, axes)}, those before are {info.axes} {info.shape} "
                f"{info.dtype}; with batch: true each file is a run of its own"
            )
        return Frame(pixels, index, self._time(index), self._metadata(index))

    def stop(self) -> None:
        """Do nothing: files end by themselves."""

    def close(self) -> None:
        """Close files; they open again when they are read."""
        self._images.forget()

    def _describe(self, pixel_size_um: float | None, fps: float | None) -> SourceInfo:
        """Return what the files are; the first readable frame tells shape and dtype."""
        images = self._images
        index, pixels, axes = self._first()
        if 0 in pixels.shape:
            raise SourceError(f"{images.paths[0]} has frames without pixels")
        layout = images.layout(index)
        said: Mapping[str, float] = layout.pixel_size_um if layout else {}
        if pixel_size_um is not None:
            said = {**said, "y": pixel_size_um, "x": pixel_size_um}
        said_fps = layout.fps if layout and len(images) > 1 else None
        self._fps = fps or said_fps
        self._start = (layout.start if layout else None) or 0.0
        self._given_fps = fps is not None
        names = [path.name for path in images.paths]
        channels, one = _recording.channels(
            images.channels or (layout.channels if layout else ()),
            axes,
            pixels.shape,
            images.choice.channel,
        )
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=self._identity(pixels),
            frames=len(images),
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
        reason, count = "no frames", len(self._images)
        for index in range(count):
            try:
                return (index, *self._images.pixels(index))
            except FrameError as error:
                reason = reason if index else str(error)
        of = f"none of the {count} frames" if count > 1 else "not even one frame"
        raise SourceError(f"{of} of {self._images.paths[0]} can be read: {reason}")

    def _identity(self, pixels: Array) -> str:
        """Return a name of the content: names, sizes, choices, first pixels."""
        content = xxhash.xxh3_64(repr(self._told).encode())
        for path in self._images.paths:
            content.update(f"{path.name} {path.stat().st_size}\n".encode())
        little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        content.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)
        return "files:" + content.hexdigest()

    def _time(self, index: int) -> float | None:
        """Return the acquisition time of a frame, None where nothing tells it."""
        told = None if self._given_fps else self._images.time(index)
        if told is not None:
            return told
        return None if self._fps is None else self._start + index / self._fps

    def _metadata(self, index: int) -> dict[str, Any]:
        """Return what is told of one frame."""
        return self._images.metadata(index, file=len(self._images.paths) > 1)


def _words(pixels: Array, axes: str) -> str:
    return f"{axes} {pixels.shape} {pixels.dtype}"
