"""Otsu's thresholds of several classes, equal to scikit-image's search of them all.

What a class from bin i to bin j adds does not depend on the others. So the best sum
that can follow a bin is known beforehand, by dynamic programming, and only the few
thresholds that come near the best of all are compared as scikit-image does: in single
precision, where the first of equals wins.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from ..frame import Array
from ._histogram import Histogram
from ._jit import jit

#: Sums this near to each other may be rounded to the same or to the other order.
_NEAR = 1e-5
#: With more bins than this, four classes or more would take scikit-image hours, and
#: the best in double precision is taken.
_WIDE = 4096


def between(h: Histogram, classes: int) -> NDArray[np.float64]:
    """Return the ``classes - 1`` levels between classes.

    Raises
    ------
    FrameError
        There are fewer levels than classes.
    """
    present = np.flatnonzero(h.counts)
    if len(present) < classes:
        raise too_few(classes, len(present))
    if len(present) == classes:
        return np.asarray(h.levels[present[:-1]], np.float64)
    place, share = _bins(h, classes)
    unequalled = classes > 3 and len(place) > _WIDE
    best = _search(place, share, classes, 1e-9 if unequalled else _NEAR)
    if h.levels.dtype.kind in "iu":
        return np.asarray(place[best] + h.levels[0], np.float64)
    return np.asarray(h.levels[place[best]], np.float64)


def too_few(classes: int, levels: int) -> FrameError:
    """Return what to raise for an image of fewer levels than classes."""
    return FrameError(
        f"multi_otsu needs at least {classes} grey levels for {classes} classes, got"
        f" {levels}"
    )


def _bins(h: Histogram, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places of the bins where a threshold may be, and their shares."""
    share = (h.counts / h.counts.sum()).astype(np.float32)
    if h.levels.dtype.kind not in "iu":
        return np.arange(len(share)), share
    known = h.levels - h.levels[0]
    # a class may be empty: then the first levels of a gap are thresholds
    every = (known[:, None] + np.arange(classes)).ravel()
    place = np.unique(every[every <= known[-1]])
    shares = np.zeros(len(place), np.float32)
    shares[np.searchsorted(place, known)] = share
    return place, shares


@jit
def _search(place: Array, share: Array, classes: int, near: float) -> Array:
    """Return the bins that the first of the best thresholds are in."""
    n = share.size
    count, weight = np.empty(n, np.float32), np.empty(n, np.float32)
    # scikit-image weighs the first bin with 1, not with 0
    count[0], weight[0] = share[0], share[0]
    for i in range(1, n):
        count[i] = count[i - 1] + share[i]
        weight[i] = weight[i - 1] + np.float32(place[i]) * share[i]
    rest = _rests(count, weight, classes)
    wanted = rest[classes, 0] * (1 - near)
    last = classes - 2
    now = np.zeros(classes - 1, np.int64)
    best = np.zeros(classes - 1, np.int64)
    before = np.zeros(classes)
    highest = np.float32(0)
    k = 0
    now[0] = -1
    while k >= 0:
        now[k] += 1
        if now[k] > n - 2 - (last - k):
            k -= 1
            continue
        start = now[k - 1] + 1 if k > 0 else 0
        so_far = before[k] + _variance(count, weight, start, now[k])
        if so_far + rest[last - k + 1, now[k] + 1] < wanted:
            continue
        if k < last:
            before[k + 1] = so_far
            now[k + 1] = now[k]
            k += 1
            continue
        total = _variance(count, weight, 0, now[0]) + _variance(
            count, weight, now[last] + 1, n - 1
        )
        for i in range(last):
            total += _variance(count, weight, now[i] + 1, now[i + 1])
        if total > highest:
            highest = total
            best[:] = now
    return best


@jit
def _variance(count: Array, weight: Array, i: int, j: int) -> np.float32:
    """Return what a class of the bins i to j adds to the variance between classes."""
    if j == 0:
        # scikit-image's table starts with bin 1
        return np.float32(0)
    number, sum_ = count[j], weight[j]
    if i > 0:
        number, sum_ = number - count[i - 1], sum_ - weight[i - 1]
    if number > 0:
        return np.float32(sum_ * sum_ / number)
    return np.float32(0)


@jit
def _rests(count: Array, weight: Array, classes: int) -> Array:
    """Return the best sum that k classes from bin i to the end can have, at [k, i].

    The later the start, the later the best end of the first class: each half of the
    starts looks on one side of the end of the middle one.
    """
    n = count.size
    rest = np.full((classes + 1, n + 1), -np.inf)
    for i in range(n):
        rest[1, i] = _variance(count, weight, i, n - 1)
    spans = np.empty((128, 4), np.int64)
    for k in range(2, classes + 1):
        spans[0] = 0, n - k, 0, n - k
        waiting = 1
        while waiting > 0:
            waiting -= 1
            low, high, first, last = spans[waiting]
            middle = (low + high) // 2
            best, end = -np.inf, first
            for j in range(max(first, middle), last + 1):
                value = _variance(count, weight, middle, j) + rest[k - 1, j + 1]
                if value > best:
                    best, end = value, j
            rest[k, middle] = best
            if low < middle:
                spans[waiting] = low, middle - 1, first, end
                waiting += 1
            if middle < high:
                spans[waiting] = middle + 1, high, end, last
                waiting += 1
    return rest
