"""One plane from a stack of planes."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..frame import Array
from ._operator import operator
from ._pixels import pixels


@operator(("image",), gives="image")
def project(
    image: ArrayLike,
    *,
    method: Literal["max", "mean", "min", "sum", "std"] = "max",
    axis: Literal["z"] = "z",
    channel_axis: int | None = None,
) -> Array:
    """Project a volume along z.

    Parameters
    ----------
    image
        ``(z, y, x)``, any real dtype. NaN makes NaN.
    method
        What is kept of the pixels above each other.
    axis
        ``z``, the only one so far.
    channel_axis
        Axis of channels; each is projected on its own.

    Returns
    -------
    ndarray
        ``(y, x)``. ``max`` and ``min`` keep the dtype; ``mean`` and ``std`` (of the
        whole population) are float32, computed in float64; ``sum`` is uint64, int64
        or float64.

    Raises
    ------
    ConfigError
        The image has no z axis.

    Examples
    --------
    >>> project([[[1, 2]], [[3, 0]]]).tolist()
    [[3, 2]]
    """
    volume = pixels(image)
    if volume.ndim != 3:
        raise ConfigError(
            f"project needs a z axis, got an image of shape {volume.shape}"
        )
    if method == "max":
        return np.asarray(volume.max(axis=0))
    if method == "min":
        return np.asarray(volume.min(axis=0))
    if method == "sum":
        wide = {"u": np.uint64, "i": np.int64, "f": np.float64}[volume.dtype.kind]
        return np.asarray(volume.sum(axis=0, dtype=wide))
    compute = np.mean if method == "mean" else np.std
    return np.asarray(compute(volume, axis=0, dtype=np.float64), np.float32)
