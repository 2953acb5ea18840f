"""The ball that is rolled under an image: how high its top comes."""

from typing import Any

import numpy as np

from ..frame import Array
from ._jit import jit


def roll(image: Array, radius: int, step: int = 1) -> Array:
    """Return, for each pixel, where the top of a ball under it comes to lie.

    The ball is seen every ``step`` pixels. Whole numbers are rounded towards 0.
    """
    reach = radius // step
    dtype, depth = _working(image, _heights(image.ndim, radius, step))
    rows, shifts, deep = _taps(depth.reshape((-1, *depth.shape[-2:])), dtype)
    # beside the image nothing holds the ball
    edge: Any = np.inf if dtype.kind == "f" else np.iinfo(dtype).max - deep.max()
    padded = np.pad(image.astype(dtype), reach, constant_values=edge)
    if dtype.kind == "f":
        padded[np.isnan(padded)] = edge
    out = np.full(image.shape, edge, dtype)
    volume = padded.reshape((-1, *padded.shape[-2:]))
    _roll(volume, rows, shifts, deep, reach, out.reshape((-1, *out.shape[-2:])))
    return out.astype(image.dtype)


def darkest(image: Array, size: int) -> Array:
    """Return the minimum of each block of ``size`` pixels along every axis."""
    for axis in range(image.ndim):
        starts = np.arange(0, image.shape[axis], size)
        image = np.minimum.reduceat(image, starts, axis=axis)
    return image


def enlarged(small: Array, size: int, shape: tuple[int, ...]) -> Array:
    """Return blocks as an image, linear between their middles, level beyond; float."""
    large = small.astype(np.float64)
    for axis, length in enumerate(shape):
        last = small.shape[axis] - 1
        place = np.clip((np.arange(length) - (size - 1) / 2) / size, 0, last)
        before = place.astype(np.intp)
        after = np.minimum(before + 1, last)
        share = np.expand_dims(place - before, tuple(range(1, small.ndim - axis)))
        low, high = large.take(before, axis), large.take(after, axis)
        large = low * (1 - share) + high * share
    return large


def _heights(ndim: int, radius: int, step: int) -> Array:
    """Return the heights of the ball's upper half; negative beside it."""
    along = step * np.arange(-(radius // step), radius // step + 1)
    squares = sum(a**2 for a in np.meshgrid(*[along] * ndim, indexing="ij"))
    left = np.asarray(radius**2 - squares, np.float64)
    return np.where(left < 0, -1, np.sqrt(np.maximum(left, 0)))


def _working(image: Array, heights: Array) -> tuple[np.dtype[Any], Array]:
    """Return the dtype to compute in, and depths below the top; negative beside."""
    top = heights.max()
    dtype: np.dtype[Any] = np.dtype(np.float64)
    if image.dtype.kind == "f":
        # as scikit-image: rounded before they are subtracted
        heights, dtype = heights.astype(image.dtype), image.dtype
    depths = np.where(heights < 0, -1, dtype.type(top) - heights)
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:
        # the floor of a minimum is the minimum of the floors
        depths = np.floor(depths)
        fits = int(image.max()) + int(depths.max()) <= np.iinfo(np.uint16).max
        dtype = np.dtype(np.uint16 if fits else np.uint32)
    return dtype, depths


def _taps(depth: Array, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Return the layer and row of each pixel of the ball, its shift and its depth.

    Pixels at both sides of the middle are as deep: they are taken together.
    """
    middle = depth.shape[-1] // 2
    half = depth[..., middle:]
    layer, row, shift = np.nonzero(half >= 0)
    return np.stack([layer, row], axis=1), shift, half[layer, row, shift].astype(dtype)


@jit
def _roll(
    padded: Array, rows: Array, shifts: Array, depths: Array, reach: int, out: Array
) -> None:
    layers, height, width = out.shape
    for z in range(layers):
        for y in range(height):
            lowest = out[z, y]
            for tap in range(shifts.size):
                row = padded[z + rows[tap, 0], y + rows[tap, 1]]
                deep, shift = depths[tap], shifts[tap]
                left, right = row[reach - shift :], row[reach + shift :]
                for x in range(width):
                    near = left[x] if left[x] < right[x] else right[x]
                    top = lowest.dtype.type(near + deep)
                    lowest[x] = top if top < lowest[x] else lowest[x]
