"""A rank of every window at once: a selection network on whole rows.

A network of compare-and-exchange steps sorts without branches, so that each step is
one pass over rows of pixels, many at a time. K. E. Batcher (1968), "Sorting networks
and their applications", doi:10.1145/1468075.1468121; steps that the wanted rank does
not depend on are left out.
"""

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: The rows of a window, in bytes: they stay in the cache from step to step.
_ROWS = 1 << 18
_BOTH, _LOW, _HIGH = 0, 1, 2

#: Compare the values at two places: whether the lower, whether the higher is kept.
Step: TypeAlias = tuple[int, int, bool, bool]


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
    steps, place = _network(count, rank)
    _run(volume, size, depth, steps, place, rows, out.reshape(-1, *out.shape[-2:]))


@lru_cache(maxsize=64)
def _network(count: int, rank: int) -> tuple[NDArray[np.int32], int]:
    """Return steps (a, b, what to keep of it) that find the rank, and where."""
    steps: list[Step] = []
    place = ordered(list(range(count)), steps)[rank]
    kept = [
        (a, b, _BOTH if low and high else (_LOW if low else _HIGH))
        for a, b, low, high in needed(steps, [place])
    ]
    return np.array(kept, np.int32).reshape(-1, 3), place


def ordered(places: list[int], steps: list[Step]) -> list[int]:
    """Add the steps that sort the values at some places; return these in order."""
    half = len(places) // 2
    if not half:
        return places
    return merged(ordered(places[:half], steps), ordered(places[half:], steps), steps)


def merged(a: list[int], b: list[int], steps: list[Step]) -> list[int]:
    """Add the steps that merge two sorted lists; return their places in order.

    Every other one of both lists, and the rest, are merged, then neighbours compared.
    """
    if not a or not b:
        return a + b
    if len(a) == len(b) == 1:
        steps.append((a[0], b[0], True, True))
        return a + b
    even, odd = merged(a[::2], b[::2], steps), merged(a[1::2], b[1::2], steps)
    found = even[:1]
    for low, high in zip(odd, even[1:], strict=False):
        steps.append((low, high, True, True))
        found += [low, high]
    compared = len(found) // 2
    return found + odd[compared:] + even[1 + compared :]


def needed(steps: list[Step], wanted: list[int]) -> list[Step]:
    """Return the steps on which some places depend, and what to keep of each."""
    known, kept = set(wanted), []
    for a, b, _, _ in reversed(steps):
        if a in known or b in known:
            kept.append((a, b, a in known, b in known))
            known |= {a, b}
    return kept[::-1]


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
