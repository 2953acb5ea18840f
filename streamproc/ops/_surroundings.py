"""The grey level around each pixel that a local threshold compares it with."""

from typing import Literal, TypeAlias

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array
from ._deviation import mean_and_deviation
from ._local import local_mean
from ._rank import windowed_median

Weights: TypeAlias = Literal["gaussian", "mean", "median"]


def niblack(image: Array, window_size: int, k: float) -> Array:
    """Return the mean less ``k`` standard deviations."""
    mean, deviation = mean_and_deviation(_real(image), window_size)
    return np.asarray(mean - k * deviation)


def sauvola(image: Array, window_size: int, k: float, r: float | None) -> Array:
    """Return the mean, less where the deviation is small beside ``r``."""
    if r is None:
        # half of what the dtype spans, of real numbers from -1 to 1
        limits = None if image.dtype.kind == "f" else np.iinfo(image.dtype)
        r = 1.0 if limits is None else 0.5 * (int(limits.max) - int(limits.min))
    mean, deviation = mean_and_deviation(_real(image), window_size)
    return np.asarray(mean * (1 + k * ((deviation / r) - 1)))


def _real(image: Array) -> Array:
    """Return the image in scikit-image's precision."""
    dtype = np.float32 if image.dtype == np.float32 else np.float64
    return image.astype(dtype, copy=False)


def average(image: Array, block_size: int, weights: Weights) -> Array:
    """Return the weighted mean around each pixel, in scikit-image's precision."""
    plane = _real(image)
    dtype = plane.dtype
    if image.dtype.kind != "f" or not np.isnan(np.min(plane)):
        return _plain_average(plane, block_size, weights)
    known = ~np.isnan(plane)
    if weights == "median":
        return np.asarray(
            ndimage.generic_filter(plane, _known_median, block_size), dtype
        )
    total = _plain_average(np.where(known, plane, 0).astype(dtype), block_size, weights)
    share = _plain_average(known.astype(dtype), block_size, weights)
    # where nothing is known the pixel itself is unknown, hence background
    return np.divide(total, share, out=np.full_like(total, np.nan), where=share > 0)


def _plain_average(plane: Array, block_size: int, weights: Weights) -> Array:
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
