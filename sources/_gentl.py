"""Cameras of GenICam through a maker's GenTL producer, by the package harvesters."""

import ctypes
import time
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line

from ._aravis import Decode, Settings, Unwrapped
from ._live import DeviceClock, Disconnected, Picture, Spoiled

#: Buffers between the producer and us.
_BUFFERS = 32
#: Names under which cameras have the same feature, the usual one first.
_EXPOSURE = ("ExposureTime", "ExposureTimeAbs")


class Producer:
    """A camera that a GenTL producer leads to, set as it was asked for.

    Parameters
    ----------
    cti
        The producer's file.
    device
        The camera's id, serial number, model or own name; None: the first one found.
    settings
        What it is set to.

    Raises
    ------
    SourceError
        No such file, none of a producer, no such camera, or it refuses a setting.
    MissingDependency
        The package harvesters is not installed.
    """

    def __init__(self, cti: str, device: str | None, settings: Settings) -> None:
        try:
            core: Any = import_module("harvesters.core")
        except ImportError:
            raise MissingDependency(
                "source 'genicam' needs harvesters for a .cti file: "
                "pip install 'streamproc[gentl]'"
            ) from None
        self._cti = cti
        self._harvester = core.Harvester()
        self._camera: Any = None
        try:
            self._load()
            self._camera = self._find(device)
            self._nodes = self._camera.remote_device.node_map
            self._set(settings)
            self._describe()
            self.settings = replace(settings, pixel_format=self.pixel_format)
        except BaseException as error:
            self.close()
            if isinstance(error, SourceError) or not isinstance(error, Exception):
                raise
            raise SourceError(f"{cti}: {one_line(error)}") from None

    def acquire(self, decode: Decode) -> "Fetching":
        """Begin to take pictures; the camera is closed with them."""
        try:
            return Fetching(self, decode)
        except Exception as error:
            self.close()
            raise SourceError(f"camera {self.id!r}: {one_line(error)}") from None

    def close(self) -> None:
        """Give the camera back, and unload the producer."""
        camera, self._camera = self._camera, None
        with suppress(Exception):
            if camera is not None:
                camera.destroy()
        with suppress(Exception):
            self._harvester.reset()

    def _load(self) -> None:
        """Load the producer, and look for cameras."""
        if not Path(self._cti).is_file():
            raise SourceError(f"no such file: {self._cti} (cti)")
        try:
            entry = getattr(ctypes.CDLL(self._cti), "GCInitLib", None)
        except OSError as error:
            raise SourceError(
                f"{self._cti} is no GenTL producer of this computer: {error}"
            ) from None
        if entry is None:  # it would end the process
            raise SourceError(
                f"{self._cti} is no GenTL producer: it lacks the function GCInitLib"
            )
        self._harvester.add_file(self._cti)
        self._harvester.update()

    def _find(self, device: str | None) -> Any:
        """Return the camera of a name."""
        found = list(self._harvester.device_info_list)
        names = ("id_", "serial_number", "model", "user_defined_name")
        for info in found:
            told = [str(getattr(info, name, "")) for name in names]
            if device is None or device in told:
                self.id = told[0]
                return self._harvester.create({"id_": told[0]})
        there = ", ".join(str(i.id_) for i in found) or "none"
        asked = "camera" if device is None else f"camera {device!r}"
        raise SourceError(f"no {asked} behind {self._cti}; found: {there}")

    def _node(self, *names: str) -> Any:
        """Return the first feature there is of some names; None: none."""
        found = (getattr(self._nodes, name, None) for name in names)
        return next((node for node in found if node is not None), None)

    def _put(self, value: Any, *names: str) -> None:
        node = self._node(*names)
        if node is None:
            raise SourceError(f"camera {self.id!r} has no feature {names[0]!r}")
        if hasattr(node, "execute"):
            node.execute()
        else:
            node.value = value

    def _set(self, settings: Settings) -> None:
        """Set the camera; what depends on others comes after them."""
        if settings.pixel_format is not None:
            self._put(settings.pixel_format, "PixelFormat")
        if settings.binning is not None:
            for name in ("BinningHorizontal", "BinningVertical"):
                self._put(settings.binning, name)
        if settings.roi is not None:
            y, x, height, width = settings.roi
            # a large part fits once it begins at the corner
            for name in ("OffsetX", "OffsetY"):
                self._put(0, name)
            for name, size in (("Width", width), ("Height", height)):
                self._put(size, name)
            for name, first in (("OffsetX", x), ("OffsetY", y)):
                self._put(first, name)
        if settings.exposure_ms is not None:
            if self._node("ExposureAuto") is not None:
                self._put("Off", "ExposureAuto")
            self._put(1000 * settings.exposure_ms, *_EXPOSURE)
        if settings.gain is not None:
            if self._node("GainAuto") is not None:
                self._put("Off", "GainAuto")
            self._put(settings.gain, "Gain")
        if settings.trigger == "free":
            self._put("Off", "TriggerMode")
        elif settings.trigger is not None:
            self._put(settings.trigger, "TriggerSource")
            self._put("On", "TriggerMode")
        for name, value in settings.features.items():
            self._put(value, name)

    def _describe(self) -> None:
        """Read what the camera is set to by now."""
        self.shape = (int(self._nodes.Height.value), int(self._nodes.Width.value))
        self.pixel_format = str(self._nodes.PixelFormat.value)
        rate = self._node("AcquisitionFrameRate")
        self.fps = None if rate is None else float(rate.value)
        self.told: dict[str, Any] = {}
        if (node := self._node(*_EXPOSURE)) is not None:
            self.told["exposure_ms"] = float(node.value) / 1000
        if (node := self._node("Gain")) is not None:
            self.told["gain"] = float(node.value)
        told = {"producer": self._cti, "camera": self.id}
        self.metadata = {**told, "pixel_format": self.pixel_format, **self.told}


