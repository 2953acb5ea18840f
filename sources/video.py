"""Frames of a video file, decoded in sequence by PyAV."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import xxhash
from annotated_types import Ge, Gt

from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array, Frame, Gap, SourceInfo, Unreadable

from . import _av, _calibration

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

SUFFIXES = (
    ".mov",
    ".mp4",
    ".avi",
    ".mkv",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".ogv",
)
#: Containers that announce their frames in a table or a header.
_TABLES = ("mov", "avi")
#: Seconds since the epoch up to which a date is of a camera without a clock.
_YEAR = 365 * 86400


class Video:
    """Read a video file from its first frame to its last.

    The decoder's frames as they are stored: a rotation in the container's metadata
    is not applied. A video is decoded once, in sequence; it cannot be read at random.

    Parameters
    ----------
    path
        A video file.
    color
        ``gray`` (the decoder's own gray, 16 bit where a sample has more than 8) or
        ``rgb`` (8 bit, axis c first).
    channel
        Only this one of red (0), green (1) and blue (2).
    pixel_size_um
        Micrometres per pixel.
    fps
        Frames per second; default: the container's average. Times of frames are
        the container's own in any case, counted from its creation time if it says
        one, else from 0.

    Raises
    ------
    SourceError
        A file that is missing, is no video or has no picture, or (while reading) a
        frame of another size.

    Notes
    -----
    mov, mp4 and avi announce their frames, Matroska its duration: a file that ends
    before is a named failure after its last good frame. So is every packet that
    cannot be decoded. The other containers announce nothing.
    """

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES

    def __init__(
        self,
        path: str,
        *,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        if channel is not None and channel > 2:
            raise SourceError(f"a video has the channels 0, 1 and 2, got {channel}")
        self._path = Path(path)
        self._color, self._channel = color, channel
        with _open(self._path) as container:
            self.info = self._describe(container, pixel_size_um, fps)

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield every frame from position ``start`` on; those before are dropped."""
        with _open(self._path) as container:
            yield from _Decoding(self, container).items(start)

    def read(self, index: int) -> Frame:
        """Refuse: a video is read in sequence.

        Raises
        ------
        FrameError
            Always.
        """
        raise FrameError(f"frame {index}: a video is read in sequence, not at random")

    def stop(self) -> None:
        """Do nothing: a video ends by itself."""

    def close(self) -> None:
        """Release nothing: every reading of the frames has its own file."""

    def _describe(
        self,
        container: "InputContainer",
        pixel_size_um: float | None,
        fps: float | None,
    ) -> SourceInfo:
        """Return what the video is; its first frame tells shape and dtype."""
        decoding = _Decoding(self, container)
        first = next((f for f in decoding.items(0) if isinstance(f, Frame)), None)
        if first is None:
            raise SourceError(f"{self._path} has no frame that can be decoded")
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        size = self._path.stat().st_size
        told = repr((self._path.name, size, self._color, self._channel))
        content = xxhash.xxh3_64(told.encode())
        content.update(first.pixels.tobytes())
        pixel = {} if pixel_size_um is None else dict.fromkeys("yx", pixel_size_um)
        return SourceInfo(
            shape=first.pixels.shape,
            dtype=first.pixels.dtype,
            axes="cyx" if first.pixels.ndim == 3 else "yx",
            identity="video:" + content.hexdigest(),
            frames=decoding.announced,
            pixel_size_um=pixel,
            fps=fps or (float(rate) if rate else None),
            metadata={
                "file": self._path.name,
                "container": container.format.name,
                "codec": stream.codec_context.name,
                "pixel_format": stream.codec_context.pix_fmt,
                **{str(k): str(v) for k, v in container.metadata.items()},
            },
        )


class _Decoding:
    """One pass over the video."""

    def __init__(self, video: Video, container: "InputContainer") -> None:
        from av.video.reformatter import VideoReformatter

        self._video, self._container = video, container
        self._stream = container.streams.video[0]
        # with frame threads PyAV drops good frames when a later one fails
        self._stream.thread_type = "SLICE"
        self._reformatter = VideoReformatter()
        self._epoch = _creation_time(container.metadata, self._stream.metadata)
        self._table = container.format.name.split(",")[0] in _TABLES
        self._size: tuple[int, int] | None = None
        self._packets = 0
        self._end = 0.0
        #: how many frames the container says it has
        self.announced = self._announced()

    def items(self, start: int) -> Iterator[Frame | Unreadable]:
        """Yield frames from ``start`` on, and what is wrong at the end."""
        position = 0
        for item in self._decoded():
            if position >= start:
                yield self._made(item, position)
            position += 1
        wrong = self._early(position)
        if wrong and position >= start:
            yield Unreadable(position, wrong)

    def _decoded(self) -> "Iterator[av.VideoFrame | str]":
        """Yield decoded pictures, and an error as text for each bad packet."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError as error:
                yield f"video cannot be read on: {_av.reason(error)}"
                return
            if packet is None:
                return
            self._packets += bool(packet.size)
            try:
                yield from self._stream.decode(packet)
            except av.error.FFmpegError as error:
                yield f"packet cannot be decoded: {_av.reason(error)}"

    def _made(self, item: "av.VideoFrame | str", position: int) -> Frame | Unreadable:
        """Return the picture at ``position`` as a frame."""
        name = self._video._path.name
        if isinstance(item, str):
            return Unreadable(position, f"{name}, frame {position}: {item}")
        when = None if item.pts is None else float(item.pts * (item.time_base or 0))
        moment = None if when is None else self._epoch + when
        self._end = max(self._end, when or 0.0)
        if item.is_corrupt:
            error = f"{name}, frame {position}: the decoder found it damaged"
            return Unreadable(position, error, moment)
        size = (item.height, item.width)
        if size != (self._size or size):
            raise SourceError(
                f"frames change shape: frame {position} of {name} is {size}, "
                f"those before are {self._size}; split the video"
            )
        self._size = size
        return Frame(self._pixels(item), position, moment, {})

    def _pixels(self, picture: "av.VideoFrame") -> Array:
        """Return the picture's pixels as they were asked for."""
        video = self._video
        return _av.pixels(picture, self._reformatter, video._color, video._channel)

    def _announced(self) -> int | None:
        """Return the number of frames in the container's table or header."""
        if not self._table:
            return None
        indexed = len(self._stream.index_entries)
        return max(indexed, 0 if indexed > 1 else self._stream.frames) or None

    def _early(self, position: int) -> str | None:
        """Return what is missing at the end, if the container announced more."""
        name, announced = self._video._path.name, self.announced
        if announced and self._packets < announced and position < announced:
            return (
                f"{name}: video ends early: {position} of {announced} announced frames"
            )
        duration = _duration(self._stream.metadata)
        rate = self._stream.average_rate
        if duration and rate and self._end + 3 / float(rate) < duration:
            return (
                f"{name}: video ends early: {self._end:.3f} of {duration:.3f} "
                "announced seconds"
            )
        return None


def _open(path: Path) -> "InputContainer":
    """Open a video file that has a picture stream."""
    import av

    if not path.exists():
        raise SourceError(f"no such file: {path}")
    if path.is_dir():
        raise SourceError(f"{path} is a folder; a video is one file")
    try:
        # from 19 on PyAV always reads metadata in an unknown encoding
        old = int(av.__version__.partition(".")[0]) < 19
        lenient: dict[str, Any] = {"metadata_errors": "replace"} if old else {}
        container: InputContainer = av.open(str(path), **lenient)
    except PermissionError:
        raise SourceError(f"no permission to read {path}") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise SourceError(
            f"{path} cannot be opened as a video: {_av.reason(error)}; is it complete?"
        ) from None
    if not container.streams.video:
        container.close()
        raise SourceError(f"{path} has no video stream")
    return container


def _creation_time(*metadata: Mapping[str, str]) -> float:
    """Return when the recording began, in seconds since 1970; 0 where unknown."""
    for mapping in metadata:
        moment = _calibration.epoch(mapping.get("creation_time"))
        # cameras without a clock write the zero of their calendar, 1904 or 1970
        if moment is not None and moment >= _YEAR:
            return moment
    return 0.0


def _duration(metadata: Mapping[str, str]) -> float | None:
    """Return a Matroska stream's announced duration in seconds."""
    try:
        hours, minutes, seconds = str(metadata["DURATION"]).split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (KeyError, ValueError):
        return None
