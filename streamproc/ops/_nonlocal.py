"""Non-local means of planes: each shift of the image against itself, row by row.

J. Darbon, A. Cunha, T. F. Chan, S. Osher and G. J. Jensen (2008), "Fast nonlocal
filtering applied to electron cryomicroscopy", doi:10.1109/ISBI.2008.4541250, with
scikit-image's rules: a patch is compared without its first row and column, a distance
above 5 does not count, and the exponential is N. Schraudolph's (1999), "A fast, compact
approximation of the exponential function", doi:10.1162/089976699300016467.
"""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._box import join, join_three
from ._jit import jit
from ._pixels import single

_FARTHEST = 5.0
_STEEP, _START = 2**20 / np.log(2), 1023 * 2**20 - 60801
#: So many rows take all their shifts before the next: they stay in the cache.
_ROWS = 32


def nonlocal_mean(
    plane: Array, patch_size: int, patch_distance: int, h: float, sigma: float
) -> NDArray[np.float32]:
    """Return the mean of pixels around, by how alike their patches are."""
    radius = patch_size // 2
    margin = radius + patch_distance + 1
    padded = np.pad(single(plane).astype(np.float64), margin, "reflect")
    total, weights = np.zeros_like(padded), np.zeros_like(padded)
    share = 1 / (h * h * patch_size * patch_size)
    noise = 2 * sigma * sigma
    _compare(padded, radius, patch_distance, share, noise, total, weights)
    inner = (slice(margin, -margin),) * 2
    with np.errstate(invalid="ignore"):  # NaN is like nothing, not even itself
        return np.asarray(total[inner] / weights[inner], np.float32)


@jit
def _compare(
    padded: Array,
    radius: int,
    distance: int,
    share: float,
    noise: float,
    total: Array,
    weights: Array,
) -> None:
    height, width = padded.shape
    margin = radius + distance + 1
    columns, sums = np.empty(width), np.empty(width)
    spare = np.empty(width)
    bits = np.empty(width, np.int64)
    alike = bits.view(np.float64)
    for block in range(0, height, _ROWS):
        for down in range(-distance, distance + 1):
            first = max(block, radius, radius - down, min(margin, margin - down))
            last = min(block + _ROWS, height - radius, height - radius - down)
            last = min(last, max(height - margin, height - margin - down))
            for across in range(distance + 1):
                half = 0.5 if across == 0 else 1.0
                n = width - across
                for y in range(first, last):
                    if y == first:
                        columns[:] = 0
                        for k in range(y - radius + 1, y + radius + 1):
                            _enter(padded[k], padded[k + down, across:], noise, columns)
                    else:
                        _enter(
                            padded[y + radius],
                            padded[y + radius + down, across:],
                            noise,
                            columns,
                        )
                        _leave(
                            padded[y - radius],
                            padded[y - radius + down, across:],
                            noise,
                            columns,
                        )
                    count = n - 2 * radius
                    _sum(columns, 2 * radius, n, sums, spare)
                    _weigh(sums[1:], share, half, count, bits)
                    here, there = slice(radius, None), slice(radius + across, None)
                    shifted = y + down
                    _gather(alike, count, weights[y, here])
                    _gather(alike, count, weights[shifted, there])
                    _blend(alike, padded[shifted, there], count, total[y, here])
                    _blend(alike, padded[y, here], count, total[shifted, there])


@jit
def _enter(row: Array, other: Array, noise: float, columns: Array) -> None:
    for x in range(other.size):
        difference = row[x] - other[x]
        columns[x] += difference * difference - noise


@jit
def _leave(row: Array, other: Array, noise: float, columns: Array) -> None:
    for x in range(other.size):
        difference = row[x] - other[x]
        columns[x] -= difference * difference - noise


@jit
def _sum(columns: Array, length: int, n: int, sums: Array, spare: Array) -> None:
    """Write the sum of ``length`` neighbours from each on, doubling its reach."""
    if length == 0:
        sums[:] = 0
        return
    here, there = sums, spare
    here[:n] = columns[:n]
    reach = 1
    bit = 0
    while length >> (bit + 1):
        bit += 1
    while bit > 0:
        bit -= 1
        odd = length >> bit & 1
        count = n - 2 * reach + 1 - odd
        if odd:
            join_three(here, here[reach:], columns[2 * reach :], count, there)
        else:
            join(here, here[reach:], count, there)
        here, there = there, here
        reach = 2 * reach + odd
    sums[:n] = here[:n]


@jit
def _weigh(sums: Array, share: float, half: float, count: int, bits: Array) -> None:
    """Write weights as the bits of float64: the exponent's bits rise like a line."""
    weights = bits.view(np.float64)
    for x in range(count):
        far = sums[x] * share
        far = far if far > 0 else 0.0
        far = far if far < 6 else 6.0
        bits[x] = (np.int64(-_STEEP * far) + _START) << 32
    for x in range(count):
        weights[x] = half * weights[x] if sums[x] * share <= _FARTHEST else 0.0


@jit
def _gather(weights: Array, count: int, out: Array) -> None:
    for x in range(count):
        out[x] += weights[x]


@jit
def _blend(weights: Array, row: Array, count: int, out: Array) -> None:
    for x in range(count):
        out[x] += weights[x] * row[x]
