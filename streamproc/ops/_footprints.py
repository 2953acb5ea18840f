"""The smallest and the largest pixel under a box, a disk or a ball.

A disk is a stack of horizontal runs, a ball a stack of disks; the extremum over a run
of half width w is that over w - 1, taken one to the left and one to the right. So a
footprint of radius r costs about 3 r operations a pixel instead of 3 r^2.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from ..frame import Array
from ._jit import jit
from ._neighbors import nearest

#: A radius in pixels; the footprint is ``2 * radius + 1`` wide.
Radius: TypeAlias = Annotated[int, Ge(1), Le(1000)]
Shape = Literal["disk", "box"]

#: Up to these radii OpenCV's direct filters are quicker.
_SMALL_DISK, _SMALL_BOX = 3, 64
_OPENCV = ("uint8", "uint16", "int16", "float32", "float64")


def erode(image: Array, radius: int, shape: Shape) -> Array:
    """Return the darkest pixel under the footprint. Outside does not count.

    NaN does not count either, and stays where it is, here and in what follows.
    """
    return _in_turn(image, radius, shape, (True,))


def dilate(image: Array, radius: int, shape: Shape) -> Array:
    """Return the brightest pixel under the footprint."""
    return _in_turn(image, radius, shape, (False,))


def opened(image: Array, radius: int, shape: Shape) -> Array:
    """Return the brightest of the darkest."""
    return _in_turn(image, radius, shape, (True, False))


def closed(image: Array, radius: int, shape: Shape) -> Array:
    """Return the darkest of the brightest."""
    return _in_turn(image, radius, shape, (False, True))


def disk(radius: int, height: int = 0) -> NDArray[np.uint8]:
    """Return scikit-image's disk: distance to the centre at most ``radius``.

    With ``height`` that part of a ball so far from its centre.
    """
    x = np.arange(-radius, radius + 1)
    return (x**2 + x[:, None] ** 2 + height**2 <= radius**2).astype(np.uint8)


def _in_turn(
    image: Array, radius: int, shape: Shape, darkest: tuple[bool, ...]
) -> Array:
    if image.dtype.kind != "f" or not np.isnan(np.min(image)):
        for dark in darkest:
            image = _extremum(image, radius, shape, dark)
        return image
    unknown = np.isnan(image)
    for dark in darkest:
        image = _of_known(image, radius, shape, dark)
    image[unknown] = np.nan
    return image


def _of_known(image: Array, radius: int, shape: Shape, darkest: bool) -> Array:
    """Return the extremum without NaN; NaN where there is nothing else."""
    unknown = np.isnan(image)
    filled = np.where(unknown, _worst(image.dtype, darkest), image)
    result = _extremum(filled, radius, shape, darkest)
    hopeless = _extremum(unknown.view(np.uint8), radius, shape, True)
    result[hopeless > 0] = np.nan
    return result


def _extremum(image: Array, radius: int, shape: Shape, darkest: bool) -> Array:
    if radius == 1 and image.ndim == 2:
        return nearest(image, shape, darkest)
    worst = _worst(image.dtype, darkest)
    volume = image.reshape(-1, *image.shape[-2:])
    if shape == "box":
        return _under_box(volume, radius, worst, darkest).reshape(image.shape)
    if image.ndim == 3:
        return _under_ball(volume, radius, worst, darkest)
    return _under_disk(image, radius, 0, worst, darkest)


def _by_opencv(plane: Array, kernel: NDArray[np.uint8], darkest: bool) -> Array:
    change = cv2.erode if darkest else cv2.dilate
    # one row: OpenCV may hand back another shape
    return np.asarray(change(plane, kernel)).reshape(plane.shape)


def _under_box(volume: Array, radius: int, worst: Array, darkest: bool) -> Array:
    """Return the extremum under a box, which is that along one axis after another."""
    depth = len(volume)
    if radius <= _SMALL_BOX and volume.dtype.name in _OPENCV:
        kernel = np.ones((2 * radius + 1,) * 2, np.uint8)
        if depth == 1:
            return _by_opencv(volume[0], kernel, darkest)
        volume = np.stack([_by_opencv(plane, kernel, darkest) for plane in volume])
        axes: tuple[int, ...] = (0,)
    else:
        axes = (0, 1, 2) if depth > 1 else (1, 2)
    for axis in axes:
        volume = _along(volume, radius, axis, worst, darkest)
    return volume


def _along(volume: Array, radius: int, axis: int, worst: Array, darkest: bool) -> Array:
    """Return the extremum along an axis, by windows that double: log(radius) passes."""
    choose: Callable[..., Array] = np.minimum if darkest else np.maximum
    length = volume.shape[axis]
    # a window that covers the axis from either end is as wide as it need be
    radius = min(radius, length - 1)
    shape = list(volume.shape)
    shape[axis] += 2 * radius
    wide = np.full(shape, worst, volume.dtype)
    _part(wide, axis, radius, radius + length)[...] = volume
    span, window = 1, 2 * radius + 1
    while 2 * span <= window:
        wide = choose(_part(wide, axis, 0, -span), _part(wide, axis, span, None))
        span *= 2
    ahead = window - span
    out = np.empty(volume.shape, volume.dtype)
    left, right = (
        _part(wide, axis, 0, length),
        _part(wide, axis, ahead, ahead + length),
    )
    return choose(left, right, out=out)


def _part(volume: Array, axis: int, start: int, stop: int | None) -> Array:
    return volume[(*(slice(None),) * axis, slice(start, stop))]


def _under_disk(
    plane: Array, radius: int, height: int, worst: Array, darkest: bool
) -> Array:
    """Return the extremum under a disk, the part of a ball at that height."""
    if radius <= _SMALL_DISK and plane.dtype.name in _OPENCV:
        return _by_opencv(plane, disk(radius, height), darkest)
    out = np.full(plane.shape, worst, plane.dtype)
    _sweep(plane, _half_widths(radius, height), worst, darkest, out)
    return out


def _under_ball(volume: Array, radius: int, worst: Array, darkest: bool) -> Array:
    """Return the extremum under a ball, a stack of disks."""
    choose: Callable[..., Array] = np.minimum if darkest else np.maximum
    out = np.full(volume.shape, worst, volume.dtype)
    for height in range(min(radius, len(volume) - 1) + 1):
        for z, plane in enumerate(volume):
            part = _under_disk(plane, radius, height, worst, darkest)
            for there in {z - height, z + height}:
                if 0 <= there < len(volume):
                    choose(out[there], part, out=out[there])
    return out


def _half_widths(radius: int, height: int) -> NDArray[np.int64]:
    """Return the half width of each row of that part of a ball."""
    y = np.arange(-radius, radius + 1)
    left = radius**2 - height**2 - y**2
    rows = left[left >= 0]
    return np.floor(np.sqrt(rows) + 1e-9).astype(np.int64)


def _worst(dtype: np.dtype[Any], darkest: bool) -> Array:
    """Return the pixel that loses against every other, as an array of no axes."""
    if dtype.kind == "f":
        value: float = np.inf if darkest else -np.inf
    else:
        limits = np.iinfo(dtype)
        value = limits.max if darkest else limits.min
    return np.array(value, dtype)[()]


@jit
def _sweep(
    plane: Array, widths: Array, worst: Array, darkest: bool, out: Array
) -> None:
    height, width = plane.shape
    reach = widths.size // 2
    largest = widths.max()
    # row w: extremum over [x - w, x + w], with a margin so that shifts stay inside
    best = np.empty((largest + 1, width + 2 * largest), plane.dtype)
    for y in range(height):
        best[:] = worst
        best[0, largest : largest + width] = plane[y]
        for w in range(1, largest + 1):
            _widen(best[w - 1], best[w], w == 1, darkest)
        for k in range(widths.size):
            there = y + k - reach
            if 0 <= there < height:
                _merge(out[there], best[widths[k], largest:], darkest)


@jit
def _widen(narrow: Array, wide: Array, first: bool, darkest: bool) -> None:
    n = narrow.size
    if darkest:
        for x in range(1, n - 1):
            wide[x] = min(narrow[x - 1], narrow[x + 1])
        wide[0] = narrow[min(1, n - 1)]
        wide[n - 1] = narrow[max(n - 2, 0)]
    else:
        for x in range(1, n - 1):
            wide[x] = max(narrow[x - 1], narrow[x + 1])
        wide[0] = narrow[min(1, n - 1)]
        wide[n - 1] = narrow[max(n - 2, 0)]
    if first:
        _merge(wide, narrow, darkest)


@jit
def _merge(into: Array, other: Array, darkest: bool) -> None:
    if darkest:
        for x in range(into.size):
            into[x] = min(into[x], other[x])
    else:
        for x in range(into.size):
            into[x] = max(into[x], other[x])
