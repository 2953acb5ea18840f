"""Local means that equal scipy's to the last bit.

In a flat region a pixel equals its local mean but for rounding, and a mask of
``image > mean`` shows that rounding: so every sum here is in scipy's order.
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
    radius = size // 2
    weights = np.empty(0)
    if gaussian:
        sigma = (size - 1) / 6.0
        radius = int(4 * sigma + 0.5)
        x = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 / (sigma * sigma) * x**2)
        weights = (weights / weights.sum())[radius:]
    out = np.empty_like(plane)
    average = _weigh if gaussian else _slide
    # down the columns first, as scipy does: a row is then a vector of columns
    rows = _mirror(np.arange(-radius, len(plane) + radius), len(plane))
    average(plane, rows, weights, out)
    columns = np.ascontiguousarray(out.T)
    rows = _mirror(np.arange(-radius, len(columns) + radius), len(columns))
    turned = np.empty_like(columns)
    average(columns, rows, weights, turned)
    return np.ascontiguousarray(turned.T)


def _mirror(places: Array, length: int) -> Array:
    """Return where a pixel outside is taken from: d c b a | a b c d | d c b a."""
    places = places % (2 * length)
    return np.asarray(np.minimum(places, 2 * length - 1 - places))


@jit
def _weigh(plane: Array, rows: Array, weights: Array, out: Array) -> None:
    radius = weights.size - 1
    total = np.empty(plane.shape[1])
    for y in range(plane.shape[0]):
        here = plane[rows[y + radius]]
        for x in range(total.size):
            total[x] = here[x] * weights[0]
        for k in range(radius, 0, -1):
            above, below = plane[rows[y + radius - k]], plane[rows[y + radius + k]]
            weight = weights[k]
            for x in range(total.size):
                total[x] += (np.float64(above[x]) + np.float64(below[x])) * weight
        for x in range(total.size):
            out[y, x] = total[x]


@jit
def _slide(plane: Array, rows: Array, weights: Array, out: Array) -> None:
    size = rows.size - plane.shape[0] + 1
    total = np.zeros(plane.shape[1])
    for y in range(size):
        row = plane[rows[y]]
        for x in range(total.size):
            total[x] += row[x]
    for y in range(plane.shape[0]):
        if y > 0:
            new, old = plane[rows[y + size - 1]], plane[rows[y - 1]]
            for x in range(total.size):
                total[x] += np.float64(new[x]) - np.float64(old[x])
        for x in range(total.size):
            out[y, x] = total[x] / size
