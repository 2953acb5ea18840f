"""One plane from a volume."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..frame import Array
from ..grid import Grid
from ._blocks import WIDE, block_squares, block_sums
from ._operator import operator
from ._pixels import pixels

Axis: TypeAlias = Literal["z", "y", "x"]


def _projected(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    if "z" not in grid.axes:
        raise ConfigError(f"project needs a z axis, got axes {grid.axes!r}")
    made = grid.without(parameters["axis"])
    # what is left of z, y, x is called y and x: the picture's own
    names = dict(zip(made.spatial, "yx", strict=True))
    axes = "".join(names.get(a, a) for a in made.axes)
    return replace(
        made,
        axes=axes,
        size={names[a]: s for a, s in made.size.items()},
        origin={names[a]: o for a, o in made.origin.items()},
        known=frozenset(names[a] for a in made.known),
    )


@operator(("image",), gives="image", oracle="numpy", grid=_projected)
def project(
    image: ArrayLike,
    *,
    method: Literal["max", "mean", "min", "sum", "std"] = "max",
    axis: Axis = "z",
    channel_axis: int | None = None,
) -> Array:
    """Project a volume along an axis.

    Parameters
    ----------
    image
        ``(z, y, x)``, any real dtype. NaN makes NaN.
    method
        What is kept of the pixels behind each other.
    axis
        Which one is looked along.
    channel_axis
        Axis of channels; each is projected on its own.

    Returns
    -------
    ndarray
        ``(y, x)``; along ``y`` it is ``(z, x)``, along ``x`` ``(z, y)``, and in a run
        these axes are called y and x. ``max`` and ``min`` keep the dtype; ``mean`` and
        ``std`` (of the whole population) are float32, computed in float64; ``sum`` is
        uint64, int64 or float64.

    Raises
    ------
    ConfigError
        The image has no z axis.

    Notes
    -----
    Equal to numpy's function of that name in float64, tested; ``mean`` and ``std``
    within 1e-6 of the largest absolute pixel.

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
    at = "zyx".index(axis)
    if method in ("max", "min"):
        return np.asarray(getattr(volume, method)(axis=at))
    if method == "sum":
        return np.asarray(volume.sum(axis=at, dtype=WIDE[volume.dtype.kind]))
    depth = volume.shape[at]
    factors = tuple(depth if n == at else 1 for n in range(3))
    kept = block_sums(volume, factors, np.float64) / depth
    if method == "std":
        kept = np.sqrt(block_squares(volume, kept, factors) / depth)
    return np.asarray(kept.squeeze(at), np.float32)
