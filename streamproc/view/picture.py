"""A frame as a PNG: stretched to its contrast, objects outlined, a scale bar."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError, StoreError
from ..frame import Array

#: Blue, green, red, one byte each: what OpenCV writes.
Colours: TypeAlias = NDArray[np.uint8]
#: For each channel (one, without c) what becomes black and what white.
Contrast: TypeAlias = Sequence[tuple[float, float]]

#: A picture is enlarged by whole numbers up to about this long, and shrunk to it.
READABLE, LONGEST = 1024, 2048
#: Percentiles of the pixels that become black and white.
DARKEST, BRIGHTEST = 0.5, 99.8
#: Channels of a picture that is no colour photograph: name, and blue, green, red.
CHANNELS = {
    "green": (0, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (255, 255, 0),
    "yellow": (0, 255, 255),
    "red": (0, 0, 255),
}
#: What a mask's foreground is drawn in: far from grey for every kind of eye.
MASK = (32, 176, 255)


def draw(
    image: Array,
    axes: str,
    *,
    labels: Array | None = None,
    pixel_size_um: Mapping[str, float] | None = None,
    contrast: Contrast | None = None,
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
        Label image or mask of the same y and x (and z); outlines lie inside the
        objects, neighbours in different colours, and grow with the picture.
    pixel_size_um
        Micrometres by axis; with ``x``, a scale bar is drawn.
    contrast
        In place of the percentiles, so that frames of a video look alike.

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
    picture = _readable(colours(image, axes, contrast))
    if labels is not None and labels.any():
        outline(picture, labels)
    size = (pixel_size_um or {}).get("x")
    if size:
        scale_bar(picture, size * image.shape[-1] / picture.shape[1])
    return picture


def encode(picture: Colours) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    _, data = cv2.imencode(".png", picture)
    return data.tobytes()


def write(path: Path, picture: Colours) -> None:
    """Write a picture as PNG.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    try:
        path.write_bytes(encode(picture))
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; choose another file"
        ) from error


