"""The smallest and the largest pixel under boxes and disks, a row at a time.

A minimum over a window is one over parts of it that may overlap: along a row each pass
makes the window up to three times as wide. Down the rows, M. van Herk (1992), "A fast
algorithm for local minimum and maximum filters on rectangular and octagonal kernels",
doi:10.1016/0167-8655(92)90069-C: three comparisons a pixel, however large the window.

All rows at work lie in one array and are named by where they begin: many are compared
at a time only where slices are taken, and these cost nothing only where they are used.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import aligned, jit

#: Bytes of the rows at work: of a box they stay in the processor's second cache, of a
#: disk, which looks at each of them more often, near its first.
_BOX, _DISK = 1 << 20, 1 << 11
#: Rows begin, and loops end, at a multiple of so many pixels.
_WHOLE = 64


def under_box(plane: Array, down: int, across: int, darkest: bool, out: Array) -> None:
    """Write the extremum over so many pixels up and down, left and right.

    Outside does not count. The plane holds no NaN; ``out`` is contiguous.
    """
    height, width = plane.shape
    # a window that covers the plane from either end is as wide as it need be
    down, across = min(down, height - 1), min(across, width - 1)
    row = _BOX // ((2 * down + 2) * plane.itemsize)
    strip = _strip(max(row, 2 * across), width)
    lost = worst(plane.dtype, darkest)
    _box(plane.reshape(-1), width, down, across, strip, lost, darkest, out.reshape(-1))


def under_rows(
    plane: Array, widths: NDArray[np.int64], darkest: bool, out: Array
) -> None:
    """Write the extremum under a stack of rows of these half widths.

    The middle one goes through the pixel. Otherwise as `under_box`.
    """
    reach = max(widths.size // 2, widths.max())
    width = plane.shape[1]
    strip = _strip(max(_DISK // plane.itemsize, 2 * reach), width)
    ladder = _ladder(widths)
    # the row of half width -1, after the others, loses always
    steps = np.searchsorted(ladder, np.pad(widths, 1)).astype(np.int64)
    steps[[0, -1]] = ladder.size
    lost = worst(plane.dtype, darkest)
    _rows(
        plane.reshape(-1), width, ladder, steps, strip, lost, darkest, out.reshape(-1)
    )


def worst(dtype: np.dtype[Any], darkest: bool) -> Array:
    """Return the pixel that loses against every other, as an array of no axes."""
    if dtype.kind == "f":
        value: float = np.inf if darkest else -np.inf
    else:
        limits = np.iinfo(dtype)
        value = limits.max if darkest else limits.min
    return np.array(value, dtype)[()]


def _strip(wanted: int, width: int) -> int:
    return _WHOLE * -(-min(wanted, width) // _WHOLE)


def _ladder(widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return half widths from 0 up, each at most twice the one before, or 1."""
    ladder = [0]
    for wanted in np.unique(widths):
        while ladder[-1] < wanted:
            ladder.append(min(int(wanted), max(2 * ladder[-1], 1)))
    return np.array(ladder)


