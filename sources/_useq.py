"""Sequences of useq: their events, and which image is which plane of which frame."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from streamproc.errors import ConfigError, MissingDependency, nearest, one_line

from ._mmcore import known_by_core

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus
    from useq import MDAEvent, MDASequence


def read_sequence(given: str | Mapping[str, Any]) -> "MDASequence":
    """Return a sequence from its mapping, or from a YAML or JSON file.

    Raises
    ------
    ConfigError
        No such file, or it is no sequence.
    MissingDependency
        useq-schema is not installed.
    """
    try:
        from useq import MDASequence
    except ImportError as error:
        raise MissingDependency(
            "sequence needs useq-schema: pip install 'streamproc[micromanager]'"
        ) from error
    if isinstance(given, str):
        given = _loaded(given)
    for name in given:
        # useq takes any name and forgets what it does not know
        if name not in MDASequence.model_fields:
            raise ConfigError(
                f"sequence: useq.MDASequence has no {name!r}"
                + nearest(name, MDASequence.model_fields)
            )
    positions = given.get("stage_positions")
    if isinstance(positions, list):
        # YAML has no tuples, and useq takes no list for a place
        places = [tuple(p) if isinstance(p, list) else p for p in positions]
        given = {**given, "stage_positions": places}
    try:
        sequence = MDASequence(**given)
    except ValueError as error:
        raise ConfigError(f"sequence: {_first(error)}") from None
    if sequence.setup is not None:
        raise ConfigError("sequence: setup is not taken; use presets and properties")
    return sequence


def _loaded(path: str) -> Mapping[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"sequence: cannot read {path!r}: {one_line(error)}"
        ) from None
    if not isinstance(found, Mapping):
        raise ConfigError(f"sequence: {path!r} holds no mapping")
    return found


def _first(error: ValueError) -> str:
    """Return what pydantic found first, and where, in one line."""
    errors: Any = getattr(error, "errors", None)
    if errors is None:
        return one_line(error)
    found = errors(include_url=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


def expanded(
    sequence: "MDASequence",
    exposure_ms: float,
    field_of_view: tuple[float, float] | None,
) -> list["MDAEvent"]:
    """Return the events of a sequence.

    Parameters
    ----------
    sequence
        What is to be acquired.
    exposure_ms
        Of channels that name none: else they would have that of the channel before.
    field_of_view
        Height and width of the picture in micrometres, for grids; None: unknown.
    """
    if field_of_view is not None:
        _set_field(sequence, field_of_view)
    return [exposed(event, exposure_ms) for event in sequence]


def check_channels(mmc: "CMMCorePlus", events: Iterable["MDAEvent"]) -> None:
    """Refuse channels that the configuration does not have.

    Raises
    ------
    ConfigError
        There is no such group, or no such preset.
    """
    for channel in {event.channel for event in events if event.channel is not None}:
        groups = mmc.getAvailableConfigGroups()
        known_by_core("sequence.channels", channel.group, groups)
        presets = mmc.getAvailableConfigs(channel.group)
        known_by_core("sequence.channels", channel.config, presets)


def exposed(event: "MDAEvent", exposure_ms: float) -> "MDAEvent":
    """Return an event with its exposure, or with this one where it names none."""
    if event.exposure is not None or not takes_image(event):
        return event
    return event.model_copy(update={"exposure": exposure_ms})


class Place(NamedTuple):
    """Where an image belongs: its frame, and its plane there."""

    frame: int
    c: int
    z: int


class Plan:
    """The frames of a sequence: each one the planes c and z of what else there is.

    Frames are numbered as they become complete.

    Parameters
    ----------
    events
        Those of a sequence, as `expanded` returns them.

    Raises
    ------
    ConfigError
        There is nothing to acquire, or not every frame has all planes.
    """

    def __init__(self, events: Sequence["MDAEvent"]) -> None:
        self.events = events
        images = [event for event in self.events if takes_image(event)]
        if not images:
            raise ConfigError("sequence: there is nothing to acquire; give it channels")
        self.step_um = _step(images)
        self.sizes = {a: 1 + max(e.index.get(a, 0) for e in images) for a in "cz"}
        self.axes = "".join(axis for axis in "cz" if self.sizes[axis] > 1)
        names = {e.index.get("c", 0): e.channel.config for e in images if e.channel}
        self.channels = tuple(names.get(c, f"c{c}") for c in range(self.sizes["c"]))
        #: where images belong, in the order that they are taken in; and that order
        self._places = self._placed(images)
        self._numbers = {key: n for n, key in enumerate(self._places)}
        #: the last image of each frame
        self._last = [0] * (1 + max(place.frame for place in self._places.values()))
        for number, place in enumerate(self._places.values()):
            self._last[place.frame] = number

    def __len__(self) -> int:
        return len(self._last)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of ``axes``."""
        return tuple(self.sizes[axis] for axis in self.axes)

    @property
    def most_open(self) -> int:
        """How many frames are in part there at once, at most."""
        begun: set[int] = set()
        left = dict.fromkeys(range(len(self)), self.planes)
        most = 0
        for place in self._places.values():
            begun.add(place.frame)
            most = max(most, len(begun))
            left[place.frame] -= 1
            if not left[place.frame]:
                begun.remove(place.frame)
        return most

    @property
    def planes(self) -> int:
        """How many images are one frame."""
        return self.sizes["c"] * self.sizes["z"]

    def place(self, event: "MDAEvent") -> Place:
        """Return where the image of an event belongs."""
        return self._places[index_of(event)]

    def coordinates(self, frame: int) -> dict[str, int]:
        """Return where in the sequence a frame is, by axis."""
        return dict(self._frames[frame])

    def settled_by(self, event: "MDAEvent") -> int:
        """Return the frame before which all are settled, once an event has passed."""
        return bisect.bisect_right(self._last, self._numbers[index_of(event)])

    def from_frame(self, start: int) -> Sequence["MDAEvent"]:
        """Return what is left to do from a frame on, as if it began now."""
        if not start:
            return self.events
        wanted = [
            takes_image(event) and self.place(event).frame >= start
            for event in self.events
        ]
        if not any(wanted):
            return []
        first = wanted.index(True)
        begins = self.events[first].min_start_time or 0.0
        # what leads up to the first image: its autofocus
        while first and not takes_image(self.events[first - 1]):
            first -= 1
        return [
            _sooner(event, begins)
            for event, is_wanted in zip(
                self.events[first:], wanted[first:], strict=True
            )
            if is_wanted or not takes_image(event)
        ]

    def _placed(self, images: Sequence["MDAEvent"]) -> dict[Any, Place]:
        """Return the places of images, by their index, in the order they are taken."""
        last: dict[Any, int] = {}
        planes: dict[Any, int] = {}
        for number, event in enumerate(images):
            frame = _frame_key(event)
            last[frame], planes[frame] = number, planes.get(frame, 0) + 1
        for frame, count in planes.items():
            if count != self.planes:
                where = ", ".join(f"{axis} {n}" for axis, n in frame) or "it"
                raise ConfigError(
                    f"sequence: {where} has {count} of the {self.planes} planes of a "
                    "frame; all need the same channels and z (no acquire_every, no "
                    "do_stack: false, the same z_plan at every position)"
                )
        self._frames = sorted(last, key=last.__getitem__)
        numbers = {frame: n for n, frame in enumerate(self._frames)}
        return {
            index_of(e): Place(
                numbers[_frame_key(e)], e.index.get("c", 0), e.index.get("z", 0)
            )
            for e in images
        }


