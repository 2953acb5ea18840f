"""One frame through a graph, each step's output kept and drawn."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FrameError, one_line
from ..execution.admission import Recording
from ..execution.admission import Sequence as InOrder
from ..execution.protocol import WindowValue
from ..frame import Array, FrameRef, Source, trailing_axes
from ..graph import Graph, Step
from ..plan import Plan, make_plan
from ..plugins import make_source
from ..stage import Instruction, rehearse, run
from ..table import Measurements
from ..window import noun

if TYPE_CHECKING:
    from .sheet import Tile


@dataclass(frozen=True, slots=True)
class Seen:
    """What one step gave for the frame: a value, or the reason why it has none."""

    step: Step
    axes: str = ""
    value: Any = None  # one type per kind
    error: str | None = None
    milliseconds: float | None = None
    note: str | None = None
    #: whether the error is that of a step above it
    is_blocked: bool = False


@dataclass(frozen=True)
class Preview:
    """One frame as every step of a pipeline gave it; shows itself in a notebook.

    ``values`` maps the steps to what they gave: arrays for images, masks and label
    images, DataFrames for tables; ``errors`` maps the steps that failed to why.
    """

    frame: int
    steps: tuple[Seen, ...]
    source: str = ""
    pixel_size_um: Mapping[str, float] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """What each step gave, by its name; steps without a value are missing."""
        return {
            seen.step.name: seen.value.dataframe()
            if isinstance(seen.value, Measurements)
            else seen.value
            for seen in self.steps
            if seen.error is None
        }

    @property
    def errors(self) -> dict[str, str]:
        """Why steps failed, by their names; those that wait for them are left out."""
        return {
            s.step.name: s.error
            for s in self.steps
            if s.error is not None and not s.is_blocked
        }

    def picture(self) -> Array:
        """Return the sheet of all steps, uint8 ``(y, x, 3)``: red, green, blue."""
        return np.ascontiguousarray(self._sheet()[..., ::-1])

    def save(self, path: str | Path) -> None:
        """Write the sheet of all steps as PNG.

        Raises
        ------
        StoreError
            The file cannot be written.
        """
        from .picture import write

        write(Path(path), self._sheet())

    @cached_property
    def tiles(self) -> "list[Tile]":
        """The tiles of the sheet, one or two for each step."""
        from .tiles import tiles

        return tiles(self.steps, self.pixel_size_um)

    def _sheet(self) -> Array:
        from .sheet import draw_sheet

        return draw_sheet(self.title, self.tiles)

    @property
    def title(self) -> str:
        """The frame and its source, in a line."""
        return f"frame {self.frame}" + (f" · {self.source}" if self.source else "")

    def _repr_png_(self) -> bytes:
        """Return the sheet as a notebook shows it."""
        from .picture import encode

        return encode(self._sheet())

    def __str__(self) -> str:
        """Return a line for each step: its name, operation, output and time."""
        lines = []
        for tile in {tile.name: tile for tile in self.tiles}.values():
            said = f"failed: {tile.error}" if tile.error else ", ".join(tile.facts)
            lines.append((tile.name, tile.operation, said, tile.timing))
        wide = [min(40, max(len(line[n]) for line in lines)) for n in (0, 1)]
        rows = (
            f"{name:{wide[0]}}  {what:{wide[1]}}  {said}" + (f", {ms}" if ms else "")
            for name, what, said, ms in lines
        )
        return "\n".join(rows)

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} failed" if self.errors else ""
        return f"<Preview of frame {self.frame}: {len(self.steps)} steps{failed}>"


def preview(graph: Graph, number: int, goals: Iterable[Step] | None = None) -> Preview:
    """Run one frame through a graph and keep what every step gives.

    A windowed background is computed from the frames it needs; an ordered step runs
    from its initial state. A step that fails does not stop those that do not depend
    on it. Nothing is written.

    Parameters
    ----------
    graph
        The steps on their source.
    number
        The frame, from 0; of a live source counted from now on.
    goals
        Run only these steps and what they need; default: all.

    Returns
    -------
    Preview
        The steps in the order they run, the source first.

    Raises
    ------
    FrameError
        There is no such frame, or it cannot be read.
    SourceError
        The frame has another shape than its source said.
    ConfigError
        A step cannot run on this source's axes.
    """
    goals = list(graph.steps.values() if goals is None else goals)
    wanted = {"source"} | {s.name for goal in goals for s in goal.ancestors()}
    plan = make_plan(graph, {}, goals)
    info = graph.source.info
    if number < 0 or (info.frames is not None and number >= info.frames):
        raise FrameError(
            f"no frame {number}; there are {info.frames or 'none below 0'}"
        )
    for segment in plan.segments:
        if segment.stage is not None:
            with suppress(Exception):  # the frame itself tells what fails
                rehearse(segment.stage, info)
    with _opened(graph) as source:
        refs = _read(source, number, plan)
        ref, start = refs[number], time.perf_counter()
        is_read_here = ref.pixels is None
        pixels = ref.resolve()
        spent = 1e3 * (time.perf_counter() - start) if is_read_here else None
        first = Seen(graph.steps["source"], info.axes, pixels, milliseconds=spent)
        walk = _Walk(plan, refs, number, first)
        walk.go(wanted)
    seen = tuple(walk.seen[s.name] for s in plan.steps if s.name in walk.seen)
    return Preview(number, seen, _name(graph), info.pixel_size_um)


def _name(graph: Graph) -> str:
    form = graph.form
    if isinstance(form, Mapping):
        name, given = next(iter(form.items()))
        form = given.get("path", name) if isinstance(given, Mapping) else given or name
    return "/".join(Path(str(form)).parts[-2:]) if form is not None else ""


@contextmanager
def _opened(graph: Graph) -> Iterator[Source]:
    """Give the graph's source, or one opened anew where a run may be reading it."""
    info = graph.source.info
    if graph.form is None or info.random_access or info.live:
        yield graph.source
        return
    with closing(make_source(graph.form)) as source:
        yield source


