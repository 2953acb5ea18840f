"""Cameras of GenICam through Aravis: GigE Vision and USB3 Vision."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line
from streamproc.frame import Array

from ._live import DeviceClock, Disconnected, Picture, Roi, Spoiled

#: Bytes of a ring of buffers, and how many at least and at most.
_RING_BYTES, _FEWEST, _MOST = 256 << 20, 8, 256
#: Seconds after which a camera is free again if the program that had it died.
_HEARTBEAT = 4.0
#: GigE Vision counts to this, and begins again at 1.
_LAST_ID = 65535

#: Makes pixels of bytes, height and width, and bytes between two rows.
Decode = Callable[[Array, tuple[int, int], int], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a camera is set to; None: as it is."""

    exposure_ms: float | None = None
    gain: float | None = None
    binning: int | None = None
    roi: Roi | None = None
    pixel_format: str | None = None
    trigger: str | None = None
    features: Mapping[str, bool | int | float | str] = field(default_factory=dict)


class Camera:
    """A camera that is ours alone, set as it was asked for.

    Parameters
    ----------
    device
        Its id, address, serial number or model; None: the first one found.
    settings
        What it is set to.

    Raises
    ------
    SourceError
        There is none, another program has it, or it refuses a setting.
    MissingDependency
        PyGObject or Aravis is not installed.
    """

    def __init__(self, device: str | None, settings: Settings) -> None:
        self._aravis, error = _library()
        self._error: type[Exception] = error
        self._camera = self._open(device)
        #: it is not ours, or no more
        self._lost = threading.Event()
        self._device = self._camera.get_device()
        self._handler = self._device.connect("control-lost", self._on_lost)
        try:
            self._own()
            with self._refusals():
                self._set(settings)
                self._describe()
                self.settings = self._kept(settings)
        except BaseException:
            self.close()
            raise

    def acquire(self, decode: Decode) -> "Acquisition":
        """Begin to take pictures; the camera is closed with them."""
        try:
            with self._refusals():
                return Acquisition(self, decode)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the camera back."""
        device, self._device, self._camera = self._device, None, None
        if device is None:
            return
        device.disconnect(self._handler)
        if not self._lost.is_set() and hasattr(device, "leave_control"):
            with suppress(self._error):
                device.leave_control()

    def _on_lost(self, *_: Any) -> None:
        self._lost.set()

    def _open(self, device: str | None) -> Any:
        """Return the camera of a name."""
        known = self._known()
        if device is None and not known:
            raise SourceError(
                "no camera is found; is it on, and on this computer's network (GigE) "
                "or free for this user (USB)?"
            )
        named = [names[0] for names in known if device is None or device in names]
        # an address beyond this network is not found, and may be reached
        self.id = str(named[0] if named else device)
        try:
            return self._aravis.Camera.new(self.id)
        except self._error as error:
            there = ", ".join(names[0] for names in known) or "none"
            raise SourceError(
                f"no camera {self.id!r}: {_text(error)}; found: {there}"
            ) from None

    def _known(self) -> list[tuple[str, ...]]:
        """Return the names of every camera that answers, its id first."""
        aravis = self._aravis
        aravis.update_device_list()
        return [
            (
                aravis.get_device_id(n),
                aravis.get_device_address(n),
                aravis.get_device_serial_nbr(n),
                aravis.get_device_model(n),
                aravis.get_device_physical_id(n),
            )
            for n in range(aravis.get_n_devices())
        ]

    def _own(self) -> None:
        """Refuse a camera that another program has."""
        device, deadline = self._device, time.monotonic() + _HEARTBEAT
        if not hasattr(device, "take_control"):
            return  # only cameras of GigE Vision can be shared
        while not device.is_controller():
            if time.monotonic() > deadline:
                self._lost.set()
                raise SourceError(
                    f"camera {self.id!r} is in use by another program; close it there"
                )
            time.sleep(0.25)
            with suppress(self._error):
                device.take_control()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Make one line of what the camera says."""
        try:
            yield
        except self._error as error:
            raise SourceError(f"camera {self.id!r}: {_text(error)}") from None

    def _set(self, settings: Settings) -> None:
        """Set the camera; what depends on others comes after them."""
        camera = self._camera
        if camera.is_gv_device():
            camera.gv_auto_packet_size()
        if settings.pixel_format is not None:
            camera.set_pixel_format_from_string(settings.pixel_format)
        if settings.binning is not None:
            camera.set_binning(settings.binning, settings.binning)
        if settings.roi is not None:
            self._cut(settings.roi)
        if settings.exposure_ms is not None:
            if camera.is_exposure_auto_available():
                camera.set_exposure_time_auto(self._aravis.Auto.OFF)
            bounds = [limit / 1000 for limit in camera.get_exposure_time_bounds()]
            self._within("exposure_ms", settings.exposure_ms, bounds)
            camera.set_exposure_time(1000 * settings.exposure_ms)
        if settings.gain is not None:
            if camera.is_gain_auto_available():
                camera.set_gain_auto(self._aravis.Auto.OFF)
            self._within("gain", settings.gain, camera.get_gain_bounds())
            camera.set_gain(settings.gain)
        if settings.trigger == "free":
            camera.clear_triggers()
        elif settings.trigger is not None:
            camera.set_trigger(settings.trigger)
        for name, value in settings.features.items():
            self._set_feature(name, value)

    def _cut(self, roi: Roi) -> None:
        """Have the camera read a part of its sensor."""
        y, x, height, width = roi
        self._camera.set_region(0, 0, -1, -1)
        most = [int(self._camera.get_height_bounds()[1])]
        most += [int(self._camera.get_width_bounds()[1])]
        if y + height > most[0] or x + width > most[1]:
            raise SourceError(
                f"camera {self.id!r}: roi {list(roi)} (y, x, height, width) reaches "
                f"beyond the sensor of {most[0]} x {most[1]} pixels"
            )
        self._camera.set_region(0, 0, width, height)
        self._camera.set_region(x, y, width, height)
        is_ = self._camera.get_region()
        got = [is_.y, is_.x, is_.height, is_.width]
        if got != list(roi):
            raise SourceError(
                f"camera {self.id!r} makes {got} of roi {list(roi)} (y, x, height, "
                "width); give what it can do"
            )

    def _within(self, name: str, value: float, bounds: Sequence[float]) -> None:
        """Refuse what the camera would cut to its bounds, or take and not do."""
        least, most = bounds
        if not least <= value <= most:
            raise SourceError(
                f"camera {self.id!r}: {name} must be from {least:g} to {most:g}, "
                f"got {value:g}"
            )

    def _set_feature(self, name: str, value: bool | int | float | str) -> None:
        """Set a feature by its name, in the type that it has."""
        node, device, aravis = (
            self._device.get_feature(name),
            self._device,
            self._aravis,
        )
        if node is None:
            raise SourceError(f"camera {self.id!r} has no feature {name!r}")
        if isinstance(node, aravis.GcCommand):
            device.execute_command(name)
        elif isinstance(node, aravis.GcBoolean):
            device.set_boolean_feature_value(name, bool(value))
        elif isinstance(value, str):
            device.set_string_feature_value(name, value)
        elif isinstance(node, aravis.GcFloat):
            device.set_float_feature_value(name, float(value))
        else:
            device.set_integer_feature_value(name, int(value))

    def _describe(self) -> None:
        """Read what the camera is set to by now."""
        camera = self._camera
        region = camera.get_region()
        self.shape = (region.height, region.width)
        self.pixel_format = str(camera.get_pixel_format_as_string())
        self.fps = camera.get_frame_rate() if camera.is_frame_rate_available() else None
        self.told: dict[str, Any] = {}
        if camera.is_exposure_time_available():
            self.told["exposure_ms"] = camera.get_exposure_time() / 1000
        if camera.is_gain_available():
            self.told["gain"] = camera.get_gain()
        self.metadata: dict[str, Any] = {
            "vendor": camera.get_vendor_name(),
            "model": camera.get_model_name(),
            "serial": camera.get_device_serial_number(),
            "pixel_format": self.pixel_format,
            **self.told,
        }

    def _kept(self, settings: Settings) -> Settings:
        """Return what it is set to, for when it was off and has forgotten that.

        What the camera itself goes on changing is left to it.
        """
        camera, off = self._camera, self._aravis.Auto.OFF
        region, binning = camera.get_region(), settings.binning
        exposure_ms, gain = settings.exposure_ms, settings.gain
        if camera.is_binning_available():
            binning, other = camera.get_binning()
            binning = binning if binning == other else settings.binning
        if "exposure_ms" in self.told and (
            not camera.is_exposure_auto_available()
            or camera.get_exposure_time_auto() == off
        ):
            exposure_ms = self.told["exposure_ms"]
        if "gain" in self.told and (
            not camera.is_gain_auto_available() or camera.get_gain_auto() == off
        ):
            gain = self.told["gain"]
        return replace(
            settings,
            pixel_format=self.pixel_format,
            roi=(region.y, region.x, region.height, region.width),
            binning=binning,
            exposure_ms=exposure_ms,
            gain=gain,
        )


