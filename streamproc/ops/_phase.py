"""Where the spectra of two images say that one lies over the other."""

from typing import Any

import numpy as np
from scipy import fft  # type: ignore[import-untyped]  # scipy ships no types

from ..frame import Array


def peak(
    reference: Array, image: Array, upsample_factor: int, *, phase: bool
) -> tuple[float, ...]:
    """Return the shift that lays ``image`` over ``reference``, in pixels by axis.

    M. Guizar-Sicairos, S. Thurman and J. Fienup (2008), "Efficient subpixel image
    registration algorithms", doi:10.1364/OL.33.000156: the cross-correlation, found to
    whole pixels, is computed on a finer grid around its peak alone.
    """
    shape = image.shape
    product = _product(reference, image, phase=phase)
    correlation = np.abs(fft.irfftn(product, shape, workers=1))
    place = np.unravel_index(int(np.argmax(correlation)), shape)
    shift = np.array(
        [p - n if p > n // 2 else p for p, n in zip(place, shape, strict=True)], float
    )
    if upsample_factor > 1:
        shift = _refined(product, shape, shift, upsample_factor)
    return tuple(0.0 if n == 1 else float(s) for s, n in zip(shift, shape, strict=True))


def _product(reference: Array, image: Array, *, phase: bool) -> Array:
    """Return the half of the cross spectrum that real images leave free."""
    product: Array = fft.rfftn(reference, workers=1)
    other = fft.rfftn(image, workers=1)
    product *= np.conj(other, out=other)
    if phase:
        length = np.abs(product)
        least = 100 * np.finfo(length.dtype).eps
        product /= np.maximum(length, least, out=length)
    return product


def _refined(
    product: Array, shape: tuple[int, ...], shift: Array, factor: int
) -> Array:
    """Return the shift to a part of a pixel."""
    size = int(np.ceil(factor * 1.5))
    middle = size // 2
    found = product
    # the last axis first, which is halved; then those that are whole
    for axis in range(len(shape))[::-1]:
        waves = _waves(shape[axis], size, middle - shift[axis] * factor, factor)
        waves = waves.astype(product.dtype)
        if axis == len(shape) - 1:
            found = _last_axis(product, shape, waves)
        else:
            found = np.tensordot(waves, found, axes=(1, -1))
    peak_at = np.unravel_index(int(np.argmax(np.abs(found))), found.shape)
    return np.asarray(shift + (np.array(peak_at) - middle) / factor)


def _waves(length: int, size: int, offset: float, factor: int) -> Array:
    """Return the waves of one axis at the points of the finer grid."""
    points = np.arange(size) - offset
    return np.asarray(
        np.exp(2j * np.pi * points[:, None] * fft.fftfreq(length, factor))
    )


def _last_axis(product: Array, shape: tuple[int, ...], waves: Array) -> Array:
    """Return what the whole spectrum would give along the axis that is halved."""
    free = product.shape[-1]
    twice = (shape[-1] - 1) // 2 + 1
    whole: Any = np.tensordot(waves[:, :free], product, axes=(1, -1))
    mirrored = np.tensordot(waves[:, 1:twice], product[..., 1:twice], axes=(1, -1))
    for axis in range(1, mirrored.ndim):
        mirrored = np.roll(np.flip(mirrored, axis), 1, axis)
    return np.asarray(whole + mirrored.conj())
