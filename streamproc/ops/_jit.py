"""Machine code that runs without the interpreter's lock."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from ..frame import Array

#: Bytes that a processor compares at a time, at most, and of a line of its cache.
VECTOR = 64

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


@jit
def aligned(count: int, like: Array) -> Array:
    """Return zeros of a dtype that begin where a line of the cache does."""
    raw = np.zeros(count + VECTOR // like.itemsize, like.dtype)
    return raw[-raw.ctypes.data % VECTOR // like.itemsize :]
