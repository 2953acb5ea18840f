"""The middle grey level of every object."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import lines
from ._runs import Runs


def medians(
    image: Array, runs: Runs, place: NDArray[np.int64], area: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the median over each object; NaN is left out, only NaN gives NaN."""
    begin = np.concatenate([[0], np.cumsum(area)])
    levels = np.empty(begin[-1], image.dtype)
    found = np.full(len(area), np.nan)
    _sort_out(lines(image), runs.first, runs.start, runs.stop, place, begin, levels)
    _find(levels, begin, found)
    return found


@jit
def _sort_out(
    rows: Array,
    first: Array,
    start: Array,
    stop: Array,
    place: Array,
    begin: Array,
    levels: Array,
) -> None:
    """Write the levels of each object side by side."""
    at = begin[:-1].copy()
    for line in range(first.size - 1):
        row = rows[line]
        for i in range(first[line], first[line + 1]):
            k = place[i]
            n = stop[i] - start[i]
            levels[at[k] : at[k] + n] = row[start[i] : stop[i]]
            at[k] += n


@jit
def _find(levels: Array, begin: Array, found: Array) -> None:
    for k in range(found.size):
        own = levels[begin[k] : begin[k + 1]]
        size = 0
        for i in range(own.size):
            if own[i] == own[i]:
                own[size] = own[i]
                size += 1
        if size:
            upper = _select(own[:size], size // 2)
            lower = upper
            if size % 2 == 0:
                # the selection has put all that is smaller before the middle
                lower = np.float64(own[: size // 2].max())
            found[k] = upper if lower == upper else (lower + upper) / 2


@jit
def _select(values: Array, middle: int) -> float:
    """Return the level that sorting would put at ``middle``, partitioned around it."""
    low, high = 0, values.size - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    return np.float64(values[middle])
