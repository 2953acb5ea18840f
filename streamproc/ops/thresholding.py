"""Masks of what is brighter than a threshold."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le, Predicate
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..errors import ConfigError
from ..frame import Array
from ._histogram import Histogram, histogram
from ._local import local_mean
from ._operator import operator
from ._pixels import as_mask, odd, pixels
from ._rank import windowed_median

#: The widest range whose levels can be told apart in 64 bits.
_WIDEST = 2**62

Weights: TypeAlias = Literal["gaussian", "mean", "median"]


@operator(("image", "mask"), gives="mask")
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
        return _li_real(plane, low)
    return _FIND[method](histogram(plane, low, high))


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


def _otsu(h: Histogram) -> float:
    """Return the level with the largest variance between what is below and above.

    Empty bins change no sum, so that leaving them out changes nothing; the mixture of
    single and double precision is scikit-image's.
    """
    counts = h.counts.astype(np.float32)
    below = np.cumsum(counts)
    above = np.cumsum(counts[::-1])[::-1]
    weighted = counts * h.levels
    with np.errstate(over="ignore", invalid="ignore"):
        darker = np.cumsum(weighted) / below
        brighter = (np.cumsum(weighted[::-1]) / above[::-1])[::-1]
        between = below[:-1] * above[1:] * (darker[:-1] - brighter[1:]) ** 2
    return float(h.levels[np.argmax(between)])


def _triangle(h: Histogram) -> float:
    """Return the level farthest below the line from the peak to the longer tail."""
    counts, levels = h.counts, h.levels
    if levels.dtype.kind in "iu":
        # of the empty levels between two others only the outermost can be farthest
        levels = np.unique(np.concatenate([levels - 1, levels, levels + 1]))[1:-1]
        counts = np.zeros(len(levels), np.int64)
        counts[np.searchsorted(levels, h.levels)] = h.counts
        places = levels - levels[0]
    else:
        places = np.arange(len(levels))
    peak = int(np.argmax(counts))
    low, high = np.flatnonzero(counts)[[0, -1]]
    if places[peak] - places[low] < places[high] - places[peak]:
        counts, levels, places = counts[::-1], levels[::-1], places[-1] - places[::-1]
        low, peak = len(counts) - 1 - high, len(counts) - 1 - peak
    x = places[low:peak] - places[low]
    width, height = places[peak] - places[low], counts[peak]
    norm = np.sqrt(float(height) ** 2 + float(width) ** 2)
    distance = (height / norm) * x - (width / norm) * counts[low:peak]
    return float(levels[low + np.argmax(distance)])


def _li(h: Histogram) -> float:
    """Return Li's threshold by iteration, for whole numbers."""
    # scikit-image counts in single precision
    counts = h.counts.astype(np.float32).astype(np.float64)
    levels = h.levels - h.levels[0]
    number, weight = np.cumsum(counts), np.cumsum(counts * levels)
    following = np.sum(h.counts * levels, dtype=np.float64) / h.counts.sum()
    current = -1.0
    while abs(following - current) > 0.5:
        current = following
        i = np.searchsorted(levels, current, side="right") - 1
        back = weight[i] / number[i]
        fore = (weight[-1] - weight[i]) / (number[-1] - number[i])
        if back == 0:
            break
        following = (back - fore) / (np.log(back) - np.log(fore))
    return float(following + h.levels[0])


def _li_real(image: Array, low: Array) -> float:
    """Return Li's threshold by iteration, for real numbers."""
    shifted = image - low
    # sums in the dtype of the image and in its order, to round as scikit-image does
    tolerance = np.min(np.diff(np.unique(shifted))) / 2
    following, current = np.mean(shifted), -2 * tolerance
    seen: set[float] = set()
    # with close levels the steps may never be smaller than the tolerance: no step twice
    while abs(following - current) > tolerance and float(following) not in seen:
        current = following
        seen.add(float(current))
        brighter = shifted > current
        if not brighter.any():
            break
        fore, back = np.mean(shifted[brighter]), np.mean(shifted[~brighter])
        if back == 0 or back == fore:
            break
        following = (back - fore) / (np.log(back) - np.log(fore))
    return float(following + low)


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


_FIND: dict[str, Callable[[Histogram], float]] = {
    "li": _li,
    "otsu": _otsu,
    "triangle": _triangle,
}
