"""Industrial cameras by the standard GenICam: GigE Vision, USB3 Vision, GenTL."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from streamproc.errors import SourceError
from streamproc.frame import Array, SourceInfo

from . import _formats
from ._aravis import Camera, Settings
from ._gentl import Producer
from ._live import Link, LiveSource, Roi


class Genicam(LiveSource):
    """Read a camera that speaks GenICam, through Aravis or a GenTL producer.

    Aravis reads cameras of GigE Vision and USB3 Vision by itself. What else there is
    comes with its maker's GenTL producer, a file whose name ends with ``.cti``.

    Parameters
    ----------
    device
        The camera's id, address, serial number or model; default: the first found.
    exposure_ms
        Exposure in milliseconds; like what follows, default: as the camera is.
    gain
        In the camera's own unit, mostly dB.
    binning
        Pixels of the sensor per pixel, in each direction.
    roi
        The part of the sensor that is read: first row, first column, height, width.
    pixel_format
        By its name, such as ``Mono12p`` or ``BayerRG8``; unpacked to 8 or 16 bits.
    color
        ``gray`` or ``rgb`` (axis c first). Default: a Bayer pattern is one plane, as
        it is (raw); colours side by side become gray.
    features
        Other features by their names, set in the order given, after all else.
    trigger
        What triggers a frame, such as ``Line1``; ``free`` if nothing does.
    cti
        The file of a GenTL producer, which is used in place of Aravis.
    max_fps
        Leave out frames that come sooner after the last one kept.
    every_nth
        Keep one of so many.
    stall_timeout
        Seconds without a frame after which the camera is opened anew; None: never.

    Raises
    ------
    SourceError
        No camera, one that another program has, or one that refuses a setting; a
        pixel format that is not read.
    MissingDependency
        Aravis with PyGObject, or harvesters for ``cti``, is not installed.

    Notes
    -----
    Frames whose number is missing, and those that came in part, are gaps. The camera
    is started and stopped with the run: what it would have seen meanwhile is a gap of
    an unknown number. One that was switched off meanwhile gets its pixel format, part
    of the sensor, exposure and gain back (by Aravis). Times are the camera's clock,
    told by the quickest arrivals. Demosaicing is bilinear, by OpenCV.
    """

    counts_on: ClassVar[bool] = False

    def __init__(
        self,
        device: str | None = None,
        *,
        exposure_ms: Annotated[float, Gt(0)] | None = None,
        gain: float | None = None,
        binning: Annotated[int, Ge(1)] | None = None,
        roi: Roi | None = None,
        pixel_format: str | None = None,
        color: Literal["gray", "rgb"] | None = None,
        features: dict[str, bool | int | float | str] | None = None,
        trigger: str | None = None,
        cti: str | None = None,
        max_fps: Annotated[float, Gt(0)] | None = None,
        every_nth: Annotated[int, Ge(1)] = 1,
        stall_timeout: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__(
            max_fps=max_fps, every_nth=every_nth, stall_timeout=stall_timeout
        )
        self._device, self._cti, self._color = device, cti, color
        self._settings = Settings(
            exposure_ms=exposure_ms,
            gain=gain,
            binning=binning,
            roi=roi,
            pixel_format=pixel_format,
            trigger=trigger,
            features=features or {},
        )
        camera = self._open()
        try:
            self.info = self._describe(camera)
        finally:
            camera.close()

    def _open(self) -> Camera | Producer:
        """Return the camera, open and set."""
        if self._cti is not None:
            return Producer(self._cti, self._device, self._settings)
        return Camera(self._device, self._settings)

    def _describe(self, camera: Camera | Producer) -> SourceInfo:
        """Return what the camera will give."""
        # it may be switched off, and come back as it was made: behind others, unset
        self._device, self._settings = camera.id, camera.settings
        self._form = _formats.named(camera.pixel_format)
        self._before = (camera.pixel_format, camera.shape)
        blank = np.zeros(self._form.size(camera.shape[0] * camera.shape[1]), np.uint8)
        pixels, axes = self._pixels(blank, camera.shape, 0)
        told = (camera.id, camera.pixel_format, pixels.shape, self._settings.roi)
        return SourceInfo(
            shape=pixels.shape,
            dtype=pixels.dtype,
            axes=axes,
            identity=f"genicam:{told}:{self._settings.binning}:{self._color}",
            live=True,
            fps=camera.fps,
            metadata=camera.metadata,
        )

    def _connect(self) -> Link:
        """Open the camera, and begin."""
        camera = self._open()
        self._now = (camera.pixel_format, camera.shape)
        return camera.acquire(self._decode)

    def _decode(self, data: Array, shape: tuple[int, int], padding: int) -> Array:
        """Return the pixels of a buffer."""
        if (self._now[0], shape) != self._before:
            now, before = (
                f"{form} of {y} x {x}"
                for form, (y, x) in ((self._now[0], shape), self._before)
            )
            raise SourceError(
                f"camera {self._device!r} gives {now} now, before {before}; set it "
                "back and resume"
            )
        return self._pixels(data, shape, padding)[0]

    def _pixels(
        self, data: Array, shape: tuple[int, int], padding: int
    ) -> tuple[Array, str]:
        """Return the pixels of a buffer, and their axes."""
        image = _formats.unpacked(data, shape, self._form, padding)
        return _formats.coloured(image, self._form, self._color)
