"""Moments up to order 3 along every axis, and what is made of them.

A run of ``n`` pixels around its middle ``m`` has closed sums of powers, so that the
moments of a shape cost a few operations per run; those of grey levels need each pixel.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import lines
from ._runs import Runs

Powers = NDArray[np.float64]
_ORDERS = 4


def shape_powers(
    shape: tuple[int, ...], runs: Runs, place: NDArray[np.int64], centre: Powers
) -> Powers:
    """Return ``sum((y - centre_y)**i * (x - centre_x)**j)`` of every object.

    ``centre`` has columns z, y, x. The result has the objects first, then one axis of
    four orders for each axis of the image.
    """
    sums = _empty(len(centre), len(shape))
    _add_shape(
        runs.first, runs.start, runs.stop, place, shape[-2], centre, sums
    )  # fmt: skip
    return _of_axes(sums, len(shape))


def level_powers(
    image: Array, runs: Runs, place: NDArray[np.int64], centre: Powers
) -> Powers:
    """Return the same sums with every pixel weighed by its level; NaN is left out."""
    sums = _empty(len(centre), image.ndim)
    _add_levels(
        lines(image), runs.first, runs.start, runs.stop, place, image.shape[-2],
        centre, sums,
    )  # fmt: skip
    return _of_axes(sums, image.ndim)


def normalized(central: Powers) -> Powers:
    """Return central moments free of scale; NaN below order 2, as in scikit-image."""
    ndim = central.ndim - 1
    order = sum(np.indices(central.shape[1:]))
    total = central[(slice(None), *[slice(1)] * ndim)]
    with np.errstate(all="ignore"):
        found = central / total ** (order / ndim + 1)
    found[:, order < 2] = np.nan
    return np.asarray(found)


def central(powers: Powers) -> Powers:
    """Return moments around a centroid: those of order 1 are 0, not a rounding."""
    order = sum(np.indices(powers.shape[1:]))
    powers[:, order == 1] *= 0
    return powers


def hu(nu: Powers) -> Powers:
    """Return the seven moments of a plane that no rotation changes.

    M. K. Hu (1962), doi:10.1109/TIT.1962.1057692.
    """
    n: Callable[[int, int], Powers] = lambda i, j: nu[:, i, j]  # noqa: E731
    both, apart, twice = n(2, 0) + n(0, 2), n(2, 0) - n(0, 2), 2 * n(1, 1)
    a, b = n(3, 0) + n(1, 2), n(2, 1) + n(0, 3)
    c, d = n(3, 0) - 3 * n(1, 2), 3 * n(2, 1) - n(0, 3)
    e, f = a * (a**2 - 3 * b**2), b * (3 * a**2 - b**2)
    found = [
        both,
        apart**2 + twice**2,
        c**2 + d**2,
        a**2 + b**2,
        c * e + d * f,
        apart * (a**2 - b**2) + 2 * twice * a * b,
        d * e - c * f,
    ]
    return np.stack(found, axis=1)


def _empty(count: int, ndim: int) -> Powers:
    return np.zeros((count, _ORDERS if ndim == 3 else 1, _ORDERS, _ORDERS))


def _of_axes(sums: Powers, ndim: int) -> Powers:
    return sums if ndim == 3 else sums[:, 0]


@jit
def _add(into: Array, dz: float, dy: float, along: Array) -> None:
    wide = 1.0
    for i in range(into.shape[0]):
        weight = wide
        for j in range(into.shape[1]):
            for k in range(into.shape[2]):
                into[i, j, k] += weight * along[k]
            weight *= dy
        wide *= dz


@jit
def _add_shape(
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    height: int,
    centre: Array,
    sums: Array,
) -> None:
    along = np.empty(4)
    for line in range(first.size - 1):
        z, y = line // height, line % height
        for i in range(first[line], first[line + 1]):
            k = place[i]
            n = np.float64(stop[i] - start[i])
            middle = 0.5 * (np.int64(start[i]) + stop[i] - 1) - centre[k, 2]
            spread = n * (n * n - 1) / 12
            along[0] = n
            along[1] = n * middle
            along[2] = n * middle * middle + spread
            along[3] = middle * (n * middle * middle + 3 * spread)
            _add(sums[k], z - centre[k, 0], y - centre[k, 1], along)


@jit
def _add_levels(
    rows: Array,
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    height: int,
    centre: Array,
    sums: Array,
) -> None:
    along = np.empty(4)
    for line in range(first.size - 1):
        z, y = line // height, line % height
        row = rows[line]
        for i in range(first[line], first[line + 1]):
            k = place[i]
            s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
            for x in range(start[i], stop[i]):
                w = np.float64(row[x])
                if np.isnan(w):
                    continue
                d = x - centre[k, 2]
                s0 += w
                w *= d
                s1 += w
                w *= d
                s2 += w
                s3 += w * d
            along[0], along[1], along[2], along[3] = s0, s1, s2, s3
            _add(sums[k], z - centre[k, 0], y - centre[k, 1], along)
