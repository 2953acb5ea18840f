"""Connected objects: numbered, or removed where they are small."""

from dataclasses import replace
from typing import Annotated, cast

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, FrameError
from ..frame import Array
from ._jit import jit
from ._operator import operator
from ._pixels import foreground, lines, pixels
from ._runs import Drawing, Runs, find_runs, number_values, paint, painted


def _array(labels: Drawing) -> NDArray[np.uint32]:
    """Return the label image; of several channels it is one already."""
    return cast("NDArray[np.uint32]", painted(labels))


@operator(("mask",), gives="labels", oracle="skimage.measure.label", shown=_array)
def label(
    mask: ArrayLike,
    *,
    connectivity: Annotated[int, Ge(1), Le(3)] | None = None,
    channel_axis: int | None = None,
) -> Drawing:
    """Give the connected objects of a mask numbers from 1 on, in raster order.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``; every pixel that is not 0 is foreground.
    connectivity
        How many axes a step to a neighbour may cross: 1 takes the pixels that share
        an edge (a face), 2 the diagonal ones too, 3 in volumes those that share a
        corner. Default: as many as the image has axes.
    channel_axis
        Axis of channels; each is numbered on its own.

    Returns
    -------
    ndarray of uint32
        Same shape; 0 is background. The object whose first pixel comes first in
        memory order is 1.

    Raises
    ------
    ConfigError
        ``connectivity`` is larger than the number of axes.

    Notes
    -----
    Two sweeps over runs with a union of equivalent ones; memory is 20 bytes a run
    and 4 bytes a pixel. Equal to ``skimage.measure.label`` of a boolean mask, tested.

    Examples
    --------
    >>> label([[1, 0, 1], [0, 1, 0]], connectivity=1).tolist()
    [[1, 0, 2], [0, 3, 0]]
    """
    image = foreground(mask)
    runs, numbers, _ = objects(image, connectivity)
    return Drawing(image.shape, replace(runs, value=numbers))


@operator(
    ("mask", "labels"), gives=None, oracle="skimage.morphology.remove_small_objects"
)
def remove_small_objects(
    mask: ArrayLike,
    *,
    max_size: Annotated[int, Ge(0)] = 64,
    connectivity: Annotated[int, Ge(1), Le(3)] | None = 1,
    channel_axis: int | None = None,
) -> Array:
    """Remove the objects of ``max_size`` pixels or fewer.

    Parameters
    ----------
    mask
        A mask (bool or uint8: connected foreground is an object) or a label image
        (any wider integer: equal labels are an object, connected or not);
        ``(y, x)`` or ``(z, y, x)``.
    max_size
        Largest size to remove, in pixels.
    connectivity
        As in `label`, for masks only. The default 1 is that of scikit-image here.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        A mask as uint8 0/1, labels in their own dtype and numbering.

    Raises
    ------
    FrameError
        The pixels are not whole numbers.
    ConfigError
        ``connectivity`` is larger than the number of axes.

    Notes
    -----
    Equal to ``skimage.morphology.remove_small_objects(..., max_size=)`` of
    scikit-image 0.26, tested.

    Examples
    --------
    >>> remove_small_objects([[True, True, False, True]], max_size=1).tolist()
    [[1, 1, 0, 0]]
    """
    image = pixels(mask, "mask")
    if image.dtype.itemsize > 1:
        runs = find_runs(whole(image, "mask"))
        present, place = number_values(runs.value)
        count = len(present)
    else:
        runs, numbers, count = objects(foreground(image), connectivity)
        place = numbers.astype(np.int64) - 1
    kept = np.empty(image.shape, image.dtype)
    values = _large(runs.start, runs.stop, runs.value, place, count, max_size)
    paint(lines(kept), runs.first, runs.start, runs.stop, values)
    return kept


def whole(image: Array, name: str) -> Array:
    """Return ``image`` if it holds whole numbers.

    Raises
    ------
    FrameError
        It does not.
    """
    if image.dtype.kind not in "iu":
        raise FrameError(f"{name} must hold whole numbers, got dtype {image.dtype}")
    return image


def objects(
    image: Array, connectivity: int | None
) -> tuple[Runs, NDArray[np.uint32], int]:
    """Return the runs, the object number of each, and how many objects there are."""
    ndim = image.ndim
    reach = ndim if connectivity is None else connectivity
    if reach > ndim:
        raise ConfigError(
            f"connectivity must be <= {ndim} for {ndim}-D images, got {reach}"
        )
    runs = find_runs(image)
    height = image.shape[-2]
    numbers = np.empty(len(runs), np.uint32)
    earlier = _earlier_lines(ndim, reach)
    count = _join(
        runs.first, runs.start, runs.stop, runs.value, height, earlier, numbers
    )
    return runs, numbers, count


def _earlier_lines(ndim: int, reach: int) -> NDArray[np.int64]:
    """Return (dz, dy, overhang) of the neighbouring lines that come earlier."""
    steps = [(0, -1)] if ndim == 2 else [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
    return np.array(
        [
            (dz, dy, int(abs(dz) + abs(dy) < reach))
            for dz, dy in steps
            if abs(dz) + abs(dy) <= reach
        ],
        np.int64,
    ).reshape(-1, 3)


@jit
def _large(
    start: Array, stop: Array, value: Array, place: Array, count: int, max_size: int
) -> Array:
    """Return the values of the runs, 0 where their object is small."""
    sizes = np.zeros(count, np.int64)
    for i in range(start.size):
        sizes[place[i]] += stop[i] - start[i]
    kept = value.copy()
    for i in range(start.size):
        if sizes[place[i]] <= max_size:
            kept[i] = 0
    return kept


@jit
def _root(parent: Array, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@jit
def _join(
    first: Array,
    start: Array,
    stop: Array,
    value: Array,
    height: int,
    earlier: Array,
    number: Array,
) -> int:
    """Write the object number of each run; return the number of objects.

    Runs that touch are of one object if their values are equal.
    """
    parent = np.arange(start.size)
    for line in range(first.size - 1):
        y = line % height
        for k in range(earlier.shape[0]):
            dz, dy, over = earlier[k, 0], earlier[k, 1], earlier[k, 2]
            other = line + dz * height + dy
            if other < 0 or y + dy < 0 or y + dy >= height:
                continue
            j, end = first[other], first[other + 1]
            for i in range(first[line], first[line + 1]):
                while j < end and stop[j] + over <= start[i]:
                    j += 1
                q = j
                while q < end and start[q] < stop[i] + over:
                    if value[q] != value[i]:
                        q += 1
                        continue
                    a, b = _root(parent, q), _root(parent, i)
                    # the earlier run stays the root: labels come in raster order
                    if a < b:
                        parent[b] = a
                    elif b < a:
                        parent[a] = b
                    q += 1
    count = 0
    for i in range(start.size):
        root = _root(parent, i)
        if root == i:
            count += 1
            number[i] = count
        else:
            number[i] = number[root]
    return count
