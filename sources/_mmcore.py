"""Micro-Manager's core: one in a process, shared by who uses it."""

import atexit
import ctypes
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from streamproc.errors import (
    ConfigError,
    MissingDependency,
    SourceError,
    nearest,
    one_line,
)
from streamproc.frame import Array

from ._colour import Choice
from ._live import Disconnected, Picture

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

#: The configuration that comes with Micro-Manager, of devices that it simulates.
DEMO, _DEMO_FILE = "demo", "MMConfig_demo.cfg"
#: What adapters take for "until it is stopped": the largest C long.
_ENDLESS = (1 << (8 * ctypes.sizeof(ctypes.c_long) - 1)) - 1
#: Seconds between two looks at an empty buffer: MMCore has nothing to wait on.
_LOOK = 0.001
#: What is the same for every image of a sequence, and told in ``info``.
_SAME = frozenset(
    "Width Height PixelType BitDepth Binning ROI-X-start ROI-Y-start".split()  # noqa: SIM905
)
#: By how many images one camera of several may be ahead of another.
_APART = 32
#: Tags that are numbers.
_COUNTER, _ELAPSED = "ImageNumber", "ElapsedTime-ms"

#: reentrant: a source that nobody holds any more may be collected at any line
_lock = threading.RLock()
#: two at once crash: they share the libraries of their adapters
_loaded: "Core | None" = None


def borrow(config: str, adapters: str | None) -> "Core":
    """Return the core of a configuration, loaded; `Core.give_back` it.

    Raises
    ------
    SourceError
        There is no such file, its devices cannot be loaded, or this process has
        another configuration loaded.
    MissingDependency
        pymmcore-plus is not installed.
    """
    global _loaded
    name = config if config == DEMO else str(Path(config).resolve())
    with _lock:
        if _loaded is None:
            _loaded = Core(name, adapters)
        elif _loaded.config != name:
            raise SourceError(
                f"this process has the configuration {_loaded.config!r} loaded, and "
                f"MMCore holds one at a time, got {config!r}; close the other source, "
                "or use another process"
            )
        _loaded.users += 1
        return _loaded


@atexit.register
def _unload() -> None:
    """Stop all devices while Python is there: a thread within the core would abort."""
    core = _loaded
    if core is not None:
        if core.end is not None:
            core.end()
        core.unload()


class Core:
    """A loaded configuration; ``mmc`` is pymmcore-plus' core, safe from any thread."""

    def __init__(self, config: str, adapters: str | None) -> None:
        self.config = config
        self.users = 0
        #: what the devices were set to last
        self.settings: Settings | None = None
        #: ends the acquisition that is on
        self.end: Callable[[], None] | None = None
        self._camera = threading.Lock()
        self.mmc = _made(config, adapters)
        try:
            self.load()
        except SourceError:
            self.unload()
            raise

    def load(self) -> None:
        """Load the configuration, anew where it is loaded: devices begin again.

        Raises
        ------
        SourceError
            It cannot be loaded.
        """
        self.settings = None
        try:
            if self.config == DEMO:
                self.mmc.loadSystemConfiguration(_DEMO_FILE)
            else:
                self.mmc.loadSystemConfiguration(self.config)
        except Exception as error:  # an adapter may fail in any way
            raise SourceError(
                f"cannot load the configuration {self.config!r}: {_said(error)}"
            ) from error

    def give_back(self) -> None:
        """Unload the devices once nobody uses them any more."""
        global _loaded
        with _lock:
            self.users -= 1
            if not self.users:
                self.unload()
                _loaded = None

    def unload(self) -> None:
        """Let go of the devices, for good."""
        for call in (self.mmc.stopSequenceAcquisition, self.mmc.unloadAllDevices):
            with suppress(Exception):  # of a camera that was unplugged, say
                call()
        # it calls from a thread of its own, to the end; only here may that be stopped
        super(type(self.mmc), self.mmc).registerCallback(None)

    def reserve(self, megabytes: int) -> None:
        """Make the buffer so large; the memory is taken at once."""
        if self.mmc.getCircularBufferMemoryFootprint() != megabytes:
            self.mmc.setCircularBufferMemoryFootprint(megabytes)

    def hold(self) -> None:
        """Have the camera to oneself, until `release`.

        Raises
        ------
        SourceError
            Another source of this process films with it.
        """
        if not self._camera.acquire(blocking=False):
            raise SourceError(
                f"the camera of {self.config!r} is in use by another run of this "
                "process; stop that one first"
            )

    def release(self) -> None:
        """Let others have the camera."""
        self._camera.release()