class Acquisition:
    """Pictures of a camera, in a ring of buffers that Aravis fills."""

    def __init__(self, camera: Camera, decode: Decode) -> None:
        self._camera, self._decode = camera, decode
        self._clock, self._count = DeviceClock(), Unwrapped()
        device = camera._camera
        payload = device.get_payload()
        self._stream = device.create_stream(None, None)
        for _ in range(min(max(_RING_BYTES // max(payload, 1), _FEWEST), _MOST)):
            self._stream.push_buffer(camera._aravis.Buffer.new_allocate(payload))
        self._good = camera._aravis.BufferStatus.SUCCESS
        device.start_acquisition()

    def take(self, timeout: float) -> Picture | Spoiled | None:
        """Wait for the next picture; its buffer goes back into the ring at once."""
        buffer = self._stream.timeout_pop_buffer(round(timeout * 1e6))
        if buffer is None:
            if self._camera._lost.is_set():
                raise Disconnected(
                    f"camera {self._camera.id!r} does not answer any more"
                )
            return None
        try:
            return self._read(buffer)
        finally:
            self._stream.push_buffer(buffer)

    def close(self) -> None:
        """Stop the camera, and give it back."""
        camera = self._camera
        if camera._camera is not None and not camera._lost.is_set():
            with suppress(camera._error):
                camera._camera.stop_acquisition()
        self._stream = None
        camera.close()

    def _read(self, buffer: Any) -> Picture | Spoiled:
        """Return what a buffer holds."""
        stamp, arrival = buffer.get_timestamp(), buffer.get_system_timestamp() * 1e-9
        frame_id, status = buffer.get_frame_id(), buffer.get_status()
        if status != self._good:
            said = f"the picture is incomplete: {status.value_nick.replace('-', ' ')}"
            # its number and times are in the first packet, which may be missing, too
            counter = self._count(frame_id) if frame_id else None
            return Spoiled(said, counter, arrival or None, "network")
        when = self._clock(stamp * 1e-9, arrival) if stamp else arrival
        counter = self._count(frame_id)
        # Python's own copy of the bytes
        data = np.frombuffer(buffer.get_data(), np.uint8)
        shape = (buffer.get_image_height(), buffer.get_image_width())
        padding, _ = buffer.get_image_padding()
        try:
            pixels = self._decode(data, shape, padding)
        except FrameError as error:
            return Spoiled(str(error), counter, when)
        told = {"frame_id": frame_id, "timestamp_ns": stamp, **self._camera.told}
        return Picture(pixels, counter, when, told)


class Unwrapped:
    """Frame numbers that go on where those of 16 bits begin again."""

    def __init__(self) -> None:
        self._last = self._passed = 0

    def __call__(self, frame_id: int) -> int:
        """Return the number that a camera would count without an end."""
        if frame_id < self._last <= _LAST_ID and self._last - frame_id > _LAST_ID // 2:
            self._passed += _LAST_ID
        self._last = frame_id
        return frame_id + self._passed


def _library() -> tuple[Any, type[Exception]]:
    """Return Aravis, and the error that it raises."""
    try:
        import_module("gi").require_version("Aravis", "0.8")
        aravis = import_module("gi.repository.Aravis")
        return aravis, import_module("gi.repository.GLib").Error
    except (ImportError, ValueError) as error:
        raise MissingDependency(
            "source 'genicam' needs Aravis and PyGObject: pip install "
            "'streamproc[genicam]', on Debian after apt install gir1.2-aravis-0.8 "
            f"libgirepository1.0-dev libcairo2-dev ({one_line(error)})"
        ) from None


def _text(error: Exception) -> str:
    """Return what Aravis says, in one line."""
    return " ".join(str(getattr(error, "message", error)).split())
