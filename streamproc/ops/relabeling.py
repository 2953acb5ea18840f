"""Label images with other numbers, or as outlines."""

from itertools import product
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, FrameError
from ..frame import Array
from ._operator import operator
from ._pixels import as_mask, lines
from ._runs import find_runs, number_values, paint
from .distances import whole_labels


@operator(("labels",), gives="labels", oracle="skimage.segmentation.relabel_sequential")
def relabel_sequential(
    labels: ArrayLike,
    *,
    offset: Annotated[int, Ge(1), Le(2**32 - 1)] = 1,
    channel_axis: int | None = None,
) -> Array:
    """Number objects anew, without gaps, in the order of their numbers.

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 is background.
    offset
        The first new number.
    channel_axis
        Axis of channels; each is numbered on its own.

    Returns
    -------
    ndarray
        Same shape and dtype; 0 stays 0.

    Raises
    ------
    FrameError
        Labels are not whole numbers from 0 on, or the new ones do not fit the dtype.

    Notes
    -----
    Equal to ``skimage.segmentation.relabel_sequential``, tested; where numbers do not
    fit the dtype that one chooses a wider one.

    Examples
    --------
    >>> relabel_sequential([[0, 9, 9, 4]]).tolist()
    [[0, 2, 2, 1]]
    """
    image = whole_labels(labels)
    runs = find_runs(image)
    present, place = number_values(runs.value)
    largest = offset + len(present) - 1
    if largest > np.iinfo(image.dtype).max:
        raise FrameError(
            f"relabel_sequential: {len(present)} objects from {offset} on do not fit "
            f"{image.dtype}; give a smaller offset or wider labels"
        )
    out = np.empty(image.shape, image.dtype)
    values = (place + offset).astype(image.dtype)
    paint(lines(out), runs.first, runs.start, runs.stop, values)
    return out


@operator(
    ("labels", "mask"), gives="mask", oracle="skimage.segmentation.find_boundaries"
)
def find_boundaries(
    labels: ArrayLike,
    *,
    connectivity: Annotated[int, Ge(1), Le(3)] = 1,
    mode: Literal["thick", "inner", "outer"] = "thick",
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Mark where objects touch something else.

    Parameters
    ----------
    labels
        ``(y, x)`` or ``(z, y, x)``, whole numbers; 0 is background.
    connectivity
        How many axes a step to a neighbour may cross.
    mode
        ``thick`` marks every pixel with a neighbour of another number, ``inner`` only
        those of objects, ``outer`` only those of the background, and both where two
        objects touch.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        Same shape, 0 or 1.

    Raises
    ------
    FrameError
        The labels are not whole numbers from 0 on.
    ConfigError
        ``connectivity`` is larger than the number of axes.

    Notes
    -----
    Equal to ``skimage.segmentation.find_boundaries``, tested.

    Examples
    --------
    >>> find_boundaries([[0, 0, 5, 5, 5]], mode="inner").tolist()
    [[0, 0, 1, 0, 0]]
    """
    image = whole_labels(labels)
    if connectivity > image.ndim:
        raise ConfigError(
            f"connectivity must be <= {image.ndim} for {image.ndim}-D images, "
            f"got {connectivity}"
        )
    marked = np.zeros(image.shape, bool)
    for here, there in _pairs(image.ndim, connectivity):
        other = image[here] != image[there]
        marked[here] |= other
        marked[there] |= other
    if mode == "inner":
        marked &= image != 0
    elif mode == "outer":
        marked &= (image == 0) | _touching(image)
    return as_mask(marked)


def _touching(image: Array) -> NDArray[np.bool_]:
    """Return which pixels of objects have another object among all neighbours."""
    marked = np.zeros(image.shape, bool)
    for here, there in _pairs(image.ndim, image.ndim):
        two = (image[here] != image[there]) & (image[here] != 0) & (image[there] != 0)
        marked[here] |= two
        marked[there] |= two
    # scikit-image looks from a pixel of an object at its neighbours, itself included
    return marked


def _pairs(ndim: int, reach: int) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Return the two windows that lay every pair of neighbours over each other."""
    ahead = {-1: slice(None, -1), 0: slice(None), 1: slice(1, None)}
    behind = {-1: slice(1, None), 0: slice(None), 1: slice(None, -1)}
    half = [s for s in product((-1, 0, 1), repeat=ndim) if s > (0,) * ndim]
    return [
        (tuple(ahead[d] for d in step), tuple(behind[d] for d in step))
        for step in half
        if sum(map(abs, step)) <= reach
    ]
