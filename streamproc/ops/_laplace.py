"""The sum of second differences, in one pass."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import single


def second_differences(image: Array) -> NDArray[np.float32]:
    """Return the sum over axes of next + previous - 2 x pixel; borders mirrored."""
    if image.dtype.name not in ("uint8", "uint16", "float32"):
        image = single(image)
    out: NDArray[np.float32] = np.empty(image.shape, np.float32)
    volume = image.reshape(-1, *image.shape[-2:])
    _differ(volume, image.ndim == 3, out.reshape(volume.shape))
    return out


@jit
def _differ(volume: Array, deep: bool, out: Array) -> None:
    planes, height, width = volume.shape
    for z in range(planes):
        for y in range(height):
            here, row = volume[z, y], out[z, y]
            for x in range(1, width - 1):
                middle = np.float32(here[x])
                left, right = np.float32(here[x - 1]), np.float32(here[x + 1])
                row[x] = (left - middle) + (right - middle)
            last = width - 1
            row[0] = np.float32(here[min(1, last)]) - np.float32(here[0])
            row[last] = np.float32(here[max(last - 1, 0)]) - np.float32(here[last])
            _add(here, volume[z, max(y - 1, 0)], volume[z, min(y + 1, height - 1)], row)
            if deep:
                above, below = max(z - 1, 0), min(z + 1, planes - 1)
                _add(here, volume[above, y], volume[below, y], row)


@jit
def _add(here: Array, before: Array, after: Array, row: Array) -> None:
    for x in range(row.size):
        middle = np.float32(here[x])
        row[x] += (np.float32(before[x]) - middle) + (np.float32(after[x]) - middle)
