"""Pictures of a network stream, by PyAV."""

import io
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from streamproc.errors import SourceError, one_line
from streamproc.frame import Array

from . import _av
from ._live import Disconnected, Picture, Spoiled

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer

#: Nothing is read ahead to guess the rate: those pictures would come late, at once.
_OPTIONS = {"fpsprobesize": "0"}
#: By TCP, where nothing is lost on the way; all of the stream that must be known is
#: in what the server answers.
_RTSP = {"rtsp_transport": "tcp", "probesize": "32"}


class Stream:
    """A stream as its server sends it, from the moment we connect.

    Parameters
    ----------
    url
        An address that ffmpeg knows: ``rtsp://``, ``http://`` …
    color, channel
        What to make of a picture.
    timeout
        Seconds to connect in, and between two pictures; None: no end.
    """

    def __init__(
        self,
        url: str,
        color: Literal["gray", "rgb"],
        channel: int | None,
        timeout: float | None,
    ) -> None:
        self._url, self._color, self._channel = url, color, channel
        self._timeout = timeout
        self._container: InputContainer | None = None

    def open(self) -> Mapping[str, Any]:
        """Connect; return how the stream is made.

        Raises
        ------
        Disconnected
            The server is not there, or refuses.
        SourceError
            It sends no pictures.
        """
        import av
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        is_rtsp = self._url.lower().startswith("rtsp")
        options = {**_OPTIONS, **(_RTSP if is_rtsp else {})}
        try:
            container = av.open(
                self._url,
                mode="r",
                timeout=(self._timeout, self._timeout),
                options=options,
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            text = f"{self._reason(error)}; is it on, and is the address right?"
            raise Disconnected(text) from None
        self._container = container
        if not container.streams.video:
            raise SourceError("it sends no video")
        self._stream = container.streams.video[0]
        # with frame threads pictures come late, and good ones are lost with bad ones
        self._stream.thread_type = "SLICE"
        codec = self._stream.codec_context
        self._is_jpeg = codec.name == "mjpeg"
        # the times of MJPEG by HTTP are ffmpeg's own invention
        self._is_timed = container.format.name != "mpjpeg"
        rate = self._stream.average_rate
        return {
            "protocol": container.format.name,
            "codec": codec.name,
            **({"fps": float(rate)} if rate and self._is_timed else {}),
        }

    def pictures(self) -> Iterator[Picture | Spoiled]:
        """Yield pictures as they come.

        Raises
        ------
        Disconnected
            The stream ended, or nothing came in time.
        """
        import av

        assert self._container is not None
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise Disconnected(self._reason(error)) from None
            if packet is None:
                return
            arrived = time.time()
            if not self._is_jpeg:
                yield from self._decoded(packet, arrived)
            elif packet.size:
                yield self._jpeg(packet, arrived)

    def close(self) -> None:
        """Hang up."""
        if self._container is not None:
            self._container.close()

    def _decoded(
        self, packet: "Packet[Any]", arrived: float
    ) -> Iterator[Picture | Spoiled]:
        """Yield the pictures that a packet completes."""
        import av

        try:
            pictures = self._stream.decode(packet)
        except av.error.FFmpegError as error:
            yield Spoiled(f"cannot be decoded: {_av.reason(error)}", time=arrived)
            return
        for picture in pictures:
            if picture.is_corrupt:
                yield Spoiled("the decoder found it damaged", time=arrived)
                continue
            pixels = _av.pixels(picture, self._reformatter, self._color, self._channel)
            yield Picture(pixels, None, arrived, self._told(picture))

    def _jpeg(self, packet: "Packet[Any]", arrived: float) -> Picture | Spoiled:
        """Return the picture that a packet is."""
        if packet.is_corrupt:
            return Spoiled("a JPEG that is cut off", time=arrived)
        try:
            pixels = jpeg(bytes(packet), self._color, self._channel)
        except (OSError, ValueError, SyntaxError) as error:
            said = f"a JPEG that cannot be decoded: {one_line(error)}"
            return Spoiled(said, time=arrived)
        return Picture(pixels, None, arrived, self._told(packet))

    def _told(self, item: "Packet[Any] | VideoFrame") -> dict[str, Any]:
        if not self._is_timed or item.pts is None or item.time_base is None:
            return {}
        return {"stream_time": float(item.pts * item.time_base)}

    def _reason(self, error: Exception) -> str:
        """Return ffmpeg's words; where we broke off, our own."""
        import av

        if isinstance(error, av.error.ExitError):
            return f"nothing came for {self._timeout:g} s"
        return _av.reason(error)


def jpeg(data: bytes, color: Literal["gray", "rgb"], channel: int | None) -> Array:
    """Return the pixels of a JPEG; gray is its own luma.

    By libjpeg, as all programs that read JPEG files: ffmpeg's decoder repeats colours
    where libjpeg interpolates, and rounds in another way.

    Raises
    ------
    OSError
        It is cut off, or no JPEG.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if color == "rgb" or channel is not None:
            rgb = np.asarray(image.convert("RGB"))
            chosen = np.moveaxis(rgb, 2, 0) if channel is None else rgb[..., channel]
            return np.ascontiguousarray(chosen)
        image.draft("L", None)
        return np.array(image.convert("L"))
