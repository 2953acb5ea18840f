"""Typed handles over streamz nodes: how a user composes a pipeline.

The one module that imports streamz, and only when `Handle.stream` is asked for.
A handle is a value that does not exist yet: its methods add steps. `plan` cuts the
steps into segments, executors run them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

from .errors import ConfigError, nearest
from .frame import Kind, Source

if TYPE_CHECKING:
    import streamz  # type: ignore[import-untyped]  # has no annotations

    from .ordered import OrderedStep
    from .view.preview import Preview

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def is_name(text: str) -> bool:
    """Return whether a step may be called so."""
    return isinstance(text, str) and len(text) <= 100 and bool(_NAME.fullmatch(text))


Role = Literal["source", "parallel", "windowed", "ordered"]
H = TypeVar("H", bound="Handle")


@dataclass(frozen=True, eq=False)
class Step:
    """One node of the graph: what runs, on what, with which parameters."""

    name: str
    operator: str
    kind: Kind
    role: Role
    # not shown: the text of a graph with joins doubles at each of them
    inputs: tuple["Step", ...] = field(default=(), repr=False)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    ordered: "OrderedStep[Any] | None" = None
    #: a function of a user's or a plugin's: its inputs are guarded, its results checked
    is_foreign: bool = False

    def ancestors(self) -> Iterator["Step"]:
        """Yield this step and all it needs, each once."""
        seen = {self.name}
        waiting = [self]
        while waiting:
            step = waiting.pop()
            yield step
            for source in step.inputs:
                if source.name not in seen:
                    seen.add(source.name)
                    waiting.append(source)


class Graph:
    """The steps on one source, by name, in the order they were added."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.steps: dict[str, Step] = {}
        self.handles: dict[str, Handle] = {}
        #: what the source was opened from: its YAML form or path; None for an object
        self.form: object = None
        self.add(Step("source", "source", "image", "source"))

    def add(self, step: Step) -> "Handle":
        """Take a step up and return its handle."""
        self.steps[step.name] = step
        handle = _HANDLES[step.kind](self, step)
        self.handles[step.name] = handle
        return handle

    def free_name(self, operator: str, asked: str | None) -> str:
        """Return the name asked for, or the operator's, or operator_2 ….

        Raises
        ------
        ConfigError
            The name is taken, or is no name.
        """
        if asked is not None:
            if not is_name(asked):
                raise ConfigError(
                    f"{asked!r} is no step name; use letters, digits, _ and - "
                    "(100 at most), beginning with a letter"
                )
            if asked in self.steps:
                raise ConfigError(f"a step named {asked!r} exists already")
            return asked
        number, name = 2, operator
        while name in self.steps:
            name, number = f"{operator}_{number}", number + 1
        return name

    def step(
        self,
        operator: str,
        inputs: Sequence["Handle"],
        parameters: Mapping[str, Any],
        *,
        name: str | None = None,
        path: str | None = None,
    ) -> "Handle":
        """Add a step by its operator's name: the one door for Python and YAML.

        Raises
        ------
        ConfigError
            An unknown operator, inputs of the wrong kind or number, or a parameter
            that the operator does not take.
        """
        from .steps import build

        for handle in inputs:
            if not isinstance(handle, Handle):
                raise ConfigError(
                    f"{operator}: its inputs are handles of steps, got {handle!r}; "
                    "give constants as parameters"
                )
            if handle.graph is not self:
                raise ConfigError(
                    f"{operator}: its inputs come from two sources; "
                    "a graph has one source"
                )
        name = self.free_name(operator, name)
        steps = tuple(handle.step for handle in inputs)
        return self.add(build(operator, name, steps, parameters, path))


