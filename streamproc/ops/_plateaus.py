"""Pixels, or plateaus of equal pixels, that no neighbour exceeds."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit

#: What a pixel may be: lower than a neighbour, higher than all, or on a plateau.
_LOWER, _PEAK, _LEVEL = 0, 1, 2


def peaks(image: Array, reach: int, *, borders: bool) -> NDArray[np.uint8]:
    """Return 1 on every local maximum; ``reach`` axes make a neighbour."""
    volume = image.reshape(-1, *image.shape[-2:])
    flat = 0 if image.ndim == 3 else 1
    out = np.empty(volume.shape, np.uint8)
    offsets = _offsets(image.ndim, reach)
    _compare(volume, offsets, out)
    if not borders:
        for axis in range(flat, 3):
            np.moveaxis(out, axis, 0)[[0, -1]] = _LOWER
    if (
        max(1, _settle(volume, offsets, out, np.flatnonzero(out == _LEVEL)))
        == image.size
    ):
        out[:] = 0  # an image of one level
    return out.reshape(image.shape)


def _offsets(ndim: int, reach: int) -> NDArray[np.int64]:
    steps = np.argwhere(np.ones((3, 3, 3))) - 1
    if ndim == 2:
        steps = steps[steps[:, 0] == 0]
    far = np.abs(steps).sum(axis=1)
    return np.asarray(steps[(far > 0) & (far <= reach)], np.int64)


@jit
def _compare(volume: Array, offsets: Array, out: Array) -> None:
    """Write what each pixel may be, by its neighbours alone; NaN is no maximum."""
    depth, height, width = volume.shape
    higher, level = np.empty(width, np.uint8), np.empty(width, np.uint8)
    for z in range(depth):
        for y in range(height):
            row = volume[z, y]
            for x in range(width):
                higher[x] = row[x] != row[x]
                level[x] = 0
            for k in range(offsets.shape[0]):
                dz, dy, dx = offsets[k, 0], offsets[k, 1], offsets[k, 2]
                if not (0 <= z + dz < depth and 0 <= y + dy < height):
                    continue
                other = volume[z + dz, y + dy]
                begin, end = max(0, -dx), min(width, width - dx)
                if end > begin:
                    _mark(
                        row[begin:end],
                        other[begin + dx : end + dx],
                        higher[begin:end],
                        level[begin:end],
                    )
            for x in range(width):
                out[z, y, x] = 0 if higher[x] else 1 + level[x]


@jit
def _mark(row: Array, other: Array, higher: Array, level: Array) -> None:
    for x in range(row.size):
        higher[x] |= np.uint8(other[x] > row[x])
        level[x] |= np.uint8(other[x] == row[x])


@jit
def _settle(volume: Array, offsets: Array, out: Array, starts: Array) -> int:
    """Turn plateaus into maxima or not; return the size of the largest plateau."""
    depth, height, width = volume.shape
    waiting = np.empty(64, np.int64)
    largest = 0
    flat = out.reshape(-1)
    for start in starts:
        if flat[start] != _LEVEL:
            continue
        waiting[0] = start
        flat[start] = _PEAK
        count, done, is_peak = 1, 0, True
        while done < count:
            here = waiting[done]
            done += 1
            z, y, x = here // (height * width), here // width % height, here % width
            for k in range(offsets.shape[0]):
                c, b, a = z + offsets[k, 0], y + offsets[k, 1], x + offsets[k, 2]
                if not (0 <= c < depth and 0 <= b < height and 0 <= a < width):
                    continue
                if volume[c, b, a] != volume[z, y, x]:
                    continue
                if out[c, b, a] == _LOWER:
                    is_peak = False
                elif out[c, b, a] == _LEVEL:
                    out[c, b, a] = _PEAK
                    if count == waiting.size:
                        more = np.empty(2 * count, np.int64)
                        more[:count] = waiting
                        waiting = more
                    waiting[count] = (c * height + b) * width + a
                    count += 1
        largest = max(largest, count)
        if not is_peak:
            for i in range(count):
                flat[waiting[i]] = _LOWER
    return largest