class Fetching:
    """Pictures of a camera behind a producer, in the buffers of harvesters."""

    def __init__(self, producer: Producer, decode: Decode) -> None:
        self._producer, self._decode = producer, decode
        self._clock, self._count = DeviceClock(), Unwrapped()
        self._camera: Any = producer._camera
        self._camera.num_buffers = max(_BUFFERS, self._camera.min_num_buffers)
        self._camera.start()

    def take(self, timeout: float) -> Picture | Spoiled | None:
        """Wait for the next picture; its buffer goes back to the producer at once."""
        try:
            buffer = self._camera.try_fetch(timeout=timeout)
        except Exception as error:
            raise Disconnected(
                f"camera {self._producer.id!r}: {one_line(error)}"
            ) from None
        if buffer is None:
            return None
        with buffer:
            return self._read(buffer)

    def close(self) -> None:
        """Stop the camera, and give it back."""
        with suppress(Exception):
            self._camera.stop()
        self._producer.close()

    def _read(self, buffer: Any) -> Picture | Spoiled:
        """Return what a buffer holds."""
        stamp, arrival = int(buffer.timestamp), time.time()
        when = self._clock(stamp * 1e-9, arrival) if stamp else arrival
        frame_id = int(buffer.module.frame_id)
        counter = self._count(frame_id)
        if not buffer.module.is_complete():
            return Spoiled("the picture is incomplete", counter, when, "network")
        image = buffer.payload.components[0]
        data = np.frombuffer(buffer.module.raw_buffer, np.uint8).copy()
        try:
            shape = (int(image.height), int(image.width))
            pixels = self._decode(data, shape, int(image.x_padding or 0))
        except FrameError as error:
            return Spoiled(str(error), counter, when)
        told = {"frame_id": frame_id, "timestamp_ns": stamp, **self._producer.told}
        return Picture(pixels, counter, when, told)
