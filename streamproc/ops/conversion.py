"""Another dtype for the same numbers."""

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..device import array_module
from ..errors import FrameError
from ..frame import Array
from ._operator import operator
from ._pixels import pixels
from ._rounding import whole

DtypeName: TypeAlias = Literal[
    "uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"
]


@operator(("image", "mask"), gives="image", oracle="numpy.rint", pixelwise=True)
def astype(
    image: ArrayLike,
    *,
    dtype: DtypeName = "float32",
    overflow: Literal["error", "saturate"] = "error",
    channel_axis: int | None = None,
) -> Array:
    """Convert to another dtype, without wrapping around.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    dtype
        By name.
    overflow
        Where a pixel does not fit: ``error`` fails the frame; ``saturate`` takes the
        nearest number that fits, and 0 for NaN.
    channel_axis
        Axis of channels; each is converted on its own.

    Returns
    -------
    ndarray
        Same shape and scale, of ``dtype``.

    Raises
    ------
    FrameError
        A pixel does not fit, and ``overflow`` is ``error``.

    Notes
    -----
    Real numbers are rounded to the nearest whole one, halves to the even one (numpy's
    ``astype`` cuts them off, and wraps around). Beyond the range of float32 they
    saturate at infinity. Nothing is rescaled: that is `rescale_intensity`. Equal to
    ``numpy.rint``, ``numpy.clip`` and ``astype``, tested.

    Examples
    --------
    >>> astype([[-3.0, 1.7, 300.0]], dtype="uint8", overflow="saturate").tolist()
    [[0, 2, 255]]
    """
    array, wanted = pixels(image), np.dtype(dtype)
    if np.can_cast(array.dtype, wanted, "same_kind") and wanted.kind == "f":
        return _real(array, wanted, overflow)
    if np.can_cast(array.dtype, wanted, "safe"):
        return array.astype(wanted)
    if overflow == "error":
        _must_fit(array, wanted)
    return whole(array, wanted)


def _real(array: Array, dtype: np.dtype[Any], overflow: str) -> Array:
    with np.errstate(over="ignore"):
        out = array.astype(dtype)
    narrower = dtype.itemsize < array.dtype.itemsize and array.dtype.kind == "f"
    if narrower and overflow == "error":
        xp = array_module(array)
        lost = xp.isinf(out) & xp.isfinite(array)
        if lost.any():
            _refuse(float(array[lost][0]), dtype)
    return out


def _must_fit(array: Array, dtype: np.dtype[Any]) -> None:
    """Raise FrameError where a pixel has no rounded value in a dtype."""
    ends = np.iinfo(dtype)
    for value in (array.min().item(), array.max().item()):
        # NaN and infinity fit nowhere, and cannot be rounded
        if not math.isfinite(value) or not ends.min <= round(value) <= ends.max:
            _refuse(value, dtype)


def _refuse(value: float, dtype: np.dtype[Any]) -> None:
    raise FrameError(
        f"astype: a pixel is {value}, which does not fit {dtype}; "
        "give overflow: saturate, or rescale the image first"
    )
