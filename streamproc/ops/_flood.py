"""Flooding an image from markers, in the order of scikit-image to the last tie.

Pixels wait by their level, then by when they came: in queues, one for a small range of
levels, in which they are inserted in order. Markers all come at once; which of two
equal ones is flooded first depends on how scikit-image's heap moves its items. Where
that can matter the flood is done again with such a heap.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: The basin of what is not to be flooded.
_WALL = -1
#: The columns of a pixel's record: one line of memory holds all of it.
_LEVEL, _BASIN, _AFTER, _ORIGIN = 0, 1, 2, 3
_QUEUES = 1 << 18
#: What `_by_queues` found.
_DONE, _UNDECIDED, _CROWDED = 0, 1, 2


def flood(image: Array, markers: Array, mask: Array, reach: int) -> NDArray[np.uint32]:
    """Return the basin of each pixel of ``mask``, 0 elsewhere; NaN is flooded last.

    ``markers`` are below 2**31, ``reach`` is how many axes a step may cross.
    """
    records = np.empty((*(n + 2 for n in image.shape), 4), np.int32)
    steps = _steps(records.shape[:-1], reach)
    levels = _direct(image)
    outcome = _flood(levels, markers, mask, records, steps)
    if outcome != _DONE and levels.dtype.kind == "f":
        levels = _ranks(levels, mask)
        if outcome == _CROWDED:
            outcome = _flood(levels, markers, mask, records, steps)
    if outcome == _UNDECIDED:
        _write(levels, markers, mask, records)
        _by_heap(records.reshape(-1, 4), steps)
    inner = records[(slice(1, -1),) * image.ndim][..., _BASIN]
    return np.maximum(inner, 0).astype(np.uint32)


def _steps(shape: tuple[int, ...], reach: int) -> NDArray[np.int64]:
    """Return the steps in memory to the neighbours, direct ones first."""
    offsets = np.argwhere(np.ones((3,) * len(shape))) - 1
    far = np.abs(offsets).sum(axis=1)
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    order = np.argsort(far, kind="stable")
    wanted = order[(far[order] > 0) & (far[order] <= reach)]
    return np.asarray(offsets[wanted] @ strides, np.int64)


def _direct(image: Array) -> Array:
    """Return the pixels as a record can hold them: float32, or few whole numbers."""
    if image.dtype == np.float32:
        return np.where(np.isnan(image), np.float32(np.inf), image)
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
        return image
    return _ranks(image, np.ones(image.shape, np.uint8))


def _ranks(image: Array, mask: Array) -> NDArray[np.int32]:
    """Return the place of each pixel of ``mask`` among its levels; NaN comes last."""
    # scikit-image floods float64: so large whole numbers are equal here, too
    pixels = image[mask != 0].astype(np.float64)
    levels = np.zeros(image.shape, np.int32)
    levels[mask != 0] = np.unique(pixels, return_inverse=True)[1]
    return levels


def _flood(
    levels: Array, markers: Array, mask: Array, records: Array, steps: Array
) -> int:
    """Write the basins into ``records``; return how it went."""
    _write(levels, markers, mask, records)
    items = records.reshape(-1, 4)
    low, high = levels.min(), levels.max()
    if levels.dtype.kind != "f":
        # a queue per level; whole numbers throughout
        bounds = np.int64(low), np.int64(1), np.int64(high) - np.int64(low)
        return int(_by_queues(items, items[:, _LEVEL], *bounds, steps, False))
    if not (np.isfinite(low) and np.isfinite(high)):
        known = levels[np.isfinite(levels)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    scale = _QUEUES / (float(high) - float(low) or 1.0)
    # float32 keeps the order as well as float64 would
    rule = np.float32(low), np.float32(min(scale, 1e30)), np.float32(_QUEUES)
    level = items.view(np.float32)[:, _LEVEL]
    return int(_by_queues(items, level, *rule, steps, True))


def _write(levels: Array, markers: Array, mask: Array, records: Array) -> None:
    """Write the records of all pixels, with a wall around them."""
    for axis in range(levels.ndim):
        np.moveaxis(records, axis, 0)[[0, -1]] = _WALL
    level = records.view(np.float32 if levels.dtype.kind == "f" else np.int32)
    inner = (slice(1, -1),) * 2
    if levels.ndim == 2:
        _write_plane(levels, markers, mask, level[inner], records[inner])
        return
    for z in range(len(levels)):
        there = (z + 1, *inner)
        _write_plane(levels[z], markers[z], mask[z], level[there], records[there])


@jit
def _write_plane(
    levels: Array, markers: Array, mask: Array, level: Array, records: Array
) -> None:
    for y in range(levels.shape[0]):
        for x in range(levels.shape[1]):
            level[y, x, _LEVEL] = levels[y, x]
            records[y, x, _BASIN] = markers[y, x] if mask[y, x] else _WALL
            records[y, x, _AFTER] = -1
            records[y, x, _ORIGIN] = 0


@jit
def _by_queues(
    items: Array,
    level: Array,
    low: Any,
    scale: Any,
    top: Any,
    steps: Array,
    several: bool,
) -> int:
    """Flood; say if the order of equal markers decides, or queues are too long.

    Pixels of one *group* may have come in another order. A group are neighbours of one
    level in a queue that came from one group, or markers; a group of one has but one
    order. The order decides if two of a group claim a pixel for different basins.

    ``low``, ``scale`` and ``top`` are of one dtype and say which queue a level is in;
    ``several`` levels may share one.
    """
    first = np.full(int(top) + 1, -1, np.int32)
    last = np.full(int(top) + 1, -1, np.int32)
    zero = low - low
    waiting, patience = 0, 8 * items.shape[0]
    for i in range(items.shape[0]):
        if items[i, _BASIN] > 0:
            items[i, _ORIGIN] = 1
            q = int(max(zero, min((level[i] - low) * scale, top)))
            if first[q] < 0:
                first[q] = i
            else:
                items[last[q], _AFTER] = i
            last[q] = i
            waiting += 1
    queue, group, groups, left = 0, np.int32(0), np.int32(1), np.int32(0)
    height = level[0]
    while waiting > 0:
        if first[queue] < 0:
            while first[queue] < 0:
                queue += 1
            if several and items[first[queue], _AFTER] >= 0:
                patience -= _sort(items, level, first, last, queue)
        here = first[queue]
        following = items[here, _AFTER]
        first[queue] = following
        waiting -= 1
        came, risen = items[here, _ORIGIN], level[here] != height
        height = level[here]
        if came == 0:
            group = np.int32(0)
        elif risen or came != left:
            alone = (
                following < 0
                or items[following, _ORIGIN] != came
                or level[following] != height
            )
            groups += np.int32(1)
            group = np.int32(0) if alone else groups
        left = came
        basin = items[here, _BASIN]
        for k in range(steps.size):
            there = here + steps[k]
            taken = items[there, _BASIN]
            if taken == 0:
                items[there, _BASIN] = basin
                items[there, _ORIGIN] = group
                q = queue
                if level[there] > height:
                    q = int(max(zero, min((level[there] - low) * scale, top)))
                else:
                    level[there] = height
                waiting += 1
                if first[q] < 0:
                    first[q] = there
                    last[q] = there
                elif q > queue or level[last[q]] <= level[there]:
                    items[last[q], _AFTER] = there
                    last[q] = there
                else:
                    patience -= _insert(items, level, first, last, q, there)
            elif group != 0 and taken != basin and items[there, _ORIGIN] == group:
                return _UNDECIDED
        if patience < 0:
            return _CROWDED
    return _DONE


@jit
def _sort(items: Array, level: Array, first: Array, last: Array, queue: int) -> int:
    """Sort a queue by level, equal ones as they came; return how many were passed."""
    passed = 0
    there, end = items[first[queue], _AFTER], first[queue]
    while there >= 0:
        following = items[there, _AFTER]
        if level[end] <= level[there]:
            end = there
        else:
            items[end, _AFTER] = following
            passed += _insert(items, level, first, last, queue, there)
        there = following
    last[queue] = end
    return passed


@jit
def _insert(
    items: Array, level: Array, first: Array, last: Array, queue: int, place: int
) -> int:
    """Insert behind all that are not higher; return how many were passed."""
    height, passed = level[place], 0
    before, there = -1, first[queue]
    while there >= 0 and level[there] <= height:
        before, there = there, items[there, _AFTER]
        passed += 1
    items[place, _AFTER] = there
    if before < 0:
        first[queue] = place
    else:
        items[before, _AFTER] = place
    if there < 0:
        last[queue] = place
    return passed


@jit
def _by_heap(items: Array, steps: Array) -> None:
    """Flood in the order of scikit-image's heap, equal markers included."""
    keys, places = np.empty(1024, np.uint64), np.empty(1024, np.int32)
    count, age, shift = 0, np.uint64(0), np.uint64(32)
    lowest = np.int64(-(2**31))
    for i in range(items.shape[0]):
        if items[i, _BASIN] > 0:
            if count == keys.size:
                keys, places = _grown(keys, places)
            _push(keys, places, count, np.uint64(items[i, _LEVEL] - lowest) << shift, i)
            count += 1
    while count > 0:
        height, here = keys[0] >> shift, places[0]
        count -= 1
        if count > 0:
            _sink(keys, places, count)
        for k in range(steps.size):
            there = here + steps[k]
            if items[there, _BASIN] != 0:
                continue
            items[there, _BASIN] = items[here, _BASIN]
            age += np.uint64(1)
            if count == keys.size:
                keys, places = _grown(keys, places)
            level = max(np.uint64(items[there, _LEVEL] - lowest), height)
            _push(keys, places, count, (level << shift) | age, there)
            count += 1


