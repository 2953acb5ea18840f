"""One fused, picklable function from a frame's address to its encoded results."""

import copy
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from .errors import ConfigError, FrameError, SourceError, one_line
from .frame import Array, FrameRef, Kind, SourceInfo, trailing_axes
from .fusion import by_rows, groups, joined
from .grid import Grid
from .parameters import ParameterError
from .table import Measurements
from .values import as_table, hash_image, hash_rows, normal, sql_rows, sql_types

#: What is timed beside the steps, none of which can be called so.
READ, ENCODE = "(read)", "(encode)"


class Encoder(Protocol):
    """A sink's ``encode``: pixels to chunks, where they were computed; picklable."""

    def __call__(self, pixels: Array) -> Any:  # the sink's own
        """Return what the sink's ``append`` takes."""
        ...


@dataclass(frozen=True, slots=True)
class Output:
    """A saved value: its name in the run folder, and the step it comes from."""

    name: str
    step: str
    kind: Kind
    axes: str
    #: where its pixels lie; None for tables and values
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of a stage."""

    name: str
    kind: Kind
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    parameters: Mapping[str, Any]
    #: of its first input; an array that a user's function gave may have others
    axes: str
    windowed: bool
    is_map: bool
    #: a plugin's: its inputs are guarded and its results checked, as those of map
    is_foreign: bool = False
    #: values that nothing needs after it: their memory, still in the cache, is used
    #: again by the next step
    drops: tuple[str, ...] = ()
    #: it looks at each pixel alone
    pixelwise: bool = False
    #: how many instructions, from this one on, are run together block by block
    fused: int = 1


@dataclass(slots=True)
class SavedRows:
    """A table's rows of one frame, ready for SQL, and its columns' SQL types."""

    types: dict[str, str]
    rows: list[tuple[Any, ...]]
    #: sums for the summary: objects, area, intensity
    objects: int = 0
    area: float = 0.0
    intensity: float = 0.0


@dataclass(slots=True)
class Result:
    """What a stage returns for one frame: small values and encoded chunks."""

    frame: int
    level: int
    error: str | None = None
    #: the step that failed, or `READ`, or `ENCODE`
    step: str = ""
    fatal: BaseException | None = None
    values: dict[str, Any] = field(default_factory=dict)
    encoded: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, SavedRows] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    #: seconds by step, and of `READ` and `ENCODE`
    seconds: dict[str, float] = field(default_factory=dict)
    #: time.perf_counter() when it came to the engine
    landed: float = 0.0
    time: float | None = None
    metadata: str | None = None
    worker: str = ""
    nbytes: int = 0
    #: kept for the traceback of ``-v`` and of ``on_error: stop``
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """The parallel steps of one segment, fused.

    ``encoders`` maps the saved images to what encodes them; `with_encoders` sets
    them once the store is open. Calling it never raises for a bad frame: the error
    is in the result.
    """

    level: int
    instructions: tuple[Instruction, ...]
    outputs: tuple[Output, ...]
    keep: tuple[str, ...]
    streamed: tuple[str, ...]
    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    def with_call(
        self, name: str, parameters: Mapping[str, Any], pixelwise: bool
    ) -> "Stage":
        """Return the stage with other parameters of one step; itself without it."""
        if all(instruction.name != name for instruction in self.instructions):
            return self
        instructions = tuple(
            replace(i, parameters=parameters, pixelwise=pixelwise)
            if i.name == name
            else i
            for i in self.instructions
        )
        return replace(self, instructions=joined(instructions))

    def __call__(
        self,
        ref: FrameRef,
        given: Mapping[str, Any],
        windows: Mapping[str, Array],
    ) -> Result:
        """Run all steps on one frame and encode what is saved."""
        result = Result(ref.frame, self.level, worker=threading.current_thread().name)
        result.time, result.metadata = ref.time, ref.metadata
        where = ""
        clock = time.perf_counter
        try:
            start = clock()
            values: dict[str, Any] = dict(given)
            values["source"] = ref.resolve()
            result.time, result.metadata = ref.time, ref.metadata
            before = clock()
            result.seconds[READ] = before - start
            for group in groups(self.instructions):
                where = group[-1].name
                if len(group) > 1:
                    together = by_rows(group, values, run, result.seconds)
                    before = clock()
                    if together is not None:
                        values[where] = together
                        _drop(values, *group)
                        continue
                for instruction in group:
                    where = instruction.name
                    values[where] = _run(instruction, values, windows)
                    _drop(values, instruction)
                    now = clock()
                    result.seconds[where] = now - before
                    before = now
            where = ""
            if self.outputs or self.keep:
                self._collect(values, result)
                result.seconds[ENCODE] = clock() - before
        except SourceError as error:
            result.fatal = error
        except BaseException as error:
            # the one place that applies to users' and operators' errors alike; a
            # function that calls sys.exit() must not take the worker with it
            result.step = where or (ENCODE if READ in result.seconds else READ)
            step = f"step {where!r}: " if where else ""
            text = one_line(error)
            result.error = text if text.startswith(step) else step + text
            result.exception = error
            result.encoded.clear()
            result.rows.clear()
            result.hashes.clear()
            result.values.clear()
        return result

    def _collect(self, values: Mapping[str, Any], result: Result) -> None:
        from .ops._runs import painted

        for output in self.outputs:
            value = painted(values[output.step])
            if output.kind in ("table", "value"):
                table = _as_table(value, output.step)
                rows = sql_rows(result.frame, table)
                result.hashes[output.name] = hash_rows(rows)
                result.rows[output.name] = _saved(table, rows)
            else:
                encoded = self.encoders[output.name](value)
                result.hashes[output.name] = hash_image(value)
                result.encoded[output.name] = encoded
                result.nbytes += encoded.nbytes
        for name in self.keep:
            value = painted(values[name])
            if isinstance(value, np.ndarray):
                result.nbytes += value.nbytes
                if name == "source" or not value.flags.owndata:
                    value = value.copy()
            result.values[name] = value


def _drop(values: dict[str, Any], *instructions: Instruction) -> None:
    """Forget what is not needed after some steps."""
    for instruction in instructions:
        for name in instruction.drops:
            values.pop(name, None)


def _as_table(value: object, step: str) -> Measurements:
    try:
        return as_table(value)
    except FrameError as error:
        raise FrameError(f"step {step!r}: {error}") from None


def _saved(table: Measurements, rows: list[tuple[Any, ...]]) -> SavedRows:
    columns = table.columns
    saved = SavedRows(sql_types(table), rows, len(rows))
    for name in ("area",):
        if name in columns and len(rows):
            saved.area = float(columns[name].sum())
    for name in ("mean_intensity", "intensity_mean", "mean_intensity_c0"):
        if name in columns and len(rows):
            saved.intensity = float(np.nansum(columns[name]))
            break
    return saved


def run(
    instruction: Instruction,
    values: Mapping[str, Any],
    windows: Mapping[str, Array],
) -> Any:  # whatever the step gives
    """Run one instruction on the values it names; labels come as an array."""
    from .ops._runs import painted

    return painted(_run(instruction, values, windows))


def _run(
    instruction: Instruction,
    values: Mapping[str, Any],
    windows: Mapping[str, Array],
) -> Any:  # whatever the step gives
    """Run one instruction; labels come as a drawing, which our operators take."""
    inputs = [values[name] for name in instruction.inputs]
    if instruction.windowed:
        return instruction.function(*inputs, windows[instruction.name])
    function, parameters = instruction.function, dict(instruction.parameters)
    is_foreign = instruction.is_map or instruction.is_foreign
    if is_foreign:
        from .ops._runs import painted

        inputs = [
            v.dataframe() if isinstance(v, Measurements) else _readonly(painted(v))
            for v in inputs
        ]
        function = partial(_own, function)
    axes = "" if instruction.is_map else instruction.axes
    if axes and "c" in trailing_axes(np.ndim(inputs[0]), axes):
        from .ops._operator import per_channel

        value = per_channel(function, tuple(inputs), parameters)
    else:
        value = function(*inputs, **parameters)
    if not is_foreign:
        return value
    value = normal(value, instruction.kind, instruction.name)
    if not instruction.is_map:
        _check_axes(value, inputs[0], instruction.name)
    return value


def _check_axes(value: Any, given: Any, name: str) -> None:
    """Refuse other axes than those given: channels would be taken for planes."""
    are_pixels = isinstance(value, np.ndarray) and isinstance(given, np.ndarray)
    if are_pixels and value.ndim != given.ndim:
        raise FrameError(
            f"step {name!r}: an operator keeps the axes of its first input, got shape "
            f"{value.shape} from {given.shape}; use map for another number of axes"
        )


def _own(
    function: Callable[..., Any], /, *inputs: Any, **parameters: Any
) -> Any:  # whatever the function gives
    """Call a user's function; copy a result that it may write into once more.

    A buffer that the function keeps (``out=``) would change under the encoder. An
    array that nobody else holds is taken as it is.
    """
    value = function(*inputs, **parameters)
    if isinstance(value, np.ndarray):
        is_held = sys.getrefcount(value) > _FRESH or value.base is not None
        if is_held and not any(value is i or value.base is i for i in _arrays(inputs)):
            return value.copy()
    return value


def _arrays(inputs: Iterable[Any]) -> Iterator[Any]:
    """Yield what a function was given, and what lies in a mapping it was given."""
    for given in inputs:
        if isinstance(given, Mapping):
            yield from _arrays(given.values())
        else:
            yield given


def _fresh() -> int:
    """Return the references to an array that a function has just made."""
    value = np.empty(1)
    return sys.getrefcount(value)


_FRESH = _fresh()


def _readonly(value: Any) -> Any:  # arrays are guarded, the rest passes
    """Return what a function cannot spoil for others: arrays read-only, copies."""
    if isinstance(value, Mapping):
        return {key: _readonly(item) for key, item in value.items()}
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "buifc":
        return copy.deepcopy(value)
    # a view of a read-only buffer cannot be made writeable again
    return np.asarray(value.data.toreadonly())


def unreadable(ref: FrameRef, level: int) -> Result:
    """Return the failed result of a frame that its source could not give."""
    return Result(
        ref.frame,
        level,
        error=ref.error,
        step=READ,
        time=ref.time,
        metadata=ref.metadata,
        exception=FrameError(ref.error or "unreadable"),
    )


def rehearse(stage: Stage, info: SourceInfo) -> dict[str, Any]:
    """Run the built-in steps of a stage on a small frame of noise.

    What depends on a user's function is left out, and what cannot be done with noise.
    Compiles what is compiled on first use, and tells the columns of tables before the
    first frame.

    Raises
    ------
    ParameterError
        The parameters of a step contradict each other.
    """
    import_module(".ops", __package__)  # a user's step needs some of it, too
    small = {"y": 64, "x": 64, "z": 8}
    shape = [
        min(n, small.get(a, n)) for n, a in zip(info.shape, info.axes, strict=True)
    ]
    noise = np.random.default_rng(0).integers(0, 100, shape).astype(info.dtype)
    values: dict[str, Any] = {"source": noise}
    for instruction in stage.instructions:
        foreign = instruction.is_map or instruction.is_foreign
        if foreign or not set(instruction.inputs) <= set(values):
            continue
        windows = {instruction.name: noise.astype(np.float64)}
        try:
            values[instruction.name] = run(instruction, values, windows)
        except ParameterError as error:  # whatever the frame
            raise ParameterError(f"graph.{instruction.name}: {error}") from error
        except (ConfigError, FrameError):
            # the frame of a rehearsal may be smaller than what a step cuts out
            continue
    return values
