"""Masks of what is brighter than a threshold."""

from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le, Predicate
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..errors import ConfigError
from ..frame import Array
from . import _levels as levels
from ._histogram import histogram
from ._local import local_mean
from ._operator import operator
from ._pixels import as_mask, odd, pixels
from ._rank import windowed_median

#: The widest range whose levels can be told apart in 64 bits.
_WIDEST = 2**62

Weights: TypeAlias = Literal["gaussian", "mean", "median"]


@operator(
    ("image", "mask"), gives="mask", pixelwise=lambda p: bool(p["method"] == "fixed")
)
def threshold(
    image: ArrayLike,
    *,
    method: Literal["fixed", "otsu", "li", "triangle", "local"] = "otsu",
    value: float | None = None,
    block_size: Annotated[int, Ge(3), Le(999), Predicate(odd)] = 51,
    weights: Weights = "gaussian",
    offset: float = 0.0,
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
        ``fixed`` takes ``value``; ``otsu``, ``li`` and ``triangle`` find one
        threshold for the image; ``local`` compares each pixel with its surroundings.
    value
        The threshold of ``fixed``, in grey levels.
    block_size
        Side of the surroundings of ``local`` in pixels, odd.
    weights
        How ``local`` averages them: by a Gaussian of ``(block_size - 1) / 6`` pixels,
        by their mean or by their median.
    offset
        Grey levels that ``local`` takes off the average.
    channel_axis
        Axis of channels; each has a threshold of its own.

    Returns
    -------
    ndarray of uint8
        Same shape; 1 where the pixel is greater than (``>``) the threshold, else 0.
        An image of one grey level gives 0 everywhere.

    Raises
    ------
    ConfigError
        Method ``fixed`` has no ``value``.

    Notes
    -----
    Equal to ``image > skimage.filters.threshold_otsu(image)``, ``threshold_li``,
    ``threshold_triangle`` or ``threshold_local(image, block_size, method=weights,
    offset=offset)``, tested. Histograms have one bin per level of whole numbers, 256
    bins of real ones.

    Examples
    --------
    >>> threshold([[1, 2, 8, 9]]).tolist()
    [[0, 0, 1, 1]]
    """
    plane = pixels(image)
    if method == "local":
        surroundings = _local(plane, block_size, weights)
        surroundings -= offset
        return as_mask(np.greater(plane, surroundings))
    if method != "fixed":
        value = find_threshold(plane, method=method)
    elif value is None:
        raise ConfigError("value: method 'fixed' needs a value")
    return _above(plane, value)


def find_threshold(
    image: ArrayLike, *, method: Literal["otsu", "li", "triangle"] = "otsu"
) -> float:
    """Return the threshold that `threshold` would use for the whole image.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype; only finite pixels count.
    method
        Otsu's (largest variance between classes), Li's (least cross entropy) or the
        triangle method.

    Returns
    -------
    float
        In grey levels. Of an image of one level that level, of one without a finite
        pixel NaN.

    Raises
    ------
    ConfigError
        The method is none of these.

    References
    ----------
    N. Otsu (1979), doi:10.1109/TSMC.1979.4310076; C. Li and P. Tam (1998),
    doi:10.1016/S0167-8655(98)00057-9; G. Zack, W. Rogers and S. Latt (1977),
    doi:10.1177/25.7.70454. The code follows scikit-image 0.26 to the last bit.

    Examples
    --------
    >>> find_threshold([[1, 2, 8, 9]])
    2.0
    """
    if method not in ("otsu", "li", "triangle"):
        raise ConfigError(f"method must be otsu, li or triangle, got {method!r}")
    plane = pixels(image)
    low, high = plane.min(), plane.max()
    # the extremes of an image with NaN are NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        plane = np.asarray(plane[np.isfinite(plane)])
        if not plane.size:
            return float("nan")
        low, high = plane.min(), plane.max()
    if low == high:
        return float(low)
    if plane.dtype.kind != "f" and int(high) - min(int(low), 0) > _WIDEST:
        plane, low, high = plane.astype(np.float64), float(low), float(high)
    if method == "li" and plane.dtype.kind == "f":
        return levels.li_real(plane, low)
    find = {"otsu": levels.otsu, "triangle": levels.triangle, "li": levels.li}[method]
    return find(histogram(plane, low, high))


def _above(image: Array, value: float) -> NDArray[np.uint8]:
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


def _local(image: Array, block_size: int, weights: Weights) -> Array:
    """Return the weighted mean around each pixel, in scikit-image's precision."""
    dtype = np.float32 if image.dtype == np.float32 else np.float64
    plane = image.astype(dtype, copy=False)
    if image.dtype.kind != "f" or not np.isnan(np.min(plane)):
        return _average(plane, block_size, weights)
    known = ~np.isnan(plane)
    if weights == "median":
        return np.asarray(
            ndimage.generic_filter(plane, _known_median, block_size), dtype
        )
    total = _average(np.where(known, plane, 0).astype(dtype), block_size, weights)
    share = _average(known.astype(dtype), block_size, weights)
    # where nothing is known the pixel itself is unknown, hence background
    return np.divide(total, share, out=np.full_like(total, np.nan), where=share > 0)


def _average(plane: Array, block_size: int, weights: Weights) -> Array:
    if weights == "median":
        return _block_median(plane, block_size)
    if plane.ndim == 2:
        return local_mean(plane, block_size, gaussian=weights == "gaussian")
    if weights == "gaussian":
        return np.asarray(ndimage.gaussian_filter(plane, (block_size - 1) / 6.0))
    return np.asarray(ndimage.uniform_filter(plane, block_size))


def _block_median(plane: Array, block_size: int) -> Array:
    if plane.ndim == 3:
        return np.asarray(ndimage.median_filter(plane, block_size))
    radius = block_size // 2
    padded = np.pad(plane, radius, mode="symmetric")
    inner = slice(radius, -radius)
    return np.ascontiguousarray(windowed_median(padded, block_size)[inner, inner])


def _known_median(window: Array) -> float:
    known = window[~np.isnan(window)]
    if not known.size:
        return float("nan")
    return float(np.partition(known, known.size // 2)[known.size // 2])
