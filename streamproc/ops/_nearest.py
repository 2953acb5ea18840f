"""The nearest pixel of a set, for every pixel: exact, ties as in scipy.

One axis after the other, the first one first. Along a line the parabolas of the pixels
that are nearest so far are kept on a stack (Maurer, Qi and Raghavan, 2003,
doi:10.1109/TPAMI.2003.1177156); of two equally near pixels the one that comes first
along the axis wins. The arithmetic is scipy's, so that the result is equal.
"""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: Where there is nothing to be near to.
NONE = -1


def distances(seeds: Array, spacing: tuple[float, ...]) -> NDArray[np.float32]:
    """Return how far each pixel is from the next one of ``seeds``; inf if none is."""
    out = np.empty(seeds.shape, np.float32)
    first = _along_first(seeds)
    *dz, dy, dx = spacing
    if dz:
        second = _along_second(first, dz[0], dy)
        _measure_volume(first, second, dz[0], dy, dx, out)
    else:
        _measure_plane(first, dy, dx, out)
    return out


def nearest(
    seeds: Array, spacing: tuple[float, ...], wanted: Array, reach: float = np.inf
) -> NDArray[np.int64]:
    """Return the place in memory order of the next pixel of ``seeds``.

    `NONE` where ``wanted`` is 0, or nothing is within ``reach``.
    """
    out = np.full(seeds.shape, NONE, np.int64)
    first = _along_first(seeds)
    *dz, dy, dx = spacing
    if dz:
        second = _along_second(first, dz[0], dy)
        _point_volume(first, second, dz[0], dy, dx, wanted, reach, out)
    else:
        _point_plane(first, dy, dx, wanted, reach, out)
    return out


def _along_first(seeds: Array) -> NDArray[np.int32]:
    """Return the index along the first axis of the next seed of each column."""
    out = np.empty(seeds.shape, np.int32)
    _sweep(seeds.reshape(len(seeds), -1), out.reshape(len(seeds), -1))
    return out


@jit
def _sweep(seeds: Array, out: Array) -> None:
    n, width = seeds.shape
    other = np.full(width, NONE, np.int32)
    for y in range(n):
        for x in range(width):
            other[x] = y if seeds[y, x] else other[x]
            out[y, x] = other[x]
    other[:] = NONE
    for y in range(n - 1, -1, -1):
        for x in range(width):
            other[x] = y if seeds[y, x] else other[x]
            before, after = out[y, x], other[x]
            closer = (after >= 0) & ((before < 0) | (after - y < y - before))
            out[y, x] = after if closer else before


@jit
def _scan(cost: Array, step: float, stack: Array, best: Array) -> None:
    """Write the place along a line of the next site of each pixel, or `NONE`.

    ``cost`` is the squared distance across the line, infinite where there is no site.
    """
    n = cost.size
    begin = 0
    while begin < n:
        if cost[begin] == 0.0:
            best[begin] = begin
            begin += 1
            continue
        # a site on the line hides all that is behind it
        end = begin
        while end < n and cost[end] != 0.0:
            end += 1
        top = -1
        if begin > 0:
            top = 0
            stack[0] = begin - 1
        for i in range(begin, min(end + 1, n)):
            if cost[i] == np.inf:
                continue
            while top >= 1:
                u, v = stack[top - 1], stack[top]
                a, b = (v - u) * step, (i - v) * step
                c = a + b
                if c * cost[v] - b * cost[u] - a * cost[i] - a * b * c <= 0.0:
                    break
                top -= 1
            top += 1
            stack[top] = i
        if top < 0:
            best[begin:end] = NONE
        else:
            _follow(cost, step, stack[: top + 1], begin, end, best)
        begin = end


@jit
def _follow(
    cost: Array, step: float, stack: Array, begin: int, end: int, best: Array
) -> None:
    k, last = 0, stack.size - 1
    for i in range(begin, end):
        away = (stack[k] - i) * step
        near = cost[stack[k]] + away * away
        while k < last:
            away = (stack[k + 1] - i) * step
            other = cost[stack[k + 1]] + away * away
            if near <= other:
                break
            near = other
            k += 1
        best[i] = stack[k]


