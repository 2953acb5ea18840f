"""A rank of every window at once: a selection network on whole rows.

A network of compare-and-exchange steps sorts without branches, so that each step is
one pass over rows of pixels, many at a time. K. E. Batcher (1968), "Sorting networks
and their applications", doi:10.1145/1468075.1468121; steps that the wanted rank does
not depend on are left out.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: The rows of a window, in bytes: they stay in the cache from step to step.
_ROWS = 1 << 18
_BOTH, _LOW, _HIGH = 0, 1, 2


def select(padded: Array, size: int, rank: int, out: Array) -> None:
    """Write the pixel of that rank in each window of ``padded`` into ``out``.

    ``padded`` is larger than ``out`` by ``size - 1`` along each axis, which may be
    two or three. It holds no NaN.
    """
    depth = size if out.ndim == 3 else 1
    volume = padded.reshape(-1, *padded.shape[-2:])
    count = depth * size * size
    block = max(256, _ROWS // (count * out.itemsize))
    rows = np.empty((count, min(block, out.shape[-1])), out.dtype)
    steps = _network(count, rank)
    _run(volume, size, depth, steps, rank, rows, out.reshape(-1, *out.shape[-2:]))


@lru_cache(maxsize=64)
def _network(count: int, rank: int) -> NDArray[np.int32]:
    """Return steps (a, b, what to keep of it) that bring the rank to its place."""
    needed = {rank}
    steps = []
    for a, b in reversed(_batcher(count)):
        kept = (a in needed, b in needed)
        if any(kept):
            which = _BOTH if all(kept) else (_LOW if kept[0] else _HIGH)
            steps.append((a, b, which))
            needed |= {a, b}
    return np.array(steps[::-1], np.int32).reshape(-1, 3)


def _batcher(count: int) -> list[tuple[int, int]]:
    """Return Batcher's odd-even merge sort of ``count`` numbers."""
    steps = []
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        steps.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return steps


@jit
def _run(
    padded: Array,
    side: int,
    depth: int,
    steps: Array,
    place: int,
    rows: Array,
    out: Array,
) -> None:
    planes, height, width = out.shape
    for z in range(planes):
        for y in range(height):
            for start in range(0, width, rows.shape[1]):
                n = min(rows.shape[1], width - start)
                k = 0
                for dz in range(depth):
                    for dy in range(side):
                        line = padded[z + dz, y + dy]
                        for dx in range(side):
                            _copy(rows[k], line[start + dx :], n)
                            k += 1
                for s in range(len(steps)):
                    low, high = rows[steps[s, 0]], rows[steps[s, 1]]
                    if steps[s, 2] == _BOTH:
                        _exchange(low, high, n)
                    elif steps[s, 2] == _LOW:
                        _keep_low(low, high, n)
                    else:
                        _keep_high(low, high, n)
                _copy(out[z, y, start:], rows[place], n)


@jit
def _copy(into: Array, row: Array, n: int) -> None:
    for x in range(n):
        into[x] = row[x]


@jit
def _exchange(low: Array, high: Array, n: int) -> None:
    for x in range(n):
        a, b = low[x], high[x]
        low[x] = a if a < b else b
        high[x] = b if a < b else a


@jit
def _keep_low(low: Array, high: Array, n: int) -> None:
    for x in range(n):
        a, b = low[x], high[x]
        low[x] = a if a < b else b


@jit
def _keep_high(low: Array, high: Array, n: int) -> None:
    for x in range(n):
        a, b = low[x], high[x]
        high[x] = b if a < b else a
