"""Filters in frequency space: periodic borders, the cost of one transform and back."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray
from scipy import fft  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array
from ._operator import operator
from ._pixels import pixels, single
from ._separable import per_axis

#: In pixels; beyond 100,000 it is a typing error.
Length: TypeAlias = Annotated[float, Ge(0), Le(100_000)]
Shift: TypeAlias = Annotated[float, Ge(-100_000), Le(100_000)]
#: From cycles per pixel and a parameter to factors of the spectrum.
Response: TypeAlias = Callable[[Array, float], Array]


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.fourier_gaussian")
def fourier_gaussian(
    image: ArrayLike,
    *,
    sigma: Length | tuple[Length, ...] = 1.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Smooth with a Gaussian by Fourier transform: any sigma, one cost.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. One NaN or
        infinite pixel makes every pixel NaN.
    sigma
        Standard deviation in pixels, 0 (none) to 100,000: one number, or one per
        axis.
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
    The image repeats at its border (a b c d | a b c d), and the window is not cut.
    Transform, multiply, transform back, in float32: within 1e-5 of the largest
    absolute pixel of the same around ``scipy.ndimage.fourier_gaussian``, tested.

    Examples
    --------
    >>> fourier_gaussian([[1, 3], [3, 1]], sigma=9).round(3).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """
    plane = pixels(image)
    return _filtered(plane, per_axis(sigma, plane.ndim), _gaussian)


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.fourier_uniform")
def fourier_uniform(
    image: ArrayLike,
    *,
    size: Length | tuple[Length, ...] = 3.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Smooth with a box by Fourier transform: any size, fractions of pixels, too.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. One NaN or
        infinite pixel makes every pixel NaN.
    size
        Side of the box in pixels, 0 (none) to 100,000: one number, or one per axis.
    channel_axis
        Axis of channels; each is smoothed on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale.

    Raises
    ------
    ConfigError
        ``size`` has another length than the image has axes.

    Notes
    -----
    The image repeats at its border (a b c d | a b c d). The box is that of a
    continuous picture, so that its edges ring; `uniform` averages pixels. Transform,
    multiply, transform back, in float32: within 1e-5 of the largest absolute pixel of
    the same around ``scipy.ndimage.fourier_uniform``, tested.

    Examples
    --------
    >>> fourier_uniform([[1, 3], [3, 1]], size=2).round(3).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """
    plane = pixels(image)
    return _filtered(plane, per_axis(size, plane.ndim, "size"), _uniform)


@operator(("image", "mask"), gives="image", oracle="scipy.ndimage.fourier_shift")
def fourier_shift(
    image: ArrayLike,
    *,
    shift: Shift | tuple[Shift, ...] = 0.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Move an image by fractions of pixels by Fourier transform.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. One NaN or
        infinite pixel makes every pixel NaN.
    shift
        In pixels, towards larger indices: one number, or one per axis.
    channel_axis
        Axis of channels; each is moved on its own.

    Returns
    -------
    ndarray of float32
        Same shape and scale. Sharp edges ring where the shift is no whole number.

    Raises
    ------
    ConfigError
        ``shift`` has another length than the image has axes.

    Notes
    -----
    What leaves at one border comes in at the other. Transform, multiply, transform
    back, in float32: within 1e-5 of the largest absolute pixel of the real part of
    the same around ``scipy.ndimage.fourier_shift``, tested.

    Examples
    --------
    >>> fourier_shift([[1, 2, 3, 4, 5]], shift=(0, 1)).round(3).tolist()
    [[5.0, 1.0, 2.0, 3.0, 4.0]]
    """
    plane = pixels(image)
    shifts = per_axis(shift, plane.ndim, "shift")
    spectrum = fft.rfftn(single(plane))
    with np.errstate(invalid="ignore"):  # infinite pixels give NaN
        for frequency, value in zip(_frequencies(plane.shape), shifts, strict=True):
            spectrum *= _turn(frequency, value)
        spectrum *= _real_turn(plane.shape, shifts)
    return _image(spectrum, plane.shape)


def _filtered(
    image: Array, values: tuple[float, ...], response: Response
) -> NDArray[np.float32]:
    """Transform, multiply by the response along each axis, transform back."""
    spectrum = fft.rfftn(single(image))
    with np.errstate(invalid="ignore"):  # infinite pixels give NaN
        for frequency, value in zip(_frequencies(image.shape), values, strict=True):
            if value != 0:
                spectrum *= response(frequency, value)
    return _image(spectrum, image.shape)


def _image(spectrum: Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
    back = fft.irfftn(spectrum, s=shape, overwrite_x=True)
    return np.ascontiguousarray(back, np.float32)


def _frequencies(shape: tuple[int, ...]) -> list[Array]:
    """Return cycles per pixel along each axis of half a spectrum, to broadcast."""
    halved = [*shape[:-1], shape[-1] // 2 + 1]
    return [
        np.fft.fftfreq(length)[:kept].reshape((-1,) + (1,) * (len(shape) - 1 - axis))
        for axis, (length, kept) in enumerate(zip(shape, halved, strict=True))
    ]


def _gaussian(frequency: Array, sigma: float) -> Array:
    return np.asarray(np.exp(-0.5 * (2 * np.pi * frequency * sigma) ** 2), np.float32)


def _uniform(frequency: Array, size: float) -> Array:
    return np.asarray(np.sinc(frequency * size), np.float32)


def _turn(frequency: Array, shift: float) -> Array:
    """Return the turn of each frequency but the highest, see `_real_turn`."""
    turned = np.exp(-2j * np.pi * frequency * shift)
    return np.where(frequency == -0.5, 1, turned).astype(np.complex64)


def _real_turn(
    shape: tuple[int, ...], shifts: tuple[float, ...]
) -> NDArray[np.float32]:
    """Return what is real in the turn of the highest frequency of even axes.

    It has no counterpart of the other sign that would take the imaginary part away.
    """
    pairs = zip(_frequencies(shape), shifts, strict=True)
    turns = [np.where(f == -0.5, s, 0).astype(np.float32) for f, s in pairs]
    return np.asarray(np.cos(np.float32(np.pi) * sum(turns[1:], turns[0])))
