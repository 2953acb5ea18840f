"""Where the runs of an object meet those of the row above: its topology, its outline.

All runs of a row lie apart, so that what meets between two rows decides how many
pieces and holes there are, and how often lines in four directions enter the object.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._runs import Runs


@dataclass(frozen=True, slots=True)
class Contacts:
    """What every object of a plane has.

    ``runs``, ``pairs`` of runs that touch between rows (corners count), and ``shared``:
    pixels with a pixel of the same object below to the left, straight below and below
    to the right.
    """

    area: NDArray[np.int64]
    runs: NDArray[np.int64]
    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]

    def euler_number(self) -> NDArray[np.int64]:
        """Return pieces less holes, where corners connect a piece."""
        return self.runs - self.pairs

    def crofton(self) -> NDArray[np.float64]:
        """Return the perimeter by the lines that enter an object in four directions.

        S. Rivollier (2010), as in ``skimage.measure.perimeter_crofton``.
        """
        slanted = 2 * self.area - self.shared[:, 0] - self.shared[:, 2]
        straight = self.runs + self.area - self.shared[:, 1]
        return np.asarray(np.pi / 4 * (straight + slanted / np.sqrt(2)))


def contacts(runs: Runs, place: NDArray[np.int64], area: NDArray[np.int64]) -> Contacts:
    """Return the contacts of every object of a plane."""
    count = len(area)
    found = Contacts(
        area,
        np.bincount(place, minlength=count),
        np.zeros(count, np.int64),
        np.zeros((count, 3), np.int64),
    )
    _meet(runs.first, runs.start, runs.stop, place, found.pairs, found.shared)
    return found


@jit
def _meet(
    first: Array, start: Array, stop: Array, place: Array, pairs: Array, shared: Array
) -> None:
    for line in range(1, first.size - 1):
        low, end = first[line - 1], first[line]
        for i in range(first[line], first[line + 1]):
            a, b, k = start[i], stop[i], place[i]
            while low < end and stop[low] < a:
                low += 1
            j = low
            while j < end and start[j] <= b:
                if place[j] == k:
                    pairs[k] += 1
                    for shift in range(3):
                        left = max(a, start[j] + shift - 1)
                        right = min(b, stop[j] + shift - 1)
                        shared[k, shift] += max(right - left, 0)
                j += 1
