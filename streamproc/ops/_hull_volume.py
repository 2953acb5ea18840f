"""The smallest convex body around every object of a volume.

A voxel is the octahedron of the middles of its faces, as in scikit-image. Corners come
from Qhull; which voxels are within, and how far the body reaches, from rows of voxels.
"""

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._hull import Hulls
from ._jit import jit
from ._runs import Runs

_OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)]) / 2
#: What scikit-image allows for rounding.
_TOLERANCE = 1e-10


def volume_hulls(
    shape: tuple[int, ...],
    runs: Runs,
    place: NDArray[np.int64],
    lowest: NDArray[np.int64],
    highest: NDArray[np.int64],
) -> Hulls:
    """Return the hulls of objects whose boxes have these corners (z, y, x)."""
    area, feret = np.zeros(len(lowest), np.int64), np.zeros(len(lowest))
    every = run_ends(shape, runs, place, len(lowest))
    for k, (low, high) in enumerate(zip(lowest, highest, strict=True)):
        spans = voxel_spans(every[k] - low, tuple(high - low))
        z, y = np.nonzero(spans[:, :, 0] <= spans[:, :, 1])
        first, last = spans[z, y].T
        area[k] = (last - first + 1).sum()
        outer = np.concatenate([np.stack([z, y, x], axis=1) for x in (first, last)])
        feret[k] = _diameter(outer)
    return Hulls(area, feret)


def run_ends(
    shape: tuple[int, ...], runs: Runs, place: NDArray[np.int64], count: int
) -> list[Array]:
    """Return (z, y, x) of the first and the last voxel of the runs of each object."""
    line = np.repeat(np.arange(len(runs.first) - 1), np.diff(runs.first))
    z, y = np.divmod(line, shape[1])
    ends = np.stack([z, y, runs.start, z, y, runs.stop - 1], axis=1)
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(count + 1))
    return [ends[order[bounds[k] : bounds[k + 1]]].reshape(-1, 3) for k in range(count)]


def voxel_spans(ends: Array, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the first and last voxel within the hull, for every row of the box."""
    spans = np.empty((*shape[:2], 2), np.int64)
    _cut(_hull(ends).equations, shape[2], _TOLERANCE, spans)
    return spans


def _diameter(voxels: Array) -> float:
    from scipy.spatial.distance import pdist  # type: ignore[import-untyped]  # no types

    hull = _hull(voxels)
    return float(pdist(hull.points[hull.vertices]).max())


def _hull(voxels: Array) -> Any:  # scipy ships no types
    """Return the hull of the octahedra of voxels."""
    from scipy.spatial import ConvexHull, QhullError  # type: ignore[import-untyped]  # no types

    # voxels in one plane have no hull; their octahedra do
    with suppress(QhullError):
        voxels = voxels[ConvexHull(voxels).vertices]
    corners = (voxels[:, None] + _OCTAHEDRON).reshape(-1, 3)
    return ConvexHull(np.unique(corners, axis=0))


@jit
def _cut(planes: Array, width: int, tolerance: float, spans: Array) -> None:
    for z in range(spans.shape[0]):
        for y in range(spans.shape[1]):
            low, high = 0, width - 1
            while low <= high and not _within(planes, z, y, low, tolerance):
                low += 1
            while low < high and not _within(planes, z, y, high, tolerance):
                high -= 1
            spans[z, y, 0], spans[z, y, 1] = low, high


@jit
def _within(planes: Array, z: int, y: int, x: int, tolerance: float) -> bool:
    for p in range(planes.shape[0]):
        plane = planes[p]
        if plane[0] * z + plane[1] * y + plane[2] * x + plane[3] >= tolerance:
            return False
    return True
