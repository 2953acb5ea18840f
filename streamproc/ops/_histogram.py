"""Histograms that equal scikit-image's, without the interpreter's lock."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

BINS = 256
#: Whole numbers that span more levels than this are sorted instead of counted.
_DENSE = 1 << 22
#: Whole numbers that span no more levels than this are counted in several tables.
_NARROW = 4096
#: Each has an eighth of the pixels, so that 32 bits suffice.
_TABLES = 8
#: Pixels at a step: a loop of known length over them becomes vector instructions.
_BLOCK = 128


def extremes(image: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest pixel; with NaN, one of both is NaN."""
    if image.dtype.kind != "f":
        return image.min(), image.max()
    whole = np.dtype(f"i{image.itemsize}")
    top = np.iinfo(whole).max
    keys = np.array(_extremes(image.reshape(-1).view(whole), whole.type(top)), whole)
    signs = keys >> (8 * whole.itemsize - 1)
    low, high = (keys ^ (signs & top)).view(image.dtype)
    return low, high


@jit
def _extremes(bits: Array, top: Array) -> tuple[Array, Array]:
    """Return the extremes of floating-point bits as whole numbers of the same order.

    Whole numbers, because a loop that heeds NaN takes one pixel at a time.
    """
    low, high = bits.dtype.type(top), bits.dtype.type(~top)
    for i in range(bits.size):
        # to the dtype again and again, or numba makes all of it 64 bits wide
        sign = bits.dtype.type(bits[i] >> (8 * bits.itemsize - 1))
        key = bits.dtype.type(bits[i] ^ (sign & top))
        low = min(low, key)
        high = max(high, key)
    return low, high


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
    if low >= 0 and high < _NARROW:
        low = 0  # nothing to subtract from each pixel
    span = high - low + 1
    if span > _NARROW:
        table = np.zeros(span, np.int64)
        _count_whole(flat, low, table)
    else:
        tables = np.zeros((_TABLES, span), np.uint32)
        _count_narrow(flat, low, tables)
        table = np.asarray(tables.sum(axis=0), np.int64)
    present = np.flatnonzero(table)
    return Histogram(table[present], present + low)


@jit
def _count_whole(flat: Array, low: int, table: Array) -> None:
    for i in range(flat.size):
        # unsigned, or numba looks for negative indices
        table[np.uint64(np.int64(flat[i]) - low)] += 1


@jit
def _count_narrow(flat: Array, low: int, tables: Array) -> None:
    level = np.empty(_BLOCK, np.int32)
    whole = flat.size - flat.size % _BLOCK
    for begin in range(0, whole, _BLOCK):
        block = flat[begin : begin + _BLOCK]
        if low == 0:
            _add(block, tables)
        else:
            for i in range(_BLOCK):
                level[i] = np.int64(block[i]) - low
            _add(level, tables)
    for i in range(whole, flat.size):
        tables[0, np.int64(flat[i]) - low] += np.uint32(1)


def count_real(flat: Array, edges: Array, scale: Array) -> NDArray[np.int64]:
    """Count the pixels between each two edges, the last edge included.

    Where numpy.histogram puts a pixel is decided by its edges too; ``scale``, bins per
    grey level, only tells where to look first.
    """
    # of guess and edges together, in bins: what lies nearer to an edge is compared
    ends = max(abs(float(edges[0])), abs(float(edges[-1])))
    error = 8 * float(np.finfo(flat.dtype).eps) * (len(edges) + ends * float(scale))
    # nothing is NaN above a bin or more: where guesses are that poor, compare all
    near = (error, 2 * error) if error < 0.25 else (0.0, np.nan)
    bins = len(edges) - 1
    # processors take places a multiple of 4096 bytes apart for the same one, and wait
    counts = np.zeros((_TABLES, bins + 24), np.uint32)
    _count_real(flat, edges, scale, np.array(near, flat.dtype), counts)
    return np.asarray(counts[:, :bins].sum(axis=0), np.int64)


@jit
def _count_real(
    flat: Array, edges: Array, scale: Array, near: Array, counts: Array
) -> None:
    low, aside, wide = edges[0], near[0], near[1]
    last = np.int32(edges.size - 2)
    guess = np.empty(_BLOCK, np.int32)
    doubtful = np.zeros(_BLOCK, np.uint8)
    words = doubtful.view(np.uint64)
    whole = flat.size - flat.size % _BLOCK
    for begin in range(0, whole, _BLOCK):
        block = flat[begin : begin + _BLOCK]
        # moved aside, a pixel near to either side of an edge is just above a bin
        for i in range(_BLOCK):
            place = (block[i] - low) * scale + aside
            k = np.int32(place)
            doubtful[i] = not (place - edges.dtype.type(k) >= wide)
            guess[i] = max(min(k, last), np.int32(0))
        for w in range(words.size):
            if words[w] != 0:
                for i in range(8 * w, 8 * w + 8):
                    if doubtful[i]:
                        guess[i] = _settled(block[i], guess[i], edges, last)
        _add(guess, counts)
    for i in range(whole, flat.size):
        k = max(min(np.int32((flat[i] - low) * scale), last), np.int32(0))
        counts[0, _settled(flat[i], k, edges, last)] += np.uint32(1)


@jit
def _add(bins: Array, counts: Array) -> None:
    """Count a block; neighbours are alike and need not wait for each other."""
    a, b, c, d = counts[0], counts[1], counts[2], counts[3]
    e, f, g, h = counts[4], counts[5], counts[6], counts[7]
    for i in range(0, _BLOCK, 8):
        # unsigned, or numba looks for negative indices
        a[np.uint32(bins[i])] += np.uint32(1)
        b[np.uint32(bins[i + 1])] += np.uint32(1)
        c[np.uint32(bins[i + 2])] += np.uint32(1)
        d[np.uint32(bins[i + 3])] += np.uint32(1)
        e[np.uint32(bins[i + 4])] += np.uint32(1)
        f[np.uint32(bins[i + 5])] += np.uint32(1)
        g[np.uint32(bins[i + 6])] += np.uint32(1)
        h[np.uint32(bins[i + 7])] += np.uint32(1)


@jit
def _settled(value: Array, guess: np.int32, edges: Array, last: np.int32) -> np.int32:
    """Return the bin that the edges say, near the one guessed."""
    k = np.uint64(guess)
    while k > 0 and value < edges[k]:
        k -= np.uint64(1)
    while k < np.uint64(last) and value >= edges[k + np.uint64(1)]:
        k += np.uint64(1)
    return np.int32(k)
