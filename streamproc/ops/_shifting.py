"""An image moved by parts of a pixel."""

from typing import Any

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array
from ._jit import jit


def moved(
    image: Array, offset: tuple[float, ...], order: int, mode: str, cval: float
) -> Array:
    """Return an image moved by ``offset`` pixels, as `scipy.ndimage.shift` does.

    Float32, but for order 0, which only moves pixels.
    """
    if order == 1:
        return _linear(image, offset, nearest=mode == "nearest", cval=cval)
    dtype: Any = image.dtype if order == 0 else np.float32
    out = np.empty(image.shape, dtype)
    ndimage.shift(image, offset, output=out, order=order, mode=mode, cval=cval)
    return out


def _linear(
    image: Array, offset: tuple[float, ...], *, nearest: bool, cval: float
) -> Array:
    volume = image.reshape((-1, *image.shape[-2:]))
    dz, dy, dx = (0.0, *offset)[-3:]
    out = np.empty(volume.shape, np.float32)
    _blend(volume, (dz, dy, dx), nearest, cval, out)
    return out.reshape(image.shape)


@jit
def _place(here: int, offset: float, length: int, nearest: bool) -> Any:
    """Return the pixels before and after a place, how much of each; -1 outside."""
    place = here - offset
    if nearest:
        place = min(max(place, 0.0), length - 1.0)
    if not 0 <= place <= length - 1:
        return -1, -1, 0.0
    before = int(place)
    return before, min(before + 1, length - 1), place - before


@jit
def _blend(image: Array, offset: Any, nearest: bool, cval: float, out: Array) -> None:
    layers, height, width = image.shape
    left, right = np.empty(width, np.intp), np.empty(width, np.intp)
    share = np.empty(width)
    for x in range(width):
        left[x], right[x], share[x] = _place(x, offset[2], width, nearest)
    row = np.empty(width)
    for z in range(layers):
        z0, z1, along_z = _place(z, offset[0], layers, nearest)
        for y in range(height):
            y0, y1, along_y = _place(y, offset[1], height, nearest)
            if z0 < 0 or y0 < 0:
                out[z, y] = cval
                continue
            above, below = image[z0, y0], image[z0, y1]
            for x in range(width):
                row[x] = above[x] * (1 - along_y) + below[x] * along_y
            if z1 != z0:
                above, below = image[z1, y0], image[z1, y1]
                for x in range(width):
                    deeper = above[x] * (1 - along_y) + below[x] * along_y
                    row[x] = row[x] * (1 - along_z) + deeper * along_z
            for x in range(width):
                if left[x] < 0:
                    out[z, y, x] = cval
                else:
                    out[z, y, x] = (
                        row[left[x]] * (1 - share[x]) + row[right[x]] * share[x]
                    )
