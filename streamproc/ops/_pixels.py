"""Arrays as the kernels need them: native, contiguous, numeric, not empty."""

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..device import array_module
from ..errors import FrameError
from ..frame import Array

#: The dtypes that kernels read as they are.
_USUAL = frozenset(map(np.dtype, "bBhHiIlLqQfd"))


def pixels(image: ArrayLike, name: str = "image") -> Array:
    """Return ``image`` in native byte order, C-contiguous, read-only.

    It is a view wherever possible. OpenCV takes big-endian memory for native
    without a word, and numba compiles once for writable and once for read-only
    arrays; both end here.

    Raises
    ------
    FrameError
        The array is not ``(y, x)`` or ``(z, y, x)``, has no pixels, or holds
        something else than whole or real numbers.
    """
    array = _as_array(image)
    if array.ndim not in (2, 3):
        raise FrameError(
            f"{name} must be (y, x) or (z, y, x), got shape {array.shape};"
            " for channels give channel_axis"
        )
    return numbers(array, name)


def numbers(image: ArrayLike, name: str = "image") -> Array:
    """Return an array of any shape as `pixels` does.

    Raises
    ------
    FrameError
        The array has no pixels, or holds something else than numbers.
    """
    array = _as_array(image)
    if array.dtype not in _USUAL:
        array = _readable(array, name)
    if not array.size:
        raise FrameError(f"{name} has no pixels: shape {array.shape}")
    if type(array) is not np.ndarray:  # there memory is native, never read-only
        return cast(Array, array_module(array).ascontiguousarray(array))
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = np.require(array, None, ["C_CONTIGUOUS", "ALIGNED"])
    view = array.view()
    view.flags.writeable = False
    return view


def _as_array(image: ArrayLike) -> Array:
    """Return an array of numpy or cupy, no subclass; what is one already, at once."""
    if type(image) is np.ndarray:
        return image
    return cast(Array, array_module(image).asarray(image))


def _readable(array: Array, name: str) -> Array:
    """Return an array in a dtype that kernels read.

    Raises
    ------
    FrameError
        It holds something else than numbers.
    """
    if array.dtype.kind not in "buif":
        raise FrameError(
            f"{name} must hold whole or real numbers, got dtype {array.dtype}"
        )
    return array.astype(_usual(array.dtype), order="C", copy=False)


def _usual(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to read as: half, extended and bool are not for kernels."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f":
        return np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
    return dtype.newbyteorder("=")


def single(image: Array) -> NDArray[np.float32]:
    """Return pixels as float32, uncopied if they are; beyond its range: infinite."""
    with np.errstate(over="ignore"):
        return image.astype(np.float32, copy=False)


def foreground(mask: ArrayLike, name: str = "mask") -> NDArray[np.uint8]:
    """Return a new mask, uint8, 1 wherever ``mask`` is not 0."""
    return as_mask(np.not_equal(pixels(mask, name), 0))


def as_mask(truth: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return booleans as the 0 and 1 that they are in memory."""
    return truth.view(np.uint8)


def has_nan(image: Array) -> bool:
    """Tell whether one of the pixels is not a number: the minimum is not, then."""
    return image.dtype.kind == "f" and bool(np.isnan(np.min(image)))


def lines(image: Array) -> Array:
    """Return the rows of a plane or of a volume as one two-dimensional view."""
    return image.reshape(-1, image.shape[-1])


def planes(image: Array) -> Array:
    """Return a plane, or the planes of a volume, as one stack: a view."""
    return image.reshape(-1, *image.shape[-2:])


def odd(value: int) -> bool:
    """Tell whether a size has a centre."""
    return bool(value % 2)
