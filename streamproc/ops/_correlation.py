"""Weighing of neighbours: one pass per weight over whole rows, summed in float64."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import single


def weighed(
    image: Array, weights: NDArray[np.float64], centre: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return the sum of neighbours times ``weights``, which lie with ``centre`` on it.

    Borders are mirrored; ``weights`` has as many axes as the image.
    """
    around = [
        (c, length - 1 - c) for c, length in zip(centre, weights.shape, strict=True)
    ]
    padded = np.pad(single(image), around, mode="symmetric")
    offsets = np.argwhere(weights != 0)
    values = weights[tuple(offsets.T)]
    if image.ndim == 2:
        offsets = np.insert(offsets, 0, 0, axis=1)
    out: NDArray[np.float32] = np.empty(image.shape, np.float32)
    _weigh(
        padded.reshape(-1, *padded.shape[-2:]),
        offsets,
        values,
        out.reshape(-1, *out.shape[-2:]),
    )
    return out


@jit
def _weigh(padded: Array, offsets: Array, values: Array, out: Array) -> None:
    planes, height, width = out.shape
    total = np.empty(width)
    for z in range(planes):
        for y in range(height):
            total[:] = 0
            for k in range(values.size):
                row = padded[z + offsets[k, 0], y + offsets[k, 1]]
                _add(total, row[offsets[k, 2] :], values[k])
            for x in range(width):
                out[z, y, x] = total[x]


@jit
def _add(total: Array, row: Array, weight: float) -> None:
    for x in range(total.size):
        total[x] += row[x] * weight