def _made(config: str, adapters: str | None) -> "CMMCorePlus":
    """Return a core that knows where its adapters lie."""
    try:
        from pymmcore_plus import CMMCorePlus, find_micromanager
    except ImportError as error:
        raise MissingDependency(
            "source 'micromanager' needs pymmcore-plus and useq-schema: "
            "pip install 'streamproc[micromanager]'"
        ) from error
    if config != DEMO and not Path(config).is_file():
        raise SourceError(
            f"no such configuration: {config!r}; give a .cfg file of Micro-Manager, "
            "or demo for simulated devices"
        )
    found = adapters or find_micromanager()
    if found is None or not Path(found).is_dir():
        what = f"no folder {adapters!r}" if adapters else "no Micro-Manager found"
        raise SourceError(
            f"{what}: device adapters are needed; run 'mmcore install', name their "
            "folder with adapters, or pip install mm-test-adapters for demo"
        )
    return CMMCorePlus(mm_path=str(found), adapter_paths=[str(found)])


def _said(error: BaseException) -> str:
    """Return an error of the core as one line, without the type."""
    return one_line(error).removeprefix(f"{type(error).__name__}: ")


class Settings(NamedTuple):
    """How the devices are to be set before images are taken."""

    camera: str | None
    presets: Mapping[str, str]
    properties: Mapping[str, Mapping[str, Any]]
    exposure_ms: float | None
    binning: int | None
    roi: tuple[int, int, int, int] | None

    def apply(self, core: Core) -> None:
        """Set the devices, unless they are; nobody may be filming.

        Raises
        ------
        ConfigError
            There is no such device, group, preset, property or part of the picture.
        SourceError
            A device refuses.
        """
        mmc = core.mmc
        core.hold()
        try:
            if core.settings is self:
                return
            core.settings = None
            self._choose_camera(mmc)
            for group, preset in self.presets.items():
                known_by_core("presets", group, mmc.getAvailableConfigGroups())
                known_by_core(
                    f"presets.{group}", preset, mmc.getAvailableConfigs(group)
                )
                mmc.setConfig(group, preset)
            for device, values in self.properties.items():
                known_by_core("properties", device, mmc.getLoadedDevices())
                for name, value in values.items():
                    names = mmc.getDevicePropertyNames(device)
                    known_by_core(f"properties.{device}", name, names)
                    mmc.setProperty(device, name, value)
            self._set_camera(mmc)
            mmc.waitForSystem()
            core.settings = self
        except (ConfigError, SourceError):
            raise
        except Exception as error:  # an adapter may refuse in any way
            raise SourceError(f"Micro-Manager refuses: {_said(error)}") from error
        finally:
            core.release()

    def _choose_camera(self, mmc: "CMMCorePlus") -> None:
        from pymmcore_plus import DeviceType

        if self.camera is not None:
            known_by_core(
                "camera", self.camera, mmc.getLoadedDevicesOfType(DeviceType.Camera)
            )
            mmc.setCameraDevice(self.camera)
        if not mmc.getCameraDevice():
            raise SourceError("the configuration has no camera; name one with camera")

    def _set_camera(self, mmc: "CMMCorePlus") -> None:
        camera = mmc.getCameraDevice()
        if self.binning is not None:
            if not mmc.hasProperty(camera, "Binning"):
                raise ConfigError(f"binning: {camera!r} cannot bin; leave it out")
            offered = mmc.getAllowedPropertyValues(camera, "Binning")
            # some cameras call it 2x2
            text = next(
                (o for o in offered if o.split("x")[0] == str(self.binning)), ""
            )
            if offered and not text:
                raise ConfigError(
                    f"binning must be one of {', '.join(offered)}, got {self.binning}"
                )
            mmc.setProperty(camera, "Binning", text or self.binning)
        if self.exposure_ms is not None:
            mmc.setExposure(self.exposure_ms)
        mmc.clearROI()
        if self.roi is not None:
            self._cut(mmc, self.roi)

    def _cut(self, mmc: "CMMCorePlus", roi: tuple[int, int, int, int]) -> None:
        y, x, height, width = roi
        whole = mmc.getImageHeight(), mmc.getImageWidth()
        if y + height > whole[0] or x + width > whole[1]:
            raise ConfigError(
                f"roi {list(roi)} (y, x, height, width) reaches beyond the picture of "
                f"{whole[0]} x {whole[1]} pixels"
            )
        mmc.setROI(x, y, width, height)
        left, top, columns, rows = mmc.getROI()
        if (top, left, rows, columns) != roi:
            raise ConfigError(
                f"roi {list(roi)}: the camera makes it {[top, left, rows, columns]}; "
                "give that, or leave roi out"
            )


