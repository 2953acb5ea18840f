"""The smallest and the largest pixel under a box, a disk or a ball.

A disk is a stack of rows, a ball a stack of disks; a row costs one comparison a pixel,
however wide it is. NaN is taken out first.
"""

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from ..frame import Array
from ._extremes import under_box, under_rows, worst
from ._neighbors import nearest
from ._pixels import has_nan, planes

#: A radius in pixels; the footprint is ``2 * radius + 1`` wide.
Radius: TypeAlias = Annotated[int, Ge(1), Le(1000)]
Shape = Literal["disk", "box"]


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


def extremum(image: Array, radius: int, shape: Shape, darkest: bool) -> Array:
    """Return the darkest or the brightest; NaN only where there is nothing else."""
    found = _of_numbers(image, radius, shape, darkest)
    return _of_known(image, radius, shape, darkest) if found is None else found


def _in_turn(
    image: Array, radius: int, shape: Shape, darkest: tuple[bool, ...]
) -> Array:
    found = _of_numbers(image, radius, shape, darkest[0])
    if found is not None:
        for dark in darkest[1:]:
            found = _of_all(found, radius, shape, dark)
        return found
    unknown = np.isnan(image)
    for dark in darkest:
        image = _of_known(image, radius, shape, dark)
    image[unknown] = np.nan
    return image


def _of_numbers(image: Array, radius: int, shape: Shape, darkest: bool) -> Array | None:
    """Return the extremum where every pixel is a number; None where one is not."""
    if radius > 1 or image.ndim > 2:
        return None if has_nan(image) else _of_all(image, radius, shape, darkest)
    out = np.empty_like(image)
    image = image.view()
    image.flags.writeable = False  # numba compiles for either
    return None if nearest(image, shape, darkest, out) else out


def _of_known(image: Array, radius: int, shape: Shape, darkest: bool) -> Array:
    """Return the extremum without NaN; NaN where there is nothing else."""
    unknown = np.isnan(image)
    filled = np.where(unknown, worst(image.dtype, darkest), image)
    result = _of_all(filled, radius, shape, darkest)
    hopeless = _of_all(unknown.view(np.uint8), radius, shape, True)
    result[hopeless > 0] = np.nan
    return result


def _of_all(image: Array, radius: int, shape: Shape, darkest: bool) -> Array:
    stack = planes(image)
    stack.flags.writeable = False  # numba compiles for either
    if shape == "disk" and image.ndim == 3:
        return _under_ball(stack, radius, darkest)
    out = np.empty_like(stack)
    for plane, into in zip(stack, out, strict=True):
        if shape == "disk":
            _under_disk(plane, radius, 0, darkest, into)
        elif radius == 1:
            nearest(plane, "box", darkest, into)
        else:
            under_box(plane, radius, radius, darkest, into)
    if len(out) > 1:
        sides, out = out.reshape(len(out), -1), np.empty_like(out)
        sides.flags.writeable = False
        under_box(sides, radius, 0, darkest, out.reshape(sides.shape))
    return out.reshape(image.shape)


def _under_disk(
    plane: Array, radius: int, height: int, darkest: bool, out: Array
) -> None:
    """Write the extremum under a disk, the part of a ball at that height."""
    if radius == 1 and height == 0:
        nearest(plane, "disk", darkest, out)
    else:
        under_rows(plane, _half_widths(radius, height), darkest, out)


def _under_ball(volume: Array, radius: int, darkest: bool) -> Array:
    """Return the extremum under a ball, a stack of disks."""
    choose: Callable[..., Array] = np.minimum if darkest else np.maximum
    out = np.full(volume.shape, worst(volume.dtype, darkest), volume.dtype)
    part = np.empty(volume.shape[1:], volume.dtype)
    for height in range(min(radius, len(volume) - 1) + 1):
        for z, plane in enumerate(volume):
            _under_disk(plane, radius, height, darkest, part)
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