def takes_image(event: "MDAEvent") -> bool:
    """Return whether an event ends in an image: it may be a focusing."""
    return event.action.type == "acquire_image"


def index_of(event: "MDAEvent") -> tuple[tuple[str, int], ...]:
    """Return where in its sequence an event is, by axis."""
    return tuple((str(axis), n) for axis, n in event.index.items() if axis != "cam")


def _frame_key(event: "MDAEvent") -> tuple[tuple[str, int], ...]:
    return tuple(pair for pair in index_of(event) if pair[0] not in "cz")


def _sooner(event: "MDAEvent", seconds: float) -> "MDAEvent":
    if not event.min_start_time:
        return event
    when = max(0.0, event.min_start_time - seconds)
    return event.model_copy(update={"min_start_time": when})


def _set_field(sequence: "MDASequence", field_of_view: tuple[float, float]) -> None:
    """Tell grids how large a picture is: their tiles touch each other."""
    inner = [p.sequence for p in sequence.stage_positions if p.sequence is not None]
    for one in (sequence, *inner):
        if one.grid_plan is not None:
            one.grid_plan.fov_height, one.grid_plan.fov_width = field_of_view


def _step(images: Sequence["MDAEvent"]) -> float | None:
    """Return the distance of planes in micrometres, where it is the same of all."""
    heights: dict[Any, dict[int, float]] = {}
    for event in images:
        if event.z_pos is not None and "z" in event.index:
            heights.setdefault(_frame_key(event), {})[event.index["z"]] = event.z_pos
    steps = {
        round(abs(stack[z + 1] - stack[z]), 6)
        for stack in heights.values()
        for z in stack
        if z + 1 in stack
    }
    step = steps.pop() if len(steps) == 1 else 0.0
    return step or None
