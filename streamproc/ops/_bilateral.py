"""Means over neighbours that are near in space and in grey level."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._pixels import single

#: exp(-x) for x above this is taken for exp(-x) here: less than 1e-13.
_FARTHEST = np.float32(30.0)


def bilateral_mean(
    image: Array, radius: int, sigma_color: float, sigma_spatial: float
) -> NDArray[np.float32]:
    """Return the weighed mean over ``2 * radius + 1`` pixels per axis; mirrored."""
    padded = np.pad(single(image), radius, mode="symmetric")
    x = np.arange(-radius, radius + 1)
    near = np.exp(-0.5 * (x / sigma_spatial) ** 2)
    space = near[:, None] * near
    space = near[:, None, None] * space if image.ndim == 3 else space[None]
    out: NDArray[np.float32] = np.empty(image.shape, np.float32)
    # of differences in units of sigma; half the square is divided by 64 in `_weigh`
    unit = np.float32(1 / (sigma_color * np.sqrt(128.0)))
    _mean(
        padded.reshape(-1, *padded.shape[-2:]),
        space.astype(np.float32),
        unit,
        out.reshape(-1, *out.shape[-2:]),
    )
    return out


@jit
def _mean(padded: Array, space: Array, unit: np.float32, out: Array) -> None:
    planes, height, width = out.shape
    depth, side, _ = space.shape
    total = np.empty(width, np.float32)
    weights = np.empty(width, np.float32)
    for z in range(planes):
        for y in range(height):
            total[:] = 0
            weights[:] = 0
            here = padded[z + depth // 2, y + side // 2, side // 2 :]
            for dz in range(depth):
                for dy in range(side):
                    line = padded[z + dz, y + dy]
                    for dx in range(side):
                        _weigh(here, line[dx:], space[dz, dy, dx], unit, total, weights)
            for x in range(width):
                out[z, y, x] = here[x] + total[x] / weights[x]


@jit
def _weigh(
    here: Array,
    there: Array,
    near: np.float32,
    unit: np.float32,
    total: Array,
    weights: Array,
) -> None:
    """Add neighbours' differences times weights: exp(-x) as the 64th power of 1/64."""
    one, most = np.float32(1), np.float32(_FARTHEST / 64)
    half, third = np.float32(1 / 2), np.float32(1 / 3)
    fourth, fifth = np.float32(1 / 4), np.float32(1 / 5)
    for x in range(total.size):
        difference = there[x] - here[x]
        v = difference * unit
        v = v * v
        v = v if v < most else most
        w = one - v * (
            one - v * half * (one - v * third * (one - v * fourth * (one - v * fifth)))
        )
        w = w * w
        w = w * w
        w = w * w
        w = w * w
        w = w * w
        w = w * w * near
        total[x] += w * difference
        weights[x] += w