def limits(plane: Array) -> tuple[float, float]:
    """Return the values that become black and white; NaN where none is finite."""
    values = np.asarray(plane, np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return math.nan, math.nan
    dark, bright = (float(v) for v in np.percentile(finite, (DARKEST, BRIGHTEST)))
    if bright <= dark:
        return float(finite.min()), float(finite.max())
    return dark, bright


def stretch(plane: Array, ends: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Return a plane as bytes, its percentiles black and white; NaN is black."""
    dark, bright = ends or limits(plane)
    if math.isnan(dark):
        return np.zeros(plane.shape, np.uint8)
    values = np.subtract(plane, np.float32(dark), dtype=np.float32, casting="same_kind")
    np.multiply(values, 255 / max(bright - dark, 1e-12), out=values)
    np.clip(values, 0, 255, out=values)
    if plane.dtype.kind == "f":
        np.nan_to_num(values, copy=False)
    # rounds to even, as numpy does, in one pass
    return np.asarray(cv2.convertScaleAbs(values), np.uint8)


def flat(array: Array, axes: str) -> Array:
    """Return the array without z, projected by its maximum."""
    return array.max(axis=axes.index("z")) if "z" in axes else array


def is_photograph(image: Array, axes: str) -> bool:
    """Return whether three channels of bytes are taken for red, green and blue."""
    return "c" in axes and image.shape[0] == 3 and image.dtype == np.uint8


def axes_said(image: Array, axes: str) -> list[str]:
    """Return how a picture shows the axes beyond y and x, in words."""
    sizes = dict(zip(axes, image.shape[-len(axes) :], strict=True))
    said = []
    if "z" in sizes:
        said.append(f"z: maximum of {sizes['z']} planes")
    if sizes.get("c", 1) > 1 and not is_photograph(image, axes):
        names = list(CHANNELS)[: sizes["c"]]
        first = f"first {len(names)}" if sizes["c"] > len(names) else str(len(names))
        said.append(f"c: {first} as {' + '.join(names)}")
    return said


def colours(image: Array, axes: str, contrast: Contrast | None = None) -> Colours:
    """Return an image as bytes in blue, green and red, z projected."""
    plane = flat(image, axes)
    ends: Sequence[tuple[float, float] | None] = contrast or [None] * len(plane)
    if plane.ndim == 2:
        return np.repeat(stretch(plane, ends[0])[..., None], 3, axis=2)
    if is_photograph(plane, axes):
        return np.ascontiguousarray(np.moveaxis(plane, 0, -1)[..., ::-1])
    if plane.shape[0] == 1:
        return np.repeat(stretch(plane[0], ends[0])[..., None], 3, axis=2)
    mixed = np.zeros((*plane.shape[1:], 3), np.float32)
    for channel, colour, own in zip(plane, CHANNELS.values(), ends, strict=False):
        part = stretch(channel, own)[..., None]
        mixed += part * np.divide(colour, 255, dtype=np.float32)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def plane_of(labels: Array) -> Array:
    """Return a label image or mask as one plane, the largest number on top."""
    if labels.ndim > 2:
        labels = labels.reshape(-1, *labels.shape[-2:]).max(axis=0)
    return labels


def mask_colours(mask: Array) -> Colours:
    """Return a mask as a picture: its foreground in one colour on black."""
    picture = np.zeros((*mask.shape[-2:], 3), np.uint8)
    picture[plane_of(mask) != 0] = MASK
    return picture


def label_colours(labels: Array) -> Colours:
    """Return a label image as a picture: a colour for every object, on black."""
    numbers = plane_of(labels)
    where = numbers > 0
    found, which = np.unique(numbers[where], return_inverse=True)
    picture = np.zeros((*numbers.shape, 3), np.uint8)
    picture[where] = _palette(found.astype(np.int64))[which]
    return picture


def resize(picture: Colours, factor: float, *, smooth: bool = True) -> Colours:
    """Return the picture ``factor`` times as large; ``smooth`` says how it grows."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size == (width, height):
        return picture
    grown = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    how = grown if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _readable(picture: Colours) -> Colours:
    """Return the picture at a size that is easily read."""
    longest = max(picture.shape[:2])
    factor: float = max(1, round(READABLE / longest))
    return resize(picture, LONGEST / longest if longest > LONGEST else factor)


def outline(picture: Colours, labels: Array) -> None:
    """Draw the rim of every object into a picture of any size, inside the object.

    The rim is about a five-hundredth of the picture wide, half a pixel of the image
    where those are large, and never more than two of them.
    """
    numbers: Array = np.ascontiguousarray(plane_of(labels), np.int64)
    if numbers.max() == 1:  # a mask: its parts are the objects
        numbers = np.asarray(cv2.connectedComponents(numbers.astype(np.uint8))[1])
    height, width = picture.shape[:2]
    large = cv2.resize(
        numbers.astype(np.float64), (width, height), interpolation=cv2.INTER_NEAREST
    )
    magnified = width / numbers.shape[1]
    thick = max(1, min(round(max(height, width) / 500), round(2 * magnified)))
    thick = max(thick, round(magnified / 2))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 1,) * 2)
    rim = cv2.erode(large, disk) != cv2.dilate(large, disk)
    rim &= large > 0
    found, which = np.unique(large[rim].astype(np.int64), return_inverse=True)
    picture[rim] = _palette(found)[which]


def _palette(numbers: NDArray[np.int64]) -> Colours:
    """Return a bright colour per number; following numbers are far apart in hue."""
    hue = (numbers * 0.61803398875 % 1 * 180).astype(np.uint8)
    saturation = np.where(numbers % 2, 255, 170)
    # pure blue is too dark to be seen on black
    saturation = np.where(abs(hue.astype(int) - 120) < 20, 150, saturation)
    full = np.full_like(hue, 255)
    hsv = np.stack([hue, saturation.astype(np.uint8), full], axis=-1)[None]
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0], np.uint8)


