"""Pictures of a camera at this machine, by OpenCV."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from streamproc.errors import SourceError, nearest
from streamproc.frame import Array

from ._live import Disconnected, Picture

if TYPE_CHECKING:
    from cv2 import VideoCapture

#: What V4L2 calls exposure that is set by hand; other drivers need no such word.
_BY_HAND = 1.0


class Device:
    """A camera that OpenCV opens: a device number or path, or a GStreamer pipeline.

    Parameters
    ----------
    address
        A number, a path such as ``/dev/video0``, or a pipeline.
    color, channel
        What to make of a picture.
    size
        Height and width to ask for.
    fps
        Pictures per second to ask for; the driver takes the nearest it has.
    exposure
        In the driver's own unit.
    """

    def __init__(
        self,
        address: int | str,
        color: Literal["gray", "rgb"],
        channel: int | None,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        exposure: float | None = None,
    ) -> None:
        self._address, self._color, self._channel = address, color, channel
        self._size, self._fps, self._exposure = size, fps, exposure
        self._capture: VideoCapture | None = None

    def open(self) -> Mapping[str, Any]:
        """Open the device and set what was asked for; return what it took.

        Raises
        ------
        Disconnected
            It is not there, or somebody else's.
        SourceError
            It does not take what was asked for.
        """
        import cv2

        _check_path(self._address)
        is_pipeline = isinstance(self._address, str) and " ! " in self._address
        if is_pipeline and not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
            raise SourceError(
                "this OpenCV is built without GStreamer; install one that is, or give "
                "a URL or a device number"
            )
        with _quiet():
            kind = cv2.CAP_GSTREAMER if is_pipeline else cv2.CAP_ANY
            self._capture = capture = cv2.VideoCapture(self._address, kind)
        if not capture.isOpened():
            raise Disconnected("there is no such camera, or another program uses it")
        self._set(capture)
        rate = capture.get(cv2.CAP_PROP_FPS)
        return {
            "driver": capture.getBackendName(),
            **({"fps": rate} if np.isfinite(rate) and rate > 0 else {}),
        }

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they come.

        Raises
        ------
        Disconnected
            The device gives no more.
        SourceError
            Pictures that are neither gray nor colour.
        """
        assert self._capture is not None
        while True:
            is_there, image = self._capture.read()
            if not is_there:
                raise Disconnected("the device gives no more pictures")
            yield Picture(chosen(image, self._color, self._channel), None, time.time())

    def close(self) -> None:
        """Give the device back."""
        if self._capture is not None:
            self._capture.release()

    def _set(self, capture: "VideoCapture") -> None:
        """Ask for size, rate and exposure."""
        import cv2

        if self._size is not None:
            height, width = self._size
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
            took = [
                round(capture.get(which))
                for which in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
            ]
            if took != [height, width]:
                raise SourceError(
                    f"it has no pictures of {height} x {width} pixels; the nearest "
                    f"size is {took}"
                )
        if self._fps is not None:
            capture.set(cv2.CAP_PROP_FPS, self._fps)
        if self._exposure is not None:
            capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _BY_HAND)
            if not capture.set(cv2.CAP_PROP_EXPOSURE, self._exposure):
                raise SourceError(
                    f"it does not take exposure {self._exposure:g}; leave it out"
                )


def chosen(image: Array, color: Literal["gray", "rgb"], channel: int | None) -> Array:
    """Return OpenCV's picture as it was asked for, in memory of its own.

    Raises
    ------
    SourceError
        It is neither gray nor blue, green and red.
    """
    import cv2

    if image.dtype not in (np.uint8, np.uint16) or image.shape[2:] not in (
        (),
        (1,),
        (3,),
    ):
        raise SourceError(
            f"pictures of shape {image.shape} {image.dtype} are neither gray nor "
            "colour; choose another format of the camera"
        )
    if image.shape[2:] != (3,):
        gray = np.array(image.reshape(image.shape[:2]), order="C")
        return np.stack([gray] * 3) if color == "rgb" and channel is None else gray
    if channel is not None:
        return np.ascontiguousarray(image[..., 2 - channel])
    if color == "rgb":
        return np.ascontiguousarray(np.moveaxis(image[..., ::-1], 2, 0))
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def _check_path(address: int | str) -> None:
    """Say more than OpenCV where a device is a file.

    Raises
    ------
    Disconnected
        There is no such file, or no permission.
    """
    if isinstance(address, int):
        if sys.platform != "linux":
            return
        address = f"/dev/video{address}"
    if not address.startswith("/"):
        return
    if not Path(address).exists():
        others = sorted(str(path) for path in Path("/dev").glob("video*"))
        has = nearest(address, others) if others else "; there is no camera at all"
        raise Disconnected(f"there is no device {address}{has}")
    if not os.access(address, os.R_OK | os.W_OK):
        raise Disconnected(
            f"no permission to use {address}; is the user in the group video?"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCV from writing to stderr what we say ourselves."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
