"""An image seen at several scales, and the points that stand out in place and scale.

Weights, sums and rounding are SciPy's, so that the same points are found as by
scikit-image.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import spatial  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array
from ._footprints import dilate
from ._jit import jit

_TRUNCATE = 4.0


def laplacian(image: Array, sigma: Any) -> Array:
    """Return ``scipy.ndimage.gaussian_laplace`` of a float image, mirrored."""
    total: Array | None = None
    for axis in range(image.ndim):
        orders = [2 if a == axis else 0 for a in range(image.ndim)]
        part = _filtered(image, sigma, orders)
        total = part if total is None else np.add(total, part, out=total)
    return np.asarray(total)


def blurred(image: Array, sigma: Any) -> Array:
    """Return ``scipy.ndimage.gaussian_filter`` of a float image, mirrored."""
    return _filtered(image, sigma, [0] * image.ndim)


def extrema(
    scales: list[Array], threshold: Any, exclude_border: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return points (scale last) that nothing around them exceeds, and their values.

    The highest come first, equal ones in raster order.
    """
    grown = [dilate(s, 1, "box") for s in scales]
    points, values, all_equal = [], [], True
    for n, scale in enumerate(scales):
        highest = np.maximum.reduce(grown[max(n - 1, 0) : n + 2])
        found = scale == highest
        all_equal &= bool(found.all())
        found &= scale > threshold
        place = np.argwhere(found)
        points.append(np.insert(place, place.shape[1], n, axis=1))
        values.append(scale[found].astype(np.float64))
    point, value = np.concatenate(points), np.concatenate(values)
    if all_equal:
        point, value = point[:0], value[:0]
    if exclude_border:
        inside = np.ones(len(point), bool)
        for axis, length in enumerate(scales[0].shape):
            inside &= (point[:, axis] >= exclude_border) & (
                point[:, axis] < length - exclude_border
            )
        point, value = point[inside], value[inside]
    order = np.lexsort((*point.T[::-1], -value))
    return point[order], value[order]


def unpruned(places: Array, sigmas: Array, overlap: float) -> NDArray[np.bool_]:
    """Return which blobs to keep: none covers more than ``overlap`` of another.

    Of two that do, the one of the larger scale is kept. Pairs are looked at in
    scikit-image's order, which matters in chains.
    """
    sizes = sigmas.astype(np.float64)
    if not len(sizes):
        return sizes > 0
    root = math.sqrt(places.shape[1])
    tree = spatial.cKDTree(places)
    # as there: a set, for its order
    near = list(tree.query_pairs(2 * sigmas.max() * root))
    if near:
        _prune(places.astype(np.float64), sizes, np.array(near), overlap)
    return sizes > 0


def _filtered(image: Array, sigma: Any, orders: list[int]) -> Array:
    for axis, order in enumerate(orders):
        image = _correlated(image, _weights(sigma, order), axis)
    return image


def _weights(sigma: Any, order: int) -> NDArray[np.float64]:
    """Return the middle and one side of SciPy's Gaussian, or its second derivative."""
    radius = int(_TRUNCATE * float(sigma) + 0.5)
    squared = sigma * sigma
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / squared * x**2)
    weights = weights / weights.sum()
    if order == 2:
        weights = (x**2 / (squared * squared) - 1 / squared) * weights
    return np.asarray(weights[radius:], np.float64)


def _correlated(image: Array, weights: Array, axis: int) -> Array:
    out = np.empty_like(image)
    places = np.arange(-len(weights) + 1, image.shape[axis] + len(weights) - 1)
    places %= 2 * image.shape[axis]
    places = np.minimum(places, 2 * image.shape[axis] - 1 - places)
    if axis == image.ndim - 1:
        width = image.shape[-1]
        _along(image.reshape(-1, width), places, weights, out.reshape(-1, width))
        return out
    size = image.shape[axis + 1 :]
    shape = (-1, image.shape[axis], int(np.prod(size)))
    for part, result in zip(image.reshape(shape), out.reshape(shape), strict=True):
        _down(part, places, weights, result)
    return out


@jit
def _down(image: Array, places: Array, weights: Array, out: Array) -> None:
    radius = weights.size - 1
    height, width = image.shape
    total = np.empty(width)
    for y in range(height):
        here = image[places[y + radius]]
        for x in range(width):
            total[x] = here[x] * weights[0]
        for k in range(radius, 0, -1):
            above, below = image[places[y + radius - k]], image[places[y + radius + k]]
            weight = weights[k]
            for x in range(width):
                total[x] += (np.float64(above[x]) + np.float64(below[x])) * weight
        row = out[y]
        for x in range(width):
            row[x] = total[x]


@jit
def _along(image: Array, places: Array, weights: Array, out: Array) -> None:
    radius = weights.size - 1
    width = image.shape[1]
    total, wide = np.empty(width), np.empty(places.size)
    for y in range(image.shape[0]):
        row = image[y]
        for x in range(places.size):
            wide[x] = row[places[x]]
        for x in range(width):
            total[x] = wide[x + radius] * weights[0]
        for k in range(radius, 0, -1):
            left, right = wide[radius - k :], wide[radius + k :]
            weight = weights[k]
            for x in range(width):
                total[x] += (left[x] + right[x]) * weight
        result = out[y]
        for x in range(width):
            result[x] = total[x]


@jit
def _prune(places: Array, sizes: Array, pairs: Array, overlap: float) -> None:
    """Set the scale of the blobs to drop to 0."""
    for p in range(pairs.shape[0]):
        i, j = pairs[p, 0], pairs[p, 1]
        if sizes[i] == 0 or sizes[j] == 0:
            continue
        if _overlap(places[i], places[j], sizes[i], sizes[j]) > overlap:
            if sizes[i] > sizes[j]:
                sizes[j] = 0
            else:
                sizes[i] = 0


@jit
def _overlap(here: Array, there: Array, one: float, other: float) -> float:
    """Return which share of the smaller of two disks (balls) the other one covers."""
    ndim = here.size
    large = max(one, other)
    r1, r2 = one / large, other / large
    d = 0.0
    for axis in range(ndim):
        d += ((there[axis] - here[axis]) / (large * math.sqrt(ndim))) ** 2
    d = math.sqrt(d)
    if d > r1 + r2:
        return 0.0
    if d <= abs(r1 - r2):
        return 1.0
    small = min(r1, r2)
    if ndim == 3:
        reach, span = r1 + r2, r1 * r1 + r2 * r2
        shared = math.pi / (12 * d) * (reach - d) ** 2
        shared *= d * d + 2 * d * reach - 3 * span + 6 * r1 * r2
        return shared / (4.0 / 3 * math.pi * small**3)
    a1 = math.acos(min(1.0, max(-1.0, (d * d + r1 * r1 - r2 * r2) / (2 * d * r1))))
    a2 = math.acos(min(1.0, max(-1.0, (d * d + r2 * r2 - r1 * r1) / (2 * d * r2))))
    kite = abs((r1 + r2 - d) * (d - r2 + r1) * (d + r2 - r1) * (d + r2 + r1))
    return (r1 * r1 * a1 + r2 * r2 * a2 - 0.5 * math.sqrt(kite)) / (math.pi * small**2)