def known_by_core(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that the configuration does not have.

    Raises
    ------
    ConfigError
        It does not; the nearest one is named.
    """
    known = tuple(known)
    if name not in known:
        raise ConfigError(f"{what}: there is no {name!r}{nearest(name, known)}")


class Format(NamedTuple):
    """What images of the camera are made of."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    is_colour: bool
    #: labels of the cameras whose images are one frame
    cameras: tuple[str, ...]

    @classmethod
    def of(cls, mmc: "CMMCorePlus") -> "Format":
        """Ask the core.

        Raises
        ------
        SourceError
            Pixels that nobody can tell the meaning of.
        """
        samples = mmc.getNumberOfComponents()
        size = mmc.getBytesPerPixel() // max(samples, 1)
        if samples not in (1, 4) or size not in (1, 2):
            raise SourceError(
                f"camera {mmc.getCameraDevice()!r} gives {mmc.getBytesPerPixel()} "
                f"bytes per pixel in {samples} sample(s): whole or real numbers, it "
                "does not say; set its PixelType to 8 or 16 bits, or RGB"
            )
        count = mmc.getNumberOfCameraChannels()
        cameras = tuple(mmc.getPhysicalCameraDevice(n) for n in range(count))
        shape = mmc.getImageHeight(), mmc.getImageWidth()
        return cls(shape, np.dtype(f"u{size}"), samples == 4, cameras)

    def pixels(self, image: Array, choice: Choice) -> Array:
        """Return an image of the core as axes (c)yx; a gray one is not copied."""
        if not self.is_colour:
            return image
        if image.ndim == 2:
            # blue, green, red, and nothing; the runner's are red, green, blue already
            image = image.view(self.dtype).reshape(*image.shape, 4)[..., [2, 1, 0]]
        return choice.apply(image, "yxs")


class Filming:
    """Images of a sequence without end, out of MMCore's buffer: a link.

    A full buffer stops the sequence, with all its images kept; they are given before
    it is told. Of several cameras, the images of one number are one picture; one of
    which an image is missing is not given.
    """

    def __init__(
        self, core: Core, choice: Choice, look: Format, buffer_mb: int
    ) -> None:
        import pymmcore

        self._new = pymmcore.Metadata
        self._mmc, self._format = core.mmc, look
        self._choice, self._buffer_mb = choice, buffer_mb
        self._exposure = core.mmc.getExposure()
        #: images of several cameras, by number
        self._parts: dict[int, dict[str, Array]] = {}
        self._last: int | None = None
        #: when the camera's clock was at zero
        self._began: float | None = None
        #: the buffer was full: the camera is well, and may film on
        self.has_overflowed = False
        self._release = core.release
        core.hold()
        try:
            core.reserve(buffer_mb)
            self._mmc.startSequenceAcquisition(_ENDLESS, 0, True)
        except Exception as error:  # an adapter may refuse in any way
            core.release()
            raise SourceError(f"the camera does not start: {_said(error)}") from error

    def take(self, timeout: float) -> Picture | None:
        """Wait for the next picture; None: none came in time."""
        end = time.monotonic() + timeout
        try:
            while (picture := self._next()) is None:
                if time.monotonic() > end:
                    return None
                time.sleep(_LOOK)
        except Disconnected:
            raise
        except Exception as error:  # a camera that was unplugged, in any way
            raise Disconnected(f"the camera fails: {_said(error)}") from error
        return picture

    def close(self) -> None:
        """Stop the sequence."""
        try:
            self._mmc.stopSequenceAcquisition()
        finally:
            self._release()

    def _next(self) -> Picture | None:
        mmc = self._mmc
        # looked at first: what came before it ended is in the buffer
        is_running = mmc.isSequenceRunning() and not mmc.isBufferOverflowed()
        if not mmc.getRemainingImageCount():
            if not is_running:
                raise Disconnected(self._why())
            return None
        tags = self._new()
        image = mmc.popNextImageMD(tags)
        told = {key: tags.GetSingleTag(key).GetValue() for key in tags.GetKeys()}
        return self._picture(self._format.pixels(image, self._choice), told)

    def _why(self) -> str:
        self.has_overflowed = self._mmc.isBufferOverflowed()
        if self.has_overflowed:
            return (
                f"MMCore's buffer of {self._buffer_mb} MB overflowed after image "
                f"{self._last}; raise buffer_mb, or film more slowly"
            )
        return f"the camera stopped by itself after image {self._last}"

    def _picture(self, pixels: Array, told: dict[str, str]) -> Picture | None:
        number = int(told[_COUNTER]) if _COUNTER in told else None
        if len(self._format.cameras) > 1:
            whole = self._joined(pixels, told, number)
            if whole is None:
                return None
            pixels = whole
        self._last = number
        metadata = _metadata(told, self._exposure)
        return Picture(pixels, number, self._time(told), metadata, is_own=True)

    def _time(self, told: Mapping[str, str]) -> float:
        """Return when an image was taken, by the camera's clock where it has one."""
        now = time.time()
        if _ELAPSED not in told:
            return now
        elapsed = float(told[_ELAPSED]) / 1e3
        if self._began is None:
            # its clock is at zero somewhere within the start, which takes a while
            self._began = now - elapsed
        return self._began + elapsed

    def _joined(
        self, pixels: Array, told: Mapping[str, str], number: int | None
    ) -> Array | None:
        """Return the images of all cameras, once the last of them is there."""
        cameras = self._format.cameras
        if number is None or told.get("Camera") not in cameras:
            raise Disconnected(f"an image of {told.get('Camera')!r} has no number")
        parts = self._parts.setdefault(number, {})
        parts[told["Camera"]] = pixels
        if len(parts) < len(cameras):
            if len(self._parts) > _APART:
                del self._parts[min(self._parts)]
            return None
        # of those before it an image is missing; their numbers will tell
        self._parts = {n: p for n, p in self._parts.items() if n > number}
        return np.stack([parts[camera] for camera in cameras])


def _metadata(told: Mapping[str, str], exposure_ms: float) -> dict[str, Any]:
    """Return what is an image's own, numbers as numbers."""
    kept: dict[str, Any] = {k: v for k, v in told.items() if k not in _SAME}
    for key, kind in ((_COUNTER, int), (_ELAPSED, float)):
        if key in kept:
            kept[key] = kind(kept[key])
    return {**kept, "exposure_ms": exposure_ms}
