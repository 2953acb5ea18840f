"""A frame as a PNG: stretched to its contrast, objects outlined, a scale bar."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import FrameError, StoreError
from .frame import Array

#: Blue, green, red, one byte each: what OpenCV writes.
Colours: TypeAlias = NDArray[np.uint8]

#: A picture is enlarged by whole numbers up to about this long, and shrunk to it.
READABLE, LONGEST = 1024, 2048
#: Percentiles of the pixels that become black and white.
DARKEST, BRIGHTEST = 0.5, 99.8
#: Channels of a picture that is no colour photograph: green, magenta, cyan, yellow …
_CHANNELS = ((0, 255, 0), (255, 0, 255), (255, 255, 0), (0, 255, 255), (0, 0, 255))
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(
    image: Array,
    axes: str,
    *,
    labels: Array | None = None,
    pixel_size_um: Mapping[str, float] | None = None,
) -> Colours:
    """Return a picture of one frame, with the outlines of its objects.

    Parameters
    ----------
    image
        Any real dtype; stretched from its 0.5th to its 99.8th percentile.
    axes
        Of the image, within ``"czyx"``: z is projected by its maximum; three
        channels of bytes are red, green and blue, others get a colour each.
    labels
        Label image or mask of the same y and x (and z); outlines are one pixel
        wide in the picture, inside the objects, neighbours in different colours.
    pixel_size_um
        Micrometres by axis; with ``x``, a scale bar is drawn.

    Returns
    -------
    ndarray of uint8
        ``(y, x, 3)``, blue first, as ``cv2.imwrite`` takes it.

    Raises
    ------
    FrameError
        The frame has no pixels.
    """
    if not image.size:
        raise FrameError(f"a frame of shape {image.shape} has no pixels to draw")
    picture = _fit(_colours(image, axes), cv2.INTER_CUBIC)
    if labels is not None and labels.any():
        _outline(picture, labels)
    size = (pixel_size_um or {}).get("x")
    if size:
        _scale_bar(picture, size * image.shape[-1] / picture.shape[1])
    return picture


def write(path: Path, picture: Colours) -> None:
    """Write a picture as PNG.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    good, data = cv2.imencode(".png", picture)
    try:
        if not good:
            raise OSError("the picture cannot be encoded")
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; choose another file"
        ) from error


def stretch(plane: Array) -> NDArray[np.uint8]:
    """Return a plane as bytes, its percentiles black and white; NaN is black."""
    values = np.asarray(plane, np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    dark, bright = np.percentile(finite, (DARKEST, BRIGHTEST))
    if bright <= dark:
        dark, bright = float(finite.min()), float(finite.max())
    scaled = (values - dark) * (255 / max(float(bright) - float(dark), 1e-12))
    rounded: NDArray[np.uint8] = (
        np.nan_to_num(np.clip(scaled, 0, 255)).round().astype(np.uint8)
    )
    return rounded


def flat(array: Array, axes: str) -> Array:
    """Return the array without z, projected by its maximum."""
    return array.max(axis=axes.index("z")) if "z" in axes else array


def _colours(image: Array, axes: str) -> Colours:
    """Return the image as bytes in blue, green and red."""
    plane = flat(image, axes)
    if plane.ndim == 2:
        return np.repeat(stretch(plane)[..., None], 3, axis=2)
    if plane.shape[0] == 3 and plane.dtype == np.uint8:
        return np.ascontiguousarray(np.moveaxis(plane, 0, -1)[..., ::-1])
    if plane.shape[0] == 1:
        return np.repeat(stretch(plane[0])[..., None], 3, axis=2)
    mixed = np.zeros((*plane.shape[1:], 3), np.float32)
    for channel, colour in zip(plane, _CHANNELS, strict=False):
        mixed += stretch(channel)[..., None] * np.divide(colour, 255, dtype=np.float32)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _fit(picture: Colours, enlarge: int) -> Colours:
    """Return the picture at a size that is easily read."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    factor: float = max(1, round(READABLE / longest))
    if longest > LONGEST:
        factor = LONGEST / longest
    if factor == 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = enlarge if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _outline(picture: Colours, labels: Array) -> None:
    """Draw the rim of every object into the picture, one pixel wide."""
    if labels.ndim > 2:
        labels = labels.reshape(-1, *labels.shape[-2:]).max(axis=0)
    numbers: Array = np.ascontiguousarray(labels, np.int32)
    if numbers.max() == 1:  # a mask: its parts are the objects
        numbers = np.asarray(cv2.connectedComponents(numbers.astype(np.uint8))[1])
    height, width = picture.shape[:2]
    large = cv2.resize(
        numbers.astype(np.float64), (width, height), interpolation=cv2.INTER_NEAREST
    ).astype(np.int64)
    rim = np.zeros(large.shape, bool)
    for axis in (0, 1):
        here = [slice(None), slice(None)]
        there = [slice(None), slice(None)]
        here[axis], there[axis] = slice(1, None), slice(None, -1)
        differs = large[tuple(here)] != large[tuple(there)]
        rim[tuple(here)] |= differs
        rim[tuple(there)] |= differs
    rim &= large > 0
    found, which = np.unique(large[rim], return_inverse=True)
    picture[rim] = _palette(found)[which]


def _palette(numbers: NDArray[np.int64]) -> Colours:
    """Return a bright colour per number; following numbers are far apart in hue."""
    hue = (numbers * 0.61803398875 % 1 * 180).astype(np.uint8)
    saturation = np.where(numbers % 2, 255, 170).astype(np.uint8)
    full = np.full_like(hue, 255)
    hsv = np.stack([hue, saturation, full], axis=-1)[None]
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0], np.uint8)


def _scale_bar(picture: Colours, um_per_pixel: float) -> None:
    """Draw a bar of a round length, at most a quarter of the width, bottom right."""
    height, width = picture.shape[:2]
    longest = um_per_pixel * width / 4
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(n * power for n in (1, 2, 5) if n * power <= longest)
    text = f"{length:g} um" if length < 1000 else f"{length / 1000:g} mm"
    bar = round(length / um_per_pixel)
    margin, thick = max(6, width // 50), max(3, height // 170)
    scale = max(0.4, width / 1700)
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, 1)
    right, bottom = width - margin, height - margin
    left = min(right - bar, right - text_width)
    top = bottom - thick - text_height - 2 * below
    pad = max(4, margin // 3)
    box = picture[max(0, top - pad) : bottom + pad, max(0, left - pad) : right + pad]
    box[:] = (box * 0.35).astype(np.uint8)
    cv2.rectangle(
        picture,
        (right - bar, bottom - thick),
        (right - 1, bottom - 1),
        (255, 255, 255),
        cv2.FILLED,
    )
    at = (right - bar // 2 - text_width // 2, bottom - thick - below)
    at = (min(at[0], right - text_width), at[1])
    cv2.putText(picture, text, at, _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
