"""Cameras and acquisitions of Micro-Manager, through pymmcore-plus."""

import hashlib
import json
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from streamproc import feedback as post
from streamproc.errors import ConfigError, SourceError, StreamprocError, one_line
from streamproc.frame import Array, Frame, Gap, Notice, SourceInfo, Unreadable

from ._colour import Choice
from ._live import POLL, Link, LiveSource, Roi
from ._mda import Acquisition, Collector, Singles, Stacks, Until
from ._mmcore import DEMO, Filming, Format, Settings, borrow
from ._useq import Plan, check_channels, expanded, exposed, read_sequence, takes_image

if TYPE_CHECKING:
    from useq import MDAEvent

#: Seconds after which an acquisition on demand says that nobody decides.
_UNATTENDED = 10.0


class MicroManager(LiveSource):
    """Film with a camera of Micro-Manager, or acquire a sequence of useq.

    Without ``sequence`` the camera films until the run ends, through MMCore's buffer;
    each image is a frame. Images are numbered by Micro-Manager: what is missing is a
    gap of so many frames. Where the buffer overflows, its images are kept and filming
    begins anew; how many were lost meanwhile nobody knows, and the gap says so.

    With ``sequence`` pymmcore-plus acquires a `useq.MDASequence` and the source ends
    with it. A frame is the stack of all channels and planes (those of c and z that are
    more than one) of one time point and position; frames come as they are complete. A
    stack of which a plane could not be taken as it was asked for is unreadable, with
    the reason. A run that is resumed goes on with the frames that it does not have.

    Parameters
    ----------
    config
        Micro-Manager's configuration file, or ``demo`` for its simulated devices.
    exposure_ms
        Exposure in milliseconds; default: what the configuration says. Channels of a
        sequence may have their own.
    binning
        As the camera offers it.
    roi
        The part of the picture, ``[y, x, height, width]`` in binned pixels, set in the
        camera.
    camera
        The camera's label; default: the configuration's.
    presets
        Groups and their presets, as ``{Channel: DAPI}``.
    properties
        Devices, their properties and values, as ``{Camera: {PixelType: 8bit}}``; set
        after the presets.
    color
        For colour cameras: ``gray`` (luma) or ``rgb`` (axis c first).
    sequence
        A `useq.MDASequence` as a mapping, or a YAML file of one.
    feedback
        With ``sequence``: each image is a frame of its own, and the sink
        ``microscope`` adds events. It ends once all is decided and acquired.
    adapters
        The folder of device adapters; default: where pymmcore-plus finds it.
    buffer_mb
        Memory of MMCore's buffer, in MiB; of a sequence, also that of stacks in part.
    max_fps, every_nth
        As for every live source; not with ``sequence``.
    stall_timeout
        Seconds without an image after which the configuration is loaded anew; with
        ``feedback``: seconds without a frame or a decision after which it ends.

    Raises
    ------
    SourceError
        No such configuration, devices that cannot be loaded or set, a camera in use,
        pixels of an unknown kind.
    ConfigError
        A preset, a property, a part of the picture or a sequence that cannot be.
    MissingDependency
        pymmcore-plus is not installed.

    Notes
    -----
    MMCore bears one configuration in a process: a second one is refused, and a core of
    your own beside it may crash.

    Pixels are uint8 or uint16: a camera of 12 bits gives uint16 up to 4095. Several
    cameras (Micro-Manager's Multi Camera) are the channels of one frame. ``time`` is by
    the camera's own clock, its zero by the arrival of the first image; ``metadata`` has
    the image's tags (ImageNumber, ElapsedTime-ms, Camera …) and exposure_ms, in a
    sequence its indices, stage position and channel; that of a stack lists its
    ``planes``, with the seconds after the first.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        config: str = DEMO,
        *,
        exposure_ms: Annotated[float, Gt(0)] | None = None,
        binning: Annotated[int, Ge(1)] | None = None,
        roi: Roi | None = None,
        camera: str | None = None,
        presets: dict[str, str] | None = None,
        properties: dict[str, dict[str, str | int | float]] | None = None,
        color: Literal["gray", "rgb"] = "gray",
        sequence: str | dict[str, Any] | None = None,
        feedback: bool = False,
        adapters: str | None = None,
        buffer_mb: Annotated[int, Ge(1)] = 512,
        max_fps: Annotated[float, Gt(0)] | None = None,
        every_nth: Annotated[int, Ge(1)] = 1,
        stall_timeout: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__(
            max_fps=max_fps, every_nth=every_nth, stall_timeout=stall_timeout
        )
        if sequence is None and feedback:
            raise ConfigError("feedback: needs a sequence, whose images come first")
        if sequence is not None and (max_fps is not None or every_nth > 1):
            raise ConfigError(
                "max_fps and every_nth are for filming; a sequence says what is taken"
            )
        self._sequence = None if sequence is None else read_sequence(sequence)
        self._choice = Choice(color)
        self._settings = Settings(
            camera,
            presets or {},
            properties or {},
            exposure_ms,
            binning,
            roi,
        )
        self._buffer_mb = buffer_mb
        self._events: list[MDAEvent] = []
        self._plan: Plan | None = None
        self._mailbox: post.Mailbox | None = None
        self._acquisition: Acquisition | None = None
        #: what was filmed with last, in this turn of `frames`
        self._filming: Filming | None = None
        self._core = borrow(config, adapters)
        # who forgets to close it must not keep the devices
        self._give_back = weakref.finalize(self, self._core.give_back)
        self._give_back.atexit = False
        try:
            self._settings.apply(self._core)
            self._format = Format.of(self._core.mmc)
            if self._sequence is not None:
                self._exposure_ms = self._core.mmc.getExposure()
                self._events = expanded(
                    self._sequence, self._exposure_ms, self._field_of_view()
                )
                check_channels(self._core.mmc, self._events)
            if self._sequence is not None and not feedback:
                self._plan = Plan(self._events)
            self.info = self._describe(config)
            if feedback:
                self._mailbox = post.announce(config)
        except BaseException:
            self.close()
            raise

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield frames until `stop`, or to the end of the sequence."""
        if self._sequence is None:
            self._filming = None
            yield from super().frames(start)
            return
        self._stopping.clear()
        acquisition = self._acquisition = self._acquire(start)
        try:
            yield from self._taken(acquisition)
        except StreamprocError:
            raise
        except Exception as error:  # an adapter may fail in any way
            raise SourceError(f"the sequence failed: {one_line(error)}") from error
        finally:
            self._stopping.set()  # who leaves early: nothing more is asked for
            acquisition.close()

    def close(self) -> None:
        """Give the devices back; idempotent."""
        super().close()
        if self._acquisition is not None:
            self._stopping.set()
            self._acquisition.close()
        if self._mailbox is not None:
            post.withdraw(self._mailbox)
        self._give_back()

    def _connect(self) -> Link:
        """Begin to film; again with devices that are loaded anew, if they failed."""
        if self._filming is not None and not self._filming.has_overflowed:
            self._core.load()
        # another source may have set them otherwise
        self._settings.apply(self._core)
        self._filming = Filming(self._core, self._choice, self._format, self._buffer_mb)
        return self._filming

    def _acquire(self, start: int) -> Acquisition:
        """Begin with what is left of a sequence from a frame on."""
        events: Iterable[MDAEvent]
        collector: Collector
        self._settings.apply(self._core)
        if self._plan is not None:
            events = Until(self._plan.from_frame(start), self._stopping)
            collector = Stacks(self._plan, start)
        else:
            collector = Singles(start)
            events = self._on_demand(start, collector)
        return Acquisition(self._core, events, collector, self._pixels)

    def _on_demand(self, start: int, singles: Singles) -> Iterator["MDAEvent"]:
        """Yield the events of a sequence, then those that a sink asks for."""
        assert self._mailbox is not None
        taken = 0
        for event in self._events:
            if self._stopping.is_set():
                return
            taken += takes_image(event)
            if taken > start:
                yield event
        while not self._stopping.is_set():
            given = singles.next - 1
            asked = self._mailbox.take(POLL, given)
            if asked is not None:
                # one that was sent before a crash may be acquired already
                taken += takes_image(asked)
                if taken > start:
                    yield exposed(asked, self._exposure_ms)
            elif self._mailbox.is_done(given):
                return

    def _taken(
        self, acquisition: Acquisition
    ) -> Iterator[Frame | Unreadable | Gap | Notice]:
        """Yield what is acquired, and what there is to say meanwhile."""
        heard, is_said = time.monotonic(), False
        for item in acquisition.items():
            if self._stopping.is_set():
                return
            told = self._mailbox.notices() if self._mailbox is not None else []
            yield from told
            if item is not None:
                yield item
            if item is not None or told:
                heard = time.monotonic()
                continue
            if self._mailbox is None:
                continue
            waited = time.monotonic() - heard
            if self._stall_timeout is not None and waited > self._stall_timeout:
                yield Notice(
                    "stall", f"no decision for {self._stall_timeout:g} s; it ends"
                )
                return
            if waited > _UNATTENDED and not is_said:
                is_said = True
                yield Notice("waiting", "no decision yet; is there a sink microscope?")
        if self._mailbox is not None:
            yield from self._mailbox.notices()

    def _pixels(self, image: Array) -> Array:
        return self._format.pixels(image, self._choice)

    def _field_of_view(self) -> tuple[float, float] | None:
        size = self._core.mmc.getPixelSizeUm()
        if size <= 0:
            return None
        height, width = self._format.shape
        return height * size, width * size

    def _describe(self, config: str) -> SourceInfo:
        """Return what a frame is."""
        mmc, look, plan = self._core.mmc, self._format, self._plan
        axes, shape, channels = self._inner()
        size = mmc.getPixelSizeUm()
        sizes = {"y": size, "x": size} if size > 0 else {}
        if plan is not None and "z" in plan.axes and plan.step_um is not None:
            sizes["z"] = plan.step_um
        info = SourceInfo(
            shape=(*shape, *look.shape),
            dtype=look.dtype,
            axes=axes + "yx",
            identity=self._identity(config),
            frames=None if plan is None else len(plan),
            live=True,
            pixel_size_um=sizes,
            channels=channels,
            metadata={
                "config": Path(config).name,
                "camera": mmc.getCameraDevice(),
                "exposure_ms": mmc.getExposure(),
                "binning": mmc.getBinning(),
                "bit_depth": mmc.getImageBitDepth(),
            },
        )
        self._check_memory(info)
        return info

    def _inner(self) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
        """Return axes before yx, their sizes, and the names of channels."""
        cameras, plan = self._format.cameras, self._plan
        is_rgb = self._format.is_colour and self._choice.color == "rgb"
        if self._choice.color == "rgb" and not is_rgb:
            raise SourceError("the camera has no colours, got color: rgb; leave it out")
        if len(cameras) > 1 and (self._sequence is not None or self._format.is_colour):
            raise SourceError(
                f"{len(cameras)} cameras at once are for filming in gray; name one of "
                f"{', '.join(cameras)} with camera"
            )
        if is_rgb and plan is not None and plan.axes:
            raise SourceError(
                "color: rgb is for single planes; a sequence with channels or z needs "
                "color: gray"
            )
        if is_rgb:
            return "c", (3,), ()
        if plan is not None:
            return plan.axes, plan.shape, plan.channels if "c" in plan.axes else ()
        if len(cameras) > 1:
            return "c", (len(cameras),), cameras
        return "", (), ()

    def _identity(self, config: str) -> str:
        """Return what names the devices, and what makes pixels mean what they do."""
        sequence = self._sequence
        told = [
            config if config == DEMO else Path(config).name,
            "" if config == DEMO else Path(config).read_text(errors="replace"),
            self._settings._asdict(),
            self._choice.color,
            None if sequence is None else sequence.model_dump(mode="json"),
            [*self._format.shape, self._format.dtype.name],
        ]
        text = json.dumps(told, sort_keys=True, default=str)
        return f"micromanager:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _check_memory(self, info: SourceInfo) -> None:
        """Refuse a sequence that keeps more stacks in part than there is memory for."""
        if self._plan is None:
            return
        needed = self._plan.most_open * info.nbytes
        if needed > self._buffer_mb << 20:
            raise ConfigError(
                f"sequence: {self._plan.most_open} frames are in part there at once, "
                f"{needed >> 20} MB; raise buffer_mb, or have axis_order end with c "
                "and z"
            )