@jit
def _box(
    plane: Array,
    width: int,
    down: int,
    across: int,
    strip: int,
    lost: Array,
    darkest: bool,
    out: Array,
) -> None:
    """Combine the end of one block of rows with the beginning of the next.

    Blocks are as high as the window, which therefore lies in two of them.
    """
    height, window = plane.size // width, 2 * down + 1
    pitch = strip + _WHOLE * -(-2 * across // _WHOLE)
    rows = 2 * pitch
    begun = rows + (window + 1) * strip
    work = aligned(begun + strip + 2 * across, plane)
    for left in range(0, width, strip):
        n = min(strip, width - left)
        # row i of the block before: the extremum from there to its end
        _fill(work, rows, (window + 1) * strip, lost)
        for top in range(-down, height, window):
            _fill(work, begun, strip, lost)
            for i in range(window):
                row, y = rows + i * strip, top + i
                if y + down < height:
                    _load(plane, width, y + down, left, n, across, lost, work, 0)
                    _along(work, 2 * across + 1, strip, pitch, darkest, row)
                else:
                    _fill(work, row, strip, lost)
                _merge(work, row, row, begun, strip, darkest)
                if 0 <= y < height:
                    ended = row + strip
                    _best(work, begun, ended, ended, darkest, out, y * width + left, n)
            for i in range(window - 2, -1, -1):
                row = rows + i * strip
                _merge(work, row + strip, row + strip, row, strip, darkest)


@jit
def _along(
    work: Array, window: int, strip: int, pitch: int, darkest: bool, into: int
) -> None:
    """Write the extremum over windows along the row at 0, which begin at its pixels."""
    span, here, there = 1, 0, pitch
    while 3 * span < window:
        _best(work, here, here + span, here + 2 * span, darkest, work, there, pitch)
        here, there = there, here
        span *= 3
    last = here + window - span
    _best(work, here, min(here + span, last), last, darkest, work, into, strip)


@jit
def _rows(
    plane: Array,
    width: int,
    ladder: Array,
    steps: Array,
    strip: int,
    lost: Array,
    darkest: bool,
    out: Array,
) -> None:
    """Make the wider rows of two rows of pixels, then merge them into all they touch.

    ``steps`` holds the place in ``ladder`` of every row of the footprint.
    """
    height, reach, halo = plane.size // width, steps.size // 2 - 1, ladder[-1]
    pitch = strip + _WHOLE * -(-2 * halo // _WHOLE)
    size = (ladder.size + 1) * pitch
    ring = 2 * reach + 2
    work = aligned(2 * size + ring * strip, plane)
    starts = np.empty(steps.size, np.int64)
    for k in range(steps.size):
        starts[k] = steps[k] * pitch
        if steps[k] < ladder.size:
            starts[k] += halo - ladder[steps[k]]
    for left in range(0, width, strip):
        n = min(strip, width - left)
        _fill(work, 0, work.size, lost)
        for y in range(0, height + reach, 2):
            for k in range(2):
                if y + k < height:
                    _load(plane, width, y + k, left, n, halo, lost, work, k * size)
                    _widen(work, k * size, ladder, pitch, darkest)
                else:
                    _fill(work, k * size, ladder.size * pitch, lost)
            for k in range(ring):
                to = y - reach + k
                if 0 <= to < height:
                    into = 2 * size + to % ring * strip
                    upper, lower = starts[k + 1], size + starts[k]
                    _merge(work, upper, lower, into, strip, darkest)
            for to in range(max(y - reach, 0), min(y - reach + 2, height)):
                into = 2 * size + to % ring * strip
                _copy(work, into, out, to * width + left, n)
                _fill(work, into, strip, lost)


@jit
def _widen(work: Array, at: int, ladder: Array, pitch: int, darkest: bool) -> None:
    """Write below a row the extremum over each half width, one row after another."""
    for k in range(1, ladder.size):
        step = ladder[k] - ladder[k - 1]
        # two of the one before leave out the middle where that is a single pixel
        middle = at + step if k == 1 else at
        _best(work, at, middle, at + 2 * step, darkest, work, at + pitch, pitch)
        at += pitch


@jit
def _load(
    plane: Array,
    width: int,
    y: int,
    left: int,
    n: int,
    halo: int,
    lost: Array,
    work: Array,
    at: int,
) -> None:
    """Copy a part of a row with a halo on both sides; outside loses."""
    first, last = max(left - halo, 0), min(left + n + halo, width)
    before, after = first - left + halo, left + n + halo - last
    _fill(work, at, before, lost)
    _copy(plane, y * width + first, work, at + before, last - first)
    _fill(work, at + before + last - first, after, lost)


@jit
def _best(
    work: Array,
    a: int,
    b: int,
    c: int,
    darkest: bool,
    out: Array,
    into: int,
    n: int,
) -> None:
    """Write the extremum of three rows, which are not where it is written."""
    p, q, r, best = work[a : a + n], work[b : b + n], work[c : c + n], out[into:][:n]
    if darkest:
        for x in range(n):
            least = p[x] if p[x] < q[x] else q[x]
            best[x] = least if least < r[x] else r[x]
    else:
        for x in range(n):
            most = p[x] if p[x] > q[x] else q[x]
            best[x] = most if most > r[x] else r[x]


@jit
def _merge(work: Array, a: int, b: int, into: int, n: int, darkest: bool) -> None:
    """Compare a row with two others, and keep the extremum in it."""
    p, q, best = work[a : a + n], work[b : b + n], work[into : into + n]
    if darkest:
        for x in range(n):
            least = p[x] if p[x] < q[x] else q[x]
            best[x] = best[x] if best[x] < least else least
    else:
        for x in range(n):
            most = p[x] if p[x] > q[x] else q[x]
            best[x] = best[x] if best[x] > most else most


@jit
def _copy(source: Array, a: int, into: Array, b: int, n: int) -> None:
    old, new = source[a : a + n], into[b : b + n]
    for x in range(n):
        new[x] = old[x]


@jit
def _fill(work: Array, at: int, n: int, value: Array) -> None:
    part = work[at : at + n]
    for x in range(n):
        part[x] = value
