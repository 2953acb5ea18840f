"""Sums, differences, products and quotients of images and numbers."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, cast

import numpy as np
from annotated_types import Predicate
from numpy.typing import ArrayLike, NDArray

from ..device import array_module
from ..errors import FrameError
from ..frame import Array
from ._operator import operator
from ._pixels import pixels


def nonzero(value: float) -> bool:
    """Tell whether one may divide by it."""
    return value != 0


NonZero: TypeAlias = Annotated[float, Predicate(nonzero)]
Real: TypeAlias = NDArray[np.floating[Any]]


@operator(
    ("image", "mask"),
    ("image", "mask"),
    gives="image",
    optional=1,
    oracle="numpy.add in float32",
    pixelwise=True,
)
def add(
    image: ArrayLike,
    other: ArrayLike | None = None,
    *,
    value: float = 0.0,
    channel_axis: int | None = None,
) -> Real:
    """Add another image, a number, or both.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    other
        Of the same shape; to a volume also a plane, which is added to each of its
        planes.
    value
        A number that is added, too.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of float32
        Same shape; float64 where float32 cannot hold a dtype that is given (whole
        numbers of 32 and 64 bits, float64).

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    Nothing wraps around or is clipped: 8- and 16-bit numbers are added exactly. NaN
    stays NaN. `astype` leads back to whole numbers. Equal to ``numpy.add`` with the
    dtype above, tested.

    Examples
    --------
    >>> import numpy as np
    >>> add(np.array([[250, 9]], np.uint8), value=10).tolist()
    [[260.0, 19.0]]
    """
    return _combined(np.add, image, other, value, 0.0)


@operator(
    ("image", "mask"),
    ("image", "mask"),
    gives="image",
    optional=1,
    oracle="numpy.subtract in float32",
    pixelwise=True,
)
def subtract(
    image: ArrayLike,
    other: ArrayLike | None = None,
    *,
    value: float = 0.0,
    channel_axis: int | None = None,
) -> Real:
    """Subtract another image, a number, or both.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    other
        Of the same shape; from a volume also a plane, which is subtracted from each
        of its planes.
    value
        A number that is subtracted, too.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of float32
        Same shape; float64 where float32 cannot hold a dtype that is given (whole
        numbers of 32 and 64 bits, float64).

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    What is darker than what is subtracted becomes negative: it neither wraps around
    nor is clipped; differences of 8- and 16-bit numbers are exact. ``clip`` with
    ``min=0`` cuts them off. Equal to ``numpy.subtract`` with the dtype above, tested.

    Examples
    --------
    >>> import numpy as np
    >>> dark = np.array([[5, 5]], np.uint16)
    >>> subtract(np.array([[3, 9]], np.uint16), dark).tolist()
    [[-2.0, 4.0]]
    """
    return _combined(np.subtract, image, other, value, 0.0)


@operator(
    ("image", "mask"),
    ("image", "mask"),
    gives="image",
    optional=1,
    oracle="numpy.multiply in float32",
    pixelwise=True,
)
def multiply(
    image: ArrayLike,
    other: ArrayLike | None = None,
    *,
    value: float = 1.0,
    channel_axis: int | None = None,
) -> Real:
    """Multiply by another image, a number, or both.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    other
        Of the same shape; for a volume also a plane, by which each of its planes is
        multiplied. A mask keeps the image where it is 1.
    value
        A number by which is multiplied, too.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of float32
        Same shape; float64 where float32 cannot hold a dtype that is given (whole
        numbers of 32 and 64 bits, float64).

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    Nothing wraps around or is clipped; products above 2^24 are rounded to float32,
    those above its range are infinite. Equal to ``numpy.multiply`` with the dtype
    above, tested.

    Examples
    --------
    >>> import numpy as np
    >>> multiply(np.array([[3, 200]], np.uint8), value=2).tolist()
    [[6.0, 400.0]]
    """
    return _combined(np.multiply, image, other, value, 1.0)


@operator(
    ("image", "mask"),
    ("image", "mask"),
    gives="image",
    optional=1,
    oracle="numpy.divide in float32",
    pixelwise=True,
)
def divide(
    image: ArrayLike,
    other: ArrayLike | None = None,
    *,
    value: NonZero = 1.0,
    channel_axis: int | None = None,
) -> Real:
    """Divide by another image, a number, or both.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    other
        Of the same shape; for a volume also a plane, by which each of its planes is
        divided.
    value
        A number by which is divided, too; not 0.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of float32
        Same shape; float64 where float32 cannot hold a dtype that is given (whole
        numbers of 32 and 64 bits, float64).

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    Where ``other`` is 0 the result is infinite, and NaN for 0 / 0, without a
    warning. Whole numbers are not divided as such: 3 / 2 is 1.5. Equal to
    ``numpy.divide`` with the dtype above, tested.

    Examples
    --------
    >>> import numpy as np
    >>> divide(np.array([[3, 4]], np.uint8), [[2, 0]]).tolist()
    [[1.5, inf]]
    """
    return _combined(np.divide, image, other, value, 1.0)


@operator(
    ("image", "mask"),
    ("image", "mask"),
    gives="image",
    optional=1,
    oracle="image * alpha + other * beta + gamma in float32",
    pixelwise=True,
)
def add_weighted(
    image: ArrayLike,
    other: ArrayLike | None = None,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 0.0,
    channel_axis: int | None = None,
) -> Real:
    """Blend two images: ``image * alpha + other * beta + gamma``.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    other
        Of the same shape; for a volume also a plane, for each of its planes. Without
        it the result is ``image * alpha + gamma``.
    alpha, beta
        Weights of the two.
    gamma
        A number that is added.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of float32
        Same shape; float64 where float32 cannot hold a dtype that is given (whole
        numbers of 32 and 64 bits, float64).

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    ``cv2.addWeighted`` with its names, but nothing is clipped or rounded to whole
    numbers. Equal to the formula in numpy with the dtype above, tested.

    Examples
    --------
    >>> add_weighted([[2, 4]], [[4, 8]], alpha=1, beta=-0.5, gamma=1).tolist()
    [[1.0, 1.0]]
    """
    first, second, dtype = _operands(image, other)
    xp = array_module(first, second)
    with np.errstate(all="ignore"):
        out = xp.multiply(first, alpha, dtype=dtype)
        if second is not None:
            weighted = xp.multiply(second, beta, dtype=dtype)
            xp.add(out, weighted, out=out)
        if gamma:
            out += gamma
    return cast(Real, out)


def _combined(
    combine: Callable[..., Any],
    image: ArrayLike,
    other: ArrayLike | None,
    value: float,
    neutral: float,
) -> Real:
    """Return the image combined with another, then with a number."""
    first, second, dtype = _operands(image, other)
    operands: list[Array | float] = [] if second is None else [second]
    if value != neutral:
        operands.append(value)
    # what is cast at once is cast quicker than piece by piece, as numpy combines
    out = first if operands and first.dtype == dtype else first.astype(dtype)
    with np.errstate(all="ignore"):
        for operand in operands:
            out = combine(out, operand, dtype=dtype, out=None if out is first else out)
    return cast(Real, out)


def _operands(
    image: ArrayLike, other: ArrayLike | None
) -> tuple[Array, Array | None, np.dtype[Any]]:
    """Return both images and the dtype of the result.

    Raises
    ------
    FrameError
        The other one does not fit the first.
    """
    first = pixels(image)
    if other is None:
        return first, None, _result_dtype(first.dtype)
    second = pixels(other, "other")
    if second.shape not in (first.shape, first.shape[1:]):
        raise FrameError(
            f"other of shape {second.shape} does not fit an image of shape "
            f"{first.shape}; it must have the same, or be one plane for all of a volume"
        )
    return first, second, _result_dtype(first.dtype, second.dtype)


@lru_cache(maxsize=256)
def _result_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    return np.result_type(*dtypes, np.float32)
