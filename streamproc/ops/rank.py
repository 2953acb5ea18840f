"""Filters by rank: each pixel becomes one of those in the window around it."""

from typing import Annotated, TypeAlias

from annotated_types import Ge, Le, Predicate
from numpy.typing import ArrayLike

from ..frame import Array
from ._operator import operator
from ._pixels import odd, pixels
from ._rank import windowed_extremum, windowed_median, windowed_percentile

#: The side of a window in pixels; odd, so that it has a centre.
Size: TypeAlias = Annotated[int, Ge(1), Le(255), Predicate(odd)]


@operator(("image", "mask"), gives=None, oracle="scipy.ndimage.median_filter")
def median(
    image: ArrayLike,
    *,
    size: Size = 3,
    channel_axis: int | None = None,
) -> Array:
    """Replace each pixel by the median of the square (the cube) around it.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN counts as larger than every
        number, so a lone NaN goes and more than half of a window makes NaN.
    size
        Side of the window in pixels, odd.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Notes
    -----
    The image is continued by its border pixels. Equal to
    ``scipy.ndimage.median_filter`` with ``mode="nearest"``, tested (which leaves
    windows with NaN undefined).

    Examples
    --------
    >>> median([[1, 1, 1], [1, 9, 1], [1, 1, 1]]).tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    return windowed_median(pixels(image), size)


@operator(("image", "mask"), gives=None, oracle="scipy.ndimage.minimum_filter")
def minimum(
    image: ArrayLike,
    *,
    size: Size = 3,
    channel_axis: int | None = None,
) -> Array:
    """Replace each pixel by the smallest of the square (the cube) around it.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is ignored; a window of
        nothing else makes NaN.
    size
        Side of the window in pixels, odd.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Notes
    -----
    Pixels outside the image do not count. Equal to ``scipy.ndimage.minimum_filter``,
    tested (which leaves windows with NaN undefined).

    Examples
    --------
    >>> minimum([[1, 1, 1], [1, 9, 9]]).tolist()
    [[1, 1, 1], [1, 1, 1]]
    """
    return windowed_extremum(pixels(image), size, darkest=True)


@operator(("image", "mask"), gives=None, oracle="scipy.ndimage.maximum_filter")
def maximum(
    image: ArrayLike,
    *,
    size: Size = 3,
    channel_axis: int | None = None,
) -> Array:
    """Replace each pixel by the largest of the square (the cube) around it.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN is ignored; a window of
        nothing else makes NaN.
    size
        Side of the window in pixels, odd.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Notes
    -----
    Pixels outside the image do not count. Equal to ``scipy.ndimage.maximum_filter``,
    tested (which leaves windows with NaN undefined).

    Examples
    --------
    >>> maximum([[1, 1, 1], [1, 1, 9]]).tolist()
    [[1, 9, 9], [1, 9, 9]]
    """
    return windowed_extremum(pixels(image), size, darkest=False)


@operator(("image", "mask"), gives=None, oracle="scipy.ndimage.percentile_filter")
def percentile(
    image: ArrayLike,
    *,
    percentile: Annotated[float, Ge(0), Le(100)] = 50.0,
    size: Size = 3,
    channel_axis: int | None = None,
) -> Array:
    """Replace each pixel by a percentile of the square (the cube) around it.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN counts as larger than every
        number.
    percentile
        Share of the window that is smaller, 0 (the minimum) to 100 (the maximum).
    size
        Side of the window in pixels, odd.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1): one of the window's own pixels,
        nothing is interpolated.

    Notes
    -----
    The image is mirrored at its border (d c b a | a b c d). Equal to
    ``scipy.ndimage.percentile_filter``, tested (which leaves windows with NaN
    undefined).

    Examples
    --------
    >>> percentile([[1, 2, 3], [4, 5, 6], [7, 8, 9]], percentile=25)[1].tolist()
    [2, 3, 3]
    """
    return windowed_percentile(pixels(image), size, percentile)
