"""How the objects of two label images overlap: shared pixels, and pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from ..frame import Array
from ._jit import jit
from ._runs import Runs, find_runs, number_values


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two label images of one shape, counted.

    ``first`` and ``second`` hold the numbers of their objects, ascending, ``areas``
    and ``others`` the pixels of each. Object ``one[i]`` of the first and object
    ``other[i]`` of the second, by their places, share ``shared[i]`` pixels.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    areas: NDArray[np.int64]
    others: NDArray[np.int64]
    one: NDArray[np.int64]
    other: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def dice(self) -> float:
        """Dice of the foregrounds; 1 where both are empty."""
        total = int(self.areas.sum() + self.others.sum())
        return 2 * int(self.shared.sum()) / total if total else 1.0

    @property
    def iou(self) -> float:
        """Intersection over union of the foregrounds; 1 where both are empty."""
        both = int(self.shared.sum())
        either = int(self.areas.sum() + self.others.sum()) - both
        return both / either if either else 1.0

    def matched(
        self, min_iou: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return places of the matched objects in both images, and their IoU.

        Above one half an object has at most one partner.
        """
        either = self.areas[self.one] + self.others[self.other] - self.shared
        iou = self.shared / either
        kept = iou > min_iou
        return self.one[kept], self.other[kept], iou[kept]


def overlap(first: Array, second: Array) -> Overlap:
    """Count what the objects of two label images share.

    Raises
    ------
    FrameError
        The shapes differ.
    """
    if first.shape != second.shape:
        raise FrameError(
            f"labels of shapes {first.shape} and {second.shape} cannot be compared; "
            "both must be of the same frame"
        )
    runs, others = find_runs(first), find_runs(second)
    present, place = number_values(runs.value)
    known, there = number_values(others.value)
    most = len(runs) + len(others)
    keys, lengths = np.empty(most, np.int64), np.empty(most, np.int64)
    count = _meet(
        *(runs.first, runs.start, runs.stop, place),
        *(others.first, others.start, others.stop, there),
        *(max(len(known), 1), keys, lengths),
    )
    pairs, which = np.unique(keys[:count], return_inverse=True)
    one, other = np.divmod(pairs, max(len(known), 1))
    return Overlap(
        present,
        known,
        _areas(runs, place, len(present)),
        _areas(others, there, len(known)),
        one,
        other,
        _sums(which, lengths[:count], len(pairs)),
    )


def _areas(runs: Runs, place: Array, count: int) -> NDArray[np.int64]:
    return _sums(place, runs.stop - runs.start, count)


def _sums(place: Array, lengths: Array, count: int) -> NDArray[np.int64]:
    # pixels of one image are exact in float64
    return np.bincount(place, lengths, count).astype(np.int64)


@jit
def _meet(
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    others: Array,
    begin: Array,
    end: Array,
    there: Array,
    width: int,
    keys: Array,
    lengths: Array,
) -> int:
    """Write pair and length of every stretch that lies in runs of both images."""
    n = 0
    for line in range(first.size - 1):
        i, j = first[line], others[line]
        while i < first[line + 1] and j < others[line + 1]:
            left, right = max(start[i], begin[j]), min(stop[i], end[j])
            if left < right:
                keys[n] = place[i] * width + there[j]
                lengths[n] = right - left
                n += 1
            if stop[i] <= end[j]:
                i += 1
            else:
                j += 1
    return n