def scale_bar(picture: Colours, um_per_pixel: float) -> None:
    """Draw a bar of a round length, at most a quarter of the width, bottom right.

    White with a black rim, its length above it, so that it reads on any picture and
    hides little of it.
    """
    height, width = picture.shape[:2]
    longest = um_per_pixel * width / 4
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(n * power for n in (1, 2, 5) if n * power <= longest)
    bar = max(1, round(length / um_per_pixel))
    margin, thick = max(4, width // 40), max(2, min(height, width) // 150)
    text, size = _length_text(length), max(16, min(height, width) // 32)
    rim = max(1, size // 11)
    right, bottom = width - margin, height - margin
    left = right - bar
    cv2.rectangle(
        picture,
        (left - rim, bottom - thick - rim),
        (right - 1 + rim, bottom - 1 + rim),
        (0, 0, 0),
        cv2.FILLED,
    )
    cv2.rectangle(
        picture,
        (left, bottom - thick),
        (right - 1, bottom - 1),
        (255, 255, 255),
        cv2.FILLED,
    )
    with Pen(picture) as pen:
        wide = pen.width(text, size)
        x = min(left + (bar - wide) / 2, width - margin / 2 - wide)
        at = (max(0.0, x), bottom - thick - rim - 1.3 * size)
        pen.write(at, text, size, "white", rim=rim)


def _length_text(um: float) -> str:
    if um >= 1000:
        return f"{um / 1000:g} mm"
    return f"{um:g} µm" if um >= 1 else f"{um * 1000:g} nm"


class Pen:
    """Writes text into a picture while its ``with`` block lasts.

    The font is Pillow's own, so that pictures are the same everywhere. It knows
    little beyond ASCII: a µ is made of its u, the unknown becomes ``?``.
    """

    _KNOWN = frozenset("·…°µ")

    def __init__(self, picture: Colours) -> None:
        self._picture = picture

    def __enter__(self) -> "Pen":
        """Take the picture up."""
        from PIL import Image, ImageDraw

        self._image = Image.fromarray(self._picture[..., ::-1])
        self._draw = ImageDraw.Draw(self._image)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the picture back."""
        self._picture[...] = np.asarray(self._image)[..., ::-1]

    def width(self, text: str, size: float) -> float:
        """Return how wide a text is, in pixels."""
        plain = self._plain(text).replace("µ", "u")
        return float(self._draw.textlength(plain, font=_font(size)))

    def write(
        self, at: tuple[float, float], text: str, size: float, colour: str, rim: int = 0
    ) -> None:
        """Write a line whose upper left corner is ``at`` (x, y); ``rim`` is black."""
        font, text = _font(size), self._plain(text)
        how: dict[str, Any] = {"font": font, "anchor": "ls"}
        base = round(at[1] + 0.95 * size)
        # bearing and stem of this font's u
        tails = [
            round(at[0] + self.width(text[:n], size) + 0.08 * size)
            for n, letter in enumerate(text)
            if letter == "µ"
        ]
        stem, middle, end = round(0.093 * size) or 1, base - 0.3 * size, 0.2 * size
        drawn = [(rim, "black"), (0, colour)] if rim else [(0, colour)]
        for grown, ink in drawn:
            where = (at[0], base)
            letters = text.replace("µ", "u")
            self._draw.text(
                where, letters, fill=ink, stroke_width=grown, stroke_fill=ink, **how
            )
            for x in tails:
                box = (x - grown, middle, x + stem - 1 + grown, base + end + grown)
                self._draw.rectangle(box, fill=ink)

    def _plain(self, text: str) -> str:
        return "".join(c if " " <= c <= "~" or c in self._KNOWN else "?" for c in text)


def _font(size: float) -> Any:  # Pillow's own types differ between versions
    from PIL import ImageFont

    return ImageFont.load_default(size)
