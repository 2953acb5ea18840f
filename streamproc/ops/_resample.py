"""Weighted means of neighbours along an axis: an image with other numbers of pixels."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

Places = NDArray[np.int64]
Weights = NDArray[np.float64]


def resampled(image: Array, shape: tuple[int, ...], anti_aliasing: bool) -> Array:
    """Return scikit-image's linear interpolation of an image, one axis at a time."""
    out = image.astype(np.result_type(image.dtype, np.float32), copy=False)
    for axis, (length, size) in enumerate(zip(image.shape, shape, strict=True)):
        if length != size:
            places, weights = _taps(length, size, anti_aliasing)
            out = _along(out, axis, places, weights)
    return np.array(out) if out is image or out.base is not None else out


def nearest(image: Array, shape: tuple[int, ...]) -> Array:
    """Return the nearest pixels of an image."""
    chosen = [
        np.floor(_centers(n, size) + 0.5).astype(np.intp)
        for n, size in zip(image.shape, shape, strict=True)
    ]
    return np.ascontiguousarray(image[np.ix_(*chosen)])


def _centers(length: int, size: int) -> Weights:
    """Return where the centres of new pixels lie between the old ones."""
    return np.asarray((np.arange(size) + 0.5) * (length / size) - 0.5, np.float64)


@lru_cache(maxsize=32)
def _taps(length: int, size: int, anti_aliasing: bool) -> tuple[Places, Weights]:
    """Return which pixels make each new one, and their weights.

    With ``anti_aliasing`` it is scikit-image's Gaussian of ``(factor - 1) / 2``, cut
    at 4 sigma, and the line between two of its values: both in one.
    """
    centers = _centers(length, size)
    first = np.floor(centers).astype(np.int64)
    part = centers - first
    sigma = max(0.0, (length / size - 1) / 2) if anti_aliasing else 0.0
    radius = int(4 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    gauss = np.exp(-0.5 / sigma**2 * x**2) if radius else np.ones(1)
    gauss /= gauss.sum()
    weights = np.zeros((size, 2 * radius + 2))
    weights[:, :-1] = (1 - part)[:, None] * gauss
    weights[:, 1:] += part[:, None] * gauss
    places = first[:, None] + np.arange(-radius, radius + 2)
    return _mirrored(places, length), weights


def _mirrored(places: Places, length: int) -> Places:
    """Return places within a line that goes on mirrored: c b | a b c."""
    if length == 1:
        return np.zeros_like(places)
    period = 2 * (length - 1)
    folded = np.abs(places) % period
    return np.where(folded >= length, period - folded, folded)


def _along(image: Array, axis: int, places: Places, weights: Weights) -> Array:
    shape = (*image.shape[:axis], len(places), *image.shape[axis + 1 :])
    out = np.empty(shape, image.dtype)
    if axis == image.ndim - 1:
        rows = image.reshape(-1, image.shape[-1])
        _across(rows, places, weights, out.reshape(-1, shape[-1]))
        return out
    after = int(np.prod(image.shape[axis + 1 :]))
    stack = image.reshape(-1, image.shape[axis], after)
    _down(stack, places, weights, out.reshape(-1, len(places), after))
    return out


@jit
def _down(stack: Array, places: Places, weights: Weights, out: Array) -> None:
    line = np.empty(stack.shape[2])
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            line[:] = 0
            for k in range(places.shape[1]):
                weight, row = weights[j, k], stack[i, places[j, k]]
                for n in range(line.size):
                    line[n] += weight * row[n]
            out[i, j, :] = line


@jit
def _across(rows: Array, places: Places, weights: Weights, out: Array) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = 0.0
            for k in range(places.shape[1]):
                total += weights[j, k] * rows[i, places[j, k]]
            out[i, j] = total