@jit
def _grown(keys: Array, places: Array) -> tuple[Array, Array]:
    more, room = np.empty(2 * keys.size, np.uint64), np.empty(2 * keys.size, np.int32)
    more[: keys.size] = keys
    room[: keys.size] = places
    return more, room


@jit
def _push(keys: Array, places: Array, count: int, key: Any, place: int) -> None:
    hole = count
    while hole > 0:
        parent = (hole - 1) >> 1
        if keys[parent] <= key:
            break
        keys[hole], places[hole] = keys[parent], places[parent]
        hole = parent
    keys[hole], places[hole] = key, place


@jit
def _sink(keys: Array, places: Array, count: int) -> None:
    """Put the last of ``count + 1`` items in place of the first one, which is gone."""
    key, place = keys[count], places[count]
    # to a leaf along the smaller children, then up: half the comparisons of going down
    hole, child = 0, 1
    while child + 1 < count:
        child += int(keys[child + 1] < keys[child])
        keys[hole], places[hole] = keys[child], places[child]
        hole, child = child, 2 * child + 1
    if child < count:
        keys[hole], places[hole] = keys[child], places[child]
        hole = child
    while hole > 0:
        parent = (hole - 1) >> 1
        if keys[parent] < key:
            break
        keys[hole], places[hole] = keys[parent], places[parent]
        hole = parent
    keys[hole], places[hole] = key, place
