"""Frames of a camera: at this machine by OpenCV, over the network by PyAV.

A device is OpenCV's, which knows the drivers of each system. A URL is PyAV's, the
same ffmpeg that OpenCV's wheel has inside: it says why a connection failed, ends a
read in time, passes JPEG on undecoded and writes nothing to stderr.
"""

import hashlib
import time
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from annotated_types import Ge, Gt

from streamproc.errors import ConfigError, SourceError
from streamproc.frame import Frame, Gap, Notice, SourceInfo, Unreadable

from ._device import Device
from ._feed import Feed, Threaded
from ._live import LiveSource, Roi
from ._stream import Stream

#: Seconds in which a first picture comes, where ``stall_timeout`` is null.
_PATIENCE = 10.0
#: Seconds after which what waits since the source was opened is too old to be used.
_FRESH = 2.0


class Camera(LiveSource):
    """Read a camera: a webcam, or a stream by RTSP or HTTP.

    Pictures are taken as they come, in a thread of their own; what nobody takes in
    time is left out and counted as lost. A connection that breaks is made again, for
    as long as the run is on, and the time between is recorded as a gap.

    Parameters
    ----------
    url
        A device's number, its path (``/dev/video0``), a URL (``rtsp://``,
        ``http://`` …), or a GStreamer pipeline where OpenCV has GStreamer.
    color
        ``gray`` (a stream's own luma, ITU-R 601 of a device's colours) or ``rgb``
        (8 bit, axis c first).
    channel
        Only this one of red (0), green (1) and blue (2).
    size
        Height and width to ask a device for; default: its own.
    fps
        Frames per second to ask a device for; it takes the nearest that it has.
    exposure
        Exposure time to set in a device, in its driver's own unit: 100 µs with V4L2,
        a power of two of seconds with DirectShow.
    pixel_size_um
        Micrometres per pixel.
    max_fps
        Leave out frames that come sooner after the last one kept.
    every_nth
        Keep one of so many.
    roi
        Cut pictures to this part: first row, first column, height, width.
    stall_timeout
        Seconds without a picture after which the connection is made anew; null:
        never.

    Raises
    ------
    SourceError
        No such device, or another program's; a server that is not there or sends no
        video; a size or exposure that the device does not take. While reading: a
        picture of another size.
    ConfigError
        An address that is none of these, or a ``roi`` beyond the picture.

    Notes
    -----
    A frame's time is that of its arrival; a stream's own clock, in seconds from its
    begin, is ``stream_time`` in the metadata. No stream numbers its pictures: what is
    lost in one before it reaches us is unknown, and how many are missing after a
    connection broke, too. JPEG is decoded by libjpeg, H.264 and all others by ffmpeg.
    A password in a URL is in no message and not in ``info``; the run folder's
    pipeline.yaml has the URL as it was given.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        url: Annotated[int, Ge(0)] | str,
        *,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | None = None,
        size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]] | None = None,
        fps: Annotated[float, Gt(0)] | None = None,
        exposure: float | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
        max_fps: Annotated[float, Gt(0)] | None = None,
        every_nth: Annotated[int, Gt(0)] = 1,
        roi: Roi | None = None,
        stall_timeout: Annotated[float, Gt(0)] | None = 10.0,
    ) -> None:
        super().__init__(
            max_fps=max_fps, every_nth=every_nth, roi=roi, stall_timeout=stall_timeout
        )
        if channel is not None and channel > 2:
            raise ConfigError(f"a camera has the channels 0, 1 and 2, got {channel}")
        self._url = _address(url)
        self._color, self._channel = color, channel
        self._asked = (size, fps, exposure)
        if _is_stream(self._url) and self._asked != (None, None, None):
            raise ConfigError(
                "size, fps and exposure are set in a device; a stream has what its "
                "server sends; leave them out, or thin it by max_fps and cut it by roi"
            )
        self.info = self._describe(pixel_size_um)

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield frames as they come, until `stop`."""
        if time.monotonic() - self._opened > _FRESH:
            self.close()
        yield from super().frames(start)

    def _describe(self, pixel_size_um: float | None) -> SourceInfo:
        """Return what the camera is; its first picture tells shape and dtype."""
        link = self._connect()
        self._link, self._opened = link, time.monotonic()
        try:
            pixels = link.wait(_PATIENCE, self._stopping).pixels
            shape = self.cut_shape(pixels.shape)
        except BaseException:
            self.close()
            raise
        told: dict[str, Any] = dict(link.told)
        told_fps = told.pop("fps", None)
        content = (self._url, self._color, self._channel, self._roi, pixels.shape)
        hashed = hashlib.sha256(repr((*content, pixels.dtype.str)).encode())
        return SourceInfo(
            shape=shape,
            dtype=pixels.dtype,
            axes="cyx" if pixels.ndim == 3 else "yx",
            identity="camera:" + hashed.hexdigest()[:16],
            live=True,
            pixel_size_um=dict.fromkeys("yx", pixel_size_um) if pixel_size_um else {},
            fps=told_fps,
            metadata={"camera": _shown(self._url), **told},
        )

    def _connect(self) -> Threaded:
        """Connect, and wait for the first picture.

        Raises
        ------
        SourceError
            There is no camera, or it gives no picture.
        """
        patience = self._stall_timeout or _PATIENCE
        link = Threaded(self._feed())
        try:
            link.wait(patience, self._stopping)
        except SourceError as error:
            link.close()
            raise SourceError(f"camera {_shown(self._url)}: {error}") from None
        return link

    def _feed(self) -> Feed:
        if _is_stream(self._url):
            assert isinstance(self._url, str)
            return Stream(self._url, self._color, self._channel, self._stall_timeout)
        size, fps, exposure = self._asked
        return Device(
            self._url,
            self._color,
            self._channel,
            size=size,
            fps=fps,
            exposure=exposure,
        )


def _address(url: int | str) -> int | str:
    """Return a device's number, or the address as it is.

    Raises
    ------
    ConfigError
        It is none.
    """
    if isinstance(url, int):
        return url
    url = url.strip()
    if url.isdecimal():
        return int(url)
    if url.startswith("/dev/") or " ! " in url or "://" in url:
        return url
    raise ConfigError(
        f"camera {url!r} is no device number, path such as /dev/video0, URL or "
        "GStreamer pipeline; a file is read by {video: FILE}"
    )


def _is_stream(url: int | str) -> bool:
    return isinstance(url, str) and "://" in url and " ! " not in url


def _shown(url: int | str) -> str:
    """Return an address without what may be secret: name, password and query."""
    if isinstance(url, int) or not _is_stream(url):
        return str(url)
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=place, query="", fragment="").geturl()
