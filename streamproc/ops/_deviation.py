"""Mean and standard deviation around each pixel, equal to scikit-image's.

Sums come from summed-area tables in double precision. In which order those are summed
decides the last bits, hence masks of flat regions: here it is scikit-image's.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit


def mean_and_deviation(plane: Array, size: int) -> tuple[Array, Array]:
    """Return both over ``size`` pixels along every axis, mirrored about the edge.

    In the dtype of the image, float32 or float64; pixels that are not finite are left
    out, and where there are no others both are NaN.
    """
    known = np.isfinite(plane)
    whole = bool(known.all())
    if whole and plane.ndim == 2:
        mean, square = np.empty_like(plane), np.empty_like(plane)
        rows, columns = (_mirrored(n, size) for n in plane.shape)
        _plane_means(plane, rows, columns, plane.dtype.type(size**2), mean, square)
    else:
        count: Array | int = size**plane.ndim
        if not whole:
            plane = np.where(known, plane, 0).astype(plane.dtype)
            count = _sums(known.astype(np.float64), size).astype(plane.dtype)
            count[count == 0] = np.nan
        mean = _sums(plane, size).astype(plane.dtype) / count
        square = _sums(plane * plane, size).astype(plane.dtype) / count
    return mean, np.sqrt(np.maximum(square - mean * mean, 0))


def _mirrored(length: int, size: int) -> NDArray[np.int64]:
    """Return where a pixel outside is taken from: c b | a b c | b a."""
    place = np.arange(-(size // 2) - 1, length + size // 2)
    period = max(2 * (length - 1), 1)
    place %= period
    return np.minimum(place, period - place) if length > 1 else np.zeros_like(place)


def _sums(image: Array, size: int) -> NDArray[np.float64]:
    """Return the sum over the window around each pixel, of any number of axes."""
    table = image
    for axis, length in enumerate(image.shape):
        table = table.take(_mirrored(length, size), axis=axis)
    for axis in range(table.ndim):
        table = table.cumsum(axis=axis, dtype=np.float64)
    total = np.zeros(image.shape)
    for far in product((0, 1), repeat=image.ndim):
        corner = tuple(
            slice(f * size, f * size + n) for f, n in zip(far, image.shape, strict=True)
        )
        if (image.ndim - sum(far)) % 2:
            total -= table[corner]
        else:
            total += table[corner]
    return total


@jit
def _plane_means(
    plane: Array,
    rows: Array,
    columns: Array,
    count: Array,
    mean: Array,
    square: Array,
) -> None:
    """Write the means of a plane and of its squares; of the tables only a window."""
    height, width = plane.shape
    size = rows.size - height
    down = np.zeros((2, columns.size))
    table = np.empty((2, size + 1, columns.size))
    for p in range(rows.size):
        row = plane[rows[p]]
        new, new_squares = table[0, p % (size + 1)], table[1, p % (size + 1)]
        along, along_squares = 0.0, 0.0
        for x in range(columns.size):
            value = row[columns[x]]
            down[0, x] += value
            # squared in the precision of the image
            down[1, x] += value * value
            along += down[0, x]
            along_squares += down[1, x]
            new[x], new_squares[x] = along, along_squares
        y = p - size
        if y < 0:
            continue
        old, old_squares = table[0, y % (size + 1)], table[1, y % (size + 1)]
        here, here_squares = mean[y], square[y]
        for x in range(width):
            here[x] = old[x] - old[x + size] - new[x] + new[x + size]
            here[x] = here[x] / count
            here_squares[x] = (
                old_squares[x]
                - old_squares[x + size]
                - new_squares[x]
                + new_squares[x + size]
            )
            here_squares[x] = here_squares[x] / count
