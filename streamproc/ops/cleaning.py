"""Corrections of masks and labels: holes filled, what touches the border removed."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ._jit import jit
from ._operator import operator
from ._pixels import as_mask, foreground, lines, pixels
from .labeling import objects, remove_small_objects, whole


@operator(("mask",), gives="mask", oracle="scipy.ndimage.binary_fill_holes")
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
    image = foreground(mask)
    holes = _without_border(as_mask(np.equal(image, 0)), 1, 1)
    return np.bitwise_or(image, holes)


@operator(("mask",), gives="mask", oracle="skimage.morphology.remove_small_holes")
def remove_small_holes(
    mask: ArrayLike,
    *,
    max_size: Annotated[int, Ge(0)] = 64,
    connectivity: Annotated[int, Ge(1), Le(3)] | None = 1,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Fill the connected pieces of background of ``max_size`` pixels or fewer.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    max_size
        Largest size to fill, in pixels.
    connectivity
        What makes background one hole, as in `label`; None: as many as there are axes.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Raises
    ------
    ConfigError
        ``connectivity`` is larger than the number of axes.

    Notes
    -----
    Holes at the border are filled like any other. Equal to
    ``skimage.morphology.remove_small_holes(..., max_size=)`` of scikit-image 0.26,
    tested.

    Examples
    --------
    >>> remove_small_holes([[1, 1, 1, 0], [1, 0, 1, 0]], max_size=1).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 0]]
    """
    background = as_mask(np.equal(pixels(mask, "mask"), 0))
    large = remove_small_objects(
        background, max_size=max_size, connectivity=connectivity
    )
    return as_mask(np.equal(large, 0))


@operator(("mask", "labels"), gives=None, oracle="skimage.segmentation.clear_border")
def clear_border(
    mask: ArrayLike,
    *,
    buffer_size: Annotated[int, Ge(0)] = 0,
    channel_axis: int | None = None,
) -> Array:
    """Remove the objects that touch the border of the image.

    Parameters
    ----------
    mask
        A mask (bool or uint8: connected foreground is an object) or a label image
        (any wider integer: connected pixels of one label are an object);
        ``(y, x)`` or ``(z, y, x)``. Diagonal neighbours are connected.
    buffer_size
        How many pixels inside the outermost ones count as border, too.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        A mask as uint8 0/1, labels in their own dtype and numbering.

    Raises
    ------
    FrameError
        The pixels are not whole numbers.
    ConfigError
        ``buffer_size`` is not smaller than each side of the image.

    Notes
    -----
    Equal to ``skimage.segmentation.clear_border``, tested: of a label whose pieces do
    not touch each other, only those that touch the border go. In volumes the first and
    the last plane are border.

    Examples
    --------
    >>> clear_border([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]).tolist()
    [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    """
    image = pixels(mask, "mask")
    if buffer_size >= min(image.shape):
        raise ConfigError(
            "buffer_size must be smaller than each side of the image, got"
            f" {buffer_size} for shape {image.shape}"
        )
    kept = foreground(image) if image.dtype.itemsize == 1 else whole(image, "mask")
    return _without_border(kept, kept.ndim, buffer_size + 1)


def _without_border(image: Array, connectivity: int, thick: int) -> Array:
    """Return a copy without the objects that reach the ``thick`` outermost pixels."""
    runs, numbers, count = objects(image, connectivity)
    depth, height = image.reshape(-1, *image.shape[-2:]).shape[:2]
    size = np.array([depth, height, image.shape[-1]])
    margin = np.array([thick if image.ndim == 3 else 0, thick, thick])
    kept = image.copy()
    _erase(runs.first, runs.start, runs.stop, numbers, count, size, margin, lines(kept))
    return kept


@jit
def _erase(
    first: Array,
    start: Array,
    stop: Array,
    numbers: Array,
    count: int,
    size: Array,
    margin: Array,
    rows: Array,
) -> None:
    """Write 0 over the objects with a run within the margins of the image."""
    outside = np.zeros(count + 1, np.bool_)
    for line in range(first.size - 1):
        z, y = divmod(line, size[1])
        inside = margin[0] <= z < size[0] - margin[0]
        inside = inside and margin[1] <= y < size[1] - margin[1]
        for i in range(first[line], first[line + 1]):
            if not inside or start[i] < margin[2] or stop[i] > size[2] - margin[2]:
                outside[numbers[i]] = True
    for line in range(first.size - 1):
        for i in range(first[line], first[line + 1]):
            if outside[numbers[i]]:
                rows[line, start[i] : stop[i]] = 0
