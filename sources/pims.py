"""Frames of what the package pims reads beyond the other sources."""

import datetime
import struct
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from streamproc.errors import FrameError, SourceError, nearest, one_line
from streamproc.frame import Array, Frame, SourceInfo

from . import _recording
from ._colour import Choice

if TYPE_CHECKING:
    import pims  # type: ignore[import-untyped]  # untyped

#: How many time stamps tell the frames per second.
_TIMED = 256
#: Readers by suffix; the others are named by whoever wants them.
_READERS = {".seq": "NorpixSeq", ".cine": "Cine", ".spe": "SpeStack"}


class Pims(_recording.Recording["pims.FramesSequence"]):
    """Read a file with a reader of pims: Norpix .seq, Phantom .cine, Princeton .spe.

    A reader with named axes gives its t as frames and its c and z as axes; any other
    gives its items as frames, a last axis of 3 or 4 as colours.

    Parameters
    ----------
    path
        What the reader takes: a file, or a pattern.
    reader
        The name of a reader class of pims; default: by the file's suffix.
    color
        ``gray`` (luma) or ``rgb`` (axis c first).
    channel
        Only this channel or sample.
    pixel_size_um
        Micrometres per pixel (y and x).
    fps
        Frames per second; default: by the median interval of the first 256 frames'
        time stamps; without those, what the reader says.

    Raises
    ------
    SourceError
        A file that is missing or that the reader does not take, an unknown reader.

    Notes
    -----
    Readers of pims are not made for several threads: they read one frame at a time.
    Pixels are native, in the dtypes of `Files`.
    """

    suffixes: ClassVar[tuple[str, ...]] = tuple(_READERS)

    def __init__(
        self,
        path: str,
        *,
        reader: str | None = None,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        self._path = path if reader else str(_recording.one_file(path))
        self._reader = reader or _by_suffix(path)
        self._choice = Choice(color, channel)
        try:
            self.info = self._describe(pixel_size_um, fps)
        except SourceError:
            self.close()
            raise
        except Exception as error:  # readers raise anything on what is not theirs
            self.close()
            raise SourceError(
                f"{path} cannot be read by pims.{self._reader}: {one_line(error)}"
            ) from None

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            No such frame, or one that cannot be decoded.
        """
        _recording.within(index, self.info.frames)
        image, told = self._image(index)
        pixels, axes = self._arranged(image)
        if (pixels.shape, axes, pixels.dtype) != self._same:
            raise SourceError(
                f"frames change shape: frame {index} is {axes} {pixels.shape} "
                f"{pixels.dtype}, those before are {self._same}"
            )
        return Frame(pixels, index, _time(told))

    def _describe(self, pixel_size_um: float | None, fps: float | None) -> SourceInfo:
        """Return what the file is; its first frame tells shape and dtype."""
        with self._lock:
            reader = self._file()
            self._whole, self._headed = len(reader), _announced(reader)
            rate = _rate(_times(reader, min(self._whole, _TIMED)))
            rate = rate or getattr(reader, "frame_rate", None)
        # what is missing is one failure at the end, as in a video
        frames = self._whole + (self._headed > self._whole)
        pixels, axes = _recording.first(
            lambda index: self._arranged(self._image(index)[0]), frames, self._path
        )
        self._same = (pixels.shape, axes, pixels.dtype)
        name = self._path.replace("\\", "/").rpartition("/")[2]
        content = (name, frames, self._reader, self._choice)
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=_recording.identity("pims", content, pixels),
            frames=frames,
            random_access=True,
            pixel_size_um=_recording.pixel_size({}, pixel_size_um, axes),
            fps=fps or (float(rate) if rate else None),
            metadata={"file": name, "reader": self._reader},
        )

    def _file(self) -> "pims.FramesSequence":
        """Return the open reader; only with the lock."""
        if self._open is None:
            opened = _class(self._reader)(self._path)
            self._axes = _bundle(opened)
            return self._keep(opened, opened.close)
        return self._open

    def _image(self, index: int) -> tuple[Array, dict[str, Any]]:
        """Return one frame as the reader gives it, and what it tells of it."""
        if index >= self._whole:
            raise FrameError(
                f"frame {index} is missing: the file is cut off after {self._whole} of "
                f"{self._headed} announced frames"
            )
        with self._lock:
            reader = self._file()
            try:
                frame = reader.get_frame(index)
            except (ValueError, OSError, LookupError, struct.error) as error:
                raise FrameError(
                    f"frame {index} cannot be decoded: {one_line(error)}"
                ) from None
            # readers may give the same memory again
            return np.array(frame), dict(getattr(frame, "metadata", None) or {})

    def _arranged(self, image: Array) -> tuple[Array, str]:
        """Return the pixels that were asked for, and their axes."""
        if self._axes:
            axes = self._axes
        elif image.ndim == 3 and image.shape[-1] in (3, 4):
            axes = "yxs"
        else:
            axes = "zyx"[-image.ndim :]
        if len(axes) != image.ndim:
            raise SourceError(
                f"pims.{self._reader} gives frames of shape {image.shape}, which are "
                "no images"
            )
        return _recording.arranged(image, axes, self._choice, self._path)


def _by_suffix(path: str) -> str:
    suffix = "." + path.rpartition(".")[2].lower()
    if suffix in _READERS:
        return _READERS[suffix]
    raise SourceError(
        f"source 'pims' does not know the suffix of {path}; name a reader of pims, "
        "as in {pims: {path: ..., reader: NorpixSeq}}"
    )


def _class(name: str) -> Any:  # a reader class of pims, which has no types
    import pims

    kinds = {
        key: kind
        for key, kind in vars(pims).items()
        if isinstance(kind, type) and issubclass(kind, pims.FramesSequence)
    }
    if name not in kinds:
        raise SourceError(f"pims has no reader {name!r}{nearest(name, kinds)}")
    return kinds[name]


def _announced(reader: Any) -> int:
    """Return how many frames a Norpix file says it has; of others, how many it has."""
    header = getattr(reader, "header_dict", {})
    return int(header.get("allocated_frames", len(reader)))


def _bundle(reader: Any) -> str:
    """Have a reader with named axes give its c and z in one frame; return those."""
    sizes = getattr(reader, "sizes", None)
    if sizes is None:
        return ""
    reader.bundle_axes = [axis for axis in "czyx" if axis in sizes]
    reader.iter_axes = [axis for axis in sizes if axis not in "czyx"]
    return "".join(reader.bundle_axes)


def _times(reader: Any, count: int) -> list[float]:
    """Return the first frames' time stamps; none where the reader has none apart."""
    if hasattr(reader, "get_time_float"):
        return [reader.get_time_float(index) for index in range(count)]
    stamps = list(getattr(reader, "frame_time_stamps", []))[:count]
    return [moment.timestamp() + float(fraction) for moment, fraction in stamps]


def _rate(times: list[float]) -> float | None:
    """Return frames per second by the median interval; None where that is not > 0."""
    interval = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return 1 / interval if interval > 0 else None


def _time(told: dict[str, Any]) -> float | None:
    """Return a frame's time in seconds since the epoch, None where it is not told."""
    if "time_float" in told:
        return float(told["time_float"])
    moment = told.get("frame_time", {})
    fraction = 0.0
    if isinstance(moment, dict):
        fraction = float(moment.get("second_fraction", 0.0))
        moment = moment.get("datetime")
    if isinstance(moment, datetime.datetime):
        return moment.timestamp() + fraction
    return None
