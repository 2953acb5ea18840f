"""Derivatives: how steep and how curved the grey levels are."""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ._laplace import second_differences
from ._operator import operator
from ._pixels import pixels, single
from ._separable import Weights, correlated, gaussian_weights, per_axis, readable

#: A standard deviation in pixels; without smoothing there is no derivative of it.
Sigma: TypeAlias = Annotated[float, Gt(0), Le(1000)]

_DIFFERENCE = np.array([-1, 0, 1], np.float32)
_SOBEL = np.array([0.25, 0.5, 0.25], np.float32)
_PREWITT = np.full(3, 1 / 3, np.float32)


@operator(("image", "mask"), gives="image", oracle="skimage.filters.sobel")
def sobel(
    image: ArrayLike,
    *,
    axis: int | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Measure how steep the grey levels are, with Sobel's weights.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to its neighbours.
    axis
        Differentiate along this axis, with sign. Default: the magnitude over all.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape, grey levels per 2 pixels. The magnitude is the root of the mean of
        the squares over the axes.

    Raises
    ------
    ConfigError
        The image has no such axis.

    Notes
    -----
    The difference of the next and the previous pixel along the axis, weighed
    1/4, 1/2, 1/4 along the others: ``scipy.ndimage.sobel`` over 4 (in volumes over
    16). The image is mirrored at its border (d c b a | a b c d). Within 1e-5 of the
    largest absolute pixel of ``skimage.filters.sobel`` on float32, tested.

    Examples
    --------
    >>> sobel([[0, 1, 2, 3]] * 3, axis=1)[1].tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    return _edges(pixels(image), _SOBEL, axis)


@operator(("image", "mask"), gives="image", oracle="skimage.filters.prewitt")
def prewitt(
    image: ArrayLike,
    *,
    axis: int | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Measure how steep the grey levels are, with Prewitt's weights.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to its neighbours.
    axis
        Differentiate along this axis, with sign. Default: the magnitude over all.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape, grey levels per 2 pixels. The magnitude is the root of the mean of
        the squares over the axes.

    Raises
    ------
    ConfigError
        The image has no such axis.

    Notes
    -----
    The difference of the next and the previous pixel along the axis, the mean
    of three along the others: ``scipy.ndimage.prewitt`` over 3 (in volumes over 9).
    The image is mirrored at its border (d c b a | a b c d). Within 1e-5 of the
    largest absolute pixel of ``skimage.filters.prewitt`` on float32, tested.

    Examples
    --------
    >>> prewitt([[0, 1, 2, 3]] * 3, axis=1)[1].tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    return _edges(pixels(image), _PREWITT, axis)


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.laplace")
def laplace(
    image: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.float32]:
    """Add the second differences along all axes.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to its neighbours.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape; negative at the top of a bright spot.

    Notes
    -----
    The image is mirrored at its border (d c b a | a b c d). Within 1e-5 of the
    largest absolute pixel of ``scipy.ndimage.laplace`` on float32, tested.
    ``skimage.filters.laplace`` has the other sign.

    Examples
    --------
    >>> laplace([[0, 0, 0], [0, 1, 0], [0, 0, 0]]).tolist()
    [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
    """
    return second_differences(pixels(image))


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.gaussian_laplace")
def gaussian_laplace(
    image: ArrayLike,
    *,
    sigma: Sigma | tuple[Sigma, ...] = 1.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Add the second derivatives of the image smoothed by a Gaussian.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel whose
        window holds it.
    sigma
        Standard deviation in pixels, above 0 to 1000: one number, or one per axis. A
        spot of radius r answers most to ``r / sqrt(2)``, in volumes ``r / sqrt(3)``.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape, grey levels per square pixel; negative in a bright spot.

    Raises
    ------
    ConfigError
        ``sigma`` has another length than the image has axes.

    Notes
    -----
    The window is cut at 4 sigma and the image is mirrored at its border (d c b a |
    a b c d). Within 1e-5 of the largest absolute pixel of
    ``scipy.ndimage.gaussian_laplace`` on float32, tested. Cut weights do not quite
    cancel: at sigma 1 a flat image gives -1.4e-4 of its level.

    Examples
    --------
    >>> bool(gaussian_laplace([[0, 0, 0], [0, 9, 0], [0, 0, 0]])[1, 1] < 0)
    True
    """
    first, *others = _derivatives(pixels(image), sigma, order=2)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite pixels give NaN
        for part in others:
            first += part
    return first


@operator(
    ("image", "mask"),
    gives="image",
    oracle="scipy.ndimage.gaussian_gradient_magnitude",
)
def gradient_magnitude(
    image: ArrayLike,
    *,
    sigma: Sigma | tuple[Sigma, ...] = 1.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Measure how steep the image smoothed by a Gaussian is.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel whose
        window holds it.
    sigma
        Standard deviation in pixels, above 0 to 1000: one number, or one per axis.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape, grey levels per pixel: the root of the sum of the squares of the
        first derivatives.

    Raises
    ------
    ConfigError
        ``sigma`` has another length than the image has axes.

    Notes
    -----
    The window is cut at 4 sigma and the image is mirrored at its border (d c b a |
    a b c d). Within 1e-5 of the largest absolute pixel of
    ``scipy.ndimage.gaussian_gradient_magnitude`` on float32, tested.

    Examples
    --------
    >>> gradient_magnitude([[0, 2, 4, 6, 8, 10, 12, 14]])[0, 3:5].round(1).tolist()
    [2.0, 2.0]
    """
    return _magnitude(_derivatives(pixels(image), sigma, order=1))


def _edges(plane: Array, across: Weights, axis: int | None) -> NDArray[np.float32]:
    ndim = plane.ndim
    if axis is not None and not -ndim <= axis < ndim:
        raise ConfigError(
            f"axis must be one of the image's, {-ndim} to {ndim - 1}, got {axis}"
        )
    floats = single(plane)
    axes = range(ndim) if axis is None else (axis % ndim,)
    parts = [
        correlated(floats, [_DIFFERENCE if i == along else across for i in range(ndim)])
        for along in axes
    ]
    return _magnitude(parts, ndim) if axis is None else parts[0]


def _derivatives(
    plane: Array, sigma: float | tuple[float, ...], order: int
) -> list[NDArray[np.float32]]:
    """Return the derivative along each axis, smoothed along all."""
    plane = readable(plane)
    sigmas = per_axis(sigma, plane.ndim)
    return [
        correlated(
            plane,
            [
                gaussian_weights(s, order if i == along else 0)
                for i, s in enumerate(sigmas)
            ],
        )
        for along in range(plane.ndim)
    ]


@np.errstate(over="ignore")  # what is too steep for float32 is infinite
def _magnitude(
    parts: list[NDArray[np.float32]], over: float = 1
) -> NDArray[np.float32]:
    """Return the root of the sum of squares over ``over``, in the first one's place."""
    for part in parts:
        np.multiply(part, part, out=part)
    total, *others = parts
    for part in others:
        total += part
    if over != 1:
        total *= np.float32(1 / over)
    return np.sqrt(total, out=total)
