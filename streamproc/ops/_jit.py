"""Machine code that runs without the interpreter's lock."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile at the first call per dtype; release the lock; keep the code on disk.

    No fast-math: thresholds and labels must equal those of the reference libraries
    to the last bit.
    """
    return cast(F, numba.njit(nogil=True, cache=True)(function))


def jit_sums(function: F) -> F:
    """Compile as `jit` does, but a product and its sum may be rounded as one.

    For sums of weighed pixels, whose accuracy is that of float32 anyway.
    """
    compiled = numba.njit(nogil=True, cache=True, fastmath={"contract"})
    return cast(F, compiled(function))
