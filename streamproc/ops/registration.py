"""Registration: how far a frame has moved, and moving it back."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

import numpy as np
from annotated_types import Ge
from numpy.typing import ArrayLike

from ..errors import FrameError
from ..frame import Array
from ._operator import operator
from ._phase import peak
from ._pixels import numbers, pixels
from ._shifting import moved

Upsampling: TypeAlias = Annotated[int, Ge(1)]
Mode: TypeAlias = Literal["constant", "nearest"]


@operator(("image",), gives="image", oracle="the frames themselves")
def reference(
    images: ArrayLike,
    *,
    frame: Literal["first", "previous"] = "first",
    channel_axis: int | None = None,
) -> Array:
    """Give each frame the one that it is compared with.

    Parameters
    ----------
    images
        A stack of frames ``(t, ...)``, any real dtype.
    frame
        ``first``: the first frame, for all. ``previous``: the one before each; the
        first frame's is itself.
    channel_axis
        Axis of channels.

    Returns
    -------
    ndarray
        For each frame its reference: same shape and dtype.

    Raises
    ------
    FrameError
        A stack has no frame axis or no pixels.

    Notes
    -----
    In a run it acts on the source. A frame that cannot be read is passed over: the
    next one is the first, or the one before it the previous, among 8 at most; a frame
    that finds none of them fails.

    Examples
    --------
    >>> reference([[[4]], [[6]], [[9]]], frame="previous").tolist()
    [[[4]], [[4]], [[6]]]
    """
    frames = numbers(images, "images")
    if frames.ndim < 2:
        raise FrameError(
            f"images must be a stack of frames (t, y, x), got shape {frames.shape}"
        )
    before = np.arange(len(frames)) - 1
    return frames[np.maximum(before, 0) if frame == "previous" else 0 * before]


def as_reference(image: Array, reference: Array) -> Array:
    """Return the reference of a frame, which no step may write into."""
    view = reference.astype(image.dtype, copy=False).view()
    view.flags.writeable = False
    return view


@operator(
    ("image", "mask"),
    ("image", "mask"),
    gives="value",
    oracle="skimage.registration.phase_cross_correlation",
)
def phase_cross_correlation(
    image: ArrayLike,
    reference: ArrayLike,
    *,
    upsample_factor: Upsampling = 1,
    normalization: Literal["phase"] | None = "phase",
    channel_axis: int | None = None,
) -> dict[str, float]:
    """Measure the shift that lays an image over its reference.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype: what has moved.
    reference
        Of the same shape: what it is laid over.
    upsample_factor
        The shift is found to ``1 / upsample_factor`` pixels.
    normalization
        ``phase``: all spatial frequencies count as much, whatever the light. None: as
        much as they are strong. It finds parts of a pixel better in smooth, noisy
        pictures, and is drawn to 0 by large bright areas that the border cuts, and by
        what does not move (a pattern of the lamp: see `flat_field`).
    channel_axis
        Axis of channels; each is measured on its own: ``dy_c0``, ``dx_c0`` ….

    Returns
    -------
    dict of float
        ``dz`` (of volumes), ``dy``, ``dx``: by how many pixels `apply_shift` has to
        move the image.

    Raises
    ------
    FrameError
        The shapes differ, an image holds NaN or infinity, or has one level only.

    Notes
    -----
    Equal to the shift of ``skimage.registration.phase_cross_correlation`` (whose order
    of images is the other one), tested: to a step of ``1 / upsample_factor`` where
    rounding decides between two peaks as high. A shift of more than half of the image
    is taken for one to the other side.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((32, 32))
    >>> phase_cross_correlation(np.roll(image, (3, -2), (0, 1)), image)
    {'dy': -3.0, 'dx': 2.0}
    """
    array, other = _pair(image, reference)
    found = peak(other, array, upsample_factor, phase=normalization == "phase")
    return {f"d{a}": s for a, s in zip("zyx"[-array.ndim :], found, strict=True)}


@operator(("image",), ("value",), gives="image", oracle="scipy.ndimage.shift")
def apply_shift(
    image: ArrayLike,
    shift: Mapping[str, float] | Sequence[float],
    *,
    order: Literal[0, 1, 3] = 3,
    mode: Mode = "constant",
    cval: float = 0.0,
    channel_axis: int | None = None,
) -> Array:
    """Move an image.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    shift
        ``dy``, ``dx`` (and ``dz`` in a volume) as `phase_cross_correlation` gives
        them, or numbers by axis: pixels towards higher indices.
    order
        0: the nearest pixel. 1: linear between pixels. 3: cubic splines, which keep
        more detail and overshoot beside edges.
    mode
        What comes in from beyond the border: ``constant``, ``cval``; ``nearest``, the
        pixel at the border.
    cval
        Level beyond the border.
    channel_axis
        Axis of channels; all are moved alike.

    Returns
    -------
    ndarray
        Same shape; float32, with order 0 the dtype of the image.

    Raises
    ------
    FrameError
        The shift has not one finite number for each axis.

    Notes
    -----
    Equal to ``scipy.ndimage.shift`` with ``output=float32``; order 1 within 1e-6 of
    the brightest pixel, tested. NaN spreads to the pixels made of it, with order 3 to
    whole lines.

    Examples
    --------
    >>> apply_shift([[0, 4, 8]], {"dy": 0, "dx": 0.5}, order=1, mode="nearest").tolist()
    [[0.0, 2.0, 6.0]]
    """
    array = pixels(image)
    return moved(array, _offset(shift, array.ndim), order, mode, cval)


@operator(
    ("image",),
    ("image",),
    gives="image",
    oracle="scipy.ndimage.shift by skimage.registration.phase_cross_correlation",
)
def drift_correct(
    image: ArrayLike,
    reference: ArrayLike,
    *,
    upsample_factor: Upsampling = 10,
    normalization: Literal["phase"] | None = "phase",
    order: Literal[0, 1, 3] = 1,
    mode: Mode = "constant",
    cval: float = 0.0,
    channel_axis: int | None = None,
) -> Array:
    """Lay an image over its reference.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype: what has moved.
    reference
        Of the same shape: what it is laid over, in a run a `reference` step.
    upsample_factor, normalization
        As of `phase_cross_correlation`, which measures how far it has moved.
    order, mode, cval
        As of `apply_shift`, which moves it back.
    channel_axis
        Axis of channels; each is laid over its own reference. To move all alike,
        measure one channel and `apply_shift` all.

    Returns
    -------
    ndarray
        Same shape; float32, with order 0 the dtype of the image.

    Raises
    ------
    FrameError
        As `phase_cross_correlation`.

    Notes
    -----
    Where too little of the first frame is left in sight, measure each frame against
    the previous one and add up: ``reference("previous")``,
    ``phase_cross_correlation``, ``running_sum``, ``apply_shift``. Errors add up, too.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.random.default_rng(0).random((32, 32)).astype("float32")
    >>> moved = np.roll(image, (3, -2), (0, 1))
    >>> np.array_equal(drift_correct(moved, image)[:29, 2:], image[:29, 2:])
    True
    """
    array, other = _pair(image, reference)
    offset = peak(other, array, upsample_factor, phase=normalization == "phase")
    return moved(array, offset, order, mode, cval)


def _pair(image: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    """Return two images that can be laid over each other."""
    array, other = pixels(image), pixels(reference, "reference")
    if array.shape != other.shape:
        raise FrameError(
            f"image of shape {array.shape} does not fit a reference of shape"
            f" {other.shape}"
        )
    for name, one in (("image", array), ("reference", other)):
        low, high = one.min(), one.max()
        if not np.isfinite(high) or not np.isfinite(low):
            raise FrameError(f"{name} holds NaN or infinity: it cannot be registered")
        if low == high:
            raise FrameError(
                f"{name} is {low} everywhere: there is nothing to register it by"
            )
    return array, other


def _offset(
    shift: Mapping[str, float] | Sequence[float], ndim: int
) -> tuple[float, ...]:
    """Return how far to move along each axis."""
    names = [f"d{axis}" for axis in "zyx"[-ndim:]]
    if isinstance(shift, Mapping):
        given = [shift.get(name) for name in names]
    else:
        given = list(np.atleast_1d(np.asarray(shift, dtype=object)))
    usable = [g for g in given if isinstance(g, int | float | np.number)]
    if len(given) != ndim or len(usable) != ndim or not np.isfinite(usable).all():
        raise FrameError(
            f"shift must be one finite number for each of {', '.join(names)}, "
            f"got {shift!r:.80}"
        )
    return tuple(float(g) for g in usable)
