"""Operators: plain functions, whose signatures say all that the engine needs."""

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types


def bright_spots(
    image: NDArray[Any], *, radius: Annotated[int, Ge(1)] = 3, factor: float = 1.1
) -> Annotated[NDArray[np.bool_], "mask"]:
    """Mark what is brighter than its surroundings.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``.
    radius
        The surroundings are a box of ``2 * radius + 1`` pixels.
    factor
        How many times brighter than their mean.
    """
    mean = ndimage.uniform_filter(image.astype(np.float32), 2 * radius + 1)
    return np.asarray(image > factor * mean)


def spread(
    mask: Annotated[NDArray[Any], "mask"], image: Annotated[NDArray[Any], "image"]
) -> Annotated[dict[str, float], "value"]:
    """Tell how the pixels of the foreground are spread.

    Returns
    -------
    dict
        ``mean`` and ``std`` of the image under the mask; 0 where that is empty.
    """
    pixels = image[mask != 0].astype(np.float64)
    if not pixels.size:
        return {"mean": 0.0, "std": 0.0}
    return {"mean": float(pixels.mean()), "std": float(pixels.std())}
