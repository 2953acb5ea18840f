"""The grey level that parts dark from bright, by scikit-image's formulas.

The mixture of single and double precision is theirs too, so that the results are equal
to the last bit.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from ..frame import Array
from ._histogram import Histogram
from ._jit import jit

#: A longer table of levels is not made.
_DENSE = 1 << 22
#: How often scikit-image smooths a histogram at most.
_ROUNDS = 10000


def otsu(h: Histogram) -> float:
    """Return the level with the largest variance between what is below and above.

    Empty bins change no sum, so that leaving them out changes nothing; the mixture of
    single and double precision is scikit-image's.
    """
    return float(h.levels[_otsu(h.counts.astype(np.float32), h.levels)])


@jit
def _otsu(counts: Array, levels: Array) -> int:
    last = counts.size - 1
    weighted = counts * levels
    # of the bins from each one on
    above, brighter = np.empty_like(counts), np.empty_like(weighted)
    above[last], brighter[last] = counts[last], weighted[last]
    for i in range(last - 1, -1, -1):
        above[i] = above[i + 1] + counts[i]
        brighter[i] = brighter[i + 1] + weighted[i]
    below, darker = np.zeros_like(counts[:1]), np.zeros_like(weighted[:1])
    between = np.empty_like(weighted[:last])
    for i in range(last):
        below[0] += counts[i]
        darker[0] += weighted[i]
        # divided by numpy's rules, where a sum is 0
        low = np.divide(darker[0], below[0])
        apart = low - np.divide(brighter[i + 1], above[i + 1])
        between[i] = below[0] * above[i + 1] * (apart * apart)
    return int(np.argmax(between))


def triangle(h: Histogram) -> float:
    """Return the level farthest below the line from the peak to the longer tail."""
    counts, levels = h.counts, h.levels
    if levels.dtype.kind in "iu":
        # of the empty levels between two others only the outermost can be farthest
        levels = np.unique(np.concatenate([levels - 1, levels, levels + 1]))[1:-1]
        counts = np.zeros(len(levels), np.int64)
        counts[np.searchsorted(levels, h.levels)] = h.counts
        places = levels - levels[0]
    else:
        places = np.arange(len(levels))
    peak = int(np.argmax(counts))
    low, high = np.flatnonzero(counts)[[0, -1]]
    if places[peak] - places[low] < places[high] - places[peak]:
        counts, levels, places = counts[::-1], levels[::-1], places[-1] - places[::-1]
        low, peak = len(counts) - 1 - high, len(counts) - 1 - peak
    x = places[low:peak] - places[low]
    width, height = places[peak] - places[low], counts[peak]
    norm = np.sqrt(float(height) ** 2 + float(width) ** 2)
    distance = (height / norm) * x - (width / norm) * counts[low:peak]
    return float(levels[low + np.argmax(distance)])


def li(h: Histogram) -> float:
    """Return Li's threshold by iteration, for whole numbers."""
    # scikit-image counts in single precision
    counts = h.counts.astype(np.float32).astype(np.float64)
    levels = h.levels - h.levels[0]
    number, weight = np.cumsum(counts), np.cumsum(counts * levels)
    following = np.sum(h.counts * levels, dtype=np.float64) / h.counts.sum()
    current = -1.0
    while abs(following - current) > 0.5:
        current = following
        i = np.searchsorted(levels, current, side="right") - 1
        back = weight[i] / number[i]
        fore = (weight[-1] - weight[i]) / (number[-1] - number[i])
        if back == 0:
            break
        following = (back - fore) / (np.log(back) - np.log(fore))
    return float(following + h.levels[0])


def li_real(image: Array, low: Array) -> float:
    """Return Li's threshold by iteration, for real numbers."""
    shifted = image - low
    # sums in the dtype of the image and in its order, to round as scikit-image does
    tolerance = np.min(np.diff(np.unique(shifted))) / 2
    following, current = np.mean(shifted), -2 * tolerance
    seen: set[float] = set()
    # with close levels the steps may never be smaller than the tolerance: no step twice
    while abs(following - current) > tolerance and float(following) not in seen:
        current = following
        seen.add(float(current))
        brighter = shifted > current
        if not brighter.any():
            break
        fore, back = np.mean(shifted[brighter]), np.mean(shifted[~brighter])
        if back == 0 or back == fore:
            break
        following = (back - fore) / (np.log(back) - np.log(fore))
    return float(following + low)


