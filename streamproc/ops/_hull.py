"""The smallest convex shape around every object of a plane, in whole numbers.

A pixel is the diamond of the middles of its sides, as in scikit-image. In halves of a
pixel all corners are whole, so that nothing is decided by rounding: for each row a
chain of corners tells the first and the last pixel of the hull.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._runs import Runs


@dataclass(frozen=True, slots=True)
class Hulls:
    """Pixels of every convex hull, and the largest distance across it."""

    area: NDArray[np.int64]
    feret: NDArray[np.float64]


def hulls(
    runs: Runs,
    place: NDArray[np.int64],
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
) -> Hulls:
    """Return the hulls of objects whose boxes reach from ``top`` to ``bottom``.

    Equal to ``area_convex`` and ``feret_diameter_max`` of
    ``skimage.measure.regionprops``.
    """
    rows = np.concatenate([[0], np.cumsum(bottom - top)])
    spans = np.empty((rows[-1], 2), np.int64)
    spans[:] = np.iinfo(np.int64).max, -1
    find_spans(runs.first, runs.start, runs.stop, place, top, rows, spans)
    area = np.zeros(len(top), np.int64)
    squares = np.zeros(len(top), np.int64)
    _measure(rows, spans, area, squares)
    # twice the length, squared
    return Hulls(area, np.sqrt(squares) / 2)


@jit
def find_spans(
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    top: Array,
    rows: Array,
    spans: Array,
) -> None:
    """Write the first and the last pixel of each row of each object."""
    for y in range(first.size - 1):
        for i in range(first[y], first[y + 1]):
            k = place[i]
            span = spans[rows[k] + y - top[k]]
            span[0] = min(span[0], start[i])
            span[1] = max(span[1], stop[i] - 1)


@jit
def _measure(rows: Array, spans: Array, area: Array, squares: Array) -> None:
    tallest = 0
    for k in range(area.size):
        tallest = max(tallest, rows[k + 1] - rows[k])
    # left chain, right chain: twice y, twice x
    corners = np.empty((2, 2 * tallest + 1, 2), np.int64)
    for k in range(area.size):
        own = spans[rows[k] : rows[k + 1]]
        for side in range(2):
            size = chain(own, side, corners[side])
            cut(corners[side], size, side, own)
        for r in range(own.shape[0]):
            area[k] += own[r, 1] - own[r, 0] + 1
        # the diamonds of the hull's own pixels reach farther than its corners
        left = chain(own, 0, corners[0])
        right = chain(own, 1, corners[1])
        squares[k] = _widest(corners, left, right)


@jit
def chain(spans: Array, side: int, corners: Array) -> int:
    """Find the convex chain of corners on one side; rows without pixels have none.

    To the right everything is mirrored, so that the chain is always the lowest.
    """
    sign = 1 - 2 * side
    size = 0
    for level in range(2 * spans.shape[0] + 1):
        known, value = False, np.int64(0)
        # a row's own level, or that between two rows
        for r in ((level - 1) // 2, level // 2):
            if 0 <= r < spans.shape[0] and spans[r, 1] >= 0:
                corner = sign * 2 * spans[r, side] - level % 2
                value = min(value, corner) if known else corner
                known = True
        if not known:
            continue
        while size >= 2:
            y0, x0 = corners[size - 2]
            y1, x1 = corners[size - 1]
            if (y1 - y0) * (value - x0) - (x1 - x0) * (level - y0) > 0:
                break
            size -= 1
        corners[size, 0], corners[size, 1] = level, value
        size += 1
    return size


@jit
def cut(corners: Array, size: int, side: int, spans: Array) -> None:
    """Write the first (last) pixel of every row that is within the chain."""
    sign = 1 - 2 * side
    at = 0
    for r in range(spans.shape[0]):
        level = 2 * r + 1
        while corners[at + 1, 0] < level:
            at += 1
        y0, x0 = corners[at]
        y1, x1 = corners[at + 1]
        below = 2 * (y1 - y0)
        # rounded up: a pixel whose middle is on the line is within
        x = -(-(x0 * (y1 - y0) + (x1 - x0) * (level - y0)) // below)
        spans[r, side] = sign * x


@jit
def _widest(corners: Array, left: int, right: int) -> int:
    """Return the square of the largest distance between two corners."""
    widest = np.int64(0)
    points = np.empty((left + right, 2), np.int64)
    points[:left] = corners[0, :left]
    points[left:] = corners[1, :right]
    points[left:, 1] *= -1
    for i in range(points.shape[0]):
        for j in range(i):
            y = points[i, 0] - points[j, 0]
            x = points[i, 1] - points[j, 1]
            widest = max(widest, y * y + x * x)
    return int(widest)