def _read(source: Source, number: int, plan: Plan) -> dict[int, FrameRef]:
    """Return the frame, and those that its backgrounds are made of."""
    info = source.info
    needed = {number}
    for window in plan.windows:
        needed |= set(window.frames(window.block(number)))
    found: dict[int, FrameRef] = {}
    at_random = info.random_access and info.frames is not None
    admission = (Recording if at_random else InOrder)(source, max(needed) + 1)
    for item in admission.frames(min(needed)):
        if isinstance(item, FrameRef) and item.frame in needed:
            found[item.frame] = item
    if not at_random:
        source.stop()
    ref = found.get(number)
    if ref is None or ref.error is not None:
        why = f"cannot be read: {ref.error}" if ref else "is beyond the source's end"
        raise FrameError(f"frame {number} {why}")
    return found


class _Walk:
    """The steps of a plan, run one after the other on one frame."""

    def __init__(
        self, plan: Plan, refs: Mapping[int, FrameRef], number: int, first: Seen
    ) -> None:
        self._plan, self._refs, self._number = plan, refs, number
        self._windows = {window.step: window for window in plan.windows}
        self._steps = {step.name: step for step in plan.steps}
        self._values: dict[str, Any] = {"source": first.value}
        self.seen = {"source": first}

    def go(self, wanted: set[str]) -> None:
        """Run every step that is wanted, inputs first."""
        for segment in self._plan.segments:
            for instruction in segment.stage.instructions if segment.stage else ():
                if instruction.name in wanted and instruction.name not in self.seen:
                    self._take(self._steps[instruction.name], instruction)
            for step in segment.ordered:
                if step.name in wanted:
                    self._take(step, None)

    def _take(self, step: Step, instruction: Instruction | None) -> None:
        missing = next((i.name for i in step.inputs if i.name not in self._values), "")
        if missing:
            error = f"not run: it needs {missing!r}, which failed"
            self.seen[step.name] = Seen(step, error=error, is_blocked=True)
            return
        start = time.perf_counter()
        try:
            value, note = (
                self._ordered(step) if instruction is None else self._run(instruction)
            )
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            # as in a stage: a function may fail in any way, or call sys.exit()
            self.seen[step.name] = Seen(step, error=one_line(error))
            return
        spent = 1e3 * (time.perf_counter() - start)
        self._values[step.name] = value
        axes = self._plan.axes.get(step.name, "")
        if isinstance(value, np.ndarray):
            axes = trailing_axes(value.ndim, axes)
        self.seen[step.name] = Seen(step, axes, value, None, spent, note)

    def _run(self, instruction: Instruction) -> tuple[Any, str | None]:
        if not instruction.windowed:
            return run(instruction, self._values, {}), None
        window = self._windows[instruction.name]
        block = window.block(self._number)
        refs = [self._refs[n] for n in window.frames(block) if n in self._refs]
        usable = [ref for ref in refs if ref.error is None]
        background = WindowValue(
            (window.step, block), usable, self._number, window.method
        )
        background.compute()
        value = run(instruction, self._values, {instruction.name: background.get()})
        if noun(window.method) == "reference":
            return value, f"frame {usable[0].frame}"
        return value, f"background of frames {refs[0].frame} to {refs[-1].frame}"

    def _ordered(self, step: Step) -> tuple[Any, str | None]:
        assert step.ordered is not None
        inputs = [self._values[i.name] for i in step.inputs]
        _, value = step.ordered.step(step.ordered.initial(), *inputs)
        return value, "from its initial state, on this frame alone"
