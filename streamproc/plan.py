"""The graph cut into segments, parallel / ordered / parallel …, and its identity.

Level 0, 2, 4 … hold parallel steps, fused into one `Stage` each; level 1, 3 … hold
ordered steps. A parallel step that needs both pixels and an ordered value is run in
the later stage; what it needs of pixels is computed there again (pure functions),
so that no pixels ever travel between segments.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import CodeType
from typing import Any

from .errors import ConfigError, nearest
from .frame import SourceInfo
from .fusion import joined
from .graph import Graph, Step
from .grid import Grid
from .stage import Instruction, Output, Stage
from .steps import Function
from .window import Window

#: Kinds small enough to travel between segments.
_SMALL = ("table", "value")


@dataclass(frozen=True)
class Segment:
    """One level: a fused stage, or ordered steps run in frame order."""

    stage: Stage | None = None
    ordered: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What executors run and the committer commits."""

    segments: tuple[Segment, ...]
    windows: tuple[Window, ...]
    outputs: tuple[Output, ...]
    streamed: tuple[str, ...]
    steps: tuple[Step, ...]
    axes: Mapping[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[Output, ...]:
        """The outputs that go to SQL."""
        return tuple(o for o in self.outputs if o.kind in _SMALL)

    @property
    def main_table(self) -> str:
        """The first saved table of objects; ``""`` where there is none."""
        measures = {step.name for step in self.steps if step.operator == "measure"}
        return next((o.name for o in self.tables if o.step in measures), "")

    @property
    def images(self) -> tuple[Output, ...]:
        """The outputs that go to zarr."""
        return tuple(o for o in self.outputs if o.kind not in _SMALL)

    def first_needed(self, start: int) -> int:
        """Return the first frame that windows reach back to from ``start``."""
        return min((w.reaches(start) for w in self.windows), default=start)

    def may_go(self, committed: int) -> range:
        """Return the frames that no window reaches any more, the rest being pending."""
        pinned = max((w.pinned for w in self.windows), default=0)
        reached = (w.reaches(committed) for w in self.windows if not w.pinned)
        return range(pinned, min(reached, default=committed))

    def with_step(self, step: Step, info: SourceInfo) -> "Plan":
        """Return the plan with other parameters of one step, its inputs the same."""
        segments = tuple(
            Segment(
                stage=s.stage
                and s.stage.with_call(step.name, _call(step, info), _pixelwise(step)),
                ordered=tuple(step if o.name == step.name else o for o in s.ordered),
            )
            for s in self.segments
        )
        steps = tuple(step if s.name == step.name else s for s in self.steps)
        grids = _grids(steps, info)
        outputs = tuple(replace(o, grid=grids.get(o.step)) for o in self.outputs)
        return replace(self, segments=segments, steps=steps, outputs=outputs)

    def without_order(self) -> "Plan":
        """Return what can be computed of a frame alone: the first segment."""
        first = self.segments[0]
        outputs = first.stage.outputs if first.stage else ()
        streamed = first.stage.streamed if first.stage else ()
        return replace(self, segments=(first,), outputs=outputs, streamed=streamed)

    def functions(self) -> list[Function]:
        """Return the users' functions, with the names they go by."""
        return [
            Function(step.function, step.parameters["function"])
            for step in self.steps
            if step.operator == "map" and step.function is not None
        ]

    def identity(self, source: str) -> str:
        """Return a hash of graph, parameters, users' source text and the source."""
        graph = [
            [s.name, s.operator, [i.name for i in s.inputs], _plain(s.parameters)]
            + ([source_text(s.function)] if s.operator == "map" and s.function else [])
            for s in self.steps
        ]
        saved = [[o.name, o.step] for o in self.outputs]
        text = json.dumps([graph, saved, source], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def make_plan(
    graph: Graph, saved: Mapping[str, Step], wanted: Iterable[Step] = ()
) -> Plan:
    """Cut the steps that ``saved``, ``wanted`` and listeners need into segments.

    Raises
    ------
    ConfigError
        A step cannot run on this source's axes, or an ordered step asks for pixels.
    """
    info = graph.source.info
    streamed = tuple(n for n, h in graph.handles.items() if h.is_streamed)
    goals = [*saved.values(), *wanted, *(graph.steps[name] for name in streamed)]
    steps = _needed(graph, goals)
    grids = _grids(steps, info)
    axes = {name: grid.axes for name, grid in grids.items()}
    level_of = levels(steps)
    outputs = tuple(
        Output(
            name, step.name, step.kind, axes.get(step.name, ""), grids.get(step.name)
        )
        for name, step in saved.items()
    )
    segments: list[Segment] = []
    asked = set(streamed)
    # from the last level to the first: a later one says what it needs of the earlier
    for level in reversed(range(max(level_of.values(), default=0) + 1)):
        here = tuple(s for s in steps if level_of[s.name] == level)
        if level % 2:
            asked |= {i.name for s in here for i in s.inputs}
            segments.insert(0, Segment(ordered=here))
        else:
            runs, given = _closure(here, steps)
            asked |= given
            stage = _stage(
                level,
                here,
                runs,
                info=info,
                axes=axes,
                outputs=outputs,
                streamed=streamed,
                asked=asked,
            )
            segments.insert(0, Segment(stage=stage))
    windows = tuple(step.window for step in steps if step.window is not None)
    return Plan(tuple(segments), windows, outputs, streamed, steps, axes)


def _needed(graph: Graph, goals: Iterable[Step]) -> tuple[Step, ...]:
    wanted = {"source"}
    for goal in goals:
        if goal.name not in wanted:
            wanted |= {step.name for step in goal.ancestors()}
    return tuple(step for name, step in graph.steps.items() if name in wanted)


def levels(steps: tuple[Step, ...]) -> dict[str, int]:
    """Return each step's level: even for parallel, odd for ordered."""
    levels: dict[str, int] = {}
    for step in steps:
        above = max((levels[i.name] for i in step.inputs), default=0)
        if step.role == "ordered":
            for source in step.inputs:
                if source.kind not in _SMALL:
                    raise ConfigError(
                        f"{step.name}: {step.operator} takes small values in order, "
                        f"got {source.kind} {source.name!r}"
                    )
            levels[step.name] = above + 1 if above % 2 == 0 else above
            if above % 2:
                levels[step.name] = above + 2
        else:
            levels[step.name] = above if above % 2 == 0 else above + 1
    return levels


def _closure(
    mine: tuple[Step, ...], steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], set[str]]:
    """Return what a stage runs, inputs first, and the small values it is given.

    Pixels of earlier levels are computed again; tables and values are carried.
    """
    own = {s.name for s in mine}
    needed, given = set(own), set()
    for step in reversed(steps):
        if step.name in needed:
            if step.name not in own and step.kind in _SMALL:
                given.add(step.name)
            else:
                needed |= {i.name for i in step.inputs}
    return tuple(s for s in steps if s.name in needed - given), given


def _stage(
    level: int,
    mine: tuple[Step, ...],
    runs: tuple[Step, ...],
    *,
    info: SourceInfo,
    axes: Mapping[str, str],
    outputs: tuple[Output, ...],
    streamed: tuple[str, ...],
    asked: set[str],
) -> Stage:
    own = {s.name for s in mine}
    instructions = [
        _instruction(step, axes, info) for step in runs if step.role != "source"
    ]
    saved = tuple(o for o in outputs if o.step in own)
    keep = asked & own
    return Stage(
        level=level,
        instructions=_dropping(instructions, keep | {o.step for o in saved}),
        outputs=saved,
        keep=tuple(sorted(keep)),
        streamed=tuple(n for n in streamed if n in own),
    )


def _dropping(
    instructions: list[Instruction], needed: set[str]
) -> tuple[Instruction, ...]:
    """Let each value go after the last step that needs it."""
    needed, found = set(needed), []
    for instruction in reversed(instructions):
        last = {*instruction.inputs, instruction.name} - needed
        needed |= last
        found.append(replace(instruction, drops=tuple(sorted(last))))
    return joined(found[::-1])


def _instruction(step: Step, axes: Mapping[str, str], info: SourceInfo) -> Instruction:
    if step.function is None:
        raise ConfigError(f"{step.name}: {step.operator} has nothing to run")
    is_map = step.operator == "map"
    # the one operator that takes all channels at once
    takes_all = step.operator == "channel"
    given = "" if takes_all else axes.get(step.inputs[0].name, "")
    return Instruction(
        name=step.name,
        kind=step.kind,
        function=step.function,
        inputs=tuple(i.name for i in step.inputs),
        parameters=_call(step, info),
        axes=given,
        windowed=step.role == "windowed",
        is_map=is_map,
        is_foreign=step.is_foreign,
        pixelwise=_pixelwise(step),
    )


def _pixelwise(step: Step) -> bool:
    """Return whether a step looks at each pixel alone."""
    from .ops import OPERATORS

    spec = OPERATORS.get(step.operator)
    return (
        spec is not None
        and spec.kernel is step.function
        and spec.is_pixelwise(step.parameters)
    )


def _call(step: Step, info: SourceInfo) -> dict[str, Any]:
    """Return the keywords that a step's function is called with."""
    if step.role == "windowed":
        return {}
    if step.operator == "channel":
        return {"channel": _channel(step, info)}
    if step.operator == "map":
        return dict(step.parameters["parameters"])
    skip = ("method",) if step.operator == "background" else ()
    return {k: v for k, v in step.parameters.items() if k not in skip}


def _grids(steps: tuple[Step, ...], info: SourceInfo) -> dict[str, Grid]:
    """Return the grid of every image-like step, checking what needs certain axes.

    A user's function may return other axes and another shape than it was given:
    behind one, grids are those expected, and what does not fit fails frame by frame.
    """
    grids: dict[str, Grid] = {}
    free: set[str] = set()
    for step in steps:
        if step.role == "source":
            grids[step.name] = Grid.of(info)
            continue
        if step.operator == "map" or any(i.name in free for i in step.inputs[:1]):
            free.add(step.name)
        if step.kind in _SMALL:
            if step.name not in free:
                _check_small(step, {n: g.axes for n, g in grids.items()})
            continue
        given = next((grids[i.name] for i in step.inputs if i.name in grids), None)
        given = given or Grid.of(info)
        try:
            grids[step.name] = _grid(step, given, info)
        except ConfigError:
            if step.name not in free:
                raise
            grids[step.name] = given
    return grids


def _grid(step: Step, given: Grid, info: SourceInfo) -> Grid:
    """Return where the pixels of a step's result lie.

    Raises
    ------
    ConfigError
        The step cannot run on such axes, or on so few pixels.
    """
    from .ops import OPERATORS

    name = step.inputs[0].name
    if step.operator == "channel":
        if "c" not in given.axes:
            raise ConfigError(
                f"{step.name}: channel needs an axis c, "
                f"{name!r} has axes {given.axes!r}"
            )
        number, count = _channel(step, info), given.length("c")
        if number >= count:
            raise ConfigError(
                f"{step.name}: no channel {number} in the source; "
                f"it has {count}, from 0"
            )
        return given.without("c")
    if step.operator == "flat_field" and step.inputs[0].role == "source":
        _check_pictures(step, info)
    spec = OPERATORS.get(step.operator)
    if spec is None or spec.grid is None:
        return given
    try:
        return spec.grid(given, step.parameters)
    except ConfigError as error:
        raise ConfigError(f"{step.name}: {error}") from None


def _check_small(step: Step, axes: Mapping[str, str]) -> None:
    """Refuse channels where a table or a value has no place for them."""
    if step.operator == "measure":
        _check_measured(step, axes)
    elif _has_no_channels(step):
        _check_one_channel(step, axes)


def _has_no_channels(step: Step) -> bool:
    """Tell what cannot go channel by channel; values by name of our own can."""
    return step.is_foreign or (step.kind == "table" and step.role == "parallel")


def _check_one_channel(step: Step, axes: Mapping[str, str]) -> None:
    given = step.inputs[0].name
    if "c" in axes.get(given, ""):
        raise ConfigError(
            f"{step.name}: a {step.kind} has no channels, {given!r} has axes "
            f"{axes[given]!r}; choose one with a channel step"
        )


def _channel(step: Step, info: SourceInfo) -> int:
    """Return the number of the channel that a step chooses.

    Raises
    ------
    ConfigError
        The source has no channel of this name.
    """
    wanted, names = step.parameters["channel"], info.channels
    number = names.index(wanted) if wanted in names else wanted
    if isinstance(number, str):
        known = f"; it has {', '.join(names)}" if names else ", which names none"
        raise ConfigError(
            f"{step.name}: no channel {wanted!r} in the source{known}"
            f"{nearest(wanted, names)}"
        )
    return number


def _check_pictures(step: Step, info: SourceInfo) -> None:
    from .ops.calibration import check_shape

    try:
        check_shape(step.parameters, info.shape)
    except ConfigError as error:
        raise ConfigError(f"{step.name}: {error}") from None


def _check_measured(step: Step, axes: Mapping[str, str]) -> None:
    from .ops.measurement import check_properties

    labels = axes[step.inputs[0].name]
    if "c" in labels:
        raise ConfigError(
            f"{step.name}: measure needs labels without channels, "
            f"{step.inputs[0].name!r} has axes {labels!r}; "
            "choose one with a channel step"
        )
    check_properties(
        step.parameters["properties"],
        ndim=len(labels),
        has_intensity=len(step.inputs) > 1,
        explicit=True,
    )


def source_text(function: Callable[..., Any]) -> str:
    """Return what identifies a function across processes: names and source text."""
    name = (
        f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    )
    try:
        return f"{name}\n{inspect.getsource(function)}"
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return f"{name}\n{_code_text(code) if code else type(function)}"


def _code_text(code: CodeType) -> str:
    """Return code, names and constants of a function whose source text is lost."""

    def text(constant: object) -> str:
        if isinstance(constant, CodeType):
            return _code_text(constant)
        # the order of a set differs between processes
        members = constant if isinstance(constant, frozenset) else [constant]
        return ",".join(sorted(map(repr, members)))

    constants = [text(constant) for constant in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
