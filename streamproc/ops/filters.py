"""Smoothing: gaussian, difference of gaussians, median."""

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import cv2
import numpy as np
from annotated_types import Ge, Le, Predicate
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError
from ..frame import Array
from ._operator import operator
from ._pixels import lines, odd, pixels
from ._rank import windowed_median

#: A standard deviation in pixels; beyond 1000 it is a typing error.
Sigma: TypeAlias = Annotated[float, Ge(0), Le(1000)]


@operator(("image", "mask"), gives="image")
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
    return _smooth(plane.astype(np.float32, copy=False), per_axis(sigma, plane.ndim))


@operator(("image", "mask"), gives="image")
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
    floats = plane.astype(np.float32, copy=False)
    narrow, wide = _smooth(floats, low), _smooth(floats, high)
    return np.subtract(narrow, wide, out=narrow)


@operator(("image", "mask"), gives=None)
def median(
    image: ArrayLike,
    *,
    size: Annotated[int, Ge(1), Le(255), Predicate(odd)] = 3,
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


def per_axis(
    sigma: float | Sequence[float], ndim: int, name: str = "sigma"
) -> tuple[float, ...]:
    """Return one number per axis.

    Raises
    ------
    ConfigError
        The number of numbers is not that of the axes.
    """
    values = (
        (float(sigma),) * ndim
        if isinstance(sigma, (int, float))
        else tuple(float(s) for s in sigma)
    )
    if len(values) != ndim:
        raise ConfigError(
            f"{name} must be one number or {ndim}, one per axis, got {values}"
        )
    return values


def _smooth(image: Array, sigmas: tuple[float, ...]) -> NDArray[np.float32]:
    across, down = _weights(sigmas[-1]), _weights(sigmas[-2])
    smooth: NDArray[np.float32] = np.empty(image.shape, np.float32)
    # one plane after the other: OpenCV takes (z, y, x) for a colour image
    for plane, out in zip(
        image.reshape(-1, *image.shape[-2:]),
        smooth.reshape(-1, *image.shape[-2:]),
        strict=True,
    ):
        _convolve(plane, across, down, out)
    if image.ndim == 3 and sigmas[0] > 0:
        stack = smooth.reshape(len(smooth), -1)
        smooth = _convolve(
            stack, _weights(0), _weights(sigmas[0]), np.empty_like(stack)
        ).reshape(smooth.shape)
    return smooth


def _convolve(plane: Array, across: Array, down: Array, out: Array) -> Array:
    rows = lines(plane)
    cv2.sepFilter2D(
        rows, cv2.CV_32F, across, down, dst=out, borderType=cv2.BORDER_REFLECT
    )
    return out


def _weights(sigma: float) -> NDArray[np.float32]:
    """Return scipy's weights of a Gaussian, cut at 4 sigma."""
    if sigma <= 0:
        return np.ones(1, np.float32)
    radius = int(4 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    return np.asarray(weights / weights.sum(), np.float32)
