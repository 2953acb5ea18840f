"""Grey morphology: the darkest, the brightest pixel under a disk or a box."""

from numpy.typing import ArrayLike

from ..frame import Array
from ._footprints import Radius, Shape, closed, dilate, erode, opened
from ._operator import operator
from ._pixels import pixels


@operator(("image",), gives="image", oracle="skimage.morphology.erosion")
def erosion(
    image: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Take the darkest pixel under a disk or a box around each.

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
        Same shape and dtype.

    Notes
    -----
    The footprint is cut at the border. Equal to
    ``skimage.morphology.erosion`` with ``disk(radius)``, ``ball(radius)`` or a box
    of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> erosion([[5, 5, 5], [5, 1, 5], [5, 5, 5]]).tolist()
    [[5, 1, 5], [1, 1, 1], [5, 1, 5]]
    """
    return erode(pixels(image), radius, shape)


@operator(("image",), gives="image", oracle="skimage.morphology.dilation")
def dilation(
    image: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Take the brightest pixel under a disk or a box around each.

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
        Same shape and dtype.

    Notes
    -----
    The footprint is cut at the border. Equal to
    ``skimage.morphology.dilation`` with ``disk(radius)``, ``ball(radius)`` or a box
    of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> dilation([[0, 0, 0], [0, 7, 0], [0, 0, 0]]).tolist()
    [[0, 7, 0], [7, 7, 7], [0, 7, 0]]
    """
    return dilate(pixels(image), radius, shape)


@operator(("image",), gives="image", oracle="skimage.morphology.opening")
def opening(
    image: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Remove bright objects that are narrower than the footprint.

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
        Same shape and dtype.

    Notes
    -----
    An erosion, then a dilation. The footprint is cut at the border. Equal to
    ``skimage.morphology.opening`` with ``disk(radius)``, ``ball(radius)`` or a box
    of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> opening([[2, 2, 2, 2], [2, 9, 2, 3], [2, 2, 2, 3]]).tolist()
    [[2, 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]]
    """
    return opened(pixels(image), radius, shape)


@operator(("image",), gives="image", oracle="skimage.morphology.closing")
def closing(
    image: ArrayLike,
    *,
    radius: Radius = 1,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Fill dark gaps that are narrower than the footprint.

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
        Same shape and dtype.

    Notes
    -----
    A dilation, then an erosion. The footprint is cut at the border. Equal to
    ``skimage.morphology.closing`` with ``disk(radius)``, ``ball(radius)`` or a box
    of ones, tested (images without NaN); 64-bit integers are exact here.

    Examples
    --------
    >>> closing([[9, 9, 9, 9], [9, 2, 9, 9], [9, 9, 9, 9]]).tolist()
    [[9, 9, 9, 9], [9, 9, 9, 9], [9, 9, 9, 9]]
    """
    return closed(pixels(image), radius, shape)
