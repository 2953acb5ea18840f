"""How often grey levels lie side by side within objects, and what follows from it.

A matrix of all pairs of levels for each object would cost its size, however few pixels
the object has. All features but one are sums over pairs of pixels; the sum of squares
grows with each count by twice the count and one.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._objects import Objects

#: The columns of what `cooccurrence` returns.
FEATURES = (
    "contrast",
    "dissimilarity",
    "homogeneity",
    "energy",
    "correlation",
    "ASM",
)


def cooccurrence(
    objects: Objects, levels: NDArray[np.int32], count: int, distance: int
) -> NDArray[np.float64]:
    """Return the features of every object, averaged over directions.

    ``levels`` holds the level of every pixel, from 0 to ``count - 1``; -1 is no level.
    A direction in which an object has no pairs is left out.
    """
    runs, place = objects.runs, objects.place
    line = np.repeat(np.arange(len(runs.first) - 1), np.diff(runs.first))
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(objects.present) + 1))
    planes = (-1, *objects.shape[-2:])
    found = np.full((len(objects.present), len(FEATURES)), np.nan)
    _features(
        objects.labels.reshape(planes), levels.reshape(planes), line[order],
        runs.start[order], runs.stop[order], bounds,
        _steps(objects.ndim, distance), count, found,
    )  # fmt: skip
    return found


def _steps(ndim: int, distance: int) -> NDArray[np.int64]:
    """Return the steps z, y, x to the other pixel of a pair.

    Half of the directions to the neighbours of a pixel: four in a plane, thirteen in a
    volume; rounded as in ``skimage.feature.graycomatrix``.
    """
    around = [d for d in product((-1, 0, 1), repeat=ndim) if d > (0,) * ndim]
    unit = np.array([(0,) * (3 - ndim) + d for d in around], np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return np.rint(unit * distance).astype(np.int64)


@jit
def _features(
    labels: Array,
    levels: Array,
    line: Array,
    start: Array,
    stop: Array,
    bounds: Array,
    steps: Array,
    count: int,
    found: Array,
) -> None:
    depth, height, width = labels.shape
    table = np.zeros(count * count, np.int64)
    # the table is emptied by what was written into it
    written = np.empty(labels.size, np.int64)
    likeness = 1.0 / (1.0 + np.arange(count, dtype=np.float64) ** 2)
    for k in range(found.shape[0]):
        sums, directions = np.zeros(found.shape[1]), 0
        for s in range(steps.shape[0]):
            dz, dy, dx = steps[s]
            pairs, base, differ = 0, np.int64(0), False
            squares, apart = np.int64(0), np.int64(0)
            one, both, cross = np.int64(0), np.int64(0), np.int64(0)
            like = 0.0
            for r in range(bounds[k], bounds[k + 1]):
                z, y = line[r] // height, line[r] % height
                if not (0 <= z + dz < depth and 0 <= y + dy < height):
                    continue
                v = labels[z, y, start[r]]
                beside, other = labels[z + dz, y + dy], levels[z + dz, y + dy]
                for x in range(max(start[r], -dx), min(stop[r], width - dx)):
                    if beside[x + dx] != v:
                        continue
                    i, j = np.int64(levels[z, y, x]), np.int64(other[x + dx])
                    if i < 0 or j < 0:
                        continue
                    written[pairs] = min(i, j) * count + max(i, j)
                    d = abs(i - j)
                    squares += d * d
                    apart += d
                    like += likeness[d]
                    # around a level of its own a spread loses no digits
                    if pairs == 0:
                        base = i
                    i -= base
                    j -= base
                    differ |= i != 0 or j != 0
                    one += i + j
                    both += i * i + j * j
                    cross += 2 * i * j
                    pairs += 1
            if pairs == 0:
                continue
            directions += 1
            mass = _mass(table, written[:pairs], count) / (4.0 * pairs * pairs)
            mean = one / (2.0 * pairs)
            spread = both / (2.0 * pairs) - mean * mean
            sums[0] += squares / pairs
            sums[1] += apart / pairs
            sums[2] += like / pairs
            sums[3] += np.sqrt(mass)
            alike = cross / (2.0 * pairs) - mean * mean
            sums[4] += alike / spread if differ else 1.0
            sums[5] += mass
        if directions:
            found[k] = sums / directions


@jit
def _mass(table: Array, written: Array, count: int) -> float:
    """Return the sum of squares of the symmetric matrix of these pairs of levels."""
    mass = 0.0
    for p in range(written.size):
        table[written[p]] += 1
    for p in range(written.size):
        n = table[written[p]]
        if n:
            equal = written[p] // count == written[p] % count
            # n pairs of two levels fill two cells, those of one level count double
            mass += (4.0 if equal else 2.0) * n * n
            table[written[p]] = 0
    return mass
