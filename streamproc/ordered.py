"""Ordered steps: small values, in frame order, with an explicit state."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from .frame import Kind

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


#: Ordered steps by operator name: class and the kinds they take.
ORDERED: dict[str, type[OrderedStep[Any]]] = {"running_count": RunningCount}
