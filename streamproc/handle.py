"""A value that every frame will have: what the steps of a pipeline are made with.

The one module that imports streamz, and only when `Handle.stream` is asked for. What
a handle of each kind can do is in `methods`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

from .errors import ConfigError, nearest
from .frame import Kind

if TYPE_CHECKING:
    import streamz  # type: ignore[import-untyped]  # has no annotations

    from .graph import Graph, Step
    from .methods import Image, Labels, Mask, Table, Value
    from .view.preview import Preview


class Handle:
    """One step of a pipeline, and the value it will have for every frame."""

    kind: Kind

    def __init__(self, graph: "Graph", step: "Step") -> None:
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
        *others: "Handle | None",
    ) -> Any:  # the handle that the method says
        from . import ops

        spec = ops.OPERATORS.get(operator)
        usual = {} if spec is None else spec.parameters.defaults()
        given = {k: v for k, v in parameters.items() if not _same(v, usual.get(k, ...))}
        inputs = [other for other in others if other is not None]
        if inputs != list(others[: len(inputs)]):
            raise ConfigError(f"{operator}: of its inputs only the last may be missing")
        return self.graph.step(operator, (self, *inputs), given, name=name)

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


def _lacking(handle: Handle, name: str) -> str:
    """Return why a handle has no such attribute, and what has."""
    if name.startswith("_"):
        return f"{type(handle).__name__!r} object has no attribute {name!r}"
    takes = [kind.kind for kind in _kinds(Handle) if hasattr(kind, name)]
    if not takes:
        known = [n for n in dir(type(handle)) if not n.startswith("_")]
        return f"a handle of kind {handle.kind} has no {name!r}{nearest(name, known)}"
    before = {"labels": "; label() it first", "mask": "; threshold() it first"}
    return f"{name} takes {takes[0]}, got {handle.kind}{before.get(takes[0], '')}"


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


def _kinds(kind: type[Handle]) -> Iterator[type[Handle]]:
    """Yield the kinds of handles, an image before a mask."""
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def _same(value: object, default: object) -> bool:
    """Tell whether a parameter was left as it is by default."""
    return value is default or (type(value) is type(default) and value == default)
