"""Background subtraction: the mean of past frames, or the opening of each."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import ArrayLike, NDArray

from ..errors import FrameError
from ..frame import Array
from ._footprints import Radius, Shape
from ._jit import jit
from ._operator import operator
from ._pixels import numbers
from .tophat import white_tophat

#: Frames added in one pass over the sum, which is larger than they are.
_AT_ONCE = 4


@operator(("image",), gives="image")
def background(
    images: ArrayLike,
    *,
    method: Literal["mean", "top_hat"] = "mean",
    window: Annotated[int, Ge(1)] = 50,
    every: Annotated[int, Ge(1)] = 25,
    radius: Radius = 25,
    shape: Shape = "disk",
    channel_axis: int | None = None,
) -> Array:
    """Subtract the background.

    Parameters
    ----------
    images
        With ``mean`` a stack of frames ``(t, ...)``, any real dtype; with
        ``top_hat`` one frame, ``(y, x)`` or ``(z, y, x)``.
    method
        ``mean``: frames are taken in blocks of ``every``, and from each block the
        mean of the up to ``window`` frames before it is subtracted; from the first
        block the mean of its own frames. ``top_hat``: `white_tophat`, without time.
    window
        Frames in a mean.
    every
        Frames in a block: how often the background is renewed.
    radius, shape
        Of the footprint of ``top_hat``.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        ``mean``: float32, not clipped (darker than the background is negative).
        ``top_hat``: the dtype of the image.

    Raises
    ------
    FrameError
        A stack has no frame axis or no pixels.

    Notes
    -----
    The mean is a sum in float64 in the order of the frames, exact for whole numbers;
    the difference is taken in float64 and rounded to float32 once.

    Examples
    --------
    >>> background([[[4]], [[6]], [[9]]], window=2, every=2).tolist()
    [[[-1.0]], [[1.0]], [[4.0]]]
    """
    if method == "top_hat":
        return white_tophat(images, radius=radius, shape=shape)
    frames = numbers(images, "images")
    if frames.ndim < 2:
        raise FrameError(
            f"images must be a stack of frames (t, y, x), got shape {frames.shape}"
        )
    out = np.empty(frames.shape, np.float32)
    for first in range(0, len(frames), every):
        block = slice(first, first + every)
        past = slice(max(0, first - window), first) if first else block
        mean = mean_frame(frames[past])
        for i, frame in enumerate(frames[block], first):
            out[i] = subtract_background(frame, mean)
    return out


def mean_frame(frames: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Return the mean of frames of one shape, summed in the order given.

    Parameters
    ----------
    frames
        One or more arrays of equal shape, any real dtype; four are held at once.

    Returns
    -------
    ndarray of float64
        Exact for whole numbers whose sum stays below 2^53.

    Raises
    ------
    FrameError
        There is no frame, or two differ in shape.
    """
    total: Array | None = None
    count = 0
    arrays = (numbers(frame, "frame") for frame in frames)
    while some := list(islice(arrays, _AT_ONCE)):
        if total is None:
            total = np.zeros(some[0].shape)
        for array in some:
            _same_shape(array, total, "frame")
        flat = [array.reshape(-1) for array in some]
        if len({array.dtype for array in some}) == 1 and len(some) == _AT_ONCE:
            _add_four(total.reshape(-1), *flat)
        else:
            for array in flat:
                _add(total.reshape(-1), array)
        count += len(some)
    if total is None:
        raise FrameError("the background needs at least one readable frame, got none")
    total /= count
    return total


def subtract_background(
    image: ArrayLike, background: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return ``image - background``, in float64 and then rounded to float32.

    Parameters
    ----------
    image
        One frame, any real dtype.
    background
        Of the same shape, as `mean_frame` returns it.

    Returns
    -------
    ndarray of float32
        Same shape, not clipped.

    Raises
    ------
    FrameError
        The shapes differ.
    """
    array, mean = numbers(image), numbers(background, "background")
    _same_shape(array, mean, "image")
    out = np.empty(array.shape, np.float32)
    _subtract(array.reshape(-1), mean.reshape(-1), out.reshape(-1))
    return out


def _same_shape(array: Array, other: Array, name: str) -> None:
    if array.shape != other.shape:
        raise FrameError(
            f"{name} of shape {array.shape} does not fit a background of shape"
            f" {other.shape}"
        )


@jit
def _add(total: Array, frame: Array) -> None:
    for i in range(total.size):
        total[i] += frame[i]


@jit
def _add_four(total: Array, a: Array, b: Array, c: Array, d: Array) -> None:
    for i in range(total.size):
        total[i] = (((total[i] + a[i]) + b[i]) + c[i]) + d[i]


@jit
def _subtract(image: Array, background: Array, out: Array) -> None:
    for i in range(out.size):
        out[i] = np.float32(np.float64(image[i]) - background[i])
