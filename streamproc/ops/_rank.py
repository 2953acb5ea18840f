"""The exact median of a moving window, for every dtype."""

import cv2
import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array
from ._jit import jit

#: What OpenCV's median filter takes at sides 3 and 5 (8-bit images: at any side).
_OPENCV = ("uint8", "uint16", "int16", "float32")
_BLOCK = 256


def windowed_median(image: Array, size: int) -> Array:
    """Return the median over ``size`` pixels along every axis; border continued."""
    if size == 1:
        return image.copy()
    if image.dtype.kind == "f" and np.isnan(np.min(image)):
        return _by_rank(image, size)
    if image.ndim == 3:
        return np.asarray(ndimage.median_filter(image, size, mode="nearest"))
    name = image.dtype.name
    if name == "uint8" or (name in _OPENCV and size <= 5):
        # one row: OpenCV may hand back another shape
        return np.asarray(cv2.medianBlur(image, size)).reshape(image.shape)
    if name == "uint16":
        return _slide(image, size)
    return _by_rank(image, size)


def _by_rank(image: Array, size: int) -> Array:
    """Return the median of any ordered numbers: that of their ranks, looked up.

    NaN ranks last, so that it is larger than every number.
    """
    values, ranks = np.unique(image, return_inverse=True)
    ranks = ranks.reshape(image.shape).astype(np.int32)
    if image.ndim == 3:
        middle = ndimage.median_filter(ranks, size, mode="nearest")
    else:
        middle = _slide(ranks, size)
    return np.asarray(values[middle])


def _slide(image: Array, size: int) -> Array:
    radius = size // 2
    padded = np.pad(image, radius, mode="edge")
    out = np.empty(image.shape, image.dtype)
    _moving_median(padded, size, int(image.max()) + 1, out)
    return out


@jit
def _moving_median(padded: Array, size: int, levels: int, out: Array) -> None:
    """Move a histogram along each row and follow its middle.

    ``below`` counts the pixels darker than the middle; whole blocks of levels are
    stepped over by their sums. T. Huang, G. Yang and G. Tang (1979), "A fast
    two-dimensional median filtering algorithm", doi:10.1109/TASSP.1979.1163188.
    """
    wanted = size * size // 2
    fine = np.zeros(levels + _BLOCK, np.int32)
    coarse = np.zeros(levels // _BLOCK + 2, np.int32)
    height, width = out.shape
    for y in range(height):
        fine[:] = 0
        coarse[:] = 0
        for j in range(size):
            for i in range(size):
                v = padded[y + j, i]
                fine[v] += 1
                coarse[v // _BLOCK] += 1
        middle, below = 0, 0
        for x in range(width):
            if x > 0:
                for j in range(size):
                    old, new = padded[y + j, x - 1], padded[y + j, x + size - 1]
                    fine[old] -= 1
                    coarse[old // _BLOCK] -= 1
                    fine[new] += 1
                    coarse[new // _BLOCK] += 1
                    below += int(new < middle) - int(old < middle)
            while below > wanted:
                block = middle // _BLOCK
                if middle % _BLOCK == 0 and below - coarse[block - 1] > wanted:
                    below -= coarse[block - 1]
                    middle -= _BLOCK
                else:
                    middle -= 1
                    below -= fine[middle]
            while below + fine[middle] <= wanted:
                block = middle // _BLOCK
                if middle % _BLOCK == 0 and below + coarse[block] <= wanted:
                    below += coarse[block]
                    middle += _BLOCK
                else:
                    below += fine[middle]
                    middle += 1
            out[y, x] = middle