@jit
def _costs(found: Array, here: int, step: float, cost: Array) -> None:
    for x in range(found.size):
        away = (found[x] - here) * step
        cost[x] = away * away if found[x] >= 0 else np.inf


@jit
def _along_second(first: Array, dz: float, dy: float) -> Array:
    """Return the index along the second axis of the next seed in the same plane x."""
    depth, height, width = first.shape
    out = np.empty(first.shape, np.int32)
    cost, best = np.empty(height), np.empty(height, np.int32)
    stack = np.empty(height + 1, np.int32)
    for z in range(depth):
        columns = first[z].T.copy()
        for x in range(width):
            _costs(columns[x], z, dz, cost)
            _scan(cost, dy, stack, best)
            columns[x] = best
        out[z] = columns.T
    return out


@jit
def _measure_plane(first: Array, dy: float, dx: float, out: Array) -> None:
    height, width = first.shape
    cost, best = np.empty(width), np.empty(width, np.int32)
    stack = np.empty(width + 1, np.int32)
    for y in range(height):
        _costs(first[y], y, dy, cost)
        _scan(cost, dx, stack, best)
        _lengths(cost, best, dx, out[y])


@jit
def _lengths(cost: Array, best: Array, dx: float, out: Array) -> None:
    if best[0] == NONE:
        out[:] = np.inf
        return
    for x in range(out.size):
        away = (best[x] - x) * dx
        out[x] = np.sqrt(cost[best[x]] + away * away)


@jit
def _point_plane(
    first: Array, dy: float, dx: float, wanted: Array, reach: float, out: Array
) -> None:
    height, width = first.shape
    cost, best = np.empty(width), np.empty(width, np.int32)
    stack = np.empty(width + 1, np.int32)
    for y in range(height):
        if not wanted[y].any():
            continue
        _costs(first[y], y, dy, cost)
        _scan(cost, dx, stack, best)
        for x in range(width):
            k = best[x]
            if wanted[y, x] and k != NONE:
                away = (k - x) * dx
                if np.sqrt(cost[k] + away * away) <= reach:
                    out[y, x] = np.int64(first[y, k]) * width + k


@jit
def _across(
    first: Array, second: Array, z: int, y: int, dz: float, dy: float, cost: Array
) -> None:
    """Write the squared distance in z and y to the next seed in each plane x."""
    for x in range(cost.size):
        there = second[z, y, x]
        if there == NONE:
            cost[x] = np.inf
        else:
            up, down = (first[z, there, x] - z) * dz, (there - y) * dy
            cost[x] = up * up + down * down


@jit
def _measure_volume(
    first: Array, second: Array, dz: float, dy: float, dx: float, out: Array
) -> None:
    depth, height, width = first.shape
    cost, best = np.empty(width), np.empty(width, np.int32)
    stack = np.empty(width + 1, np.int32)
    for z in range(depth):
        for y in range(height):
            _across(first, second, z, y, dz, dy, cost)
            _scan(cost, dx, stack, best)
            _lengths(cost, best, dx, out[z, y])


@jit
def _point_volume(
    first: Array,
    second: Array,
    dz: float,
    dy: float,
    dx: float,
    wanted: Array,
    reach: float,
    out: Array,
) -> None:
    depth, height, width = first.shape
    cost, best = np.empty(width), np.empty(width, np.int32)
    stack = np.empty(width + 1, np.int32)
    for z in range(depth):
        for y in range(height):
            if not wanted[z, y].any():
                continue
            _across(first, second, z, y, dz, dy, cost)
            _scan(cost, dx, stack, best)
            for x in range(width):
                k = best[x]
                if wanted[z, y, x] and k != NONE:
                    away = (k - x) * dx
                    if np.sqrt(cost[k] + away * away) <= reach:
                        row = second[z, y, k]
                        plane = np.int64(first[z, row, k])
                        out[z, y, x] = (plane * height + row) * width + k


def take(image: Array, found: NDArray[np.int64]) -> Array:
    """Return the pixels of ``image`` at the places found; its own where none is."""
    out = image.copy()
    _take(image.reshape(-1), found.reshape(-1), out.reshape(-1))
    return out


@jit
def _take(image: Array, found: Array, out: Array) -> None:
    for i in range(found.size):
        if found[i] != NONE:
            out[i] = image[found[i]]
