"""The length of the outline of every object."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._runs import Runs

_SQRT2 = np.sqrt(2.0)

#: What a border pixel adds, by 1 + 2 * direct + 10 * diagonal neighbours on the
#: border: 0 nothing, 1 a straight step, 2 a slanted one, 3 half of each.
_STEP = np.zeros(50, np.int64)
_STEP[[5, 7, 15, 17, 25, 27]] = 1
_STEP[[21, 33]] = 2
_STEP[[13, 23]] = 3


def perimeters(
    image: Array, runs: Runs, place: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    """Return the length of the line through the border pixels of every object.

    K. Benkrid and D. Crookes, "Design and FPGA implementation of a perimeter
    estimator"; weights as in ``skimage.measure.perimeter``.
    """
    steps = np.zeros((count, 4), np.int64)
    _count_border(image, runs.first, runs.start, runs.stop, place, steps)
    _, straight, slanted, corner = steps.T
    return np.asarray(straight + slanted * _SQRT2 + corner * ((1 + _SQRT2) / 2))


@jit
def _count_border(
    image: Array, first: Array, start: Array, stop: Array, place: Array, steps: Array
) -> None:
    """Count straight, slanted and corner steps by the neighbours on the border."""
    height, width = image.shape
    # the labels of border pixels alone, with a margin
    edge = np.zeros((height + 2, width + 2), image.dtype)
    for y in range(height):
        for i in range(first[y], first[y + 1]):
            a, b = start[i], stop[i]
            v = image[y, a]
            out = edge[y + 1, 1:]
            if y == 0 or y == height - 1:
                out[a:b] = v
                continue
            above, below = image[y - 1], image[y + 1]
            for x in range(a, b):
                out[x] = v * ((above[x] != v) | (below[x] != v))
            # a run ends where the label does
            out[a] = v
            out[b - 1] = v
    for y in range(height):
        above, here, below = edge[y], edge[y + 1], edge[y + 2]
        for i in range(first[y], first[y + 1]):
            s = steps[place[i]]
            v = image[y, start[i]]
            for x in range(start[i] + 1, stop[i] + 1):
                if here[x] == v:
                    direct = (
                        int(above[x] == v)
                        + int(below[x] == v)
                        + int(here[x - 1] == v)
                        + int(here[x + 1] == v)
                    )
                    diagonal = (
                        int(above[x - 1] == v)
                        + int(above[x + 1] == v)
                        + int(below[x - 1] == v)
                        + int(below[x + 1] == v)
                    )
                    s[_STEP[1 + 2 * direct + 10 * diagonal]] += 1
