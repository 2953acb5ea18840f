"""Total-variation denoising by Chambolle's iteration, two sweeps each."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import single


def least_variation(
    image: Array, weight: float, eps: float, max_num_iter: int
) -> NDArray[np.float32]:
    """Return the image near to ``image`` that varies least.

    It ends, as scikit-image's, when the cost changes by less than ``eps`` times the
    first cost.
    """
    ndim = image.ndim
    floats = single(image)
    volume = floats.reshape(-1, *image.shape[-2:])
    out: NDArray[np.float32] = volume.copy()
    flow = np.zeros((ndim, *volume.shape), np.float32)
    first = before = 0.0
    for i in range(max_num_iter):
        misfit = _diverge(volume, flow, out) if i else 0.0
        variation = _follow(out, flow, 1 / (2 * ndim), weight)
        cost = (misfit + weight * variation) / image.size
        if i and abs(before - cost) <= eps * first:
            break
        first, before = (first if i else cost), cost
    return out.reshape(image.shape)


@jit
def _diverge(image: Array, flow: Array, out: Array) -> float:
    """Write image + divergence; return the sum of the divergence's squares."""
    planes, height, width = image.shape
    deep = len(flow) == 3
    change = np.empty(width, np.float32)
    squares = np.zeros(width)
    for z in range(planes):
        for y in range(height):
            down, across = flow[-2, z, y], flow[-1, z, y]
            for x in range(width):
                change[x] = -down[x] - across[x]
            for x in range(1, width):
                change[x] += across[x - 1]
            if y > 0:
                _add(change, flow[-2, z, y - 1])
            if deep:
                _take(change, flow[0, z, y])
                if z > 0:
                    _add(change, flow[0, z - 1, y])
            here, row = image[z, y], out[z, y]
            for x in range(width):
                row[x] = here[x] + change[x]
                squares[x] += np.float64(change[x]) * np.float64(change[x])
    return float(squares.sum())


@jit
def _follow(out: Array, flow: Array, step: float, weight: float) -> float:
    """Move the flow down the gradient; return the sum of the gradient's lengths."""
    planes, height, width = out.shape
    deep = len(flow) == 3
    dz, dy = np.zeros(width, np.float32), np.zeros(width, np.float32)
    dx = np.zeros(width, np.float32)
    length = np.empty(width, np.float32)
    lengths = np.zeros(width)
    tau, share, one = np.float32(step), np.float32(step / weight), np.float32(1)
    for z in range(planes):
        for y in range(height):
            row = out[z, y]
            for x in range(width - 1):
                dx[x] = row[x + 1] - row[x]
            _differ(row, out[z, min(y + 1, height - 1)], dy)
            if deep:
                _differ(row, out[min(z + 1, planes - 1), y], dz)
            for x in range(width):
                length[x] = np.sqrt(dz[x] * dz[x] + dy[x] * dy[x] + dx[x] * dx[x])
                lengths[x] += np.float64(length[x])
                length[x] = one + length[x] * share
            _descend(flow[-1, z, y], dx, length, tau)
            _descend(flow[-2, z, y], dy, length, tau)
            if deep:
                _descend(flow[0, z, y], dz, length, tau)
    return float(lengths.sum())


@jit
def _add(total: Array, row: Array) -> None:
    for x in range(total.size):
        total[x] += row[x]


@jit
def _take(total: Array, row: Array) -> None:
    for x in range(total.size):
        total[x] -= row[x]


@jit
def _differ(row: Array, after: Array, out: Array) -> None:
    for x in range(row.size):
        out[x] = after[x] - row[x]


@jit
def _descend(flow: Array, gradient: Array, length: Array, tau: np.float32) -> None:
    for x in range(flow.size):
        flow[x] = (flow[x] - tau * gradient[x]) / length[x]
