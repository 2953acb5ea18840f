"""Flooding an image from markers, in the order of scikit-image to the last tie.

The connected parts of the mask are flooded one after the other: what belongs to one is
close together in memory. Pixels wait by their level, then by when they came: in queues,
one for a small range of levels. Markers all come at once; which of two equal ones is
flooded first depends on how scikit-image's heap moves its items. Where that can matter
the flood is done again with such a heap.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from .labeling import objects

#: The basin of what is not to be flooded.
_WALL = -1
#: The columns of a run: its place in the image, that in the walled image, its length.
_SOURCE, _PLACE, _LENGTH = 0, 1, 2
#: How many queues a part has per pixel, and at most.
_PER_PIXEL, _QUEUES = 2, 1 << 20
#: The bits of a pixel's key in the heap: its level from bit 32 on, then whether the
#: flood reached it or it is a marker, then its number in the order in which they came.
_LEVEL, _REACHED, _NUMBER = np.uint64(32), np.uint64(1 << 31), np.uint64(2**31 - 1)


def flood(image: Array, markers: Array, mask: Array, reach: int) -> NDArray[np.uint32]:
    """Return the basin of each pixel of ``mask``, 0 elsewhere; NaN is flooded last.

    ``markers`` are below 2**31, ``reach`` is how many axes a step may cross.
    """
    out = np.zeros(image.shape, np.uint32)
    found, numbers, count = objects(mask, reach)
    if not count:
        return out
    walled = tuple(n + 2 for n in image.shape)
    steps = _steps(walled, reach)
    first, runs = _by_part(
        found.first, found.start, found.stop, numbers, count, *_rows(mask.shape)
    )
    # scikit-image floods float64: so large whole numbers are equal here, too
    is_narrow = image.dtype.itemsize <= (4 if image.dtype.kind == "f" else 2)
    levels = np.empty(prod(walled), np.float32 if is_narrow else np.float64)
    basins = np.full(levels.size, _WALL, np.int32)
    given = first, runs, image.reshape(-1), markers.reshape(-1), levels, basins
    free, only, ends = _fill(*given)
    if not _by_queues(first, runs, free, only, ends, levels, basins, steps):
        _fill(*given)
        _by_heap(_ordered(levels, basins != _WALL), basins, steps, free.sum())
    _take(runs, basins, out.reshape(-1))
    return out


def _steps(shape: tuple[int, ...], reach: int) -> NDArray[np.int64]:
    """Return the steps in memory to the neighbours, direct ones first."""
    offsets = np.argwhere(np.ones((3,) * len(shape))) - 1
    far = np.abs(offsets).sum(axis=1)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    order = np.argsort(far, kind="stable")
    wanted = order[(far[order] > 0) & (far[order] <= reach)]
    return np.asarray(offsets[wanted] @ strides, np.int64)


def _rows(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], int]:
    """Return where each row begins in an image with a wall around it, and its width."""
    *depth, height, width = shape
    y = np.arange(1, height + 1)
    if depth:
        y = np.add.outer(np.arange(1, depth[0] + 1) * (height + 2), y).reshape(-1)
    return np.asarray(y * (width + 2) + 1, np.int64), width


@jit
def _by_part(
    first: Array,
    start: Array,
    stop: Array,
    numbers: Array,
    count: int,
    rows: Array,
    width: int,
) -> tuple[Array, Array]:
    """Return the first run of each connected part, and the runs part by part."""
    ends = np.zeros(count + 1, np.int64)
    for number in numbers:
        ends[number] += 1
    ends = np.cumsum(ends)
    # from the last run on: an end moves to its beginning
    runs = np.empty((numbers.size, 3), np.int64)
    for y in range(first.size - 2, -1, -1):
        for r in range(first[y + 1] - 1, first[y] - 1, -1):
            ends[numbers[r]] -= 1
            run = runs[ends[numbers[r]]]
            run[_SOURCE] = y * width + start[r]
            run[_PLACE] = rows[y] + start[r]
            run[_LENGTH] = stop[r] - start[r]
    return np.append(ends[1:], numbers.size), runs


@jit
def _fill(
    first: Array,
    runs: Array,
    image: Array,
    markers: Array,
    levels: Array,
    basins: Array,
) -> tuple[Array, Array, Array]:
    """Write levels and basins of all parts.

    Return of each how many pixels are to be flooded (0 where no marker is), its only
    basin (0 if there are several), and the ends of its finite levels.
    """
    count = first.size - 1
    free, only = np.zeros(count, np.int64), np.zeros(count, np.int32)
    ends = np.zeros((count, 2))
    for p in range(count):
        low, high = np.inf, -np.inf
        size, begun, several = 0, 0, False
        for r in range(first[p], first[p + 1]):
            source, place = runs[r, _SOURCE], runs[r, _PLACE]
            size += runs[r, _LENGTH]
            for x in range(runs[r, _LENGTH]):
                # -0.0 becomes 0.0, its equal
                levels[place + x] = image[source + x] + 0
                level = levels[place + x]
                if abs(level) < np.inf:
                    low, high = min(low, level), max(high, level)
                elif level != level:
                    levels[place + x] = np.inf
                basins[place + x] = markers[source + x]
                basin = basins[place + x]
                if basin != 0:
                    begun += 1
                    several |= begun > 1 and basin != only[p]
                    only[p] = basin
        if low <= high:
            ends[p, 0], ends[p, 1] = low, high
        if begun > 0:
            free[p] = size - begun
        if several:
            only[p] = 0
    return free, only, ends


@jit
def _take(runs: Array, basins: Array, out: Array) -> None:
    for r in range(len(runs)):
        source, place = runs[r, _SOURCE], runs[r, _PLACE]
        for x in range(runs[r, _LENGTH]):
            out[source + x] = basins[place + x]


@jit
def _by_queues(
    first: Array,
    runs: Array,
    free: Array,
    only: Array,
    ends: Array,
    levels: Array,
    basins: Array,
    steps: Array,
) -> bool:
    """Flood part by part; give up where the order of equal markers decides.

    Also where too many pixels share a queue.
    """
    queues = np.full(min(_QUEUES, _PER_PIXEL * free.max()) + 1, -1, np.int32)
    after, wave = np.empty(levels.size, np.int32), np.empty(levels.size, np.int32)
    origins = np.empty(levels.size, np.int32)
    for p in range(free.size):
        part = runs[first[p] : first[p + 1]]
        if only[p] != 0:
            _pour(part, only[p], basins)
        elif free[p] > 0:
            low, top = ends[p, 0], min(_QUEUES, _PER_PIXEL * free[p])
            # no 0 and no infinity: times the other one they are NaN
            scale = max(1e-300, min(top / max(ends[p, 1] - low, 1e-300), 1e300))
            rule = low, scale, float(top)
            _begin(part, basins, levels, rule, origins, after, queues)
            if not _spread(
                free[p], levels, basins, steps, rule, origins, after, queues, wave
            ):
                return False
            queues[: top + 1] = -1
    return True


@jit
def _spread(
    left: int,
    levels: Array,
    basins: Array,
    steps: Array,
    rule: tuple[float, float, float],
    origins: Array,
    after: Array,
    queues: Array,
    wave: Array,
) -> bool:
    """Flood what is left of a part, or give up.

    Pixels of one *group* may have come in another order. A group are neighbours of one
    level in a queue that came from one group, or markers; a group of one has but one
    order. The order decides if two of a group claim a pixel for different basins.
    """
    queue, waiting, patience = -1, -1, 8 * left
    groups = np.int32(1)
    while left > 0:
        if waiting < 0:
            queue += 1
            while queues[queue] < 0:
                queue += 1
            waiting, patience = _arrange(levels, after, queues[queue], patience)
        if patience < 0:
            return False
        # what is of this level, and then all that is found below it
        height = levels[waiting]
        head, end, last = 0, 0, np.int32(-1)
        while waiting >= 0 and levels[waiting] == height:
            wave[end] = waiting
            end += 1
            waiting = after[waiting]
        group = np.int32(0)
        while head < end:
            here = wave[head]
            head += 1
            came = origins[here]
            if came == 0:
                group = np.int32(0)
            elif came != last:
                alone = head == end or origins[wave[head]] != came
                groups += np.int32(1)
                group = np.int32(0) if alone else groups
            last = came
            if group != 0 and _clash(basins, origins, steps, here, group):
                return False
            for k in range(steps.size):
                # unsigned: numba does not ask whether to count from the end
                there = np.uintp(here + steps[k])
                if basins[there] != 0:
                    continue
                basins[there] = basins[here]
                left -= 1
                if levels[there] <= height:
                    wave[end] = there
                    end += 1
                    continue
                q = _queue(levels[there], rule)
                if q > queue:
                    after[there] = queues[q]
                    queues[q] = there
                else:
                    new = np.int64(there)
                    waiting, patience = _insert(levels, after, waiting, new, patience)
    return True


@jit
def _pour(part: Array, basin: int, basins: Array) -> None:
    for r in range(len(part)):
        place = part[r, _PLACE]
        basins[place : place + part[r, _LENGTH]] = basin


@jit
def _queue(level: Any, rule: tuple[float, float, float]) -> int:
    low, scale, top = rule
    return int(max(0.0, min((level - low) * scale, top)))


@jit
def _begin(
    part: Array,
    basins: Array,
    levels: Array,
    rule: tuple[float, float, float],
    origins: Array,
    after: Array,
    queues: Array,
) -> None:
    """Put the markers of a part into queues, the last one first."""
    for r in range(len(part)):
        place = part[r, _PLACE]
        for i in range(place, place + part[r, _LENGTH]):
            origins[i] = basins[i] != 0
            if basins[i] != 0:
                q = _queue(levels[i], rule)
                after[i] = queues[q]
                queues[q] = i


@jit
def _clash(basins: Array, origins: Array, steps: Array, here: int, group: Any) -> bool:
    """Mark what a pixel of a group claims; tell whether another one of it has it."""
    for k in range(steps.size):
        there = here + steps[k]
        basin = basins[there]
        if basin == 0:
            origins[there] = group
        elif basin != _WALL and basin != basins[here] and origins[there] == group:
            return True
    return False


@jit
def _arrange(levels: Array, after: Array, last: int, patience: int) -> tuple[int, int]:
    """Sort a queue by level, equal ones as they came, that begins with the last one.

    Return the first one and what is left of the patience: one for each that was passed.
    """
    first, there = last, after[last]
    after[last] = -1
    while there >= 0 and patience >= 0:
        following = after[there]
        if levels[there] <= levels[first]:
            after[there] = first
            first = there
        else:
            before = first
            while after[before] >= 0 and levels[after[before]] < levels[there]:
                before = after[before]
                patience -= 1
            after[there] = after[before]
            after[before] = there
        there = following
    return first, patience


@jit
def _insert(
    levels: Array, after: Array, first: int, new: Any, patience: int
) -> tuple[int, int]:
    """Insert behind all that are not higher; return what `_arrange` does."""
    if first < 0 or levels[first] > levels[new]:
        after[new] = first
        return new, patience
    before = first
    while after[before] >= 0 and levels[after[before]] <= levels[new]:
        before = after[before]
        patience -= 1
    after[new] = after[before]
    after[before] = new
    return first, patience


def _ordered(levels: Array, known: Array) -> NDArray[np.uint32]:
    """Return whole numbers in the order of the levels that are known."""
    if levels.dtype == np.float32:
        # as they are in memory, the negative ones turned round
        bits = levels.view(np.int32)
        turned = bits ^ ((bits >> 31) & np.int32(2**31 - 1))
        return turned.view(np.uint32) ^ np.uint32(2**31)
    ranks = np.zeros(levels.shape, np.uint32)
    ranks[known] = np.unique(levels[known], return_inverse=True)[1]
    return ranks


@jit
def _by_heap(levels: Array, basins: Array, steps: Array, left: int) -> None:
    """Flood in the order of scikit-image's heap, equal markers included.

    The heap begins at 1, so that two children share a line of memory.
    """
    keys, places = np.empty(levels.size + 1, np.uint64), np.empty(levels.size, np.int32)
    count, number = 0, np.uint64(0)
    for i in range(basins.size):
        if basins[i] > 0:
            places[number] = i
            count += 1
            _push(keys, count, (np.uint64(levels[i]) << _LEVEL) | number)
            number += np.uint64(1)
    while left > 0:
        height, here = keys[1] >> _LEVEL, places[keys[1] & _NUMBER]
        count -= 1
        _sink(keys, count, keys[count + 1])
        for k in range(steps.size):
            there = here + steps[k]
            if basins[there] != 0:
                continue
            basins[there] = basins[here]
            left -= 1
            places[number] = there
            level = max(np.uint64(levels[there]), height)
            count += 1
            _push(keys, count, (level << _LEVEL) | _REACHED | number)
            number += np.uint64(1)


@jit
def _rank(key: Any) -> Any:
    """Return what is compared: markers of one level are equal."""
    return key if key & _REACHED else key & ~_NUMBER


@jit
def _push(keys: Array, count: int, key: Any) -> None:
    hole, rank = count, _rank(key)
    while hole > 1:
        parent = keys[hole >> 1]
        if _rank(parent) <= rank:
            break
        keys[hole] = parent
        hole >>= 1
    keys[hole] = key


@jit
def _sink(keys: Array, count: int, key: Any) -> None:
    """Put ``key`` in place of the first one, which is gone."""
    # to a leaf along the smaller children, then up: half the comparisons of going down
    hole, child = 1, 2
    while child < count:
        child += int(_rank(keys[child + 1]) < _rank(keys[child]))
        keys[hole] = keys[child]
        hole, child = child, 2 * child
    if child == count:
        keys[hole] = keys[child]
        hole = child
    rank = _rank(key)
    while hole > 1:
        parent = keys[hole >> 1]
        if _rank(parent) < rank:
            break
        keys[hole] = parent
        hole >>= 1
    keys[hole] = key
