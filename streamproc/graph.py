"""The steps of a pipeline, on one source.

Handles (`methods`) add steps; `plan` cuts them into segments, executors run them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .errors import ConfigError, nearest
from .frame import Kind, Source
from .handle import Handle
from .methods import Image, Labels, Mask, Table, Value
from .window import Window

if TYPE_CHECKING:
    from .ordered import OrderedStep

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def is_name(text: str) -> bool:
    """Return whether a step may be called so."""
    return isinstance(text, str) and len(text) <= 100 and bool(_NAME.fullmatch(text))


Role = Literal["source", "parallel", "windowed", "ordered"]


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
    #: of a windowed step
    window: Window | None = None

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

    def add(self, step: Step) -> Handle:
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
        inputs: Sequence[Handle],
        parameters: Mapping[str, Any],
        *,
        name: str | None = None,
        path: str | None = None,
    ) -> Handle:
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


_HANDLES: dict[Kind, type[Handle]] = {
    kind.kind: kind for kind in (Image, Mask, Labels, Table, Value)
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

    form = None if isinstance(source, Source) else source
    return _begin(make_source(source), form)


def align_sources(
    *sources: str | Path | Mapping[str, Any] | Source | Image,
    tolerance_ms: float | None = None,
    by: Literal["time", "trigger"] = "time",
) -> Image:
    """Open several sources as one, whose frames were taken together.

    Parameters
    ----------
    *sources
        Two or more, each as `open` takes it, or what `open` returned.
    tolerance_ms
        How far apart, in milliseconds, the times of frames that belong together may
        be; with ``by="time"`` only.
    by
        ``"time"`` of acquisition, or ``"trigger"``: the sources' own counters.

    Returns
    -------
    Image
        The handle of the joined frames: all sources' channels, in their order.

    Raises
    ------
    SourceError, ConfigError
        A source cannot be opened, or they do not fit together (shape, dtype).
    """
    from .plugins import make_source

    opened, forms = [], []
    for given in sources:
        if isinstance(given, Image):
            if given.step.name != "source":
                raise ConfigError(
                    f"align takes sources, not the step {given.step.name!r}"
                )
            opened.append(given.graph.source)
            forms.append(given.graph.form)
        else:
            opened.append(make_source(given))
            forms.append(None if isinstance(given, Source) else given)
    told = {"by": by} if tolerance_ms is None else {"tolerance_ms": tolerance_ms}
    form = None if None in forms else {"align": {"sources": forms, **told}}
    return _begin(make_source({"align": {"sources": opened, **told}}), form)


def _begin(source: Source, form: object) -> Image:
    """Return the handle of a new graph's source, which was opened from ``form``."""
    graph = Graph(source)
    graph.form = form
    handle = graph.handles["source"]
    if not isinstance(handle, Image):
        raise ConfigError("a source gives images")
    return handle


def unknown_step(name: str, known: Mapping[str, Any], path: str) -> ConfigError:
    """Return the error for a reference to a step that does not exist."""
    return ConfigError(f"{path}: no step named {name!r}{nearest(name, known)}")