class Handle:
    """One step of a pipeline, and the value it will have for every frame."""

    kind: Kind

    def __init__(self, graph: Graph, step: Step) -> None:
        self.graph = graph
        self.step = step
        self._stream: streamz.Stream | None = None
        self._listened = False

    if not TYPE_CHECKING:  # a type checker knows the methods

        def __getattr__(self, name: str) -> NoReturn:
            """Say which handle has what this one lacks."""
            raise AttributeError(_lacking(self, name))

    @property
    def name(self) -> str:
        """The step's name, as in YAML."""
        return self.step.name

    def __repr__(self) -> str:
        made_of = ", ".join(step.name for step in self.step.inputs)
        return (
            f"<{type(self).__name__} {self.name!r} = {self.step.operator}({made_of})>"
        )

    @property
    def stream(self) -> "streamz.Stream":
        """The streamz Stream of committed values, in frame order.

        Values arrive on a thread of their own, at least once each, after they are
        durable: arrays for images and labels, DataFrames (with a ``frame`` column)
        for tables. Nothing that hangs there can stall or break a run. Emissions
        carry ``metadata=[{"frame": n, "time": seconds}]``.
        """
        self._listened = True
        return self._node()

    @property
    def is_streamed(self) -> bool:
        """Whether somebody asked for `stream`."""
        return self._listened

    def _node(self) -> "streamz.Stream":
        if self._stream is None:
            self._stream = _committed(self)
        return self._stream

    def _add(
        self,
        operator: str,
        parameters: Mapping[str, Any],
        name: str | None,
        expect: type[H],
        *others: "Handle",
    ) -> H:
        handle = self.graph.step(operator, (self, *others), parameters, name=name)
        if not isinstance(handle, expect):
            raise ConfigError(f"{operator} of {self.name!r} gives a {handle.kind}")
        return handle

    @overload
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: Literal["image"],
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Image": ...
    @overload
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: Literal["mask"],
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Mask": ...
    @overload
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: Literal["labels"],
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Labels": ...
    @overload
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: Literal["table"],
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Table": ...
    @overload
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: Literal["value"],
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Value": ...
    @overload
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: None = None,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Image": ...
    def map(
        self,
        function: Callable[..., Any],
        *others: "Handle",
        kind: Kind | None = None,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> "Handle":
        """Apply any Python function to every frame.

        Parameters
        ----------
        function
            Called as ``function(value, *others, **parameters)``: arrays as the
            source's axes order them (channels included), tables as DataFrames. It
            must be pure: the same input gives the same output, on several threads
            at once. Arrays it is given cannot be written into.
        others
            Further steps whose values it takes.
        kind
            What it returns: ``image``, ``mask``, ``labels``, ``table`` (DataFrame,
            mapping of columns or list of rows) or ``value`` (a number, text, or a
            mapping of them; of arrays, too, where only further steps take it).
            Default: its return annotation if that is one of these words, else
            ``image``.
        parameters
            Keyword arguments.
        name
            Step name; default ``map``, ``map_2`` ….

        Notes
        -----
        A function that cannot be imported by name (lambda, notebook, ``__main__``)
        runs, and marks the run as not resumable.
        """
        given = {"function": function, "kind": kind, "parameters": parameters or {}}
        return self.graph.step("map", (self, *others), given, name=name)

    def preview(self, frame: int = 0) -> "Preview":
        """Run one frame up to this step and keep what every step gives.

        Parameters
        ----------
        frame
            The frame, from 0.

        Returns
        -------
        Preview
            Shows itself in a notebook as a sheet of pictures; ``.values["mask"]`` is
            what a step gave, ``.save("sheet.png")`` writes the sheet.

        Raises
        ------
        FrameError
            There is no such frame, or it cannot be read.
        """
        from .view.preview import preview

        return preview(self.graph, frame, [self.step])

    def _repr_html_(self) -> str:
        """Return the graph, and this step's first frame, as a notebook shows them."""
        from .view.notebook import of_handle

        return of_handle(self)

    def apply(
        self,
        operator: str,
        /,
        *others: "Handle",
        name: str | None = None,
        **parameters: Any,  # checked against the operator's signature
    ) -> "Handle":
        """Apply any operator by its name, as in YAML: one that a plugin brings.

        Parameters
        ----------
        operator
            Its name (``streamproc list operators``).
        others
            Further steps whose values it takes.
        name
            Step name; default the operator's.
        **parameters
            The operator's own, checked by its signature.

        Returns
        -------
        Handle
            Of the kind that the operator gives.

        Raises
        ------
        ConfigError
            No such operator, one that breaks at import, or a parameter or input
            that it does not take.
        """
        return self.graph.step(operator, (self, *others), parameters, name=name)


class Image(Handle):
    """An image per frame: ``(y, x)``, with z and c before where the source has them."""

    kind: Kind = "image"

    def gaussian(
        self, sigma: float | tuple[float, ...] = 1.0, *, name: str | None = None
    ) -> "Image":
        """Smooth with a Gaussian of ``sigma`` pixels; float32. See `ops.gaussian`."""
        return self._add("gaussian", {"sigma": sigma}, name, Image)

    def median(self, size: int = 3, *, name: str | None = None) -> "Image":
        """Replace each pixel by the median of its ``size`` box. See `ops.median`."""
        return self._add("median", {"size": size}, name, Image)

    def difference_of_gaussians(
        self,
        low_sigma: float = 1.0,
        *,
        high_sigma: float | None = None,
        name: str | None = None,
    ) -> "Image":
        """Band-pass between two Gaussians. See `ops.difference_of_gaussians`."""
        given = {"low_sigma": low_sigma, "high_sigma": high_sigma}
        return self._add("difference_of_gaussians", given, name, Image)

    def white_tophat(
        self,
        radius: int = 25,
        *,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Keep what is bright and smaller than the footprint: `ops.white_tophat`."""
        return self._add(
            "white_tophat", {"radius": radius, "shape": shape}, name, Image
        )

    def background(
        self,
        method: Literal["mean", "top_hat"] = "mean",
        *,
        window: int = 50,
        every: int = 25,
        radius: int = 25,
        shape: Literal["disk", "box"] = "disk",
        name: str | None = None,
    ) -> "Image":
        """Subtract the background: of past frames (mean), or of each (top_hat).

        ``mean`` acts on the source and gives float32; ``top_hat`` keeps the dtype.
        See `ops.background`.
        """
        given: dict[str, Any] = {"method": method}
        given |= (
            {"window": window, "every": every}
            if method == "mean"
            else {"radius": radius, "shape": shape}
        )
        return self._add("background", given, name, Image)

    def channel(self: H, channel: int | str = 0, *, name: str | None = None) -> H:
        """Choose one channel, by number or by the source's name. See `ops.channel`."""
        return self._add("channel", {"channel": channel}, name, type(self))

    def project(
        self,
        method: Literal["max", "mean", "min", "sum", "std"] = "max",
        *,
        axis: Literal["z"] = "z",
        name: str | None = None,
    ) -> "Image":
        """Project a z-stack to one plane. See `ops.project`."""
        return self._add("project", {"method": method, "axis": axis}, name, Image)

    def threshold(
        self,
        method: Literal["fixed", "otsu", "li", "triangle", "local"] = "otsu",
        *,
        value: float | None = None,
        block_size: int = 51,
        weights: Literal["gaussian", "mean", "median"] = "gaussian",
        offset: float = 0.0,
        name: str | None = None,
    ) -> "Mask":
        """Mark what is brighter than a threshold. See `ops.threshold`."""
        given: dict[str, Any] = {"method": method}
        if method == "fixed" or value is not None:
            given["value"] = value
        if method == "local":
            given |= {"block_size": block_size, "weights": weights, "offset": offset}
        return self._add("threshold", given, name, Mask)


class Mask(Image):
    """A mask per frame: uint8, 0 or 1."""

    kind: Kind = "mask"

    def binary_erosion(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Shrink by a disk (ball). See `ops.binary_erosion`."""
        return self._add("binary_erosion", {"radius": radius}, name, Mask)

    def binary_dilation(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Grow by a disk (ball). See `ops.binary_dilation`."""
        return self._add("binary_dilation", {"radius": radius}, name, Mask)

    def binary_opening(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Remove what a disk (ball) does not fit into. See `ops.binary_opening`."""
        return self._add("binary_opening", {"radius": radius}, name, Mask)

    def binary_closing(self, radius: int = 1, *, name: str | None = None) -> "Mask":
        """Close gaps narrower than a disk (ball). See `ops.binary_closing`."""
        return self._add("binary_closing", {"radius": radius}, name, Mask)

    def fill_holes(self, *, name: str | None = None) -> "Mask":
        """Fill what the foreground encloses. See `ops.fill_holes`."""
        return self._add("fill_holes", {}, name, Mask)

    def remove_small_objects(
        self,
        max_size: int = 64,
        *,
        connectivity: int | None = 1,
        name: str | None = None,
    ) -> "Mask":
        """Remove objects of ``max_size`` pixels or fewer."""
        given = {"max_size": max_size, "connectivity": connectivity}
        return self._add("remove_small_objects", given, name, Mask)

    def label(
        self, connectivity: int | None = None, *, name: str | None = None
    ) -> "Labels":
        """Number the connected objects. See `ops.label`."""
        return self._add("label", {"connectivity": connectivity}, name, Labels)


class Labels(Handle):
    """A label image per frame: uint32, 0 is background."""

    kind: Kind = "labels"

    def channel(self, channel: int | str = 0, *, name: str | None = None) -> "Labels":
        """Choose one channel, by number or by the source's name. See `ops.channel`."""
        return self._add("channel", {"channel": channel}, name, Labels)

    def remove_small_objects(
        self,
        max_size: int = 64,
        *,
        connectivity: int | None = 1,
        name: str | None = None,
    ) -> "Labels":
        """Remove labels of ``max_size`` pixels or fewer; others keep their number."""
        given = {"max_size": max_size, "connectivity": connectivity}
        return self._add("remove_small_objects", given, name, Labels)

    def measure(
        self,
        intensity: Image | None = None,
        *,
        properties: Sequence[str] = ("area", "centroid", "mean_intensity"),
        name: str | None = None,
    ) -> "Table":
        """Measure every object, one row each. See `ops.measure`."""
        others = () if intensity is None else (intensity,)
        given = {"properties": tuple(properties)}
        return self._add("measure", given, name, Table, *others)


class Table(Handle):
    """A table per frame: one row per object."""

    kind: Kind = "table"

    def running_count(self, *, name: str | None = None) -> "Value":
        """Count the objects of this frame and of all frames up to it, in order."""
        return self._add("running_count", {}, name, Value)


class Value(Handle):
    """A small value per frame: a number, text, or a mapping of them."""

    kind: Kind = "value"


_HANDLES: dict[Kind, type[Handle]] = {
    "image": Image,
    "mask": Mask,
    "labels": Labels,
    "table": Table,
    "value": Value,
}


def open_source(source: str | Path | Mapping[str, Any] | Source) -> Image:
    """Open a source and return the handle of its frames: the start of a pipeline.

    Parameters
    ----------
    source
        A path, a glob or a folder; or the YAML form, a mapping of one source name
        to its parameters (``{"video": {"path": "clip.mp4"}}``); or any object that
        follows the `Source` protocol.

    Returns
    -------
    Image
        The handle named ``source``; ``handle.graph.source.info`` tells shape,
        dtype, axes and pixel size.

    Raises
    ------
    SourceError
        The file is missing or cannot be read as what it seems to be.
    ConfigError
        An unknown source or parameter (the nearest name is told).
    """
    from .plugins import make_source

    graph = Graph(make_source(source))
    graph.form = None if isinstance(source, Source) else source
    handle = graph.handles["source"]
    if not isinstance(handle, Image):
        raise ConfigError("a source gives images")
    return handle


def _lacking(handle: Handle, name: str) -> str:
    """Return why a handle has no such attribute, and what has."""
    if name.startswith("_"):
        return f"{type(handle).__name__!r} object has no attribute {name!r}"
    takes = [kind for kind, owner in _HANDLES.items() if hasattr(owner, name)]
    if not takes:
        known = [n for n in dir(type(handle)) if not n.startswith("_")]
        return f"a handle of kind {handle.kind} has no {name!r}{nearest(name, known)}"
    before = {"labels": "; label() it first", "mask": "; threshold() it first"}
    return f"{name} takes {takes[0]}, got {handle.kind}{before.get(takes[0], '')}"


def unknown_step(name: str, known: Mapping[str, Any], path: str) -> ConfigError:
    """Return the error for a reference to a step that does not exist."""
    return ConfigError(f"{path}: no step named {name!r}{nearest(name, known)}")


def _committed(handle: Handle) -> "streamz.Stream":
    """Return a streamz node whose upstreams mirror the graph, fed by the run alone."""
    import streamz

    class Committed(streamz.Stream):  # type: ignore[misc]  # streamz is untyped
        """Values enter by emit, after commit; upstream nodes only show the graph."""

        def update(
            self, x: object, who: object = None, metadata: object = None
        ) -> list[Any]:
            return []

    # nobody listens to these: their values need not be kept
    upstreams = [handle.graph.handles[s.name]._node() for s in handle.step.inputs]
    if upstreams:
        return Committed(upstreams=upstreams, stream_name=handle.name)
    return Committed(stream_name=handle.name)