def yen(h: Histogram) -> float:
    """Return the level of the largest entropic correlation of both sides."""
    shares = h.counts.astype(np.float32) / _total(h)
    below = np.cumsum(shares)
    squares = np.cumsum(shares**2)
    above = np.cumsum(shares[::-1] ** 2)[::-1]
    # past the last digit of `below` the logarithm is that of 0, or of nothing
    with np.errstate(all="ignore"):
        criterion = np.log(
            ((squares[:-1] * above[1:]) ** -1) * (below[:-1] * (1.0 - below[:-1])) ** 2
        )
    return float(h.levels[np.argmax(criterion)])


def isodata(h: Histogram) -> float:
    """Return the lowest level midway between the means below and above it.

    Raises
    ------
    FrameError
        There is none, to the width of a bin.
    """
    counts = h.counts.astype(np.float32)
    below = np.cumsum(counts)
    weight = np.cumsum(counts * h.levels)
    with np.errstate(all="ignore"):
        darker = weight[:-1] / below[:-1]
        brighter = (weight[-1] - weight[:-1]) / (below[-1] - below)[:-1]
        midway = (darker + brighter) / 2.0
        if h.levels.dtype.kind in "iu":
            # an empty level below the next one that occurs is as good
            level = np.minimum(np.floor(midway), h.levels[1:] - 1)
            width = 1.0
        else:
            level, width = h.levels[:-1], h.levels[1] - h.levels[0]
        distance = midway - level
        fits = (distance >= 0) & (distance < width) & (level >= h.levels[:-1])
    if not fits.any():
        raise FrameError(
            "isodata finds no threshold in this image; take another method"
        )
    return float(level[np.argmax(fits)])


def minimum(h: Histogram) -> float:
    """Return the lowest level between two maxima of the smoothed histogram.

    Raises
    ------
    FrameError
        Smoothing does not lead to two maxima.
    """
    counts = dense(h).astype(np.float32)
    rounds, first, second = _smooth_to_two(counts, _ROUNDS)
    if second < 0 or rounds == _ROUNDS:
        raise FrameError(
            "minimum needs a histogram of two maxima, this image has not; take another"
            " method"
        )
    place = first + int(np.argmin(counts[first : second + 1]))
    if h.levels.dtype.kind in "iu":
        return float(h.levels[0] + place)
    return float(h.levels[place])


def dense(h: Histogram) -> NDArray[np.int64]:
    """Return the counts with those of the levels that do not occur.

    Raises
    ------
    FrameError
        There are too many.
    """
    if h.levels.dtype.kind not in "iu":
        return h.counts
    span = int(h.levels[-1]) - int(h.levels[0]) + 1
    if span > _DENSE:
        raise FrameError(
            f"a histogram of {span} levels is too long for this method; the most are"
            f" {_DENSE}"
        )
    table = np.zeros(span, np.int64)
    table[h.levels - h.levels[0]] = h.counts
    return table


def _total(h: Histogram) -> float:
    """Return the number of pixels as scikit-image sums it, in single precision."""
    if h.counts.sum() <= 1 << 24 or h.levels[-1] - h.levels[0] > _DENSE:
        return float(h.counts.astype(np.float32).sum())
    # past that it is rounded, and empty levels have a part in how
    return float(dense(h).astype(np.float32).sum())


@jit
def _smooth_to_two(counts: Array, most: int) -> tuple[int, int, int]:
    """Average three by three until fewer than three maxima are left.

    Returns the rounds it took, and the places of two maxima; -1 if there are not two.
    """
    n = counts.size
    wide = np.empty(n + 2)
    rounds = 0
    while rounds < most:
        wide[1:-1] = counts
        wide[0], wide[-1] = counts[0], counts[-1]
        total = wide[0] + wide[1] + wide[2]
        counts[0] = total / 3
        for i in range(1, n):
            total += wide[i + 2] - wide[i - 1]
            counts[i] = total / 3
        found, first, second, rising = 0, -1, -1, True
        for i in range(n - 1):
            if rising and counts[i + 1] < counts[i]:
                rising = False
                found += 1
                if found == 1:
                    first = i
                else:
                    second = i
            elif not rising and counts[i + 1] > counts[i]:
                rising = True
            if found > 2:
                break
        if found < 3:
            break
        rounds += 1
    return rounds, first, second
