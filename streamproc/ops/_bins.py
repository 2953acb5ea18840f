"""Histograms of equal bins, by numpy's rules."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..frame import Array
from ._histogram import count_real, extremes, histogram


def binned(
    image: Array, bins: int, limits: tuple[float, float] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the counts and the edges of ``numpy.histogram`` of the finite pixels."""
    flat = image.reshape(-1)
    if flat.dtype.kind == "f":
        return _of_real(flat, bins, limits)
    found = histogram(flat, flat.min(), flat.max())
    counts, edges = np.histogram(found.levels, bins, limits, weights=found.counts)
    return counts, edges.astype(np.float64)


def _of_real(
    flat: Array, bins: int, limits: tuple[float, float] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if limits is not None:
        flat = flat[(flat >= limits[0]) & (flat <= limits[1])]
    else:
        low, high = extremes(flat)
        if not (np.isfinite(low) and np.isfinite(high)):
            flat = flat[np.isfinite(flat)]
        elif low < high:  # numpy need not look for them again
            limits = cast(tuple[float, float], (low, high))
    edges = np.histogram_bin_edges(flat, bins, limits)
    with np.errstate(over="ignore"):
        scale = flat.dtype.type(bins / (float(edges[-1]) - float(edges[0])))
    counts = count_real(flat, edges.astype(flat.dtype), scale)
    return counts, edges.astype(np.float64)
