"""How sharp a frame is, by its derivatives."""

from collections.abc import Callable

import cv2
import numpy as np

from ..frame import Array
from ._summary import summary


def laplacian_variance(image: Array) -> float:
    """Return the variance of the second derivative."""
    curved = _each_plane(
        image, lambda p: cv2.Laplacian(p, -1, borderType=cv2.BORDER_REFLECT)
    )
    mean, deviation = cv2.meanStdDev(curved.reshape(-1, curved.shape[-1]))
    if np.isnan(mean[0, 0]):
        known = curved[~np.isnan(curved)]
        return float(known.var(dtype=np.float64)) if known.size else float("nan")
    return float(deviation[0, 0] ** 2)


def tenengrad(image: Array) -> float:
    """Return the mean square of the slope."""
    return _mean_square(_slope(image, 1, 0), _slope(image, 0, 1))


def _slope(image: Array, dy: int, dx: int) -> Array:
    return _each_plane(
        image, lambda p: cv2.Sobel(p, -1, dx, dy, borderType=cv2.BORDER_REFLECT)
    )


def brenner(image: Array) -> float:
    """Return the mean square of the difference of pixels two apart."""
    if image.shape[-1] < 3:
        return float("nan")
    plane = _real(image)
    return _mean_square(plane[..., 2:] - plane[..., :-2])


def normalized_variance(image: Array) -> float:
    """Return the variance over the mean."""
    levels = summary(image)
    if levels is None or not levels.mean():
        return float("nan")
    return levels.std() ** 2 / levels.mean()


#: The measures by name.
MEASURES: dict[str, Callable[[Array], float]] = {
    "brenner": brenner,
    "laplacian_variance": laplacian_variance,
    "normalized_variance": normalized_variance,
    "tenengrad": tenengrad,
}


def _real(image: Array) -> Array:
    """Return real numbers that hold every level exactly, as far as 64 bits can."""
    size = image.dtype.itemsize
    narrow = size <= 2 or (image.dtype.kind == "f" and size == 4)
    return image.astype(np.float32 if narrow else np.float64, copy=False)


def _each_plane(image: Array, change: Callable[[Array], Array]) -> Array:
    plane = _real(image)
    if plane.ndim == 2:
        return change(plane)
    return np.stack([change(p) for p in plane])


def _mean_square(*parts: Array) -> float:
    """Return the mean over pixels of the sum of the squares of what is known."""
    total = sum(cv2.norm(p.reshape(-1, p.shape[-1]), cv2.NORM_L2SQR) for p in parts)
    count = parts[0].size
    if np.isnan(total):
        squares = np.sum([np.square(p, dtype=np.float64) for p in parts], axis=0)
        known = ~np.isnan(squares)
        total, count = float(squares[known].sum()), int(known.sum())
    return total / count if count else float("nan")
