"""Points that keep their distance, the brightest first."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit


def spaced(
    points: NDArray[np.int64], shape: tuple[int, ...], spacing: int
) -> NDArray[np.bool_]:
    """Return which points to keep: each has none before it within ``spacing``.

    Of points along the largest difference of their coordinates, less than ``spacing``.
    """
    volume = np.zeros((len(points), 3), np.int64)
    volume[:, 3 - points.shape[1] :] = points
    cells = np.ones(3, np.int64)
    cells[3 - len(shape) :] = [-(-n // spacing) for n in shape]
    keep = np.zeros(len(points), np.bool_)
    _keep(volume, np.full(tuple(cells), -1, np.int64), spacing, keep)
    return keep


@jit
def _keep(points: Array, cells: Array, spacing: int, keep: Array) -> None:
    # a cell as wide as the spacing holds one point at most
    depth, height, width = cells.shape
    for i in range(points.shape[0]):
        z, y, x = points[i, 0], points[i, 1], points[i, 2]
        cz, cy, cx = z // spacing, y // spacing, x // spacing
        free = True
        for c in range(max(cz - 1, 0), min(cz + 2, depth)):
            for b in range(max(cy - 1, 0), min(cy + 2, height)):
                for a in range(max(cx - 1, 0), min(cx + 2, width)):
                    j = cells[c, b, a]
                    if j >= 0:
                        dz, dy = abs(points[j, 0] - z), abs(points[j, 1] - y)
                        dx = abs(points[j, 2] - x)
                        free &= max(dz, dy, dx) >= spacing
        if free:
            cells[cz, cy, cx] = i
            keep[i] = True
