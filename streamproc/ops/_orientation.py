"""The angle of objects that have two: as scikit-image's rounding decides.

An object that is symmetric about an axis may lie along x: then -pi/2 and pi/2 are
the same line, and a round one has every angle. Exact sums cannot choose; the sums of
scikit-image, rounded in their order, do. We follow it, so that tables are equal.
"""

import math

import numpy as np
from numpy.typing import NDArray


def decided(mask: NDArray[np.bool_]) -> float:
    """Return ``skimage.measure.regionprops(mask)[0].orientation``, to the last bit.

    Parameters
    ----------
    mask
        The object in its box, ``(y, x)``.

    Returns
    -------
    float
        Radians, -pi/2 to pi/2.
    """
    image = mask.astype(np.float64)
    raw = _moments(image, (0.0, 0.0))
    total = raw[0, 0]
    central = _moments(image, (raw[1, 0] / total, raw[0, 1] / total))
    both = central[2, 0] + central[0, 2]
    yy = (both - central[2, 0]) / total
    xx = (both - central[0, 2]) / total
    yx = -central[1, 1] / total
    if yy - xx == 0:
        return math.pi / 4 if yx < 0 else -math.pi / 4
    return 0.5 * math.atan2(-2 * yx, xx - yy)


def _moments(
    image: NDArray[np.float64], center: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the moments up to order 3, summed in the reference's order."""
    orders = np.arange(4, dtype=np.float64)
    found = image
    for axis in (0, 1):
        delta = np.arange(image.shape[axis], dtype=np.float64) - center[axis]
        powers = delta[:, np.newaxis] ** orders
        sums = "sx,so->ox" if axis == 0 else "ys,so->yo"
        found = np.einsum(sums, found, powers, optimize="greedy")
    return found
