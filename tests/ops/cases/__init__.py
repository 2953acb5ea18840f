"""Each operator beside the function of another library that it equals.

The tests compare them (`tests.ops.test_oracles`), the benchmark times them
(``python tests/benchmarks operators``).
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from streamproc import ops
from tests.ops.pictures import Array, blobs, smooth

Inputs = Callable[[tuple[int, ...], str, int], tuple[Array, ...]]


@dataclass(frozen=True)
class Case:
    """An operator with some parameters, and its oracle."""

    operator: str
    #: ``oracle(*inputs)``: an array, a mapping of columns, or a number
    oracle: Callable[..., Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: its row in the table; by default the operator's name
    title: str = ""
    #: largest difference, as a share of the largest absolute pixel; 0: equal
    bound: float = 0.0
    #: ``inputs(shape, dtype, seed)``; by default what the operator's kinds say
    inputs: Inputs | None = None
    ndims: tuple[int, ...] = (2, 3)
    dtypes: tuple[str, ...] = ("uint8", "uint16", "float32")
    #: compare with NaN pixels, too
    nan: bool = False
    #: compare zeros, one level, saturated, and both ends of the dtype, too
    extremes: bool = True
    #: shapes with a shorter side are left out
    smallest: int = 1
    #: times as fast as the oracle at 1024², asked
    asked: float = 0.9
    timed: bool = True

    def __str__(self) -> str:
        said = ", ".join(f"{k} {v}" for k, v in self.parameters.items())
        return self.title or f"{self.operator} {said}".strip()

    def ours(self, *inputs: Array) -> Any:
        """Return what the operator gives, as its plain function does."""
        return getattr(ops, self.operator)(*inputs, **self.parameters)

    def given(self, shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Array, ...]:
        """Return inputs of the operator's kinds, read-only."""
        if self.inputs is not None:
            return self.inputs(shape, dtype, seed)
        spec = ops.OPERATORS[self.operator]
        needed = spec.takes[: len(spec.takes) - spec.optional]
        return tuple(
            example(kinds[0], shape, dtype, seed + n) for n, kinds in enumerate(needed)
        )


def example(kind: str, shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Return a picture of a kind; ``dtype`` is that of images."""
    if kind == "image":
        return smooth(shape, dtype, seed)
    mask = blobs(shape, seed)
    return mask if kind == "mask" else np.asarray(ops.label(mask))


def all_cases() -> tuple[Case, ...]:
    """Return the cases of every module here."""
    found: tuple[Case, ...] = ()
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        found += import_module(f"{__name__}.{module}").CASES
    return found
