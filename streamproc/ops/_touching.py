"""Which objects touch, and along how many pairs of pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._objects import Objects


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of objects (their rows in the table), ascending, the lower one first."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    #: neighbouring pixels, one of each object
    contact: NDArray[np.int64]


def touching_pairs(objects: Objects, connectivity: int) -> Pairs:
    """Return all pairs of objects with neighbouring pixels."""
    runs, shape = objects.runs, (1, *objects.shape)[-3:]
    offsets = np.array(
        [
            # planes and rows before this one, and how far columns may differ
            (dz, dy, min(connectivity - dz - abs(dy), 1))
            for dz, dy in ((0, 1), (1, 0), (1, 1), (1, -1))
            if dz + abs(dy) <= connectivity and dz < shape[0]
        ],
        np.int64,
    )
    arguments = (
        runs.first, runs.start, runs.stop, objects.place, shape[0], shape[1], offsets
    )  # fmt: skip
    found = np.empty((_meet(*arguments, np.empty((0, 3), np.int64)), 3), np.int64)
    _meet(*arguments, found)
    count = max(len(objects.present), 1)
    keys, place = np.unique(found[:, 0] * count + found[:, 1], return_inverse=True)
    contact = np.zeros(len(keys), np.int64)
    np.add.at(contact, place, found[:, 2])
    return Pairs(keys // count, keys % count, contact)


@jit
def _meet(
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    depth: int,
    height: int,
    offsets: Array,
    found: Array,
) -> int:
    """Write both objects and the number of pixels of every meeting; return how many.

    Where ``found`` has no room it is only counted.
    """
    n = 0
    for line in range(depth * height):
        z, y = line // height, line % height
        for i in range(first[line] + 1, first[line + 1]):
            if start[i] == stop[i - 1]:
                _write(found, n, place[i - 1], place[i], 1)
                n += 1
        for o in range(offsets.shape[0]):
            dz, dy, reach = offsets[o]
            if z < dz or not 0 <= y - dy < height:
                continue
            other = (z - dz) * height + y - dy
            low, end = first[other], first[other + 1]
            for i in range(first[line], first[line + 1]):
                a, b = start[i], stop[i]
                while low < end and stop[low] < a:
                    low += 1
                j = low
                while j < end and start[j] <= b:
                    if place[j] != place[i]:
                        shared = 0
                        for shift in range(-reach, reach + 1):
                            left = max(a, start[j] + shift)
                            shared += max(min(b, stop[j] + shift) - left, 0)
                        if shared:
                            _write(found, n, place[i], place[j], shared)
                            n += 1
                    j += 1
    return n


@jit
def _write(found: Array, n: int, one: int, other: int, shared: int) -> None:
    if n < found.shape[0]:
        found[n, 0] = min(one, other)
        found[n, 1] = max(one, other)
        found[n, 2] = shared
