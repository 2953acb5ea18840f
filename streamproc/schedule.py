"""Which values of the parameters hold for which frames: `set` between two frames."""

import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .errors import ConfigError, one_line
from .frame import SourceInfo
from .graph import Step, unknown_step
from .plan import Plan
from .stage import rehearse
from .steps import build
from .values import as_table, sql_types


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter's value from a frame on; ``value`` is what JSON can hold."""

    frame: int
    step: str
    name: str
    value: Any

    @classmethod
    def of(cls, frame: int, step: str, name: str, value: str) -> "Change":
        """Return the change of a row of ``parameters``."""
        return cls(frame, step, name, json.loads(value))

    def row(self) -> tuple[int, str, str, str]:
        """Return the row of ``parameters``."""
        return self.frame, self.step, self.name, json.dumps(self.value, default=str)


def initial_rows(plan: Plan) -> list[tuple[int, str, str, str]]:
    """Return the rows of ``parameters`` that a run begins with."""
    return [
        Change(0, step.name, name, value).row()
        for step in plan.steps
        for name, value in step.parameters.items()
    ]


def changes_in(rows: Sequence[tuple[int, str, str, str]]) -> list[Change]:
    """Return the changes among the rows of ``parameters``, in their order.

    The first row of a parameter is its value at the begin.
    """
    known: set[tuple[str, str]] = set()
    found = []
    for frame, step, name, value in rows:
        if (step, name) in known:
            found.append(Change.of(frame, step, name, value))
        known.add((step, name))
    return found


class Schedule:
    """The plan of every frame; a frame's is fixed when the frame is admitted.

    Whoever numbers frames does so within `admission`, so that a change falls between
    two of them. ``record`` makes a change durable before a frame is numbered that it
    holds for: a crash in between changes nothing of what frames get.

    Parameters
    ----------
    plan
        Of frame 0.
    info
        What the source is.
    start
        The next frame to be admitted.
    changes
        Those that an earlier session made, or a replay repeats.
    record
        Makes a change durable.
    """

    def __init__(
        self,
        plan: Plan,
        info: SourceInfo,
        *,
        start: int = 0,
        changes: Sequence[Change] = (),
        record: Callable[[Change], None] = lambda change: None,
    ) -> None:
        self._info = info
        self._record = record
        self._lock = threading.RLock()
        self._one_at_a_time = threading.Lock()
        #: the next frame to be admitted
        self.next = start
        self._frames, self._plans = [0], [plan]
        for change in changes:
            # frames before it were admitted, though they may be run again
            self.next = max(self.next, change.frame)
            self._append(change.frame, _changed(self._plans[-1], change, info))

    @property
    def version(self) -> int:
        """How many changes there were."""
        return len(self._plans) - 1

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Hold off changes while frames are numbered; `admitted` is told within."""
        with self._lock:
            yield

    def admitted(self, frames: int) -> None:
        """Note that the parameters of all frames below ``frames`` are fixed."""
        # of a raw log they are fixed already, and its lock may be held for a sync
        if frames > self.next:
            with self._lock:
                self.next = max(self.next, frames)

    def plan(self, frame: int) -> Plan:
        """Return what runs on a frame."""
        if len(self._plans) == 1:
            return self._plans[0]
        return self._plans[bisect_right(self._frames, frame) - 1]

    def set(self, step: str, name: str, value: object) -> Change:
        """Change a parameter from the next frame on.

        Parameters
        ----------
        step, name
            The step, and its operator's parameter; of ``map``, a keyword of its
            function.
        value
            As the operator takes it.

        Returns
        -------
        Change
            As it was recorded, with the first frame that it holds for.

        Raises
        ------
        ConfigError
            There is no such step or parameter, the value breaks its rule, or what is
            saved would have another shape, type or columns.
        """
        with self._one_at_a_time:
            plan = self._plans[-1]
            asked = _asked(plan, step, name, _plain(value, f"{step}.{name}"))
            newest = _changed(plan, asked, self._info)
            # checked, and compiled, while frames go on
            _same_outputs(plan, newest, self._info, asked)
            with self._lock:
                change = replace(asked, frame=self.next)
                self._record(change)
                self._append(change.frame, newest)
        return change

    def _append(self, frame: int, plan: Plan) -> None:
        self._frames.append(frame)
        self._plans.append(plan)


def check_adjustable(plan: Plan, path: str) -> None:
    """Check an entry of ``adjustable``: ``step.parameter``, of a step that runs.

    Raises
    ------
    ConfigError
        There is no such step or parameter, or it cannot change between two frames.
    """
    step, _, name = path.partition(".")
    if not name:
        raise ConfigError(
            f"adjustable: {path!r} is no parameter; write step.parameter, "
            "such as smooth.sigma"
        )
    try:
        _current(_step(plan, step), name)
    except ConfigError as error:
        raise ConfigError(f"adjustable: {path}: {error}") from None


def _step(plan: Plan, name: str) -> Step:
    known = {step.name: step for step in plan.steps}
    if name not in known:
        raise unknown_step(name, known, "set")
    return known[name]


def _current(step: Step, name: str) -> Any:  # a parameter's
    """Return the value that a parameter has now."""
    if step.role == "source":
        raise ConfigError("the source's parameters cannot change during a run")
    if step.role == "windowed":
        raise ConfigError(
            f"{name} of {step.operator} reaches over frames and cannot change during a "
            "run; start a new one"
        )
    values = _settable(step)
    if name not in values:
        known = ", ".join(map(repr, values)) or "none"
        raise ConfigError(
            f"step {step.name!r} ({step.operator}) has no parameter {name!r} "
            f"that can be set; it has {known}"
        )
    return values[name]


def _settable(step: Step) -> Mapping[str, Any]:
    values: Mapping[str, Any] = step.parameters
    if step.operator == "map":
        values = values["parameters"]
    fixed = ("method",) if step.operator == "background" else ()
    return {name: value for name, value in values.items() if name not in fixed}


def _plain(value: object, path: str) -> Any:  # of a parameter
    """Return a value as the table ``parameters`` gives it back: NumPy's as Python's.

    Raises
    ------
    ConfigError
        It cannot be recorded, so a replay would not have it.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be recorded, got {value!r:.80} ({one_line(error)}); "
            "give what JSON can hold"
        ) from None


