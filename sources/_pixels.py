"""Pixels as they are stored made into pixels that every step can take."""

from typing import Any

import numpy as np

from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array

#: 64-bit pixels become 32-bit ones: no operator, store or viewer wants them.
_NARROW = {"int64": np.int32, "uint64": np.uint32, "float64": np.float32}
_WIDE = {"bool": np.uint8, "float16": np.float32}


def target(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that stored pixels get: native, at most 32 bits, no bool.

    Raises
    ------
    SourceError
        Pixels that are neither whole nor real numbers.
    """
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise SourceError(f"pixels must be whole or real numbers, got {dtype}")
    name = dtype.newbyteorder("=").name
    return np.dtype(_NARROW.get(name) or _WIDE.get(name) or name)


def native(image: Array) -> Array:
    """Return pixels in their target dtype, C-contiguous, nothing else in memory.

    64-bit floats are rounded to 32-bit ones.

    Raises
    ------
    FrameError
        A value that the target dtype does not hold.
    """
    dtype = target(image.dtype)
    if image.dtype.newbyteorder("=").name in _NARROW:
        _check(image, dtype)
    made = np.ascontiguousarray(image, dtype=dtype)
    base = made.base
    # a view of something larger would keep all of that in memory
    shared = isinstance(base, np.ndarray) and base.nbytes > made.nbytes
    return made.copy() if shared else made


def _check(image: Array, dtype: np.dtype[Any]) -> None:
    """Refuse values beyond the range of ``dtype``."""
    if dtype.kind == "f":
        limit = float(np.finfo(dtype).max)
        bad = np.isfinite(image) & (np.abs(image) > limit)
    else:
        bounds = np.iinfo(dtype)
        bad = (image < bounds.min) | (image > bounds.max)
    if bad.any():
        value = image[bad][0]
        raise FrameError(
            f"pixels of {image.dtype.newbyteorder('=').name} must fit into {dtype}, "
            f"got {value}; rescale the file"
        )
