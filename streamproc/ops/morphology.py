"""Shrinking, growing and filling of masks; top-hat of images."""

from typing import Annotated, TypeAlias

import cv2
import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array
from ._footprints import Shape, dilate, erode
from ._operator import operator
from ._pixels import as_mask, foreground, pixels

#: A radius in pixels; the footprint is ``2 * radius + 1`` wide.
Radius: TypeAlias = Annotated[int, Ge(1), Le(1000)]


@operator(("mask",), gives="mask")
def binary_erosion(
    mask: ArrayLike, *, radius: Radius = 1, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Shrink the foreground by a disk (in volumes by a ball).

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the disk or ball, in pixels; 1 is the cross of the centre and its direct
        neighbours.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    Pixels outside the image count as foreground. Equal to
    ``skimage.morphology.binary_erosion`` with ``disk(radius)`` or ``ball(radius)``,
    tested.

    Examples
    --------
    >>> binary_erosion([[1, 1, 1], [1, 1, 1], [1, 1, 0]]).tolist()
    [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    """
    return erode(foreground(mask), radius, "disk")


@operator(("mask",), gives="mask")
def binary_dilation(
    mask: ArrayLike, *, radius: Radius = 1, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Grow the foreground by a disk (in volumes by a ball).

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the disk or ball, in pixels.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    Pixels outside the image count as background. Equal to
    ``skimage.morphology.binary_dilation`` with ``disk(radius)`` or ``ball(radius)``,
    tested.

    Examples
    --------
    >>> binary_dilation([[0, 0, 0], [0, 1, 0], [0, 0, 0]]).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    return dilate(foreground(mask), radius, "disk")


@operator(("mask",), gives="mask")
def binary_opening(
    mask: ArrayLike, *, radius: Radius = 1, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Remove foreground into which the disk (ball) does not fit.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the disk or ball, in pixels.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    An erosion, then a dilation. Equal to ``skimage.morphology.binary_opening`` with
    ``disk(radius)`` or ``ball(radius)``, tested.

    Examples
    --------
    >>> binary_opening([[0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])[3].tolist()
    [0, 0, 0]
    """
    return dilate(erode(foreground(mask), radius, "disk"), radius, "disk")


@operator(("mask",), gives="mask")
def binary_closing(
    mask: ArrayLike, *, radius: Radius = 1, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Fill background into which the disk (ball) does not fit.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the disk or ball, in pixels.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    A dilation, then an erosion. Equal to ``skimage.morphology.binary_closing`` with
    ``disk(radius)`` or ``ball(radius)``, tested.

    Examples
    --------
    >>> binary_closing([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[1].tolist()
    [1, 1, 1]
    """
    return erode(dilate(foreground(mask), radius, "disk"), radius, "disk")


@operator(("mask",), gives="mask")
def fill_holes(
    mask: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Fill the background that foreground encloses.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    Background is enclosed if no path of direct neighbours leads from it to the
    border. Equal to ``scipy.ndimage.binary_fill_holes``, tested.

    Examples
    --------
    >>> fill_holes([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    padded = np.pad(foreground(mask), 1)
    inner = (slice(1, -1),) * padded.ndim
    if padded.ndim == 3:
        background, _ = ndimage.label(padded == 0)
        return as_mask(np.not_equal(background[inner], background[0, 0, 0]))
    cv2.floodFill(padded, None, (0, 0), 2)
    return as_mask(np.not_equal(padded[inner], 2))


@operator(("image",), gives="image")
def white_tophat(
    image: ArrayLike,
    *,
    radius: Radius = 25,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Keep what is brighter than its surroundings and narrower than the footprint.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is ignored, and stays NaN.
    radius
        Of the footprint, in pixels: larger than the objects to keep.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis
        and quicker.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype, never negative: the image less its opening.

    Notes
    -----
    Equal to ``skimage.morphology.white_tophat`` with ``disk(radius)``,
    ``ball(radius)`` or a box of ones, tested (images without NaN).

    Examples
    --------
    >>> white_tophat([[2, 2, 2, 2], [2, 9, 2, 3], [2, 2, 2, 3]], radius=1).tolist()
    [[0, 0, 0, 0], [0, 7, 0, 1], [0, 0, 0, 1]]
    """
    plane = pixels(image)
    if plane.dtype.kind == "f" and np.isnan(np.min(plane)):
        unknown = np.isnan(plane)
        low = erode(np.where(unknown, np.inf, plane), radius, shape)
        low[np.isposinf(low)] = -np.inf
        return np.subtract(plane, dilate(low, radius, shape), dtype=plane.dtype)
    return np.subtract(plane, dilate(erode(plane, radius, shape), radius, shape))
