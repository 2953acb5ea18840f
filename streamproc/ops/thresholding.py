"""Masks of what is brighter than a threshold."""

from typing import Annotated, Literal, TypeAlias, get_args

import numpy as np
from annotated_types import Ge, Gt, Le, Predicate
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ..parameters import ParameterError
from . import _levels as levels
from ._histogram import extremes, histogram
from ._operator import operator
from ._pixels import as_mask, odd, pixels
from ._surroundings import Weights, average, niblack, sauvola

#: The widest range whose levels can be told apart in 64 bits.
_WIDEST = 2**62

#: What finds one threshold for an image.
Method: TypeAlias = Literal[
    "otsu", "li", "triangle", "yen", "isodata", "mean", "minimum"
]
METHODS: tuple[str, ...] = get_args(Method)

#: Side of a window: it has a centre.
Side: TypeAlias = Annotated[int, Ge(3), Le(999), Predicate(odd)]


@operator(
    ("image", "mask"),
    gives="mask",
    oracle="skimage.filters.threshold_*",
    pixelwise=lambda p: bool(p["method"] == "fixed"),
)
def threshold(
    image: ArrayLike,
    *,
    method: Literal[
        "fixed",
        "otsu",
        "li",
        "triangle",
        "yen",
        "isodata",
        "mean",
        "minimum",
        "local",
        "sauvola",
        "niblack",
    ] = "otsu",
    value: float | None = None,
    block_size: Side = 51,
    weights: Weights = "gaussian",
    offset: float = 0.0,
    window_size: Side = 15,
    k: float = 0.2,
    r: Annotated[float, Gt(0)] | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Mark the pixels that are brighter than a threshold.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is background and has no
        part in finding the threshold; infinite pixels have none either, but are
        compared.
    method
        ``fixed`` takes ``value``; ``otsu``, ``li``, ``triangle``, ``yen``,
        ``isodata``, ``mean`` and ``minimum`` find one threshold for the image;
        ``local``, ``sauvola`` and ``niblack`` compare each pixel with its
        surroundings.
    value
        The threshold of ``fixed``, in grey levels.
    block_size
        Side of the surroundings of ``local`` in pixels, odd.
    weights
        How ``local`` averages them: by a Gaussian of ``(block_size - 1) / 6`` pixels,
        by their mean or by their median.
    offset
        Grey levels that ``local`` takes off the average.
    window_size
        Side of the surroundings of ``sauvola`` and ``niblack`` in pixels, odd.
    k
        How much their standard deviation s counts beside their mean m: the threshold
        is m - k s (``niblack``) or m (1 + k (s / r - 1)) (``sauvola``).
    r
        The largest standard deviation to expect, in grey levels; by default half of
        what the dtype spans, of real numbers 1.
    channel_axis
        Axis of channels; each has a threshold of its own.

    Returns
    -------
    ndarray of uint8
        Same shape; 1 where the pixel is greater than (``>``) the threshold, else 0.
        An image of one grey level gives 0 everywhere, but by ``niblack`` and
        ``sauvola``.

    Raises
    ------
    ParameterError
        Method ``fixed`` has no ``value``, or another method has one.
    FrameError
        ``minimum`` or ``isodata`` finds no threshold in the image.

    Notes
    -----
    Equal to ``image > skimage.filters.threshold_otsu(image)`` and so on,
    ``threshold_local(image, block_size, method=weights, offset=offset)``,
    ``threshold_sauvola(image, window_size, k, r)``, tested. Histograms have one bin per
    level of whole numbers, 256 bins of real ones.

    Examples
    --------
    >>> threshold([[1, 2, 8, 9]]).tolist()
    [[0, 0, 1, 1]]
    """
    plane = pixels(image)
    if method == "fixed":
        if value is None:
            raise ParameterError("value: method 'fixed' needs a value")
        return above(plane, value)
    if value is not None:
        raise ParameterError(
            f"value: {value:g} is of method 'fixed', the method is {method!r}; "
            "leave one of them out"
        )
    if method == "local":
        level = average(plane, block_size, weights)
        level -= offset
    elif method == "sauvola":
        level = sauvola(plane, window_size, k, r)
    elif method == "niblack":
        level = niblack(plane, window_size, k)
    else:
        return above(plane, find_threshold(plane, method=method))
    return as_mask(np.greater(plane, level))


def find_threshold(image: ArrayLike, *, method: Method = "otsu") -> float:
    """Return the threshold that `threshold` would use for the whole image.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype; only finite pixels count.
    method
        ``otsu`` (largest variance between both sides), ``li`` (least cross entropy),
        ``triangle``, ``yen`` (largest correlation of entropies), ``isodata`` (midway
        between the means of both sides), ``mean``, or ``minimum`` (the valley between
        two maxima of the histogram).

    Returns
    -------
    float
        In grey levels. Of an image of one level that level, of one without a finite
        pixel NaN.

    Raises
    ------
    ConfigError
        The method is none of these.
    FrameError
        ``minimum`` or ``isodata`` finds no threshold in the image.

    References
    ----------
    N. Otsu (1979), doi:10.1109/TSMC.1979.4310076; C. Li and P. Tam (1998),
    doi:10.1016/S0167-8655(98)00057-9; G. Zack, W. Rogers and S. Latt (1977),
    doi:10.1177/25.7.70454; J. Yen, F. Chang and S. Chang (1995), doi:10.1109/83.366472;
    T. Ridler and S. Calvard (1978), doi:10.1109/TSMC.1978.4310039; C. Glasbey (1993),
    doi:10.1006/cgip.1993.1040. The code follows scikit-image 0.26 to the last bit.

    Examples
    --------
    >>> find_threshold([[1, 2, 8, 9]])
    2.0
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    plane = pixels(image)
    if method == "mean":
        return _mean(plane)
    plane, low, high = finite(plane)
    if not plane.size:
        return float("nan")
    if low == high:
        return float(low)
    if method == "li" and plane.dtype.kind == "f":
        return levels.li_real(plane, low)
    find = {
        "otsu": levels.otsu,
        "triangle": levels.triangle,
        "li": levels.li,
        "yen": levels.yen,
        "isodata": levels.isodata,
        "minimum": levels.minimum,
    }[method]
    return find(histogram(plane, low, high))


def finite(plane: Array) -> tuple[Array, Array, Array]:
    """Return the finite pixels, the lowest and the highest; empty if there are none.

    They can be counted: whole numbers too far apart are real ones.
    """
    low, high = extremes(plane)
    # the extremes of an image with NaN are NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        plane = np.asarray(plane[np.isfinite(plane)])
        if not plane.size:
            return plane, low, high
        low, high = plane.min(), plane.max()
    if plane.dtype.kind != "f" and int(high) - min(int(low), 0) > _WIDEST:
        plane = plane.astype(np.float64)
        low, high = plane.min(), plane.max()
    return plane, low, high


def _mean(plane: Array) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.mean(plane)
    if not np.isfinite(mean):
        plane, _, _ = finite(plane)
        if not plane.size:
            return float("nan")
        mean = np.mean(plane)
    first = plane.flat[0]
    # sums of many equal numbers are rounded, and one level is to have nothing above it
    if abs(mean - first) <= 1e-3 * abs(mean) and (plane == first).all():
        return float(first)
    return float(mean)


def above(image: Array, value: float) -> NDArray[np.uint8]:
    """Return ``image > value``, compared in the dtype of the image."""
    if image.dtype.kind == "f":
        return as_mask(np.greater(image, value))
    limits = np.iinfo(image.dtype)
    if not value < limits.max:
        return np.zeros(image.shape, np.uint8)
    if value < limits.min:
        return np.ones(image.shape, np.uint8)
    # whole numbers are above a number if they are above its floor
    floor = image.dtype.type(np.floor(value))
    return as_mask(np.greater(image, floor))
