"""The run of an acquisition, and how its images become frames."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from streamproc.frame import Array, Frame, Notice, Unreadable

from ._mmcore import Core
from ._useq import Place, Plan, index_of, takes_image

if TYPE_CHECKING:
    from useq import MDAEvent

#: Frames that wait to be taken; the acquisition waits, too.
_WAITING = 4
#: Seconds within which an end is heard.
_POLL = 0.2
#: Seconds that the end of an acquisition waits for an exposure.
_PATIENCE = 30.0
#: What is a plane's own in a stack.
_PLANE = ("c", "z", "z_um", "channel", "exposure_ms", "event")
#: Missing planes that a message names.
_NAMED = 4

Item: TypeAlias = Frame | Unreadable | Notice


class Collector(Protocol):
    """Makes frames of images; `Stacks` and `Singles`."""

    #: the last thing the runner warned of: why images are missing
    reason: str | None

    def begin(self, event: "MDAEvent") -> list[Item]:
        """Hear that an event begins."""
        ...

    def take(self, shot: "Shot") -> list[Item]:
        """Take an image; return the frames that are settled by it."""
        ...

    def end(self) -> list[Item]:
        """Return what is settled by the end of the acquisition."""
        ...


class Shot(NamedTuple):
    """An image, what asked for it, and when it was taken."""

    event: "MDAEvent"
    pixels: Array
    time: float
    told: Mapping[str, Any]
    #: the runner warned of nothing
    is_as_asked: bool


class Until:
    """Events up to an end; no iterator, so that the runner may join some of them."""

    def __init__(self, events: Sequence["MDAEvent"], is_ended: threading.Event) -> None:
        self._events, self._is_ended = events, is_ended

    def __iter__(self) -> Iterator["MDAEvent"]:
        for event in self._events:
            if self._is_ended.is_set():
                return
            yield event


@dataclass(slots=True)
class _Stack:
    """A frame of which some planes are there."""

    pixels: Array
    metadata: dict[str, Any]
    time: float
    #: what is told of each plane, by c and z
    taken: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)


class Stacks:
    """Collects the planes of each frame of a plan, from frame ``start`` on."""

    def __init__(self, plan: Plan, start: int) -> None:
        self._plan, self._next = plan, start
        self._stacks: dict[int, _Stack] = {}
        self.reason: str | None = None

    def begin(self, event: "MDAEvent") -> list[Item]:
        """Nothing is settled by it."""
        return []

    def take(self, shot: Shot) -> list[Item]:
        """Put an image in its place."""
        place = self._plan.place(shot.event)
        if shot.is_as_asked:
            stack = self._stacks.get(place.frame)
            if stack is None:
                stack = self._stacks[place.frame] = self._begun(shot)
            if self._plan.axes:
                where = dict(zip("cz", (place.c, place.z), strict=True))
                stack.pixels[tuple(where[a] for a in self._plan.axes)] = shot.pixels
            stack.taken[place.c, place.z] = self._plane(place, shot, stack.time)
        return self._settle(self._plan.settled_by(shot.event))

    def end(self) -> list[Item]:
        """Settle all frames."""
        return self._settle(len(self._plan))

    def _begun(self, shot: Shot) -> _Stack:
        shape = (*self._plan.shape, *shot.pixels.shape)
        # a frame of one plane is its image
        pixels = np.empty(shape, shot.pixels.dtype) if self._plan.axes else shot.pixels
        told = _metadata(shot)
        if self._plan.axes:
            for key in _PLANE:
                told.pop(key, None)
        return _Stack(pixels, told, shot.time)

    def _plane(self, place: Place, shot: Shot, begun: float) -> dict[str, Any]:
        told = _metadata(shot)
        kept = {key: told[key] for key in _PLANE if key in told}
        after = round(shot.time - begun, 6)
        return {**kept, "c": place.c, "z": place.z, "seconds": after}

    def _settle(self, upto: int) -> list[Item]:
        """Return the frames before ``upto``, each one whole or unreadable."""
        settled: list[Item] = []
        for frame in range(self._next, upto):
            stack = self._stacks.pop(frame, None)
            taken = {} if stack is None else stack.taken
            if stack is not None and len(taken) == self._plan.planes:
                if self._plan.axes:
                    stack.metadata["planes"] = [taken[key] for key in sorted(taken)]
                settled.append(Frame(stack.pixels, frame, stack.time, stack.metadata))
                continue
            missing = self._missing(taken)
            if stack is None:
                told = self._plan.coordinates(frame)
                settled.append(Unreadable(frame, missing, None, told))
            else:
                settled.append(Unreadable(frame, missing, stack.time, stack.metadata))
        self._next = max(self._next, upto)
        return settled

    def _missing(self, taken: Mapping[tuple[int, int], Any]) -> str:
        sizes = self._plan.sizes
        lacks = [
            f"c {c} z {z}"
            for c in range(sizes["c"])
            for z in range(sizes["z"])
            if (c, z) not in taken
        ]
        named = ", ".join(lacks[:_NAMED]) + (" …" if len(lacks) > _NAMED else "")
        reason = f": {self.reason}" if self.reason else ""
        return (
            f"{len(lacks)} of {self._plan.planes} planes are missing ({named}){reason}"
        )


class Singles:
    """Makes a frame of each image; the first one is number ``start``."""

    def __init__(self, start: int) -> None:
        #: the source index of the next frame
        self.next = start
        self._asked = False
        self.reason: str | None = None

    def begin(self, event: "MDAEvent") -> list[Item]:
        """Settle the event before, of which no image came."""
        settled = self.end()
        self._asked = takes_image(event)
        return settled

    def take(self, shot: Shot) -> list[Item]:
        """Return the image as a frame."""
        if not shot.is_as_asked:
            return self.end()
        self._asked = False
        self.next += 1
        return [Frame(shot.pixels, self.next - 1, shot.time, _metadata(shot))]

    def end(self) -> list[Item]:
        """Settle the event before, of which no image came."""
        if not self._asked:
            return []
        self._asked = False
        self.next += 1
        return [Unreadable(self.next - 1, self.reason or "the camera gave no image")]


def _metadata(shot: Shot) -> dict[str, Any]:
    """Return what is told of an image, in plain values."""
    event, told = shot.event, shot.told
    place = told.get("position") or {}
    kept: dict[str, Any] = dict(index_of(event))
    if event.pos_name is not None or "p" in event.index:
        kept["position"] = event.pos_name or f"p{event.index['p']}"
    for axis in "xyz":
        wanted = getattr(event, f"{axis}_pos")
        found = place.get(axis, wanted)
        if found is not None:
            kept[f"{axis}_um"] = float(found)
    if event.channel is not None:
        kept["channel"] = event.channel.config
    kept["exposure_ms"] = told.get("exposure_ms", event.exposure)
    kept["Camera"] = told.get("camera_device")
    if event.metadata:
        kept["event"] = {k: v for k, v in event.metadata.items() if k != "runner_t0"}
    return kept


class Acquisition:
    """One run of events by pymmcore-plus' runner, in a thread of its own.

    Its frames are taken by `items`. An image that the runner warned of (a channel, an
    exposure or a position that could not be set) is not what was asked for.

    Parameters
    ----------
    core
        Whose camera it is; it is had alone.
    events
        What is to be done; an iterator is asked for one at a time.
    collector
        Makes frames of images.
    convert
        Makes the pixels of a frame's plane of an image.
    """

    def __init__(
        self,
        core: Core,
        events: Iterable["MDAEvent"],
        collector: Collector,
        convert: Callable[[Array], Array],
    ) -> None:
        self._core, self._runner = core, core.mmc.mda
        self._events, self._collector, self._convert = events, collector, convert
        self._items: queue.Queue[Item | None] = queue.Queue(_WAITING)
        self._ended = threading.Event()
        #: the runner warned of something since the event began
        self._is_warned = False
        self._error: BaseException | None = None
        #: when the runner's clock was at zero
        self._epoch: float | None = None
        core.hold()
        core.end = self.close
        self._thread = threading.Thread(
            target=self._run, name="acquisition", daemon=True
        )
        self._thread.start()

    def items(self) -> Iterator[Item | None]:
        """Yield what is acquired, to its end; None where nothing came for a moment.

        Raises
        ------
        Exception
            What the runner ended with.
        """
        while True:
            try:
                item = self._items.get(timeout=_POLL)
            except queue.Empty:
                yield None
                continue
            if item is None:
                break
            yield item
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the acquisition; an exposure that is on is waited for."""
        self._ended.set()
        end = time.monotonic() + _PATIENCE
        while self._thread.is_alive() and time.monotonic() < end:
            # it hears this between two events only
            self._runner.cancel()
            self._thread.join(_POLL)

    def _run(self) -> None:
        signals, warnings = self._runner.events, _Warnings(self._warn)
        logger = logging.getLogger("pymmcore-plus")
        logger.addFilter(warnings)
        signals.eventStarted.connect(self._begin)
        signals.frameReady.connect(self._take)
        try:
            self._runner.run(self._events)
            if not self._ended.is_set():
                self._put(self._collector.end())
        except BaseException as error:  # raised by `items`
            self._error = error
        finally:
            signals.eventStarted.disconnect(self._begin)
            signals.frameReady.disconnect(self._take)
            logger.removeFilter(warnings)
            self._core.end = None
            self._core.settings = None  # its events have set the devices otherwise
            self._core.release()
            self._put([None])

    def _begin(self, event: "MDAEvent") -> None:
        self._is_warned = False
        self._put(self._collector.begin(event))

    def _take(self, image: Array, event: "MDAEvent", told: Mapping[str, Any]) -> None:
        if self._epoch is None:
            self._epoch = time.time() - self._runner.seconds_elapsed()
        when = self._epoch + told["runner_time_ms"] / 1e3
        shot = Shot(event, self._convert(image), when, told, not self._is_warned)
        self._put(self._collector.take(shot))

    def _warn(self, text: str) -> None:
        self._is_warned = True
        if text != self._collector.reason:
            self._put([Notice("microscope", text)])
        self._collector.reason = text

    def _put(self, items: Iterable[Item | None]) -> None:
        """Hand items over; the acquisition waits where they are not taken."""
        for item in items:
            while not self._ended.is_set():
                try:
                    self._items.put(item, timeout=_POLL)
                except queue.Full:
                    continue
                break


class _Warnings(logging.Filter):
    """Takes the runner's warnings, in the thread that it is made in, off the log."""

    def __init__(self, told: Callable[[str], None]) -> None:
        super().__init__()
        self._told, self._of = told, threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is none of ours."""
        if record.thread != self._of or record.levelno < logging.WARNING:
            return True
        self._told(" ".join(record.getMessage().split()))
        return False
