"""One pixel of each window by its rank, exact, for every dtype."""

import cv2
import numpy as np

from ..frame import Array
from ._footprints import extremum
from ._jit import jit
from ._network import select
from ._pixels import has_nan
from ._sorted_rows import small_median

#: Up to this side the rows of a window are sorted. Above, OpenCV is quicker; its median
#: takes 8 bits there.
_SMALL = 15
_BLOCK = 256
#: Up to so many pixels a window is quicker sorted than counted: few grey levels, many.
_SORTED_FEW, _SORTED_MANY = 49, 225


def windowed_median(image: Array, size: int) -> Array:
    """Return the median over ``size`` pixels along every axis; border continued."""
    if size == 1:
        return image.copy()
    if image.ndim == 2 and size <= _SMALL and not has_nan(image):
        out = np.empty_like(image)
        small_median(image, size, out)
        return out
    if image.ndim == 2 and image.dtype == np.uint8 and size > _SMALL:
        # one row: OpenCV may hand back another shape
        return np.asarray(cv2.medianBlur(image, size)).reshape(image.shape)
    padded = np.pad(image, size // 2, mode="edge")
    return _ranked(padded, image.shape, size, size**image.ndim // 2)


def windowed_percentile(image: Array, size: int, percentile: float) -> Array:
    """Return the percentile over ``size`` pixels along every axis; mirrored."""
    if size == 1:
        return image.copy()
    count = size**image.ndim
    rank = min(int(count * percentile / 100.0), count - 1)
    if rank in (0, count - 1) and not has_nan(image):
        return windowed_extremum(image, size, darkest=rank == 0)
    if rank == count // 2 and size == 3:
        return windowed_median(image, size)  # one pixel mirrored is one continued
    padded = np.pad(image, size // 2, mode="symmetric")
    return _ranked(padded, image.shape, size, rank)


def windowed_extremum(image: Array, size: int, *, darkest: bool) -> Array:
    """Return the smallest or the largest pixel; outside does not count, nor NaN."""
    if size == 1:
        return image.copy()
    return extremum(image, size // 2, "box", darkest)


def _ranked(padded: Array, shape: tuple[int, ...], size: int, rank: int) -> Array:
    """Return the rank in every window of an image with its border around it."""
    few = padded.dtype.name in ("uint8", "uint16")
    count = size ** len(shape)
    if has_nan(padded):
        return _by_order(padded, shape, size, rank)
    if count <= (_SORTED_FEW if few else _SORTED_MANY):
        out = np.empty(shape, padded.dtype)
        select(padded, size, rank, out)
        return out
    if few:
        return _slide(padded, shape, size, rank)
    return _by_order(padded, shape, size, rank)


def _by_order(padded: Array, shape: tuple[int, ...], size: int, rank: int) -> Array:
    """Return the rank of any ordered numbers: by their places in order, looked up.

    NaN comes last, so that it is larger than every number.
    """
    values, places = np.unique(padded, return_inverse=True)
    order = places.reshape(padded.shape).astype(np.int32)
    return np.asarray(values[_slide(order, shape, size, rank)])


def _slide(padded: Array, shape: tuple[int, ...], size: int, rank: int) -> Array:
    out = np.empty(shape, padded.dtype)
    _moving_rank(
        padded.reshape(-1, *padded.shape[-2:]),
        size,
        size if len(shape) == 3 else 1,
        rank,
        int(padded.max()) + 1,
        out.reshape(-1, *shape[-2:]),
    )
    return out


@jit
def _moving_rank(
    padded: Array, size: int, depth: int, wanted: int, levels: int, out: Array
) -> None:
    """Move a histogram along each row and follow the level of the wanted rank.

    ``below`` counts the pixels darker than that level; whole blocks of levels are
    stepped over by their sums. T. Huang, G. Yang and G. Tang (1979), "A fast
    two-dimensional median filtering algorithm", doi:10.1109/TASSP.1979.1163188.
    """
    fine = np.zeros(levels + _BLOCK, np.int32)
    coarse = np.zeros(levels // _BLOCK + 2, np.int32)
    planes, height, width = out.shape
    for z in range(planes):
        for y in range(height):
            fine[:] = 0
            coarse[:] = 0
            for k in range(depth):
                for j in range(size):
                    for i in range(size):
                        v = padded[z + k, y + j, i]
                        fine[v] += 1
                        coarse[v // _BLOCK] += 1
            level, below = 0, 0
            for x in range(width):
                if x > 0:
                    for k in range(depth):
                        for j in range(size):
                            old = padded[z + k, y + j, x - 1]
                            new = padded[z + k, y + j, x + size - 1]
                            fine[old] -= 1
                            coarse[old // _BLOCK] -= 1
                            fine[new] += 1
                            coarse[new // _BLOCK] += 1
                            below += int(new < level) - int(old < level)
                while below > wanted:
                    block = level // _BLOCK
                    if level % _BLOCK == 0 and below - coarse[block - 1] > wanted:
                        below -= coarse[block - 1]
                        level -= _BLOCK
                    else:
                        level -= 1
                        below -= fine[level]
                while below + fine[level] <= wanted:
                    block = level // _BLOCK
                    if level % _BLOCK == 0 and below + coarse[block] <= wanted:
                        below += coarse[block]
                        level += _BLOCK
                    else:
                        below += fine[level]
                        level += 1
                out[z, y, x] = level
