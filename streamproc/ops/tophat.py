"""Differences of grey morphology: top-hats and the gradient."""

import numpy as np
from numpy.typing import ArrayLike

from ..frame import Array
from ._footprints import Radius, Shape, closed, dilate, erode, opened
from ._operator import operator
from ._pixels import pixels


@operator(("image",), gives="image", oracle="skimage.morphology.white_tophat")
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
        Signed integers stop at their largest number.

    Notes
    -----
    The footprint is cut at the border. Equal to
    ``skimage.morphology.white_tophat`` with ``disk(radius)``, ``ball(radius)`` or a box
    of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> white_tophat([[2, 2, 2, 2], [2, 9, 2, 3], [2, 2, 2, 3]], radius=1).tolist()
    [[0, 0, 0, 0], [0, 7, 0, 1], [0, 0, 0, 1]]
    """
    plane = pixels(image)
    return _less(plane, opened(plane, radius, shape))


@operator(("image",), gives="image", oracle="skimage.morphology.black_tophat")
def black_tophat(
    image: ArrayLike,
    *,
    radius: Radius = 25,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Keep what is darker than its surroundings and narrower than the footprint.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is ignored, and stays NaN.
    radius
        Of the footprint, in pixels: larger than the dark spots to keep.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis
        and quicker.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype, never negative: the closing less the image.
        Signed integers stop at their largest number.

    Notes
    -----
    The footprint is cut at the border. Equal to
    ``skimage.morphology.black_tophat`` with ``disk(radius)``, ``ball(radius)`` or a box
    of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> black_tophat([[9, 9, 9, 9], [9, 2, 9, 9], [9, 9, 9, 9]], radius=1).tolist()
    [[0, 0, 0, 0], [0, 7, 0, 0], [0, 0, 0, 0]]
    """
    plane = pixels(image)
    return _less(closed(plane, radius, shape), plane)


@operator(("image",), gives="image", oracle="scipy.ndimage.morphological_gradient")
def morphological_gradient(
    image: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Take the brightest less the darkest pixel under a disk or a box around each.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is ignored, and stays NaN.
    radius
        Of the footprint, in pixels; 1 is the cross.
    shape
        ``disk`` (a ball in volumes), or ``box``, ``2 * radius + 1`` along every axis
        and quicker.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype, never negative: high at edges.
        Signed integers stop at their largest number.

    Notes
    -----
    A dilation less an erosion. The footprint is cut at the border. Equal to
    ``scipy.ndimage.morphological_gradient`` with ``disk(radius)``, ``ball(radius)``
    or a box of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> morphological_gradient([[1, 1, 5, 5]], radius=1).tolist()
    [[0, 4, 4, 0]]
    """
    plane = pixels(image)
    return _less(dilate(plane, radius, shape), erode(plane, radius, shape))


def _less(high: Array, low: Array) -> Array:
    """Return the difference of which the first is the larger; it never wraps."""
    # infinite less infinite is NaN, and no reason to warn
    with np.errstate(invalid="ignore"):
        difference = np.subtract(high, low)
    if difference.dtype.kind == "i":
        difference[difference < 0] = np.iinfo(difference.dtype).max
    return difference
