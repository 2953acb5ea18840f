"""Ordered steps: small values, in frame order, with an explicit state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, TypeVar

import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from .bland_altman import Differences, paired
from .errors import FrameError, nearest
from .frame import Kind
from .table import Measurements

S = TypeVar("S")


class OrderedStep(Protocol[S]):
    """A frozen dataclass of parameters; the state is a small JSON value.

    The state after a group's last frame is committed with the group, so a resumed
    run goes on as if nothing had happened. A failed frame does not reach `step`.
    ``takes`` holds the kinds that each input may have: small ones.
    """

    takes: ClassVar[tuple[tuple[Kind, ...], ...]]

    def initial(self) -> S:
        """Return the state before the first frame."""
        ...

    def step(self, state: S, *values: Any) -> tuple[S, Any]:  # a step says its own
        """Return the next state, and this frame's value; never modify ``state``."""
        ...


@dataclass(frozen=True, slots=True)
class RunningCount:
    """Count the objects of this frame and of all frames up to it, in order."""

    takes: ClassVar[tuple[tuple[Kind, ...], ...]] = (("table",),)

    def initial(self) -> int:
        """Return 0."""
        return 0

    def step(self, state: int, *values: Any) -> tuple[int, dict[str, int]]:
        """Add the rows of this frame's table.

        Returns
        -------
        tuple
            The new total, and ``{"objects": rows, "total": new total}``.
        """
        objects = len(values[0])
        return state + objects, {"objects": objects, "total": state + objects}


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Compare two methods over all frames so far: bias and limits of agreement.

    Both inputs are tables of the same objects, or values. ``column`` is what is
    compared: of tables object by object, paired by place where the two methods number
    them differently; of values that are mappings the value of this name. ``confidence``
    is that of the intervals. The value of a frame has its mean ``difference`` (first
    less second) and, of all pairs up to it, their number ``pairs``, the ``bias``, its
    ``sd``, the limits of agreement ``lower`` and ``upper``, and each one's interval:
    ``bias_from``, ``bias_to`` ….
    """

    column: str = "area"
    confidence: Annotated[float, Gt(0), Lt(1)] = 0.95

    takes: ClassVar[tuple[tuple[Kind, ...], ...]] = (("table", "value"),) * 2

    def initial(self) -> list[float]:
        """Return the sums of no difference."""
        return [0, 0.0, 0.0]

    def step(
        self, state: list[float], *values: Any
    ) -> tuple[list[float], dict[str, float]]:
        """Add this frame's pairs.

        Returns
        -------
        tuple
            The new sums, and ``difference`` (this frame's mean difference, NaN
            without a pair) with what `Differences.agreement` says of all pairs.

        Raises
        ------
        FrameError
            One of the inputs has no such column.
        """
        one, other = (_numbers(value, self.column) for value in values)
        mine, theirs = paired(*map(_columns, values))
        here = Differences.of(one[mine] - other[theirs])
        total = Differences(int(state[0]), *state[1:]).merged(here)
        found = {"difference": here.mean if here.count else float("nan")}
        found |= total.agreement(self.confidence)
        return [total.count, total.mean, total.squares], found


def _columns(value: object) -> Mapping[str, Any]:
    """Return the columns of a table; a value is the one row of its own."""
    return value.columns if isinstance(value, Measurements) else {"label": [0]}


def _numbers(value: object, column: str) -> NDArray[np.float64]:
    """Return the numbers of a table's column, or a value's only one."""
    columns: Mapping[str, Any] = {"value": value}
    if isinstance(value, Measurements):
        columns = value.columns
    elif isinstance(value, Mapping):
        columns = value
    elif column not in columns:
        column = "value"  # a plain number has no name
    if column not in columns:
        raise FrameError(f"no column {column!r} to compare{nearest(column, columns)}")
    numbers = np.atleast_1d(np.asarray(columns[column]))
    if numbers.dtype.kind not in "buif":
        raise FrameError(f"column {column!r} holds no numbers to compare")
    return np.asarray(numbers, np.float64)


@dataclass(frozen=True, slots=True)
class RunningSum:
    """Add up the numbers of a value over all frames up to this one, in order.

    A frame that fails adds nothing.
    """

    takes: ClassVar[tuple[tuple[Kind, ...], ...]] = (("value",),)

    def initial(self) -> dict[str, float]:
        """Return no sums: each begins at 0."""
        return {}

    def step(
        self, state: dict[str, float], *values: Any
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Add the numbers of this frame's value, by their names; texts are left out.

        Returns
        -------
        tuple
            The new sums, twice; that of a plain number is named ``value``.
        """
        given = values[0] if isinstance(values[0], Mapping) else {"value": values[0]}
        sums = dict(state)
        for name, number in given.items():
            plain = number.item() if isinstance(number, np.generic) else number
            if isinstance(plain, int | float):
                sums[name] = sums.get(name, 0) + plain
        return sums, dict(sums)


#: Ordered steps by operator name.
ORDERED: dict[str, type[OrderedStep[Any]]] = {
    "bland_altman": BlandAltman,
    "running_count": RunningCount,
    "running_sum": RunningSum,
}
