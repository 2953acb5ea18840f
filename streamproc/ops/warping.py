"""Images turned, stretched, moved: pixels from between pixels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

from ..errors import ConfigError
from ..frame import Array
from ..grid import Grid
from ._operator import operator
from ._pixels import pixels, planes
from ._warp import dtype_of, filling, warped
from .geometry import PIXELS, Order, interpolation


def _turned(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    matrix, _, shape = _rotation(
        grid.length("y"), grid.length("x"), parameters["angle"], parameters["resize"]
    )
    lengths = dict(zip("yx", shape, strict=True))
    return grid.turned(matrix.tolist()).with_shape(lengths)


@operator(PIXELS, gives=None, oracle="skimage.transform.rotate", grid=_turned)
def rotate(
    image: ArrayLike,
    *,
    angle: float = 0.0,
    resize: bool = False,
    order: Order = None,
    cval: float = 0.0,
    channel_axis: int | None = None,
) -> Array:
    """Rotate around the centre.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype; of a volume each plane.
    angle
        In degrees, counter-clockwise.
    resize
        Whether the result is as large as the whole rotated image, else it is as large
        as the image.
    order
        0: the nearest pixel; 1: linear between four; 3: cubic. Default: 1, in a graph
        0 for masks and labels.
    cval
        What lies outside the image.
    channel_axis
        Axis of channels; each is rotated on its own.

    Returns
    -------
    ndarray
        Same scale. The dtype of the image for order 0, else float32 (float64 where
        float32 cannot hold the image's dtype), so that nothing is rounded.

    Raises
    ------
    ConfigError
        In a graph: masks or labels with another order than 0.

    Notes
    -----
    Multiples of 90 degrees are exact. A NaN spreads to the pixels made of it. Within
    1e-5 of the largest absolute pixel of ``skimage.transform.rotate`` with
    ``preserve_range`` in float64, tested.

    Examples
    --------
    >>> rotate([[1.0, 2.0], [3.0, 4.0]], angle=90).tolist()
    [[2.0, 4.0], [1.0, 3.0]]
    """
    degree = interpolation(image, order)
    array = pixels(image)
    if degree == 3:
        return _rotated_cubic(array, angle, resize, cval)
    matrix, offset, shape = _rotation(array.shape[-2], array.shape[-1], angle, resize)
    return warped(
        array, matrix, offset, order=degree, cval=cval, shape=shape, fades=True
    )


def _rotated_cubic(image: Array, angle: float, resize: bool, cval: float) -> Array:
    from skimage import transform

    dtype = dtype_of(image, 3)
    rotate: Any = transform.rotate
    turned = [
        rotate(
            plane.astype(np.float64),
            angle,
            resize=resize,
            order=3,
            cval=cval,
            preserve_range=True,
        )
        for plane in planes(image)
    ]
    return np.asarray(turned, dtype).reshape(*image.shape[:-2], *turned[0].shape)


def _rotation(
    rows: int, columns: int, angle: float, resize: bool
) -> tuple[Array, Array, tuple[int, int]]:
    """Return scikit-image's map from the result to the image, and its shape."""
    quarters, rest = divmod(angle, 90)
    if rest:
        sin, cos = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    else:
        sin, cos = ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))[int(quarters) % 4]
    matrix = np.array([[cos, sin], [-sin, cos]])
    center = np.array([rows, columns]) / 2 - 0.5
    first, shape = np.zeros(2), (rows, columns)
    if resize:
        corners = np.array([[0, 0, rows - 1, rows - 1], [0, columns - 1] * 2])
        placed = matrix.T @ (corners - center[:, None]) + center[:, None]
        first = placed.min(axis=1)
        height, width = np.around(placed.max(axis=1) - first + 1)
        shape = (int(height), int(width))
    return matrix, matrix @ (first - center) + center, shape


