"""Calibration: what a camera, a lamp and bleaching do to the levels."""

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from numpy.typing import ArrayLike, NDArray

from ..errors import ConfigError, FrameError
from ..frame import Array
from ..values import hash_image
from ._histogram import histogram
from ._jit import jit
from ._operator import operator
from ._pixels import pixels
from ._still import still


@operator(("image",), gives="image", oracle="(image - dark) / (flat - dark) * mean")
def flat_field(
    image: ArrayLike,
    *,
    flat: str | None = None,
    dark: str | None = None,
    digest: str = "",
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Correct for uneven light and for what the camera shows in the dark.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    flat
        Path of a picture of even light, as any source reads it: a file, a folder, a
        glob. Of several frames the mean. None: the light is taken as even.
    dark
        Path of a picture without light, likewise. None: 0 everywhere.
    digest
        Hash of both pictures. A run fills it in; where it is given, other pictures
        are refused, so a run does not go on with files that have changed.
    channel_axis
        Axis of channels; each is corrected by the same pictures.

    Returns
    -------
    ndarray of float32
        ``(image - dark) / (flat - dark) * mean(flat - dark)``: same shape, not
        clipped. NaN where the flat picture is not brighter than the dark one.

    Raises
    ------
    ConfigError
        A picture cannot be read, is not gray, or is not what ``digest`` says; the two
        differ in shape.
    FrameError
        The image is of another shape.

    Notes
    -----
    Computed in float64, rounded once; the mean is that of all pixels. Every plane of
    a volume is corrected alike. Each process reads the pictures once.

    Examples
    --------
    >>> flat_field([[2, 4]]).tolist()
    [[2.0, 4.0]]
    """
    array = pixels(image)
    gain, offset = _calibration(flat, dark, digest)
    for one in (gain, offset):
        if one.ndim and one.shape != array.shape[-2:]:
            raise FrameError(_unlike(array.shape[-2:], one.shape))
    plane = array.shape[-2:]
    out = np.empty(array.shape, np.float32)
    _correct(
        array.reshape(-1, *plane),
        np.broadcast_to(gain, plane),
        np.broadcast_to(offset, plane),
        out.reshape(-1, *plane),
    )
    return out


def located(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `flat_field` with absolute paths and the digest.

    Raises
    ------
    ConfigError
        As `flat_field`.
    """
    flat, dark = (_absolute(values[name]) for name in ("flat", "dark"))
    found, _, _ = _read(flat, dark, values["digest"])
    return {**values, "flat": flat, "dark": dark, "digest": found}


def check_shape(values: Mapping[str, Any], shape: tuple[int, ...]) -> None:
    """Check that the pictures of `flat_field` fit images ``(..., y, x)``.

    Raises
    ------
    ConfigError
        They are of another shape.
    """
    for one in _calibration(values["flat"], values["dark"], values["digest"]):
        if one.ndim and one.shape != shape[-2:]:
            raise ConfigError(_unlike(shape[-2:], one.shape))


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.abspath(os.path.expanduser(path))


def _unlike(image: tuple[int, ...], picture: tuple[int, ...]) -> str:
    return (
        f"flat_field: images of shape {image} do not fit flat and dark pictures of "
        f"shape {picture}"
    )


def _calibration(
    flat: str | None, dark: str | None, digest: str
) -> tuple[Array, Array]:
    """Return by what to multiply, after subtracting what; numbers where even."""
    # without a digest nothing says whether a file is still the same
    return _known(flat, dark, digest) if digest else _read(flat, dark, digest)[1:]


@lru_cache(maxsize=8)
def _known(flat: str | None, dark: str | None, digest: str) -> tuple[Array, Array]:
    return _read(flat, dark, digest)[1:]


def _read(flat: str | None, dark: str | None, digest: str) -> tuple[str, Array, Array]:
    """Return the digest of both pictures, and what `_calibration` does."""
    light = np.ones(()) if flat is None else still(flat)
    offset = np.zeros(()) if dark is None else still(dark)
    found = "-".join(hash_image(one) for one in (light, offset))
    if digest not in ("", found):
        raise ConfigError(
            f"flat_field: its pictures have changed (hash {found}, was {digest}); "
            "restore the files, or start a new run"
        )
    if flat is None:
        return found, light, offset
    if offset.ndim and offset.shape != light.shape:
        raise ConfigError(
            f"flat_field: flat and dark differ in shape: {light.shape} and "
            f"{offset.shape}"
        )
    light = light - offset
    with np.errstate(divide="ignore", invalid="ignore"):
        return found, np.where(light > 0, light.mean() / light, np.nan), offset


@operator(
    ("image",),
    ("image",),
    gives="image",
    oracle="ratio of means; skimage.exposure.match_histograms",
)
def bleach_correction(
    image: ArrayLike,
    reference: ArrayLike,
    *,
    method: Literal["ratio", "histogram"] = "ratio",
    background: Annotated[float, Ge(0)] = 0.0,
    channel_axis: int | None = None,
) -> NDArray[np.float32]:
    """Undo bleaching: give an image the brightness of a reference.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(z, y, x)``, any real dtype.
    reference
        What is not bleached yet, in a run the first frame (a `reference` step).
    method
        ``ratio``: multiply by the ratio of the means. ``histogram``: give each level
        the level of the reference that as large a part of the pixels lies below; it
        keeps the noise of late frames down and is for segmenting, not for measuring
        levels.
    background
        Level without any fluorescence: of ``ratio``, subtracted from both means.
    channel_axis
        Axis of channels; each is corrected on its own.

    Returns
    -------
    ndarray of float32
        Same shape, not clipped.

    Raises
    ------
    FrameError
        ``ratio``: the mean of the image is not above the background. ``histogram``:
        NaN has no place among levels.

    Notes
    -----
    ``ratio`` is ``image * (mean(reference) - background) / (mean(image) -
    background)``, as in ImageJ's Bleach Correction, in float64 and rounded once.
    ``histogram`` is equal to ``skimage.exposure.match_histograms`` rounded to float32,
    tested. An exponential fit needs the whole series before its first frame can be
    corrected: it cannot be done on a stream.

    K. Miura (2020), "Bleach correction ImageJ plugin for compensating the
    photobleaching of time-lapse sequences", doi:10.12688/f1000research.27171.1.

    Examples
    --------
    >>> bleach_correction([[1, 3]], [[2, 6]]).tolist()
    [[2.0, 6.0]]
    """
    array, other = pixels(image), pixels(reference, "reference")
    if method == "histogram":
        return _matched(array, other)
    mean = float(array.mean(dtype=np.float64)) - background
    if not mean > 0:
        raise FrameError(
            f"bleach_correction: the mean of the image less the background is {mean}; "
            "it must be > 0"
        )
    gain = (float(other.mean(dtype=np.float64)) - background) / mean
    out = np.empty(array.shape, np.float32)
    _scale(array.reshape(-1), gain, out.reshape(-1))
    return out


def _matched(image: Array, reference: Array) -> NDArray[np.float32]:
    """Return the levels of a reference for those of an image, share for share."""
    if image.dtype == reference.dtype and image.dtype.name in ("uint8", "uint16"):
        now, then = (histogram(i, np.zeros(()), i.max()) for i in (image, reference))
        ends, known_ends = np.cumsum(now.counts), np.cumsum(then.counts)
        table = np.zeros(int(now.levels[-1]) + 1, np.float32)
        table[now.levels] = _interpolated(ends, known_ends, then.levels)
        return np.asarray(table[image])
    order = np.argsort(image, axis=None)
    ends, group = _groups(image.reshape(-1)[order])
    known = np.sort(reference, axis=None)
    known_ends, _ = _groups(known)
    for name, last in (("image", image.flat[order[-1]]), ("reference", known[-1])):
        if np.isnan(last):
            raise FrameError(f"{name} holds NaN, which has no place among levels")
    out = np.empty(image.shape, np.float32)
    new = _interpolated(ends, known_ends, known[known_ends - 1])
    out.reshape(-1)[order] = new[group]
    return out


def _groups(ordered: Array) -> tuple[Array, Array]:
    """Return where each level ends, and the number of each pixel's level."""
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    ends = np.nonzero(is_last)[0] + 1
    return ends, np.cumsum(is_last) - is_last


def _interpolated(ends: Array, known_ends: Array, known: Array) -> NDArray[np.float32]:
    new = np.interp(ends / ends[-1], known_ends / known_ends[-1], known)
    return np.asarray(new, np.float32)


@jit
def _correct(image: Array, gain: Array, offset: Array, out: Array) -> None:
    for z in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                out[z, y, x] = (np.float64(image[z, y, x]) - offset[y, x]) * gain[y, x]


@jit
def _scale(image: Array, gain: float, out: Array) -> None:
    for i in range(image.size):
        out[i] = np.float64(image[i]) * gain
