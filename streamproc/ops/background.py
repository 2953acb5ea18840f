"""Background subtraction: of past frames, or of each frame alone."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import ArrayLike, NDArray

from ..errors import FrameError
from ..frame import Array
from ._ball import darkest, enlarged, roll
from ._footprints import Radius, Shape
from ._jit import jit
from ._middle import middle
from ._operator import operator
from ._pixels import numbers, pixels
from .tophat import white_tophat

#: Frames added in one pass over the sum, which is larger than they are.
_AT_ONCE = 4


@operator(("image",), gives="image", oracle="numpy.mean and median of past frames")
def background(
    images: ArrayLike,
    *,
    method: Literal["mean", "median", "top_hat", "rolling_ball"] = "mean",
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
        With ``mean`` and ``median`` a stack of frames ``(t, ...)``, any real dtype;
        with the others one frame, ``(y, x)`` or ``(z, y, x)``.
    method
        ``mean``, ``median``: frames are taken in blocks of ``every``, and from each
        block the mean (the median) of the up to ``window`` frames before it is
        subtracted; from the first block that of its own frames. What moves on
        before half of a window has passed leaves no trace in a median. ``top_hat``:
        `white_tophat`. ``rolling_ball``: the image less its `rolling_ball`.
    window
        Frames in a mean or median.
    every
        Frames in a block: how often the background is renewed.
    radius
        Of the footprint of ``top_hat``, of the ball.
    shape
        Of the footprint of ``top_hat``.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        ``mean``, ``median``: float32, not clipped (darker than the background is
        negative). ``top_hat``, ``rolling_ball``: the dtype of the image, nowhere
        negative.

    Raises
    ------
    FrameError
        A stack has no frame axis or no pixels.

    Notes
    -----
    The mean is a sum in float64 in the order of the frames, exact for whole numbers;
    the median is exact, between the two middle ones of an even number, and NaN where
    one of its frames is. The difference is taken in float64 and rounded to float32
    once.

    In a run the frames of a median are held in memory, ``window + every`` of them: a
    run is refused where they take more than half of ``limits.memory``. Of a mean they
    are read again where they do not fit.

    Examples
    --------
    >>> background([[[4]], [[6]], [[9]]], window=2, every=2).tolist()
    [[[-1.0]], [[1.0]], [[4.0]]]
    """
    if method == "top_hat":
        return white_tophat(images, radius=radius, shape=shape)
    if method == "rolling_ball":
        return subtract_rolling_ball(images, radius=radius)
    frames = numbers(images, "images")
    if frames.ndim < 2:
        raise FrameError(
            f"images must be a stack of frames (t, y, x), got shape {frames.shape}"
        )
    out = np.empty(frames.shape, np.float32)
    for first in range(0, len(frames), every):
        block = slice(first, first + every)
        past = slice(max(0, first - window), first) if first else block
        found = (median_frame if method == "median" else mean_frame)(frames[past])
        for i, frame in enumerate(frames[block], first):
            out[i] = subtract_background(frame, found)
    return out


@operator(("image",), gives="image", oracle="skimage.restoration.rolling_ball")
def rolling_ball(
    image: ArrayLike,
    *,
    radius: Annotated[int, Ge(1)] = 100,
    downscale: Annotated[int, Ge(1)] = 1,
    channel_axis: int | None = None,
) -> Array:
    """Estimate the background as what a ball reaches that rolls under the image.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype: a landscape, as high as it is
        bright.
    radius
        Of the ball, in pixels and in levels: larger than the objects.
    downscale
        1: exact. More: the darkest pixel of each block of so many pixels along every
        axis stands for it, and what the ball reaches there is enlarged linearly, an
        approximation; 4 is usual for a radius of 50 or more.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        The background, nowhere above the image: same shape and dtype (whole numbers
        are rounded towards 0). `background` with this method subtracts it.

    Raises
    ------
    FrameError
        The image has other axes or no pixels.

    Notes
    -----
    Equal to ``skimage.restoration.rolling_ball``, tested. NaN pixels hold no ball;
    what lies beside the image neither. The time grows with the square of the radius
    (in a volume with the cube), and falls with ``downscale`` to the fourth power (the
    sixth).

    S. Sternberg (1983), "Biomedical image processing", doi:10.1109/MC.1983.1654163.

    Examples
    --------
    >>> rolling_ball([[9, 9, 50, 9, 9]], radius=3).tolist()
    [[9, 9, 9, 9, 9]]
    """
    array = pixels(image)
    if downscale == 1:
        return roll(array, radius)
    low = roll(darkest(array, downscale), radius, downscale)
    return np.asarray(
        np.minimum(enlarged(low, downscale, array.shape).astype(array.dtype), array)
    )


def subtract_rolling_ball(image: ArrayLike, *, radius: int) -> Array:
    """Return the image less its `rolling_ball`, in its dtype."""
    array = pixels(image)
    return np.asarray(array - roll(array, radius))


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
        raise _no_frame()
    total /= count
    return total


def median_frame(frames: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Return the median of frames of one shape.

    Parameters
    ----------
    frames
        One or more arrays of equal shape, any real dtype; all are held at once.

    Returns
    -------
    ndarray of float64
        Equal to ``numpy.median`` of the stack in float64, tested.

    Raises
    ------
    FrameError
        There is no frame, or two differ in shape.
    """
    arrays = [numbers(frame, "frame") for frame in frames]
    if not arrays:
        raise _no_frame()
    for array in arrays:
        _same_shape(array, arrays[0], "frame")
    return middle(arrays)


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


def _no_frame() -> FrameError:
    return FrameError("the background needs at least one readable frame, got none")


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
