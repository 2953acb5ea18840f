"""Histograms that equal scikit-image's, without the interpreter's lock."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

BINS = 256
#: Whole numbers that span more levels than this are sorted instead of counted.
_DENSE = 1 << 22


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts and the grey level of each bin.

    Of whole numbers every level that occurs is a bin (ascending, none empty); of
    real numbers there are 256 bins of equal width between the smallest and the
    largest, empty ones included.
    """

    counts: NDArray[np.int64]
    levels: Array


def histogram(image: Array, low: Array, high: Array) -> Histogram:
    """Return the histogram of finite pixels from ``low`` to ``high``.

    Of real numbers these two differ.
    """
    flat = image.reshape(-1)
    if flat.dtype.kind in "iu":
        return _of_whole(flat, int(low), int(high))
    # scikit-image gets its edges from this very call, rounding and all
    edges = np.linspace(low, high, BINS + 1, dtype=flat.dtype)
    with np.errstate(over="ignore"):
        scale = flat.dtype.type(BINS) / (high - low)
    counts = np.zeros((2, BINS), np.int64)
    count_real(flat, edges, scale, counts)
    return Histogram(counts.sum(axis=0), (edges[:-1] + edges[1:]) / 2.0)


def _of_whole(flat: Array, low: int, high: int) -> Histogram:
    if high - low > _DENSE:
        levels, counts = np.unique(flat, return_counts=True)
        return Histogram(counts.astype(np.int64), levels.astype(np.int64))
    table = np.zeros(high - low + 1, np.int64)
    _count_whole(flat, low, table)
    present = np.flatnonzero(table)
    return Histogram(table[present], present + low)


@jit
def _count_whole(flat: Array, low: int, table: Array) -> None:
    for i in range(flat.size):
        # unsigned, or numba looks for negative indices
        table[np.uint64(np.int64(flat[i]) - low)] += 1


@jit
def count_real(flat: Array, edges: Array, scale: Array, counts: Array) -> None:
    """Count the pixels between each two edges, the last edge included.

    Where numpy.histogram puts a pixel is decided by its edges too; how near the first
    guess is does not matter.
    """
    low = edges[0]
    last = np.int32(counts.shape[1] - 1)
    # neighbours are alike: two tables, so that one need not wait for the other
    even, odd = counts[0], counts[1]
    # by blocks, because the first of the two loops can go eight pixels at a time
    guess = np.empty(1024, np.int32)
    for begin in range(0, flat.size, guess.size):
        block = flat[begin : begin + guess.size]
        for i in range(block.size):
            place = np.int32((block[i] - low) * scale)
            guess[i] = max(min(place, last), np.int32(0))
        for i in range(block.size):
            k = np.uint64(guess[i])
            while k > 0 and block[i] < edges[k]:
                k -= np.uint64(1)
            while k < np.uint64(last) and block[i] >= edges[k + np.uint64(1)]:
                k += np.uint64(1)
            if i & 1:
                odd[k] += 1
            else:
                even[k] += 1