def _mapped(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    given = parameters["matrix"]
    if given is None:
        return grid
    matrix, _ = _checked(given, parameters["offset"], len(grid.spatial))
    return grid.turned(matrix.tolist())


@operator(PIXELS, gives=None, oracle="scipy.ndimage.affine_transform", grid=_mapped)
def affine(
    image: ArrayLike,
    *,
    matrix: tuple[tuple[float, ...], ...] | None = None,
    offset: float | tuple[float, ...] = 0.0,
    order: Order = None,
    cval: float = 0.0,
    channel_axis: int | None = None,
) -> Array:
    """Map by a matrix: turned, stretched, sheared, moved.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    matrix
        From places in the result to places in the image: pixel ``o`` of the result is
        taken from ``matrix @ o + offset``. One row per axis, in the order of the
        axes; 2 x 2 on a volume maps its planes. Rows with one number more hold the
        offset. None: nothing is turned.
    offset
        In pixels, one number or one per row.
    order
        0: the nearest pixel; 1: linear; 3: cubic splines. Default: 1, in a graph 0
        for masks and labels.
    cval
        What lies outside the image.
    channel_axis
        Axis of channels; each is mapped on its own.

    Returns
    -------
    ndarray
        Same shape. The dtype of the image for order 0, else float32 (float64 where
        float32 cannot hold the image's dtype), so that nothing is rounded.

    Raises
    ------
    ConfigError
        The matrix fits no image of so many axes; in a graph masks or labels with
        another order than 0.

    Notes
    -----
    A run writes the length of a step in the image as the size of a pixel. A NaN
    spreads to the pixels made of it. Within 1e-5 of the largest absolute pixel of
    ``scipy.ndimage.affine_transform`` with its default mode, tested.

    Examples
    --------
    >>> affine([[1.0, 2.0], [3.0, 4.0]], matrix=((0, 1), (1, 0))).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    degree = interpolation(image, order)
    array = pixels(image)
    rows, start = _checked(matrix, offset, array.ndim)
    if degree == 3 or len(rows) == 3:
        return _mapped_by_scipy(array, rows, start, degree, cval)
    shape = cast("tuple[int, int]", array.shape[-2:])
    return warped(array, rows, start, order=degree, cval=cval, shape=shape, fades=False)


def _checked(
    matrix: Sequence[Sequence[float]] | None,
    offset: float | Sequence[float],
    ndim: int,
) -> tuple[Array, Array]:
    """Return a matrix and an offset per row.

    Raises
    ------
    ConfigError
        They do not fit together, or no image of so many axes.
    """
    given = np.eye(ndim).tolist() if matrix is None else matrix
    count = len(given)
    wide = {len(row) for row in given}
    if count not in (2, ndim) or wide not in ({count}, {count + 1}):
        raise ConfigError(
            f"affine: matrix must have {ndim} rows of {ndim} or {ndim + 1} numbers, "
            f"or 2 for the planes of a volume, got {matrix}"
        )
    rows = np.asarray(given, np.float64)
    start = np.broadcast_to(np.asarray(offset, np.float64), np.shape(offset) or count)
    if start.shape != (count,):
        raise ConfigError(
            f"affine: offset must be one number or {count}, one per row, got {offset}"
        )
    if wide == {count + 1}:
        start = start + rows[:, -1]
    return np.ascontiguousarray(rows[:, :count]), np.ascontiguousarray(start)


def _mapped_by_scipy(
    image: Array, matrix: Array, offset: Array, order: int, cval: float
) -> Array:
    out = np.empty(image.shape, dtype_of(image, order))
    filling(cval, out.dtype)
    whole = len(matrix) == image.ndim
    pairs = [(image, out)] if whole else zip(planes(image), planes(out), strict=True)
    for one, result in pairs:
        ndimage.affine_transform(
            one, matrix, offset, output=result, order=order, cval=cval
        )
    return out


@operator(PIXELS, gives=None, oracle="scipy.ndimage.shift")
def shift(
    image: ArrayLike,
    *,
    shift: float | tuple[float, ...] = 0.0,
    order: Order = None,
    cval: float = 0.0,
    channel_axis: int | None = None,
) -> Array:
    """Move the image by some pixels.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    shift
        Pixels towards higher ``y`` and ``x``: one number for all axes, or one per
        axis; two of a volume move its planes.
    order
        0: the nearest pixel; 1: linear; 3: cubic splines. Default: 1, in a graph 0
        for masks and labels.
    cval
        What comes in from outside.
    channel_axis
        Axis of channels; each is moved on its own.

    Returns
    -------
    ndarray
        Same shape. The dtype of the image for order 0, else float32 (float64 where
        float32 cannot hold the image's dtype), so that nothing is rounded.

    Raises
    ------
    ConfigError
        ``shift`` has another length than the image has axes; in a graph masks or
        labels with another order than 0.

    Notes
    -----
    Whole pixels are exact. The place that a run writes for the image stays where it
    was: the content is moved on purpose. Within 1e-5 of the largest absolute pixel of
    ``scipy.ndimage.shift`` with its default mode, tested.

    Examples
    --------
    >>> shift([[1.0, 2.0, 3.0]], shift=(0, 1)).tolist()
    [[0.0, 1.0, 2.0]]
    """
    degree = interpolation(image, order)
    array = pixels(image)
    moves = _moves(shift, array)
    if all(move == round(move) for move in moves):
        return _moved(array, [round(move) for move in moves], degree, cval)
    if degree == 3 or (array.ndim == 3 and moves[0]):
        out = np.empty(array.shape, dtype_of(array, degree))
        filling(cval, out.dtype)
        ndimage.shift(array, moves, output=out, order=degree, cval=cval)
        return out
    shape = cast("tuple[int, int]", array.shape[-2:])
    matrix, offset = np.eye(2), -np.asarray(moves[-2:])
    return warped(
        array, matrix, offset, order=degree, cval=cval, shape=shape, fades=False
    )


def _moves(shift: float | Sequence[float], image: Array) -> tuple[float, ...]:
    if isinstance(shift, (int, float)):
        return (float(shift),) * image.ndim
    if len(shift) not in (2, image.ndim):
        raise ConfigError(
            f"shift must be one number or {image.ndim}, one per axis, got {shift}"
        )
    return (*(0.0,) * (image.ndim - len(shift)), *map(float, shift))


def _moved(image: Array, moves: list[int], order: int, cval: float) -> Array:
    """Return the image moved by whole pixels."""
    dtype = dtype_of(image, order)
    out = np.full(image.shape, filling(cval, dtype), dtype)
    to = tuple(slice(max(0, m), max(0, n + m)) for m, n in _with_lengths(moves, image))
    of = tuple(slice(max(0, -m), max(0, n - m)) for m, n in _with_lengths(moves, image))
    out[to] = image[of]
    return out


def _with_lengths(moves: list[int], image: Array) -> list[tuple[int, int]]:
    return list(zip(moves, image.shape, strict=True))
