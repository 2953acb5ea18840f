"""The mean over a box, in time that hardly grows with the box."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import single
from ._separable import correlated

#: Of a volume's planes seen as lines, so many columns are summed at a time.
_COLUMNS = 4096


def box_mean(image: Array, sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the mean over so many pixels per axis; borders mirrored."""
    *through, down, across = sizes
    out: NDArray[np.float32] = np.empty(image.shape, np.float32)
    finite = True
    for plane, result in zip(
        image.reshape(-1, *image.shape[-2:]),
        out.reshape(-1, *image.shape[-2:]),
        strict=True,
    ):
        finite &= _average(plane, down, across, result)
    if through and through[0] > 1:
        stack = out.reshape(len(out), -1)
        out = np.empty_like(out)
        target = out.reshape(stack.shape)
        for x in range(0, stack.shape[1], _COLUMNS):
            part = np.ascontiguousarray(stack[:, x : x + _COLUMNS])
            mean = np.empty_like(part)
            _average(part, through[0], 1, mean)
            target[:, x : x + _COLUMNS] = mean
    if not finite:
        # a running sum never forgets NaN or infinity: weigh each window anew
        weights = [np.full(s, 1 / s, np.float32) for s in sizes]
        return correlated(single(image), weights)
    return out


def _average(plane: Array, down: int, across: int, out: Array) -> bool:
    height, width = plane.shape
    rows, columns = mirrored(height, down // 2), mirrored(width, across // 2)
    # whole sums of at most 1001 pixels are exact
    exact = plane.dtype.name in ("uint8", "uint16")
    total = np.zeros(width, np.int32 if exact else np.float64)
    return bool(_mean(plane, rows, columns, down, across, total, out))


def mirrored(length: int, radius: int) -> NDArray[np.int64]:
    """Return where each pixel of a padded line comes from: b a | a b | b a."""
    place = np.arange(-radius, length + radius) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)


@jit
def _mean(
    plane: Array,
    rows: Array,
    columns: Array,
    down: int,
    across: int,
    total: Array,
    out: Array,
) -> bool:
    """Add rows as they enter the box, then neighbours, pairs, fours … along a row."""
    height, width = plane.shape
    share = 1.0 / (np.float64(down) * across)
    for y in range(down):
        _add(total, plane[rows[y]])
    single = np.empty(columns.size, np.float32)
    here = np.empty(columns.size, np.float32)
    there = np.empty(columns.size, np.float32)
    radius = across // 2
    bits = 0
    while across >> (bits + 1):
        bits += 1
    for y in range(height):
        target = out[y] if across == 1 else single[radius : radius + width]
        if y == 0:
            _scale(total, share, target)
        else:
            new, old = plane[rows[y + down - 1]], plane[rows[y - 1]]
            _exchange(total, new, old, share, target)
        if across == 1:
            continue
        for x in range(radius):
            single[x] = single[radius + columns[x]]
            single[radius + width + x] = single[radius + columns[radius + width + x]]
        here[:] = single
        length = 1
        for bit in range(bits - 1, -1, -1):
            odd = across >> bit & 1
            valid = columns.size - 2 * length + 1 - odd
            target = out[y] if bit == 0 else there
            if odd:
                join_three(here, here[length:], single[2 * length :], valid, target)
            else:
                join(here, here[length:], valid, target)
            here, there = there, here
            length = 2 * length + odd
    finite = True
    for x in range(width):
        finite &= np.isfinite(total[x])
    return finite


@jit
def _add(total: Array, row: Array) -> None:
    for x in range(total.size):
        total[x] += total.dtype.type(row[x])


@jit
def _exchange(total: Array, new: Array, old: Array, share: float, out: Array) -> None:
    if total.itemsize == 4:
        single = np.float32(share)
        for x in range(total.size):
            total[x] += total.dtype.type(new[x]) - total.dtype.type(old[x])
            out[x] = np.float32(total[x]) * single
    else:
        for x in range(total.size):
            total[x] += total.dtype.type(new[x]) - total.dtype.type(old[x])
            out[x] = np.float32(total[x] * share)


@jit
def _scale(total: Array, share: float, out: Array) -> None:
    if total.itemsize == 4:
        single = np.float32(share)
        for x in range(total.size):
            out[x] = np.float32(total[x]) * single
    else:
        for x in range(total.size):
            out[x] = np.float32(total[x] * share)


@jit
def join(a: Array, b: Array, count: int, out: Array) -> None:
    for x in range(count):
        out[x] = a[x] + b[x]


@jit
def join_three(a: Array, b: Array, c: Array, count: int, out: Array) -> None:
    for x in range(count):
        out[x] = a[x] + b[x] + c[x]
