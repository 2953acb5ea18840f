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
    counts = count_real(flat, edges, scale)
    return Histogram(counts, (edges[:-1] + edges[1:]) / 2.0)


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


def count_real(flat: Array, edges: Array, scale: Array) -> NDArray[np.int64]:
    """Count the pixels between each two edges, the last edge included.

    Where numpy.histogram puts a pixel is decided by its edges too; ``scale``, bins per
    grey level, only tells where to look first.
    """
    # of guess and edges together, in bins: what lies nearer to an edge is compared
    ends = np.abs(edges[[0, -1]].astype(np.float64)).max()
    with np.errstate(over="ignore", invalid="ignore"):
        error = 8 * np.finfo(flat.dtype).eps * (len(edges) + ends * float(scale))
    near = error if error < 0.5 else 1.0
    # neighbours are alike: four tables, so that one need not wait for the other
    counts = np.zeros((4, len(edges) - 1), np.int64)
    _count_real(flat, edges, scale, flat.dtype.type(near), counts)
    return np.asarray(counts.sum(axis=0))


@jit
def _count_real(
    flat: Array, edges: Array, scale: Array, near: Array, counts: Array
) -> None:
    low, far = edges[0], edges.dtype.type(1) - near
    last = np.int32(counts.shape[1] - 1)
    first, second, third, fourth = counts[0], counts[1], counts[2], counts[3]
    # by blocks, because the first of the loops can go eight pixels at a time
    guess = np.empty(1024, np.int32)
    doubtful = np.zeros(1024, np.uint8)
    words = doubtful.view(np.uint64)
    for begin in range(0, flat.size, 1024):
        block = flat[begin : begin + 1024]
        for i in range(block.size):
            place = (block[i] - low) * scale
            k = np.int32(place)
            rest = place - k
            doubtful[i] = not (rest >= near and rest <= far)
            guess[i] = max(min(k, last), np.int32(0))
        for w in range((block.size + 7) // 8):
            if words[w] != 0:
                for i in range(8 * w, min(8 * w + 8, block.size)):
                    guess[i] = _settled(block[i], guess[i], edges, last)
        whole = block.size - block.size % 4
        for i in range(0, whole, 4):
            # unsigned, or numba looks for negative indices
            first[np.uint32(guess[i])] += 1
            second[np.uint32(guess[i + 1])] += 1
            third[np.uint32(guess[i + 2])] += 1
            fourth[np.uint32(guess[i + 3])] += 1
        for i in range(whole, block.size):
            first[np.uint32(guess[i])] += 1


@jit
def _settled(value: Array, guess: np.int32, edges: Array, last: np.int32) -> np.int32:
    """Return the bin that the edges say, near the one guessed."""
    k = np.uint64(guess)
    while k > 0 and value < edges[k]:
        k -= np.uint64(1)
    while k < np.uint64(last) and value >= edges[k + np.uint64(1)]:
        k += np.uint64(1)
    return np.int32(k)
