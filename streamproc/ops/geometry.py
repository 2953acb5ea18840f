"""Images mirrored, and turned by quarters: the same pixels at other places."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..frame import Array, Kind
from ..grid import Grid
from ._operator import operator
from ._pixels import pixels, planes

Axis: TypeAlias = Literal["z", "y", "x"]
#: None: 1, but 0 for booleans, and in a graph for masks and labels.
Order: TypeAlias = Literal[0, 1, 3] | None

#: OpenCV's words, by quarters counter-clockwise.
_ROTATIONS = {
    1: cv2.ROTATE_90_COUNTERCLOCKWISE,
    2: cv2.ROTATE_180,
    3: cv2.ROTATE_90_CLOCKWISE,
}

#: Numbers that OpenCV knows, by their bytes.
_BITS: dict[int, Any] = {1: np.uint8, 2: np.uint16, 4: np.int32, 8: np.float64}

PIXELS: tuple[Kind, ...] = ("image", "mask", "labels")


def interpolation(image: ArrayLike, order: Order) -> int:
    """Return the order, by the dtype where none is given."""
    if order is not None:
        return order
    return 0 if np.asarray(image).dtype == np.bool_ else 1


def _mirrored(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    return grid.turned(np.eye(len(grid.spatial)).tolist())


@operator(PIXELS, gives=None, oracle="numpy.flip", grid=_mirrored)
def flip(
    image: ArrayLike, *, axis: Axis = "x", channel_axis: int | None = None
) -> Array:
    """Mirror along an axis.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    axis
        ``x`` exchanges left and right, ``y`` top and bottom, ``z`` first and last
        plane.
    channel_axis
        Axis of channels; each is mirrored on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Raises
    ------
    ConfigError
        ``z`` of an image that has none.

    Notes
    -----
    Equal to ``numpy.flip``, tested.

    Examples
    --------
    >>> flip([[1, 2, 3]]).tolist()
    [[3, 2, 1]]
    """
    array = pixels(image)
    at = axis_of(array, axis, "flip")
    if axis == "z":
        return np.array(np.flip(array, at), order="C")
    out = np.empty(array.shape, array.dtype)
    for plane, result in zip(_bits(array), _bits(out), strict=True):
        cv2.flip(plane, int(axis == "x"), dst=result)
    return out


def _bits(image: Array) -> Array:
    """Return the planes as numbers that are only moved."""
    return planes(image).view(_BITS[image.itemsize])


def axis_of(image: Array, axis: Axis, name: str) -> int:
    """Return the number of an axis.

    Raises
    ------
    ConfigError
        The image has no such axis.
    """
    at = "zyx"[-image.ndim :].find(axis)
    if at < 0:
        raise ConfigError(
            f"{name}: the image of shape {image.shape} has no axis {axis}"
        )
    return at


def _turned_by_quarters(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    if parameters["k"] % 2 == 0:
        return grid.turned(np.eye(2).tolist())
    lengths = {"y": grid.length("x"), "x": grid.length("y")}
    return grid.turned([[0, 1], [1, 0]]).with_shape(lengths)


@operator(PIXELS, gives=None, oracle="numpy.rot90", grid=_turned_by_quarters)
def rot90(image: ArrayLike, *, k: int = 1, channel_axis: int | None = None) -> Array:
    """Rotate by a multiple of 90 degrees.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype; of a volume each plane.
    k
        How often by 90 degrees, counter-clockwise; negative ones clockwise.
    channel_axis
        Axis of channels; each is rotated on its own.

    Returns
    -------
    ndarray
        Same dtype (bool becomes uint8 0/1); for an odd ``k`` height and width are
        exchanged, and so are the pixel sizes that a run writes.

    Notes
    -----
    Equal to ``numpy.rot90`` of the last two axes, tested.

    Examples
    --------
    >>> rot90([[1, 2], [3, 4]]).tolist()
    [[2, 4], [1, 3]]
    """
    array = pixels(image)
    if k % 4 == 0:
        return np.array(array)
    height, width = array.shape[-2:]
    shape = (width, height) if k % 2 else (height, width)
    out = np.empty((*array.shape[:-2], *shape), array.dtype)
    for plane, result in zip(_bits(array), _bits(out), strict=True):
        cv2.rotate(plane, _ROTATIONS[k % 4], dst=result)
    return out
