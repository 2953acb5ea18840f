"""Grey levels: clipped, stretched, bent, inverted."""

import math
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge
from numpy.typing import ArrayLike

from ..device import array_module
from ..errors import ConfigError, FrameError
from ..frame import Array
from ._lookup import by_level
from ._operator import operator
from ._pixels import pixels
from ._rounding import whole

#: The ranges that scikit-image knows by name.
Range: TypeAlias = Literal[
    "image",
    "dtype",
    "uint8",
    "uint10",
    "uint12",
    "uint14",
    "uint16",
    "float32",
]
Bounds: TypeAlias = tuple[float, float]


@operator(("image",), gives="image", oracle="numpy.clip", pixelwise=True)
def clip(
    image: ArrayLike,
    *,
    min: float | None = None,
    max: float | None = None,
    channel_axis: int | None = None,
) -> Array:
    """Limit the grey levels.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN stays NaN.
    min, max
        What is darker becomes ``min``, what is brighter ``max``; None: no limit.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Raises
    ------
    ConfigError
        ``min`` is larger than ``max``.
    FrameError
        No value of the image's dtype lies between them.

    Notes
    -----
    In whole numbers the limits are the nearest ones between ``min`` and ``max``: 2.5
    to 7.5 is 3 to 7. Equal to ``numpy.clip``, tested.

    Examples
    --------
    >>> clip([[1, 5, 9]], min=3, max=8).tolist()
    [[3, 5, 8]]
    """
    if min is not None and max is not None and min > max:
        raise ConfigError(f"clip: min must be <= max, got {min} and {max}")
    array = pixels(image)
    low, high = _limits(array.dtype, min, max)
    return array.clip(low, high)


@operator(
    ("image",),
    gives="image",
    oracle="skimage.exposure.rescale_intensity",
    pixelwise=lambda p: "image" not in (p["in_range"], p["out_range"]),
)
def rescale_intensity(
    image: ArrayLike,
    *,
    in_range: Range | Bounds = "image",
    out_range: Range | Bounds = "dtype",
    channel_axis: int | None = None,
) -> Array:
    """Stretch or shrink the grey levels from one range to another.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN stays NaN.
    in_range
        What is stretched: the ``image``'s darkest to its brightest pixel, the whole
        ``dtype``, a dtype by name, or two numbers. What lies outside is clipped.
    out_range
        What it is stretched to. That of a float dtype is 0 to 1, or -1 to 1 where
        ``in_range`` begins below 0; so is the lower end of a signed one.
    channel_axis
        Axis of channels; each is stretched on its own.

    Returns
    -------
    ndarray
        Same shape. The dtype of the image for ``image`` and ``dtype``, the one that
        is named (uint16 for 10, 12 and 14 bits), float32 for two numbers (float64
        for a float64 image).

    Raises
    ------
    ConfigError
        A range whose first number is larger than its second.
    FrameError
        The image's own range is wanted, and not finite.

    Notes
    -----
    Whole numbers are cut off after the point, as scikit-image does. Equal to
    ``skimage.exposure.rescale_intensity``, tested, but two numbers give float32 for
    whole numbers, too, and the range of an image with NaN is that of its numbers.

    Examples
    --------
    >>> rescale_intensity([[10, 20, 30]], in_range=(10, 30), out_range=(0, 1)).tolist()
    [[0.0, 0.5, 1.0]]
    """
    array = pixels(image)
    low, high = _range(array, in_range, False, "in_range")
    least, most = _range(array, out_range, low >= 0, "out_range")
    if isinstance(out_range, tuple):
        dtype = np.dtype(np.float64 if array.dtype == np.float64 else np.float32)
    elif out_range in ("image", "dtype"):
        dtype = array.dtype
    else:
        dtype = np.dtype(_HELD.get(out_range, out_range))
    return by_level(array, _stretched, low, high, least, most, dtype.str)


#: Camera depths, and the dtype that holds them.
_HELD = {"uint10": "uint16", "uint12": "uint16", "uint14": "uint16"}


def _range(
    image: Array, said: str | Bounds, clip_negative: bool, name: str
) -> tuple[float, float]:
    """Return the two ends of a range."""
    if isinstance(said, tuple):
        if said[0] > said[1]:
            raise ConfigError(
                f"rescale_intensity: {name} must be (low, high), got {said}"
            )
        return float(said[0]), float(said[1])
    if said == "image":
        return _own_range(image)
    name = image.dtype.name if said == "dtype" else said
    if name.startswith("float"):
        low, high = -1.0, 1.0
    elif name in _HELD:
        low, high = 0.0, 2.0 ** int(name.removeprefix("uint")) - 1
    else:
        ends = np.iinfo(name)
        low, high = float(ends.min), float(ends.max)
    return 0.0 if clip_negative else low, high


