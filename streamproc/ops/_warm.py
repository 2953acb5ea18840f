"""Compiling the kernels before the first live frame needs them."""

import numpy as np
from numpy.typing import DTypeLike

from ._properties import PLANE_ONLY, PROPERTIES
from .background import mean_frame, subtract_background
from .filters import gaussian, median
from .labeling import label, remove_small_objects
from .measurement import measure
from .morphology import binary_opening, white_tophat
from .thresholding import find_threshold, threshold


def warm(dtype: DTypeLike, ndim: int = 2) -> None:
    """Compile, or load from disk, every kernel for images of this dtype.

    Parameters
    ----------
    dtype
        Of the frames.
    ndim
        2 or 3.

    Notes
    -----
    Seconds where nothing is compiled yet, else tens of milliseconds: numba keeps the
    code beside the source or in the user's cache folder.
    """
    image = np.zeros((6,) * ndim, np.dtype(dtype).newbyteorder("="))
    image[(slice(2, 4),) * ndim] = 1
    for plane in (image, gaussian(image, sigma=0.5)):
        median(plane, size=7 if ndim == 2 else 3)
        white_tophat(plane, radius=4)
        find_threshold(plane)
        threshold(plane, method="local", block_size=3)
        threshold(plane, method="local", block_size=3, weights="mean")
        subtract_background(plane, mean_frame([plane] * 5))
    mask = binary_opening(image > 0, radius=4)
    labels = label(mask)
    remove_small_objects(mask, max_size=1)
    remove_small_objects(labels, max_size=1)
    names = tuple(n for n, k in PROPERTIES.items() if ndim == 2 or k not in PLANE_ONLY)
    for plane in (image, gaussian(image, sigma=0.5)):
        measure(labels, plane, properties=names)
