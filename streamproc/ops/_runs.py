"""Horizontal runs of equal pixels: what labelling and measuring work on.

An image with objects has far fewer runs than pixels; both steps then cost little
more than one sweep over memory.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import lines


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of equal positive pixels in raster order.

    Run ``i`` covers columns ``start[i]`` to ``stop[i] - 1`` and holds ``value[i]``;
    ``first[l]`` is the number of the first run of line ``l`` (``first`` has one more
    entry than there are lines).
    """

    first: NDArray[np.int64]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    value: Array

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Drawing:
    """A label image as its runs, which are painted when somebody wants pixels.

    It stands for the array between the steps of a stage: what measures objects needs
    their runs, and many label images are never looked at otherwise.
    """

    shape: tuple[int, ...]
    runs: Runs

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @cached_property
    def painted(self) -> Array:
        """The label image."""
        labels = np.empty(self.shape, self.runs.value.dtype)
        r = self.runs
        paint(lines(labels), r.first, r.start, r.stop, r.value)
        return labels

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> Array:
        """Return the label image: numpy's own way to ask for it."""
        return np.array(self.painted, dtype, copy=copy)


def painted(value: Any) -> Any:  # other values pass
    """Return the pixels of a drawing, and whatever else is given as it is."""
    return value.painted if isinstance(value, Drawing) else value


def find_runs(image: Array) -> Runs:
    """Return the runs of a ``(y, x)`` or ``(z, y, x)`` image of whole numbers."""
    rows = lines(image)
    first = np.zeros(len(rows) + 1, np.int64)
    # room that is enough for most images saves a sweep that only counts
    found = _room(rows.size // 16 + 1, image.dtype)
    count = _fill(rows, first, *found)
    if count > len(found[0]):
        found = _room(count, image.dtype)
        _fill(rows, first, *found)
    start, stop, value = (array[:count] for array in found)
    return Runs(first, start, stop, value)


def _room(count: int, dtype: DTypeLike) -> tuple[Array, Array, Array]:
    return np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, dtype)


def number_values(values: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct values, ascending, and the place of each value in them."""
    # a table over all labels is quicker than sorting, unless they are few and large
    largest = int(values.max(initial=0))
    if largest <= 65536 + 4 * len(values):
        return _number(values, largest)
    present, place = np.unique(values, return_inverse=True)
    return present.astype(np.int64), place.astype(np.int64)


@jit
def _number(values: Array, largest: int) -> tuple[Array, Array]:
    places = np.full(largest + 1, -1)
    for i in range(values.size):
        # unsigned, or numba looks for negative indices
        places[np.uint64(values[i])] = 0
    count = 0
    present = np.empty(min(values.size, places.size), np.int64)
    for value in range(places.size):
        if places[value] == 0:
            places[value] = count
            present[count] = value
            count += 1
    place = np.empty(values.size, np.int64)
    for i in range(values.size):
        place[i] = places[np.uint64(values[i])]
    return present[:count], place


@jit
def _fill(rows: Array, first: Array, start: Array, stop: Array, value: Array) -> int:
    """Write the runs, and the first of each row; return how many there are.

    Those that there is no room for are only counted.
    """
    width = rows.shape[1]
    change = np.zeros((width + 7) // 8 * 8, np.uint8)
    words = change.view(np.uint64)
    # one more than fits: the loop below writes ahead of what it counts
    place = np.empty(change.size + 1, np.int32)
    last = start.size - 1
    i = 0
    for y in range(rows.shape[0]):
        row = rows[y]
        change[0] = row[0] > 0
        for x in range(1, width):
            change[x] = row[x] != row[x - 1]
        n = 0
        for w in range(words.size):
            # most words hold no change: eight pixels at a step
            if words[w] != 0:
                for x in range(8 * w, 8 * w + 8):
                    place[n] = x
                    n += change[x]
        inside = False
        for k in range(n):
            x = place[k]
            if inside:
                stop[min(i, last)] = x
                i += 1
            inside = row[x] > 0
            if inside:
                start[min(i, last)] = x
                value[min(i, last)] = row[x]
        if inside:
            stop[min(i, last)] = width
            i += 1
        first[y + 1] = i
    return i


@jit
def paint(rows: Array, first: Array, start: Array, stop: Array, value: Array) -> None:
    """Write ``value[i]`` over the pixels of run ``i``, and 0 beside them."""
    for y in range(rows.shape[0]):
        row = rows[y]
        row[:] = 0
        for i in range(first[y], first[y + 1]):
            for x in range(start[i], stop[i]):
                row[x] = value[i]