def _asked(plan: Plan, name: str, parameter: str, value: object) -> Change:
    """Return the change as it is recorded: of ``map``, all keywords of its function."""
    step = _step(plan, name)
    _current(step, parameter)
    if step.operator == "map":
        given = dict(step.parameters["parameters"])
        return Change(0, name, "parameters", {**given, parameter: value})
    return Change(0, name, parameter, value)


def _changed(plan: Plan, change: Change, info: SourceInfo) -> Plan:
    """Return the plan with the value in place, checked as at the begin."""
    step = _step(plan, change.step)
    given = {**step.parameters, change.name: change.value}
    if step.operator == "map":
        given["function"] = step.function
    built = build(step.operator, step.name, step.inputs, given)
    return plan.with_step(built, info)


def _same_outputs(old: Plan, new: Plan, info: SourceInfo, change: Change) -> None:
    """Refuse a value that changes type, columns, shape or place of what is saved."""
    for was, now in zip(old.outputs, new.outputs, strict=True):
        if was.grid != now.grid:
            raise ConfigError(
                f"{change.step}.{change.name}: {change.value!r} would change where the "
                f"pixels of {was.name!r} lie midway; start a new run"
            )
    for before, after in zip(old.segments, new.segments, strict=True):
        if before.stage is None or after.stage is None or before == after:
            continue
        then, later = rehearse(before.stage, info), rehearse(after.stage, info)
        for output in before.stage.outputs:
            if output.step in then and _form(then, output.step) != _form(
                later, output.step
            ):
                raise ConfigError(
                    f"{change.step}.{change.name}: {change.value!r} would change the "
                    f"type or the columns of {output.name!r} midway; start a new run"
                )


def _form(values: Mapping[str, Any], step: str) -> Any:  # compared, not read
    value = values[step]
    if hasattr(value, "dtype"):
        return value.dtype, value.shape
    return sql_types(as_table(value))
