"""Images with other numbers of pixels: cut, binned, resampled."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ..frame import Array
from ..grid import Grid
from ._blocks import WIDE, block_ends, block_sums
from ._operator import operator
from ._pixels import pixels
from ._resample import nearest, resampled
from .geometry import PIXELS, Order, interpolation

Count: TypeAlias = Annotated[int, Ge(1)]
Place: TypeAlias = Annotated[int, Ge(0)]
Scale: TypeAlias = Annotated[float, Gt(0)]


def _cut(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    axes = grid.spatial
    lengths = tuple(grid.length(a) for a in axes)
    place = _window(lengths, parameters["start"], parameters["shape"])
    start = {a: float(s.start) for a, s in zip(axes, place, strict=True)}
    kept = {a: s.stop - s.start for a, s in zip(axes, place, strict=True)}
    return grid.sampled({}, start).with_shape(kept)


@operator(PIXELS, gives=None, oracle="numpy slicing", grid=_cut)
def crop(
    image: ArrayLike,
    *,
    start: tuple[Place, ...] = (0, 0),
    shape: tuple[Count, ...] | None = None,
    channel_axis: int | None = None,
) -> Array:
    """Cut out a rectangle, or a box.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    start
        The first pixel kept, one number per axis; two of a volume are ``(y, x)``.
    shape
        How many pixels are kept, as ``start``; None: all that follow.
    channel_axis
        Axis of channels; each is cut on its own.

    Returns
    -------
    ndarray
        Of ``shape``, same dtype (bool becomes uint8 0/1).

    Raises
    ------
    ConfigError
        The rectangle reaches beyond the image.

    Notes
    -----
    A run writes where in the source the result begins.

    Examples
    --------
    >>> crop([[1, 2, 3], [4, 5, 6]], start=(0, 1), shape=(2, 2)).tolist()
    [[2, 3], [5, 6]]
    """
    array = pixels(image)
    return np.array(array[_window(array.shape, start, shape)], order="C")


@lru_cache(maxsize=256)
def _window(
    lengths: tuple[int, ...], start: tuple[int, ...], shape: tuple[int, ...] | None
) -> tuple[slice, ...]:
    """Return the slices that are kept."""
    first = _per_axis(start, len(lengths), 0, "crop", "start")
    ends = tuple(lengths)
    if shape is not None:
        kept = _per_axis(shape, len(lengths), -1, "crop", "shape")
        ends = tuple(
            n if k < 0 else f + k for n, k, f in zip(lengths, kept, first, strict=True)
        )
    if any(f >= e or e > n for f, e, n in zip(first, ends, lengths, strict=True)):
        raise ConfigError(
            f"crop: start {tuple(start)} and shape {shape} reach beyond an image of "
            f"shape {lengths}"
        )
    return tuple(slice(f, e) for f, e in zip(first, ends, strict=True))


def _per_axis(
    given: Any, ndim: int, usual: int, operator: str, name: str
) -> tuple[Any, ...]:
    """Return a number per axis; two of a volume are those of y and x."""
    values = tuple(given)
    if len(values) == 2 and ndim == 3:
        return (usual, *values)
    if len(values) != ndim:
        raise ConfigError(
            f"{operator}: {name} must be {ndim} numbers, one per axis, got {values}"
        )
    return values


def _binned(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    axes = grid.spatial
    lengths = tuple(grid.length(a) for a in axes)
    factors = dict(zip(axes, _factors(lengths, parameters["factor"]), strict=True))
    start = {a: (f - 1) / 2 for a, f in factors.items()}
    kept = {a: grid.length(a) // f for a, f in factors.items()}
    return grid.sampled(factors, start).with_shape(kept)


@operator(
    ("image",), gives="image", oracle="skimage.measure.block_reduce", grid=_binned
)
def binning(
    image: ArrayLike,
    *,
    factor: Count | tuple[Count, ...] = 2,
    method: Literal["mean", "sum", "max", "min"] = "mean",
    channel_axis: int | None = None,
) -> Array:
    """Make one pixel of each block of pixels.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype. NaN makes NaN.
    factor
        Pixels along the side of a block: one number for all axes, or one per axis;
        two of a volume are ``(y, x)``.
    method
        What is kept of a block.
    channel_axis
        Axis of channels; each is binned on its own.

    Returns
    -------
    ndarray
        As many pixels as there are whole blocks: what is left at the end of an axis
        is dropped. ``max`` and ``min`` keep the dtype; ``mean`` is float32 (float64
        where float32 cannot hold the image's dtype); ``sum`` is uint64, int64 or
        float64. Nothing overflows.

    Raises
    ------
    ConfigError
        A block is larger than the image; ``factor`` has another length than the image
        has axes.

    Notes
    -----
    A run writes pixels that are ``factor`` times as large. Equal to
    ``skimage.measure.block_reduce`` of the whole blocks (it fills up the last ones
    with zeros), means within 1e-6 of the largest absolute pixel, tested.

    Examples
    --------
    >>> binning([[1, 2, 9], [3, 4, 9]]).tolist()
    [[2.5]]
    """
    array = pixels(image)
    factors = _factors(array.shape, factor)
    if method in ("max", "min"):
        return block_ends(array, factors, method == "max")
    wide = WIDE[array.dtype.kind]
    sums = block_sums(array, factors, wide)
    if method == "sum":
        return sums
    dtype = np.result_type(array.dtype, np.float32)
    return np.divide(sums, int(np.prod(factors)), dtype=np.float64).astype(dtype)


def _factors(lengths: tuple[int, ...], factor: int | Sequence[int]) -> tuple[int, ...]:
    every = (factor,) * len(lengths) if isinstance(factor, int) else factor
    factors = _per_axis(every, len(lengths), 1, "binning", "factor")
    if any(f > n for f, n in zip(factors, lengths, strict=True)):
        raise ConfigError(
            f"binning: blocks of {factors} are larger than an image of shape {lengths}"
        )
    return factors


def _resized(grid: Grid, parameters: Mapping[str, Any]) -> Grid:
    axes = grid.spatial
    lengths = tuple(grid.length(a) for a in axes)
    shape = _new_shape(lengths, parameters["shape"], parameters["scale"])
    step = {a: n / s for a, n, s in zip(axes, lengths, shape, strict=True)}
    start = {a: (f - 1) / 2 for a, f in step.items()}
    return grid.sampled(step, start).with_shape(dict(zip(axes, shape, strict=True)))


@operator(PIXELS, gives=None, oracle="skimage.transform.resize", grid=_resized)
def resize(
    image: ArrayLike,
    *,
    shape: tuple[Count, ...] | None = None,
    scale: Scale | tuple[Scale, ...] | None = None,
    order: Order = None,
    anti_aliasing: bool | None = None,
    channel_axis: int | None = None,
) -> Array:
    """Show the same field of view with another number of pixels.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    shape
        Of the result, one number per axis; two of a volume are ``(y, x)``.
    scale
        Instead of it: how many times as many pixels, for all axes or one per axis.
    order
        0: the nearest pixel; 1: linear; 3: cubic splines. Default: 1, in a graph 0
        for masks and labels.
    anti_aliasing
        Whether to smooth before pixels are left out. Default: with order 1 and 3
        where there are fewer pixels.
    channel_axis
        Axis of channels; each is resized on its own.

    Returns
    -------
    ndarray
        Same scale of grey levels. The dtype of the image for order 0, else float32
        (float64 where float32 cannot hold the image's dtype), so that nothing is
        rounded.

    Raises
    ------
    ConfigError
        Both ``shape`` and ``scale``, or of another length than the image has axes;
        ``anti_aliasing`` with order 0; in a graph masks or labels with another order.

    Notes
    -----
    A run writes the pixel size that follows. The image is mirrored at its border; a
    NaN spreads to the pixels made of it. Within 1e-5 of the largest absolute pixel of
    ``skimage.transform.resize`` with ``preserve_range`` in float64, tested; order 0
    is equal.

    Examples
    --------
    >>> resize([[0.0, 4.0]], shape=(1, 4)).tolist()
    [[1.0, 1.0, 3.0, 3.0]]
    """
    degree = interpolation(image, order)
    array = pixels(image)
    new = _new_shape(array.shape, shape, scale)
    if degree == 0:
        if anti_aliasing:
            raise ConfigError("resize: anti_aliasing needs order 1 or 3, got order 0")
        return nearest(array, new)
    if anti_aliasing is None:
        anti_aliasing = any(s < n for s, n in zip(new, array.shape, strict=True))
    if degree == 1:
        return resampled(array, new, anti_aliasing)
    return _resized_cubic(array, new, anti_aliasing)


def _new_shape(
    lengths: tuple[int, ...],
    shape: Sequence[int] | None,
    scale: float | Sequence[float] | None,
) -> tuple[int, ...]:
    """Return the shape of the result."""
    if shape is not None and scale is not None:
        raise ConfigError(f"resize: give shape or scale, got both: {shape} and {scale}")
    if shape is not None:
        new = _per_axis(shape, len(lengths), -1, "resize", "shape")
        return tuple(n if s < 0 else s for n, s in zip(lengths, new, strict=True))
    if isinstance(scale, Sequence):
        every = _per_axis(scale, len(lengths), 1, "resize", "scale")
    else:
        every = (1.0 if scale is None else scale,) * len(lengths)
    return tuple(
        max(1, int(np.round(n * s))) for n, s in zip(lengths, every, strict=True)
    )


def _resized_cubic(image: Array, shape: tuple[int, ...], anti_aliasing: bool) -> Array:
    from skimage import transform

    resize: Any = transform.resize
    wide = image.astype(np.float64)
    out = resize(wide, shape, order=3, anti_aliasing=anti_aliasing, preserve_range=True)
    return np.asarray(out, np.result_type(image.dtype, np.float32))
