"""The convex hulls of objects, drawn."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._hull import chain, cut, find_spans
from ._hull_volume import run_ends, voxel_spans
from ._jit import jit
from ._runs import Runs


def draw_hulls(
    runs: Runs, place: NDArray[np.int64], count: int, mask: NDArray[np.uint8]
) -> None:
    """Write 1 over the convex hull of each of ``count`` objects.

    ``place`` tells the object of each run, from 0 on.
    """
    if mask.ndim == 2:
        top, bottom = _rows(runs.first, place, count)
        rows = np.concatenate([[0], np.cumsum(bottom - top)])
        spans = np.empty((rows[-1], 2), np.int64)
        spans[:] = np.iinfo(np.int64).max, -1
        find_spans(runs.first, runs.start, runs.stop, place, top, rows, spans)
        _draw(rows, spans, top, mask)
        return
    for ends in run_ends(mask.shape, runs, place, count):
        low, high = ends.min(axis=0), ends.max(axis=0) + 1
        spans = voxel_spans(ends - low, tuple(high - low))
        box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        x = np.arange(box.shape[2])
        box |= (x >= spans[:, :, :1]) & (x <= spans[:, :, 1:])


@jit
def _rows(first: Array, place: Array, count: int) -> tuple[Array, Array]:
    """Return the first row of each object, and the one after its last."""
    top = np.full(count, first.size)
    bottom = np.zeros(count, np.int64)
    for y in range(first.size - 1):
        for i in range(first[y], first[y + 1]):
            k = place[i]
            top[k] = min(top[k], y)
            bottom[k] = y + 1
    return top, bottom


@jit
def _draw(rows: Array, spans: Array, top: Array, mask: Array) -> None:
    corners = np.empty((2 * mask.shape[0] + 1, 2), np.int64)
    for k in range(top.size):
        own = spans[rows[k] : rows[k + 1]]
        for side in range(2):
            cut(corners, chain(own, side, corners), side, own)
        for y in range(own.shape[0]):
            mask[top[k] + y, own[y, 0] : own[y, 1] + 1] = 1
