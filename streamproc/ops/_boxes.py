"""What only the pixels in an object's box can tell: its holes, its topology in 3-D."""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit


def filled_areas(
    labels: Array, present: NDArray[np.int64], boxes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the pixels of every object with its holes.

    ``boxes`` holds z0 y0 x0 z1 y1 x1. A hole is background that no path over sides
    and corners joins to the outside of the box, as in scikit-image.
    """
    areas = np.zeros(len(present), np.int64)
    planes = labels.reshape((-1, *labels.shape[-2:]))
    _fill(planes, present, boxes, labels.ndim == 3, areas)
    return areas


def volume_euler_numbers(
    labels: Array, present: NDArray[np.int64], boxes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return pieces plus hollows less tunnels; corners connect a piece."""
    numbers = np.zeros(len(present), np.int64)
    _count_corners(labels, present, boxes, _corner_terms(), numbers)
    return numbers // 8


@cache
def _corner_terms() -> NDArray[np.int64]:
    """Return eight times what the corner between eight voxels adds to Euler's number.

    A corner counts whole, each of its six edges half, of its twelve faces a quarter,
    of its eight voxels an eighth. Bit ``4 z + 2 y + x`` is voxel (z, y, x).
    """
    cells = np.array(list(product((0, 1), repeat=3)))
    codes = (np.arange(256)[:, None] >> np.arange(8)) & 1 == 1
    terms = np.zeros(256, np.int64)
    # free axes of a cell: 0 the corner itself, 3 a voxel
    for free in product((0, 1), repeat=3):
        axes = np.flatnonzero(free)
        sign = (-1) ** len(axes)
        for side in product((0, 1), repeat=len(axes)):
            around = codes[:, (cells[:, axes] == side).all(axis=1)]
            terms += sign * (8 >> len(axes)) * around.any(axis=1)
    return terms


@jit
def _fill(
    labels: Array, present: Array, boxes: Array, is_volume: bool, areas: Array
) -> None:
    largest = 0
    for k in range(present.size):
        largest = max(largest, _room(boxes[k]))
    marks, waiting = np.empty(largest, np.uint8), np.empty(largest, np.int64)
    deep = 1 if is_volume else 0
    for k in range(present.size):
        z0, y0, x0, z1, y1, x1 = boxes[k]
        across = x1 - x0 + 2
        level = across * (y1 - y0 + 2)
        # 2: outside, also all around the box; 1: the object; 0: not seen yet
        marks[: _room(boxes[k])] = 2
        for z in range(z0, z1):
            for y in range(y0, y1):
                at = (z - z0 + 1) * level + (y - y0 + 1) * across + 1
                for x in range(x0, x1):
                    own = labels[z, y, x] == present[k]
                    marks[at + x - x0] = own
        count = 0
        for z in range(z0, z1):
            for y in range(y0, y1):
                at = (z - z0 + 1) * level + (y - y0 + 1) * across + 1
                whole = y == y0 or y == y1 - 1
                whole |= is_volume and (z == z0 or z == z1 - 1)
                step = 1 if whole else max(x1 - x0 - 1, 1)
                for x in range(0, x1 - x0, step):
                    if marks[at + x] == 0:
                        marks[at + x] = 2
                        waiting[count] = at + x
                        count += 1
        outside = count
        while count:
            count -= 1
            at = waiting[count]
            for dz in range(-deep, deep + 1):
                for dy in range(-1, 2):
                    for dx in range(-1, 2):
                        to = at + dz * level + dy * across + dx
                        if marks[to] == 0:
                            marks[to] = 2
                            waiting[count] = to
                            count += 1
                            outside += 1
        box = (z1 - z0) * (y1 - y0) * (x1 - x0)
        areas[k] = box - outside


@jit
def _room(box: Array) -> int:
    """Return the pixels of a box with a margin of one."""
    room = 1
    for axis in range(3):
        room *= box[axis + 3] - box[axis] + 2
    return room


@jit
def _count_corners(
    labels: Array, present: Array, boxes: Array, terms: Array, numbers: Array
) -> None:
    for k in range(present.size):
        z0, y0, x0, z1, y1, x1 = boxes[k]
        v = present[k]
        for z in range(z0, z1 + 1):
            for y in range(y0, y1 + 1):
                behind = 0
                for x in range(x0, x1 + 1):
                    ahead = 0
                    if x < x1:
                        for dz in range(2):
                            for dy in range(2):
                                zz, yy = z + dz - 1, y + dy - 1
                                if z0 <= zz < z1 and y0 <= yy < y1:
                                    own = labels[zz, yy, x] == v
                                    ahead |= own << (4 * dz + 2 * dy + 1)
                    numbers[k] += terms[ahead | behind]
                    # what is ahead of this corner is behind the next
                    behind = ahead >> 1
