"""Filters by weights of one's own: correlate and convolve."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ._correlation import weighed
from ._operator import operator
from ._pixels import pixels

_Plane: TypeAlias = tuple[tuple[float, ...], ...]
#: Rows of numbers, or planes of rows.
Weights: TypeAlias = _Plane | tuple[_Plane, ...]


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.correlate")
def correlate(
    image: ArrayLike,
    *,
    weights: Weights = ((1.0,),),
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Replace each pixel by the sum of its neighbours times weights.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel that
        it has a weight other than 0 for.
    weights
        Rows of numbers, ``(y, x)``, or planes of rows, ``(z, y, x)``; a list or an
        array. Its middle, ``length // 2`` along each axis, lies on the pixel. Weights
        ``(y, x)`` act on each plane of a volume.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape; nothing is rounded or cut off.

    Raises
    ------
    ConfigError
        ``weights`` is empty, its rows differ in length, or it has more axes than the
        image.

    Notes
    -----
    The image is mirrored at its border (d c b a | a b c d). Summed in float64: within
    1e-5 times the sum of the absolute weights of the largest absolute pixel of
    ``scipy.ndimage.correlate`` on float32, tested.

    Examples
    --------
    >>> correlate([[1, 2, 4, 8]], weights=[[-1, 0, 1]]).tolist()
    [[1.0, 3.0, 6.0, 4.0]]
    """
    plane = pixels(image)
    array = _as_array(weights, plane.ndim)
    return weighed(plane, array, tuple(n // 2 for n in array.shape))


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.convolve")
def convolve(
    image: ArrayLike,
    *,
    weights: Weights = ((1.0,),),
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Spread each pixel over its neighbours by weights: `correlate`, mirrored.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel that
        it has a weight other than 0 for.
    weights
        Rows of numbers, ``(y, x)``, or planes of rows, ``(z, y, x)``; a list or an
        array. Its middle is ``length // 2`` along each axis. Weights ``(y, x)`` act
        on each plane of a volume.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape; nothing is rounded or cut off.

    Raises
    ------
    ConfigError
        ``weights`` is empty, its rows differ in length, or it has more axes than the
        image.

    Notes
    -----
    The image is mirrored at its border (d c b a | a b c d). Summed in float64: within
    1e-5 times the sum of the absolute weights of the largest absolute pixel of
    ``scipy.ndimage.convolve`` on float32, tested.

    Examples
    --------
    >>> convolve([[0, 0, 1, 0, 0]], weights=[[1, 2, 3]]).tolist()
    [[0.0, 1.0, 2.0, 3.0, 0.0]]
    """
    plane = pixels(image)
    array = np.flip(_as_array(weights, plane.ndim))
    return weighed(plane, array, tuple((n - 1) // 2 for n in array.shape))


def _as_array(weights: Weights, ndim: int) -> Array:
    """Return weights with as many axes as the image.

    Raises
    ------
    ConfigError
        They are no plane and no volume, or have more axes than the image.
    """
    try:
        array = np.asarray(weights, np.float64)
    except ValueError:
        raise ConfigError(
            "weights must be rows of one length, got rows that differ"
        ) from None
    if not array.size or not np.isfinite(array).all():
        raise ConfigError(
            f"weights must be one or more finite numbers, got {array.tolist()}"
        )
    if array.ndim > ndim:
        raise ConfigError(
            f"weights must have at most the image's {ndim} axes, got {array.ndim}"
        )
    return array.reshape((1,) * (ndim - array.ndim) + array.shape)
