"""Weighted sums over rows and columns: symmetric weights, borders mirrored."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit_sums

Floats = NDArray[np.float32]
Places = NDArray[np.uintp]

#: So many pixels of the rows in work stay in the processor's second memory. To cut
#: lines further, for the first one, is slower: whole lines are fetched ahead.
_ROOM = 1 << 17
#: Columns at a time, at least: below, the ends of loops cost too much.
_COLUMNS = 512


def weigh(
    plane: Array, down: Floats, across: Floats, signs: tuple[int, int], out: Floats
) -> None:
    """Correlate a plane with a line of weights per axis.

    A sign is 1 where the weights of an axis are symmetric, -1 where those before the
    middle are the negatives of those behind.
    """
    below, beside = down.size // 2, across.size // 2
    slots, half, rows, columns, near = _places(*plane.shape, below, beside)
    plane, down, across = plane.view(), down[below:], across[beside:]
    for array in (plane, down, across):
        array.flags.writeable = False  # numba compiles for either
    _weigh(
        plane,
        rows,
        columns,
        near,
        slots,
        half,
        down,
        across,
        np.float32(signs[0]),
        np.float32(signs[1]),
        out,
    )


@lru_cache(maxsize=64)
def _places(
    height: int, width: int, below: int, beside: int
) -> tuple[int, int, Places, Places, Places]:
    """Return how many rows to keep, half a row, and where neighbours are.

    A row is kept in halves, even columns and odd ones. Neighbours are those among
    the rows kept, the columns from ``beside`` before the first one on, and those of
    the first column in halves.
    """
    slots = min(height, 2 * below + 2)
    strips = -(-width // max(_COLUMNS, _ROOM // slots))
    half = -(-width // strips) // 2
    # rows that begin an odd number of 64 bytes apart do not displace each other
    half = -(-half // 16) * 16 + 8
    rows = _mirrored(height, below) % slots * (2 * half)
    columns = _mirrored(width, beside)
    at = np.arange(2 * beside + 2)
    near = at // 2 + at % 2 * (half + beside + 1)
    return slots, half, rows, columns, near.astype(np.uintp)


def _mirrored(length: int, beyond: int) -> Places:
    """Return which pixel lies at each place from ``-beyond`` on: b a | a b | b a."""
    at = np.arange(-beyond, length + beyond + 1) % (2 * length)
    return np.minimum(at, 2 * length - 1 - at).astype(np.uintp)


@jit_sums
def _weigh(
    plane: Array,
    rows: Array,
    columns: Array,
    near: Array,
    slots: int,
    half: int,
    down: Array,
    across: Array,
    down_sign: np.float32,
    across_sign: np.float32,
    out: Array,
) -> None:
    """Weigh along each row once, and keep as many rows as two need above and below.

    Two neighbours are made at once, since they share what they read: an even and an
    odd column, which therefore lie apart, and then two rows.
    """
    height, width = plane.shape
    below, beside = down.size - 1, across.size - 1
    line = np.empty(2 * (half + beside + 1), np.float32)
    # the gap between halves is added up, too: denormal numbers there would be slow
    ring = _zeros(slots * 2 * half)
    sums = _zeros(4 * half)
    zero = np.uintp(0)
    for left in range(0, width, 2 * half):
        count = (min(2 * half, width - left) + 1) // 2
        size, whole = np.uintp(count), np.uintp(half + count)
        ready = 0
        for y in range(0, height, 2):
            while ready < min(height, y + below + 2):
                _read(plane[ready], columns, left - beside, count + beside, line)
                at = np.uintp(ready % slots * 2 * half)
                then = at + np.uintp(half)
                _add(line, near, across, across_sign, size, ring, at, then)
                ready += 1
            then = np.uintp(2 * half)
            places = rows[y : y + 2 * below + 2]
            _add(ring, places, down, down_sign, whole, sums, zero, then)
            for row in range(y, min(y + 2, height)):
                _write(sums[(row - y) * 2 * half :], half, out[row, left:])


@jit_sums
def _zeros(size: int) -> Array:
    """Return zeros that begin with a line of the processor's memory."""
    zeros = np.zeros(size + 16, np.float32)
    skip = -(zeros.ctypes.data // 4) % 16
    return zeros[skip : skip + size]


@jit_sums
def _read(row: Array, columns: Array, start: int, count: int, line: Array) -> None:
    """Copy so many even columns from ``start`` on, then the odd ones."""
    even, odd = line[: line.size // 2], line[line.size // 2 :]
    before = (columns.size - row.size) // 2
    first = min(count, max(0, (1 - start) // 2))
    last = max(first, min(count, (row.size - start) // 2))
    for x in range(first):
        even[x] = row[columns[start + 2 * x + before]]
        odd[x] = row[columns[start + 2 * x + 1 + before]]
    inside = row[start + 2 * first : start + 2 * last]
    evens, odds = even[first:last], odd[first:last]
    for x in range(evens.size):
        evens[x] = np.float32(inside[2 * x])
        odds[x] = np.float32(inside[2 * x + 1])
    for x in range(last, count):
        even[x] = row[columns[start + 2 * x + before]]
        odd[x] = row[columns[start + 2 * x + 1 + before]]


@jit_sums
def _write(sums: Array, half: int, row: Array) -> None:
    even, odd = sums[:half], sums[half : 2 * half]
    size = min(row.size, 2 * half)
    for x in range(size // 2):
        row[2 * x] = even[x]
        row[2 * x + 1] = odd[x]
    if size % 2:
        row[size - 1] = even[size // 2]


@jit_sums
def _add(
    source: Array,
    places: Array,
    weights: Array,
    sign: np.float32,
    size: np.uintp,
    target: Array,
    at: np.uintp,
    then: np.uintp,
) -> None:
    """Add from the middle outwards, four pairs at a time, for two neighbours."""
    radius = weights.size - 1
    done = 4
    if radius >= 4:
        _first_four(source, places, weights, sign, size, target, at, then)
    else:
        _first(source, places, weights, size, target, at, then)
        done = 0
    while done + 4 <= radius:
        _four(source, places, weights, done, sign, size, target, at, then)
        done += 4
    if done + 2 <= radius:
        _two(source, places, weights, done, sign, size, target, at, then)
        done += 2
    if done < radius:
        _one(source, places, weights, sign, size, target, at, then)


@jit_sums
def _first(
    source: Array,
    places: Array,
    weights: Array,
    size: np.uintp,
    target: Array,
    at: np.uintp,
    then: np.uintp,
) -> None:
    a, b, weight = places[weights.size - 1], places[weights.size], weights[0]
    for x in range(size):
        target[at + x] = weight * source[a + x]
        target[then + x] = weight * source[b + x]


@jit_sums
def _first_four(
    source: Array,
    places: Array,
    weights: Array,
    sign: np.float32,
    size: np.uintp,
    target: Array,
    at: np.uintp,
    then: np.uintp,
) -> None:
    m = weights.size - 1
    a4, a3, a2, a1 = places[m - 4], places[m - 3], places[m - 2], places[m - 1]
    b0, b1 = places[m], places[m + 1]
    b2, b3, b4, b5 = places[m + 2], places[m + 3], places[m + 4], places[m + 5]
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    for x in range(size):
        a4v, a3v = source[a4 + x], source[a3 + x]
        a2v, a1v = source[a2 + x], source[a1 + x]
        b0v, b1v = source[b0 + x], source[b1 + x]
        b2v, b3v = source[b2 + x], source[b3 + x]
        b4v, b5v = source[b4 + x], source[b5 + x]
        s = w0 * b0v
        t = w0 * b1v
        s += w1 * (b1v + sign * a1v)
        t += w1 * (b2v + sign * b0v)
        s += w2 * (b2v + sign * a2v)
        t += w2 * (b3v + sign * a1v)
        s += w3 * (b3v + sign * a3v)
        t += w3 * (b4v + sign * a2v)
        s += w4 * (b4v + sign * a4v)
        t += w4 * (b5v + sign * a3v)
        target[at + x], target[then + x] = s, t


@jit_sums
def _four(
    source: Array,
    places: Array,
    weights: Array,
    done: int,
    sign: np.float32,
    size: np.uintp,
    target: Array,
    at: np.uintp,
    then: np.uintp,
) -> None:
    m = weights.size - 1
    before, behind = m - done, m + done
    a4, a3, a2, a1, a0 = (
        places[before - 4],
        places[before - 3],
        places[before - 2],
        places[before - 1],
        places[before],
    )
    b1, b2, b3, b4, b5 = (
        places[behind + 1],
        places[behind + 2],
        places[behind + 3],
        places[behind + 4],
        places[behind + 5],
    )
    w1, w2, w3, w4 = (
        weights[done + 1],
        weights[done + 2],
        weights[done + 3],
        weights[done + 4],
    )
    for x in range(size):
        a4v, a3v = source[a4 + x], source[a3 + x]
        a2v, a1v = source[a2 + x], source[a1 + x]
        a0v, b1v = source[a0 + x], source[b1 + x]
        b2v, b3v = source[b2 + x], source[b3 + x]
        b4v, b5v = source[b4 + x], source[b5 + x]
        s, t = target[at + x], target[then + x]
        s += w1 * (b1v + sign * a1v)
        t += w1 * (b2v + sign * a0v)
        s += w2 * (b2v + sign * a2v)
        t += w2 * (b3v + sign * a1v)
        s += w3 * (b3v + sign * a3v)
        t += w3 * (b4v + sign * a2v)
        s += w4 * (b4v + sign * a4v)
        t += w4 * (b5v + sign * a3v)
        target[at + x], target[then + x] = s, t


@jit_sums
def _two(
    source: Array,
    places: Array,
    weights: Array,
    done: int,
    sign: np.float32,
    size: np.uintp,
    target: Array,
    at: np.uintp,
    then: np.uintp,
) -> None:
    m = weights.size - 1
    before, behind = m - done, m + done
    a2, a1, a0 = places[before - 2], places[before - 1], places[before]
    b1, b2, b3 = places[behind + 1], places[behind + 2], places[behind + 3]
    w1, w2 = weights[done + 1], weights[done + 2]
    for x in range(size):
        a2v, a1v = source[a2 + x], source[a1 + x]
        a0v, b1v = source[a0 + x], source[b1 + x]
        b2v, b3v = source[b2 + x], source[b3 + x]
        s, t = target[at + x], target[then + x]
        s += w1 * (b1v + sign * a1v)
        t += w1 * (b2v + sign * a0v)
        s += w2 * (b2v + sign * a2v)
        t += w2 * (b3v + sign * a1v)
        target[at + x], target[then + x] = s, t


@jit_sums
def _one(
    source: Array,
    places: Array,
    weights: Array,
    sign: np.float32,
    size: np.uintp,
    target: Array,
    at: np.uintp,
    then: np.uintp,
) -> None:
    last = places.size - 1
    a1, a0, b1, b2 = places[0], places[1], places[last - 1], places[last]
    w1 = weights[-1]
    for x in range(size):
        a1v, a0v = source[a1 + x], source[a0 + x]
        b1v, b2v = source[b1 + x], source[b2 + x]
        s, t = target[at + x], target[then + x]
        s += w1 * (b1v + sign * a1v)
        t += w1 * (b2v + sign * a0v)
        target[at + x], target[then + x] = s, t
