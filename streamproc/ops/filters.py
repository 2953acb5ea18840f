"""Smoothing, and what is made of it: linear, borders mirrored, float32."""

from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le, Predicate
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ._box import box_mean
from ._operator import operator
from ._pixels import odd, pixels, single
from ._separable import per_axis, readable, smoothed

#: A standard deviation in pixels; beyond 1000 it is a typing error.
Sigma: TypeAlias = Annotated[float, Ge(0), Le(1000)]
#: The side of a window in pixels; odd, so that it has a centre.
Side: TypeAlias = Annotated[int, Ge(1), Le(1001), Predicate(odd)]


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.gaussian_filter")
def gaussian(
    image: ArrayLike,
    *,
    sigma: Sigma | tuple[Sigma, ...] = 1.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Smooth with a Gaussian.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel whose
        window holds it.
    sigma
        Standard deviation in pixels, 0 (none) to 1000: one number, or one per axis.
    channel_axis
        Axis of channels; each is smoothed on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale.

    Raises
    ------
    ConfigError
        ``sigma`` has another length than the image has axes.

    Notes
    -----
    The window is cut at 4 sigma and the image is mirrored at its border (d c b a |
    a b c d). Within 1e-5 of the largest absolute pixel of
    ``scipy.ndimage.gaussian_filter`` on float32, tested.

    Examples
    --------
    >>> (gaussian([[0, 0, 0], [0, 4, 0], [0, 0, 0]]) * 4).round()[1].tolist()
    [2.0, 3.0, 2.0]
    """
    plane = pixels(image)
    return smoothed(plane, per_axis(sigma, plane.ndim))


@operator(
    ("image", "mask"), gives="image", oracle="skimage.filters.difference_of_gaussians"
)
def difference_of_gaussians(
    image: ArrayLike,
    *,
    low_sigma: Sigma | tuple[Sigma, ...] = 1.0,
    high_sigma: Sigma | tuple[Sigma, ...] | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Keep what is larger than ``low_sigma`` and smaller than ``high_sigma``.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    low_sigma
        Standard deviation of the narrow Gaussian in pixels; one number or one per
        axis.
    high_sigma
        That of the wide one, which is subtracted. Default: 1.6 times ``low_sigma``,
        near to a Laplacian of a Gaussian.
    channel_axis
        Axis of channels; each is filtered on its own.

    Returns
    -------
    ndarray of float32
        Same shape, around 0.

    Raises
    ------
    ConfigError
        ``high_sigma`` is smaller than ``low_sigma``, or one of them has another
        length than the image has axes.

    Notes
    -----
    The difference of two `gaussian`: same borders, same accuracy. Equal to
    ``skimage.filters.difference_of_gaussians`` with ``mode="reflect"`` and the
    scale of the pixels kept.

    Examples
    --------
    >>> bool((abs(difference_of_gaussians([[5, 5], [5, 5]])) < 1e-6).all())
    True
    """
    plane = pixels(image)
    low = per_axis(low_sigma, plane.ndim, "low_sigma")
    if high_sigma is None:
        high = tuple(1.6 * s for s in low)
    else:
        high = per_axis(high_sigma, plane.ndim, "high_sigma")
    if any(h < s for s, h in zip(low, high, strict=True)):
        raise ConfigError(
            f"high_sigma must be >= low_sigma, got {high_sigma} and {low_sigma}"
        )
    plane = readable(plane)
    narrow, wide = smoothed(plane, low), smoothed(plane, high)
    with np.errstate(invalid="ignore"):  # infinite on both sides: NaN
        return np.subtract(narrow, wide, out=narrow)


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.uniform_filter")
def uniform(
    image: ArrayLike,
    *,
    size: Side | tuple[Side, ...] = 3,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Smooth with a box: each pixel becomes the mean of the window around it.

    This is the filter that others call mean or box.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads to every pixel whose
        window holds it.
    size
        Side of the window in pixels, odd, 1 to 1001: one number, or one per axis.
    channel_axis
        Axis of channels; each is smoothed on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale; nothing is rounded to whole numbers.

    Raises
    ------
    ConfigError
        ``size`` has another length than the image has axes.

    Notes
    -----
    The image is mirrored at its border (d c b a | a b c d). Within 1e-5 of the
    largest absolute pixel of ``scipy.ndimage.uniform_filter`` on float32, tested.
    The time hardly depends on the size.

    Examples
    --------
    >>> uniform([[0, 0, 0], [0, 9, 0], [0, 0, 0]]).tolist()[1]
    [1.0, 1.0, 1.0]
    """
    plane = pixels(image)
    sides = per_axis(size, plane.ndim, "size")
    return box_mean(plane, tuple(int(s) for s in sides))


@operator(("image", "mask"), gives="image", oracle="skimage.filters.unsharp_mask")
def unsharp_mask(
    image: ArrayLike,
    *,
    radius: Sigma | tuple[Sigma, ...] = 1.0,
    amount: Annotated[float, Ge(-1000), Le(1000)] = 1.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Sharpen: add what a Gaussian takes away.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN spreads as in `gaussian`.
    radius
        Standard deviation of the Gaussian in pixels, 0 to 1000: one number, or one
        per axis.
    amount
        How many times the details are added; below 0 it blurs.
    channel_axis
        Axis of channels; each is sharpened on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale: ``image + amount * (image - gaussian(image))``. It is
        not clipped, and may leave the range of the image's dtype.

    Raises
    ------
    ConfigError
        ``radius`` has another length than the image has axes.

    Notes
    -----
    Within 1e-5 times (1 + amount) of the largest absolute pixel of
    ``skimage.filters.unsharp_mask`` with ``preserve_range=True``, tested.

    Examples
    --------
    >>> unsharp_mask([[2, 2, 8, 8]]).round().tolist()
    [[2.0, 0.0, 10.0, 8.0]]
    """
    plane = single(pixels(image))
    result = smoothed(plane, per_axis(radius, plane.ndim, "radius"))
    with np.errstate(invalid="ignore", over="ignore"):  # infinite pixels give NaN
        np.subtract(plane, result, out=result)
        result *= np.float32(amount)
        result += plane
    return result
