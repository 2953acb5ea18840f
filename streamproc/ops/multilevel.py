"""More than one threshold: hysteresis, and classes of grey levels."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..frame import Array
from ._histogram import histogram
from ._jit import jit
from ._multi_otsu import between, too_few
from ._operator import operator
from ._pixels import lines, pixels
from ._runs import paint
from .labeling import objects
from .thresholding import Method, above, find_threshold, finite


@operator(("image",), gives="mask", oracle="skimage.filters.apply_hysteresis_threshold")
def hysteresis(
    image: ArrayLike,
    *,
    low: float | Method = "li",
    high: float | Method = "otsu",
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Mark what is above ``low`` in one piece with what is above ``high``.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is background.
    low, high
        Grey levels, or methods of `find_threshold`. A ``low`` above ``high`` is taken
        as ``high``.
    channel_axis
        Axis of channels; each has thresholds of its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Raises
    ------
    FrameError
        A method finds no threshold in the image.

    Notes
    -----
    Connected are pixels that share an edge (in volumes a face). Equal to
    ``skimage.filters.apply_hysteresis_threshold``, tested.

    References
    ----------
    J. Canny (1986), doi:10.1109/TPAMI.1986.4767851.

    Examples
    --------
    >>> hysteresis([[1, 2, 3, 2, 1, 2, 1, 3, 2]], low=1.5, high=2.5).tolist()
    [[0, 1, 1, 1, 0, 0, 0, 1, 1]]
    """
    plane = pixels(image)
    upper = _level(plane, high)
    lower = min(_level(plane, low), upper)
    mask = above(plane, lower)
    runs, numbers, count = objects(mask, 1)
    kept = _reaching(
        runs.first, runs.start, runs.stop, numbers, count, lines(above(plane, upper))
    )
    result = np.empty_like(mask)
    paint(lines(result), runs.first, runs.start, runs.stop, kept)
    return result


@operator(("image",), gives="labels", oracle="skimage.filters.threshold_multiotsu")
def multi_otsu(
    image: ArrayLike,
    *,
    classes: Annotated[int, Ge(2), Le(9)] = 3,
    channel_axis: int | None = None,
) -> NDArray[np.uint32]:
    """Number each pixel by the class of its grey level, from the darkest on.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is of the darkest class;
        pixels that are not finite have no part in finding the classes.
    classes
        How many there are, 2 to 9.
    channel_axis
        Axis of channels; each has classes of its own.

    Returns
    -------
    ndarray of uint32
        Same shape: 0 for the darkest class to ``classes - 1`` for the brightest. As
        labels, so that `measure` gives a row for each class above the darkest.

    Raises
    ------
    FrameError
        The image has fewer grey levels than classes.

    Notes
    -----
    Equal to ``np.digitize(image, skimage.filters.threshold_multiotsu(image, classes))``
    (a pixel that equals a threshold is of the class above it), tested. Time does not
    grow with a power of the number of classes; of more than 4096 levels in four classes
    or more, which scikit-image takes hours for, the best in double precision is taken.

    References
    ----------
    P. Liao, T. Chen and P. Chung (2001), doi:10.6688/JISE.2001.17.5.1.

    Examples
    --------
    >>> multi_otsu([[1, 2, 11, 12, 31, 32, 33]]).tolist()
    [[0, 1, 1, 2, 2, 2, 2]]
    """
    plane = pixels(image)
    known, low, high = finite(plane)
    if not known.size or low == high:
        raise too_few(classes, min(known.size, 1))
    numbers = np.zeros(plane.shape, np.uint32)
    for level in between(histogram(known, low, high), classes):
        if plane.dtype.kind != "f":
            level = np.ceil(level)
        numbers += np.greater_equal(plane, plane.dtype.type(level))
    return numbers


def _level(plane: Array, value: float | Method) -> float:
    if isinstance(value, str):
        return find_threshold(plane, method=value)
    if plane.dtype != np.float32:
        return value
    # a single is above a double if it is above the next single below
    near = np.float32(value)
    return float(
        near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))
    )


@jit
def _reaching(
    first: Array, start: Array, stop: Array, numbers: Array, count: int, high: Array
) -> Array:
    """Return 1 for each run of an object that has a marked pixel, else 0."""
    reached = np.zeros(count + 1, np.uint8)
    for y in range(high.shape[0]):
        for i in range(first[y], first[y + 1]):
            for x in range(start[i], stop[i]):
                reached[numbers[i]] |= high[y, x]
    return reached[numbers]
