"""Local means that equal scipy's to the last bit.

In a flat region a pixel equals its local mean but for rounding, and a mask of
``image > mean`` shows that rounding: so every sum here is in scipy's order, down the
columns first, and rounded to the dtype of the image in between.
"""

import numpy as np

from ..frame import Array
from ._jit import jit


def local_mean(plane: Array, size: int, *, gaussian: bool) -> Array:
    """Return the mean over ``size`` pixels along both axes of a plane; mirrored.

    With ``gaussian`` it is weighted by a Gaussian of ``(size - 1) / 6`` pixels, cut
    at 4 of them. Equal to ``scipy.ndimage.gaussian_filter`` and ``uniform_filter``
    on float32 or float64.
    """
    out = np.empty_like(plane)
    if not gaussian:
        rows, columns = _mirrored(plane.shape, size // 2)
        _slide(plane, rows, columns, size, out)
        return out
    sigma = (size - 1) / 6.0
    radius = int(4 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    weights = (weights / weights.sum())[radius:]
    rows, columns = _mirrored(plane.shape, radius)
    _weigh(plane, rows, columns, weights, out)
    return out


def _mirrored(shape: tuple[int, ...], radius: int) -> list[Array]:
    """Return, for each axis, where a pixel outside is taken from: b a | a b | b a."""
    places = [np.arange(-radius, length + radius) % (2 * length) for length in shape]
    return [
        np.minimum(place, 2 * length - 1 - place)
        for place, length in zip(places, shape, strict=True)
    ]


@jit
def _weigh(
    plane: Array, rows: Array, columns: Array, weights: Array, out: Array
) -> None:
    radius = weights.size - 1
    height, width = plane.shape
    total = np.empty(width)
    wide = np.empty(columns.size)
    for y in range(height):
        here = plane[rows[y + radius]]
        for x in range(width):
            total[x] = here[x] * weights[0]
        for k in range(radius, 0, -1):
            above, below = plane[rows[y + radius - k]], plane[rows[y + radius + k]]
            weight = weights[k]
            for x in range(width):
                total[x] += (np.float64(above[x]) + np.float64(below[x])) * weight
        row = out[y]
        for x in range(width):
            row[x] = total[x]
        for x in range(columns.size):
            wide[x] = row[columns[x]]
        for x in range(width):
            total[x] = wide[x + radius] * weights[0]
        for k in range(radius, 0, -1):
            left, right = wide[radius - k :], wide[radius + k :]
            weight = weights[k]
            for x in range(width):
                total[x] += (left[x] + right[x]) * weight
        for x in range(width):
            row[x] = total[x]


@jit
def _slide(plane: Array, rows: Array, columns: Array, size: int, out: Array) -> None:
    height, width = plane.shape
    total = np.zeros(width)
    for y in range(size):
        row = plane[rows[y]]
        for x in range(width):
            total[x] += row[x]
    wide = np.empty(columns.size)
    for y in range(height):
        if y > 0:
            new, old = plane[rows[y + size - 1]], plane[rows[y - 1]]
            for x in range(width):
                total[x] += np.float64(new[x]) - np.float64(old[x])
        row = out[y]
        for x in range(width):
            row[x] = total[x] / size
        for x in range(columns.size):
            wide[x] = row[columns[x]]
        along = 0.0
        for x in range(size):
            along += wide[x]
        row[0] = along / size
        for x in range(1, width):
            along += wide[x + size - 1] - wide[x - 1]
            row[x] = along / size
