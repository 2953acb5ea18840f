"""Shrinking and growing of masks by a disk or a box."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frame import Array
from ._footprints import Radius, Shape, closed, dilate, erode, opened
from ._operator import operator
from ._pixels import foreground, pixels


@operator(("mask",), gives="mask", oracle="skimage.morphology.binary_erosion")
def binary_erosion(
    mask: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Shrink the foreground by a disk or a box (in volumes a ball or a cube).

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the footprint, in pixels; 1 is the cross of the centre and its direct
        neighbours.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    Pixels outside the image count as foreground. Equal to
    ``skimage.morphology.binary_erosion`` with ``disk(radius)``, ``ball(radius)``
    or a box of ones, tested.

    Examples
    --------
    >>> binary_erosion([[1, 1, 1], [1, 1, 1], [1, 1, 0]]).tolist()
    [[1, 1, 1], [1, 1, 0], [1, 0, 0]]
    """
    return _truth(erode(_raw(mask), radius, shape))


@operator(("mask",), gives="mask", oracle="skimage.morphology.binary_dilation")
def binary_dilation(
    mask: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Grow the foreground by a disk or a box (in volumes a ball or a cube).

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the footprint, in pixels.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    Pixels outside the image count as background. Equal to
    ``skimage.morphology.binary_dilation`` with ``disk(radius)``, ``ball(radius)``
    or a box of ones, tested.

    Examples
    --------
    >>> binary_dilation([[0, 0, 0], [0, 1, 0], [0, 0, 0]]).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    return _truth(dilate(_raw(mask), radius, shape))


@operator(("mask",), gives="mask", oracle="skimage.morphology.binary_opening")
def binary_opening(
    mask: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Remove foreground into which the disk or box does not fit.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the footprint, in pixels.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    An erosion, then a dilation. Equal to ``skimage.morphology.binary_opening`` with
    ``disk(radius)``, ``ball(radius)`` or a box of ones, tested.

    Examples
    --------
    >>> binary_opening([[0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])[3].tolist()
    [0, 0, 0]
    """
    return _truth(opened(_raw(mask), radius, shape))


@operator(("mask",), gives="mask", oracle="skimage.morphology.binary_closing")
def binary_closing(
    mask: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Fill background into which the disk or box does not fit.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    radius
        Of the footprint, in pixels.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Notes
    -----
    A dilation, then an erosion. Equal to ``skimage.morphology.binary_closing`` with
    ``disk(radius)``, ``ball(radius)`` or a box of ones, tested.

    Examples
    --------
    >>> binary_closing([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[1].tolist()
    [1, 1, 1]
    """
    return _truth(closed(_raw(mask), radius, shape))


def _raw(mask: ArrayLike) -> Array:
    """Return bytes that are 0 where the mask is: of them, 1 need not be made first."""
    array = pixels(mask, "mask")
    return array if array.dtype == np.uint8 else foreground(array)


def _truth(values: Array) -> NDArray[np.uint8]:
    """Make what is not 0 a 1, in place."""
    np.not_equal(values, 0, out=values.view(np.bool_))
    return values
