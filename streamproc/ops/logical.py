"""Masks combined: and, or, exclusive or, not."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import FrameError
from ..frame import Kind
from ._operator import operator
from ._pixels import as_mask, pixels

_TAKES: tuple[Kind, ...] = ("mask", "labels")


@operator(
    _TAKES, _TAKES, gives="mask", oracle="numpy.logical_and as uint8", pixelwise=True
)
def logical_and(
    mask: ArrayLike, other: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Keep what is foreground in both masks.

    Parameters
    ----------
    mask, other
        ``(y, x)`` or ``(z, y, x)`` of one shape; a volume may also be combined with
        one plane, for each of its planes. Whatever is not 0 is foreground.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        0 and 1, the shape of ``mask``.

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    Equal to ``numpy.logical_and``, tested.

    Examples
    --------
    >>> logical_and([[0, 1, 1]], [[1, 1, 0]]).tolist()
    [[0, 1, 0]]
    """
    return _combined(np.logical_and, mask, other)


@operator(
    _TAKES, _TAKES, gives="mask", oracle="numpy.logical_or as uint8", pixelwise=True
)
def logical_or(
    mask: ArrayLike, other: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Keep what is foreground in one of two masks, or in both.

    Parameters
    ----------
    mask, other
        ``(y, x)`` or ``(z, y, x)`` of one shape; a volume may also be combined with
        one plane, for each of its planes. Whatever is not 0 is foreground.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        0 and 1, the shape of ``mask``.

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    Equal to ``numpy.logical_or``, tested.

    Examples
    --------
    >>> logical_or([[0, 1, 0]], [[1, 1, 0]]).tolist()
    [[1, 1, 0]]
    """
    return _combined(np.logical_or, mask, other)


@operator(
    _TAKES, _TAKES, gives="mask", oracle="numpy.logical_xor as uint8", pixelwise=True
)
def logical_xor(
    mask: ArrayLike, other: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Keep what is foreground in one of two masks, but not in both.

    Parameters
    ----------
    mask, other
        ``(y, x)`` or ``(z, y, x)`` of one shape; a volume may also be combined with
        one plane, for each of its planes. Whatever is not 0 is foreground.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        0 and 1, the shape of ``mask``.

    Raises
    ------
    FrameError
        The shapes do not fit.

    Notes
    -----
    Equal to ``numpy.logical_xor``, tested.

    Examples
    --------
    >>> logical_xor([[0, 1, 1]], [[1, 1, 0]]).tolist()
    [[1, 0, 1]]
    """
    return _combined(np.logical_xor, mask, other)


@operator(_TAKES, gives="mask", oracle="numpy.logical_not as uint8", pixelwise=True)
def logical_not(
    mask: ArrayLike, *, channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Turn foreground into background and background into foreground.

    Parameters
    ----------
    mask
        ``(y, x)`` or ``(z, y, x)``. Whatever is not 0 is foreground.
    channel_axis
        Axis of channels; each is treated on its own.

    Returns
    -------
    ndarray of uint8
        0 and 1, same shape.

    Notes
    -----
    Equal to ``numpy.logical_not``, tested.

    Examples
    --------
    >>> logical_not([[0, 1, 7]]).tolist()
    [[1, 0, 0]]
    """
    return as_mask(pixels(mask, "mask") == 0)


def _combined(
    combine: Callable[..., Any], mask: ArrayLike, other: ArrayLike
) -> NDArray[np.uint8]:
    first, second = pixels(mask, "mask"), pixels(other, "other")
    if second.shape not in (first.shape, first.shape[1:]):
        raise FrameError(
            f"other of shape {second.shape} does not fit a mask of shape "
            f"{first.shape}; it must have the same, or be one plane for all of a volume"
        )
    return as_mask(combine(first, second))
