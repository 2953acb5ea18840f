"""Pixels taken from between pixels: along an affine map, along rays from a centre."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from ..frame import Array
from ._jit import jit
from ._pixels import planes

Coordinates = NDArray[np.float64]


def warped(
    image: Array,
    matrix: Coordinates,
    offset: Coordinates,
    *,
    order: int,
    cval: float,
    shape: tuple[int, int],
    fades: bool,
) -> Array:
    """Return each plane at ``matrix @ (y, x) + offset``, ``shape`` large.

    ``fades`` says what lies less than a pixel beyond the border: a blend of image and
    ``cval`` (scikit-image), or ``cval`` (scipy).
    """
    out = np.empty((*image.shape[:-2], *shape), dtype_of(image, order))
    fill = filling(cval, out.dtype)
    along = _affine_nearest if order == 0 else _affine_linear
    for plane, result in zip(planes(image), planes(out), strict=True):
        along(plane, matrix, offset, fill, fades, result)
    return out


def polar(
    image: Array,
    center: tuple[float, float],
    angles: Coordinates,
    radii: Coordinates,
    *,
    order: int,
    cval: float,
) -> Array:
    """Return each plane at every angle (rows) and radius (columns)."""
    shape = (*image.shape[:-2], len(angles), len(radii))
    out = np.empty(shape, dtype_of(image, order))
    fill = filling(cval, out.dtype)
    along = _rays_nearest if order == 0 else _rays_linear
    sines, cosines = np.sin(angles), np.cos(angles)
    for plane, result in zip(planes(image), planes(out), strict=True):
        along(plane, center[0], center[1], sines, cosines, radii, fill, result)
    return out


def dtype_of(image: Array, order: int) -> np.dtype[np.generic]:
    """Return the dtype of what is taken: the same, or that of means."""
    return image.dtype if order == 0 else np.result_type(image.dtype, np.float32)


def filling(cval: float, dtype: np.dtype[np.generic]) -> Any:
    """Return what fills a result, as its dtype.

    Raises
    ------
    FrameError
        The dtype has no such number.
    """
    if dtype.kind != "f":
        ends = np.iinfo(dtype)  # type: ignore[type-var]  # whole, as was asked
        if not ends.min <= cval <= ends.max or cval != round(cval):
            raise FrameError(
                f"cval {cval} does not fit {dtype}; give one that does, or order 1"
            )
        return dtype.type(int(cval))
    return dtype.type(cval)


@jit
def _nearest(image: Array, y: float, x: float, cval: float, fades: bool) -> float:
    height, width = image.shape
    if not fades and (y < 0 or x < 0 or y > height - 1 or x > width - 1):
        return cval
    # halves away from 0, as C's round
    row = int(np.floor(y + 0.5)) if y >= 0 else int(np.ceil(y - 0.5))
    column = int(np.floor(x + 0.5)) if x >= 0 else int(np.ceil(x - 0.5))
    if row < 0 or column < 0 or row >= height or column >= width:
        return cval
    return image[row, column]  # type: ignore[no-any-return]  # a number


@jit
def _linear(image: Array, y: float, x: float, cval: float, fades: bool) -> float:
    height, width = image.shape
    if not fades and (y < 0 or x < 0 or y > height - 1 or x > width - 1):
        return cval
    top, left = int(np.floor(y)), int(np.floor(x))
    dy, dx = y - top, x - left
    total = 0.0
    for row, down in ((top, 1 - dy), (top + 1, dy)):
        for column, across in ((left, 1 - dx), (left + 1, dx)):
            if down * across != 0:
                inside = 0 <= row < height and 0 <= column < width
                value = float(image[row, column]) if inside else float(cval)
                total += down * across * value
    return total


@jit
def _between(image: Array, y: float, x: float) -> float:
    """Return the linear mean of four pixels, all of them inside the image."""
    row, column = np.int64(y), np.int64(x)
    dy, dx = y - row, x - column
    # unsigned places: signed ones are each looked at for counting from the end
    top, left = np.uint64(row), np.uint64(column)
    bottom, right = np.uint64(row + 1), np.uint64(column + 1)
    above = (1 - dx) * image[top, left] + dx * image[top, right]
    below = (1 - dx) * image[bottom, left] + dx * image[bottom, right]
    return (1 - dy) * above + dy * below  # type: ignore[no-any-return]  # a number


@jit
def _affine_nearest(
    image: Array,
    matrix: Coordinates,
    offset: Coordinates,
    cval: float,
    fades: bool,
    out: Array,
) -> None:
    bottom, right = image.shape[0] - 1.0, image.shape[1] - 1.0
    for i in range(out.shape[0]):
        y, x = offset[0] + i * matrix[0, 0], offset[1] + i * matrix[1, 0]
        for j in range(out.shape[1]):
            row, column = y + j * matrix[0, 1], x + j * matrix[1, 1]
            if 0 <= row < bottom and 0 <= column < right:
                near = np.uint64(np.int64(row + 0.5)), np.uint64(np.int64(column + 0.5))
                out[i, j] = image[near]
            else:
                out[i, j] = _nearest(image, row, column, cval, fades)


@jit
def _affine_linear(
    image: Array,
    matrix: Coordinates,
    offset: Coordinates,
    cval: float,
    fades: bool,
    out: Array,
) -> None:
    bottom, right = image.shape[0] - 1.0, image.shape[1] - 1.0
    for i in range(out.shape[0]):
        y, x = offset[0] + i * matrix[0, 0], offset[1] + i * matrix[1, 0]
        for j in range(out.shape[1]):
            row, column = y + j * matrix[0, 1], x + j * matrix[1, 1]
            if 0 <= row < bottom and 0 <= column < right:
                out[i, j] = _between(image, row, column)
            else:
                out[i, j] = _linear(image, row, column, cval, fades)


@jit
def _rays_nearest(
    image: Array,
    y: float,
    x: float,
    sines: Coordinates,
    cosines: Coordinates,
    radii: Coordinates,
    cval: float,
    out: Array,
) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row, column = y + radii[j] * sines[i], x + radii[j] * cosines[i]
            out[i, j] = _nearest(image, row, column, cval, True)


@jit
def _rays_linear(
    image: Array,
    y: float,
    x: float,
    sines: Coordinates,
    cosines: Coordinates,
    radii: Coordinates,
    cval: float,
    out: Array,
) -> None:
    bottom, right = image.shape[0] - 1.0, image.shape[1] - 1.0
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row, column = y + radii[j] * sines[i], x + radii[j] * cosines[i]
            if 0 <= row < bottom and 0 <= column < right:
                out[i, j] = _between(image, row, column)
            else:
                out[i, j] = _linear(image, row, column, cval, True)
