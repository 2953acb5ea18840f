"""One channel of an image that has several."""

from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import ArrayLike

from ..errors import ConfigError, FrameError
from ..frame import Array
from ._operator import operator
from ._pixels import numbers


@operator(("image", "mask", "labels"), gives=None, oracle="numpy.take")
def channel(image: ArrayLike, *, channel: Annotated[int, Ge(0)] | str = 0) -> Array:
    """Choose one channel.

    Parameters
    ----------
    image
        ``(c, y, x)`` or ``(c, z, y, x)``, any dtype.
    channel
        Its number, from 0; in a pipeline also its name, as the source tells it.

    Returns
    -------
    ndarray
        The image without its axis c, same dtype.

    Raises
    ------
    ConfigError
        A name: a plain array has none.
    FrameError
        The image has no such channel, no pixels, or does not hold numbers.

    Examples
    --------
    >>> channel([[[1, 2]], [[3, 4]]], channel=1).tolist()
    [[3, 4]]
    """
    if isinstance(channel, str):
        raise ConfigError(
            f"channel: a plain array has no channel names, got {channel!r}; "
            "give its number"
        )
    array = numbers(image)
    if array.ndim < 3 or channel >= len(array):
        raise FrameError(
            f"channel {channel} of an image of shape {array.shape}; "
            "it needs the axes (c, y, x) or (c, z, y, x)"
        )
    return np.array(array[channel])
