"""What lies around a centre, unrolled: angles and radii for y and x."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..frame import Array
from ..grid import Grid
from ._operator import operator
from ._pixels import pixels
from ._warp import polar
from .geometry import PIXELS, interpolation
from .resizing import Count


def _unrolled(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    radius, (rows, columns) = _extent(
        grid.length("y"),
        grid.length("x"),
        parameters["radius"],
        parameters["output_shape"],
    )
    size, origin = dict(grid.size), dict(grid.origin)
    known = grid.known - {"y"}
    size["y"], size["x"] = 1.0, grid.size["x"] * radius / columns
    if parameters.get("scaling") == "log":
        size["x"], known = 1.0, known - {"x"}
    origin["y"] = origin["x"] = 0.0
    made = replace(grid, size=size, origin=origin, known=known)
    return made.with_shape({"y": rows, "x": columns})


@operator(PIXELS, gives=None, oracle="skimage.transform.warp_polar", grid=_unrolled)
def warp_polar(
    image: ArrayLike,
    *,
    center: tuple[float, float] | None = None,
    radius: Annotated[float, Gt(1)] | None = None,
    output_shape: tuple[Count, Count] | None = None,
    scaling: Literal["linear", "log"] = "linear",
    order: Literal[0, 1] | None = None,
    channel_axis: int | None = None,
) -> Array:
    """Unroll an image around a centre: a row per angle, a column per radius.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype; of a volume each plane.
    center
        ``(y, x)`` in pixels. Default: the middle of the image.
    radius
        Up to which it is unrolled, in pixels. Default: half of the diagonal.
    output_shape
        Numbers of angles, which fill the circle, and of radii. Default: 360, and one
        per pixel of ``radius``.
    scaling
        ``linear`` radii, or ``log``: their logarithm.
    order
        0: the nearest pixel; 1: linear between four. Default: 1, in a graph 0 for
        masks and labels.
    channel_axis
        Axis of channels; each is unrolled on its own.

    Returns
    -------
    ndarray
        ``(angle, radius)``, of a volume ``(z, angle, radius)``, 0 beyond the image. In
        a run these axes are called y and x. The dtype of the image for order 0, else
        float32 (float64 where float32 cannot hold the image's dtype).

    Raises
    ------
    ConfigError
        In a graph: masks or labels with another order than 0.

    Notes
    -----
    The first row goes from the centre to the right, the next ones turn towards the
    bottom. Pixels are taken for squares. Within 1e-5 of the largest absolute pixel of
    ``skimage.transform.warp_polar`` with ``preserve_range`` in float64, tested.

    Examples
    --------
    >>> ring = [[0, 1, 0], [1, 5, 1], [0, 1, 0]]
    >>> warp_polar(ring, radius=2, output_shape=(4, 2)).round(6).tolist()
    [[5.0, 1.0], [5.0, 1.0], [5.0, 1.0], [5.0, 1.0]]
    """
    degree = interpolation(image, order)
    array = pixels(image)
    height, width = array.shape[-2:]
    end, (rows, columns) = _extent(height, width, radius, output_shape)
    angles = np.arange(rows) / (rows / (2 * np.pi))
    radii = np.arange(columns) / (columns / end)
    if scaling == "log":
        radii = np.exp(np.arange(columns) / (columns / np.log(end)))
    middle = center or (height / 2 - 0.5, width / 2 - 0.5)
    return polar(array, middle, angles, radii, order=degree, cval=0)


def _extent(
    height: int,
    width: int,
    radius: float | None,
    shape: tuple[int, int] | None,
) -> tuple[float, tuple[int, int]]:
    """Return the radius, and how many angles and radii there are."""
    end = math.sqrt((height / 2) ** 2 + (width / 2) ** 2) if radius is None else radius
    return end, shape or (360, math.ceil(end))


def _resliced(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    radius = parameters["radius"]
    if "z" not in grid.axes:
        raise ConfigError(f"reslice_radial needs a z axis, got axes {grid.axes!r}")
    height, width = grid.length("y"), grid.length("x")
    end, (_, columns) = _extent(height, width, radius, None)
    size = {"z": 1.0, "y": grid.size["z"], "x": grid.size["x"] * end / columns}
    known = grid.known & {"x"} | ({"y"} if "z" in grid.known else set())
    lengths = {"z": parameters["angles"], "y": grid.length("z"), "x": columns}
    origin = dict.fromkeys(grid.origin, 0.0)
    made = replace(grid, size=size, origin=origin, known=frozenset(known))
    return made.with_shape(lengths)


@operator(
    PIXELS, gives=None, oracle="skimage.transform.warp_polar by plane", grid=_resliced
)
def reslice_radial(
    image: ArrayLike,
    *,
    angles: Annotated[int, Ge(1)] = 360,
    angle_step: float = 1.0,
    start_angle: float = 0.0,
    center: tuple[float, float] | None = None,
    radius: Annotated[float, Gt(1)] | None = None,
    order: Literal[0, 1] | None = None,
    channel_axis: int | None = None,
) -> Array:
    """Cut a volume along rays from its axis: a plane (z, radius) per angle.

    Parameters
    ----------
    image
        ``(z, y, x)``, any real dtype.
    angles
        How many cuts.
    angle_step
        Degrees from one to the next, from x towards y.
    start_angle
        Of the first, in degrees; 0 goes to the right.
    center
        ``(y, x)`` in pixels. Default: the middle of the planes.
    radius
        Length of a ray in pixels. Default: half of the planes' diagonal.
    order
        0: the nearest pixel; 1: linear between four. Default: 1, in a graph 0 for
        masks and labels.
    channel_axis
        Axis of channels; each is cut on its own.

    Returns
    -------
    ndarray
        ``(angle, z, radius)``, one column per pixel of ``radius``, 0 beyond the image.
        In a run these axes are called z, y and x. The dtype of the image for order 0,
        else float32 (float64 where float32 cannot hold the image's dtype).

    Raises
    ------
    ConfigError
        The image has no z axis; in a graph masks or labels with another order than 0.

    Notes
    -----
    With the defaults within 1e-5 of the largest absolute pixel of
    ``skimage.transform.warp_polar`` of each plane, tested. CLIJ's ``resliceRadial``
    is of this kind.

    Examples
    --------
    >>> reslice_radial([[[1, 2], [3, 4]]], angles=4, angle_step=90).shape
    (4, 1, 2)
    """
    degree = interpolation(image, order)
    array = pixels(image)
    if array.ndim != 3:
        raise ConfigError(
            f"reslice_radial needs a z axis, got an image of shape {array.shape}"
        )
    height, width = array.shape[-2:]
    end, (_, columns) = _extent(height, width, radius, None)
    turns = np.radians(start_angle + angle_step * np.arange(angles))
    radii = np.arange(columns) / (columns / end)
    middle = center or (height / 2 - 0.5, width / 2 - 0.5)
    unrolled = polar(array, middle, turns, radii, order=degree, cval=0)
    return np.ascontiguousarray(unrolled.swapaxes(0, 1))
