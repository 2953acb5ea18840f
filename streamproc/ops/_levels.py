"""The grey level that parts dark from bright, by scikit-image's formulas.

The mixture of single and double precision is theirs too, so that the results are equal
to the last bit.
"""

import numpy as np

from ..frame import Array
from ._histogram import Histogram


def otsu(h: Histogram) -> float:
    """Return the level with the largest variance between what is below and above.

    Empty bins change no sum, so that leaving them out changes nothing; the mixture of
    single and double precision is scikit-image's.
    """
    counts = h.counts.astype(np.float32)
    below = np.cumsum(counts)
    above = np.cumsum(counts[::-1])[::-1]
    weighted = counts * h.levels
    with np.errstate(over="ignore", invalid="ignore"):
        darker = np.cumsum(weighted) / below
        brighter = (np.cumsum(weighted[::-1]) / above[::-1])[::-1]
        between = below[:-1] * above[1:] * (darker[:-1] - brighter[1:]) ** 2
    return float(h.levels[np.argmax(between)])


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