def _own_range(image: Array) -> tuple[float, float]:
    xp = array_module(image)
    low, high = float(image.min()), float(image.max())
    if np.isnan(low):
        low, high = float(xp.nanmin(image)), float(xp.nanmax(image))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise FrameError(
            f"rescale_intensity: the image reaches from {low} to {high}; "
            "give in_range two numbers"
        )
    return low, high


def _stretched(
    values: Array, low: float, high: float, least: float, most: float, dtype: str
) -> Array:
    """Return scikit-image's formula."""
    xp = array_module(values)
    with np.errstate(over="ignore"):
        out = xp.clip(values, low, high)
        if low == high:
            out = xp.clip(out, least, most)
        else:
            out -= low
            out /= high - low
            out *= most - least
            out += least
    stretched: Array = out.astype(dtype, copy=False)
    return stretched


@operator(
    ("image",), gives="image", oracle="skimage.exposure.adjust_gamma", pixelwise=True
)
def adjust_gamma(
    image: ArrayLike,
    *,
    gamma: Annotated[float, Ge(0)] = 1.0,
    gain: Annotated[float, Ge(0)] = 1.0,
    channel_axis: int | None = None,
) -> Array:
    """Correct by a power law: ``gain * image ** gamma``.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype, nowhere below 0. NaN stays NaN.
    gamma
        The power: above 1 the image becomes darker, below 1 brighter.
    gain
        Factor of the result.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Raises
    ------
    FrameError
        A pixel is below 0.

    Notes
    -----
    Whole numbers are taken for shares of the largest of their dtype, rounded to the
    nearest, and end at the largest. Equal to ``skimage.exposure.adjust_gamma`` for 8
    bits and float32, tested; of 16 bits and more it cuts off what is behind the
    point, up to one level darker, and wraps around where ``gain`` leads beyond.

    Examples
    --------
    >>> import numpy as np
    >>> adjust_gamma(np.array([[0, 64, 255]], np.uint8), gamma=0.5).tolist()
    [[0, 128, 255]]
    """
    array = pixels(image)
    if array.dtype.kind != "u" and (array < 0).any():
        raise FrameError(
            "adjust_gamma: the image has pixels below 0; clip or rescale it first"
        )
    return by_level(array, _powers, gamma, gain)


def _powers(values: Array, gamma: float, gain: float) -> Array:
    xp = array_module(values)
    if values.dtype.kind == "f":
        raised: Array = values**gamma
        raised *= gain
        return raised
    most = np.iinfo(values.dtype).max
    if values.dtype == np.uint8:  # scikit-image's own rounding of the levels
        shares = xp.linspace(0, 1, 256)[values]
    else:
        shares = xp.maximum(values, 0) / float(most)
    return whole(most * gain * shares**gamma, values.dtype)


@operator(("image",), gives="image", oracle="skimage.util.invert", pixelwise=True)
def invert(
    image: ArrayLike,
    *,
    signed_float: bool = False,
    channel_axis: int | None = None,
) -> Array:
    """Make bright what is dark.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN stays NaN. (A mask is
        inverted by `logical_not`.)
    signed_float
        Real numbers change their sign, instead of being subtracted from 1.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray
        Same shape and dtype (bool becomes uint8 0/1).

    Notes
    -----
    Unsigned numbers are subtracted from the largest of their dtype, signed ones from
    -1, real ones from 1. Equal to ``skimage.util.invert``, tested.

    Examples
    --------
    >>> import numpy as np
    >>> invert(np.array([[0, 55, 255]], np.uint8)).tolist()
    [[255, 200, 0]]
    """
    array = pixels(image)
    xp = array_module(array)
    inverted: Array
    if array.dtype.kind == "f":
        inverted = -array if signed_float else 1 - array
    else:  # all bits: what is subtracted above
        inverted = xp.invert(array)
    return inverted


@lru_cache(maxsize=256)
def _limits(
    dtype: np.dtype[Any], low: float | None, high: float | None
) -> tuple[Any, Any]:
    """Return the limits as values of a dtype."""
    is_real = dtype.kind == "f"
    ends = np.finfo(dtype) if is_real else np.iinfo(dtype)
    first, last = (
        (float(ends.min), float(ends.max)) if is_real else (ends.min, ends.max)
    )
    least: float = -math.inf if is_real else first
    most: float = math.inf if is_real else last
    if low is not None and low > first:
        least = low if is_real else math.ceil(low)
    if high is not None and high < last:
        most = high if is_real else math.floor(high)
    if least > last or most < first or least > most:
        raise FrameError(f"clip: no value of {dtype} lies between {low} and {high}")
    return dtype.type(least), dtype.type(most)
