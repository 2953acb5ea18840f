"""Points in an image: between the pixels, and as a table."""

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ..table import Measurements


def table(points: Array, **columns: Array) -> Measurements:
    """Return points, one row each, as ``label, (z,) y, x`` and further columns."""
    places = {axis: points[:, i] for i, axis in enumerate("zyx"[-points.shape[1] :])}
    labels = np.arange(1, len(points) + 1, dtype=np.int64)
    return Measurements({"label": labels, **places, **columns})


def refined(image: Array, points: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the top of the parabola through each point and its two neighbours.

    Along every axis on its own, half a pixel at most; not where the border is.
    """
    places = points.astype(np.float64)
    here = image[tuple(points.T)].astype(np.float64)
    for axis, length in enumerate(image.shape):
        inside = (points[:, axis] > 0) & (points[:, axis] < length - 1)
        step = np.zeros(points.shape[1], np.int64)
        step[axis] = 1
        before = image[tuple((points[inside] - step).T)].astype(np.float64)
        after = image[tuple((points[inside] + step).T)].astype(np.float64)
        bend = before - 2 * here[inside] + after
        shift = np.divide(
            before - after, 2 * bend, out=np.zeros_like(bend), where=bend < 0
        )
        places[inside, axis] += np.clip(shift, -0.5, 0.5)
    return places
