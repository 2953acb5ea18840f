"""Filters that are one line of weights per axis: borders mirrored, float32."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..frame import Array
from ._pixels import lines, single
from ._weighing import weigh

Weights = NDArray[np.float32]

#: Dtypes that `weigh` is compiled for, and the radius from which it beats OpenCV.
_FASTER = {"uint8": 4, "uint16": 4, "int16": 4, "float32": 8}

#: Leaves an axis as it is.
ONE: Weights = np.ones(1, np.float32)


def per_axis(
    value: float | Sequence[float], ndim: int, name: str = "sigma"
) -> tuple[float, ...]:
    """Return one number per axis.

    Raises
    ------
    ConfigError
        The number of numbers is not that of the axes.
    """
    values = (
        (float(value),) * ndim
        if isinstance(value, (int, float))
        else tuple(float(v) for v in value)
    )
    if len(values) != ndim:
        raise ConfigError(
            f"{name} must be one number or {ndim}, one per axis, got {values}"
        )
    return values


@lru_cache(maxsize=64)
def gaussian_weights(sigma: float, order: int = 0) -> Weights:
    """Return scipy's weights of a Gaussian, or of a derivative, cut at 4 sigma.

    They are read-only: whoever asks next is given the same.
    """
    if sigma <= 0:
        return ONE
    radius = int(4 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    weights /= weights.sum()
    if order == 1:
        weights *= x / sigma**2
    elif order == 2:
        weights *= (x**2 / sigma**2 - 1) / sigma**2
    found = np.asarray(weights, np.float32)
    found.flags.writeable = False
    return found


def smoothed(image: Array, sigmas: tuple[float, ...]) -> NDArray[np.float32]:
    """Return an image smoothed by a Gaussian of one sigma per axis."""
    return correlated(image, [gaussian_weights(sigma) for sigma in sigmas])


def correlated(image: Array, weights: Sequence[Weights]) -> NDArray[np.float32]:
    """Correlate a plane or volume with one line of weights per axis."""
    *through, down, across = weights
    image = readable(image)
    out: NDArray[np.float32] = np.empty(image.shape, np.float32)
    # one plane after the other: OpenCV takes (z, y, x) for a colour image
    for plane, result in zip(
        image.reshape(-1, *image.shape[-2:]),
        out.reshape(-1, *image.shape[-2:]),
        strict=True,
    ):
        _correlate(plane, across, down, result)
    if through and through[0] is not ONE:
        stack = out.reshape(len(out), -1)
        out = _correlate(stack, ONE, through[0], np.empty_like(stack)).reshape(
            out.shape
        )
    return out


def readable(image: Array) -> Array:
    """Return the image as it is if `correlated` need not make it float32 first."""
    return image if image.dtype.name in _FASTER else single(image)


def _correlate(plane: Array, across: Weights, down: Weights, out: Array) -> Array:
    signs = _sign(down), _sign(across)
    radius = max(across.size, down.size) // 2
    if 0 not in signs and radius >= _FASTER[plane.dtype.name]:
        weigh(plane, down, across, signs, out)
        return out
    rows = lines(single(plane))
    cv2.sepFilter2D(
        rows, cv2.CV_32F, across, down, dst=out, borderType=cv2.BORDER_REFLECT
    )
    return out


def _sign(weights: Weights) -> int:
    """Return 1 for symmetric weights, -1 for antisymmetric ones, 0 for others."""
    if np.array_equal(weights, weights[::-1]):
        return 1
    return -int(np.array_equal(weights, -weights[::-1]))
