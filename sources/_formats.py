"""Pixels of GenICam's formats: unpacked, and colours made of a Bayer pattern."""

import re
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array

from ._colour import Color, luma

#: Names of the Pixel Format Naming Convention that are read.
_NAME = re.compile(
    r"(Mono|Bayer(?:RG|GR|GB|BG))(?:(8|10|12|14|16)|(10|12)(p|Packed))|(RGB|BGR)8"
)
#: A pattern's first row, and the name that OpenCV has for it: of its second row.
_OPENCV = {"RG": "BG", "GR": "GB", "GB": "GR", "BG": "RG"}


@dataclass(frozen=True, slots=True)
class Format:
    """How pixels lie in a buffer.

    ``pattern`` is the first row of a Bayer pattern, ``samples`` the order of colours
    side by side; both are empty for gray. ``packing`` is ``p`` (a stream of bits, the
    lowest first), ``Packed`` (two pixels in three bytes, as GigE Vision had it first)
    or empty (8 or 16 bits each, little-endian).
    """

    bits: int
    packing: str = ""
    pattern: str = ""
    samples: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a pixel becomes."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    def size(self, count: int) -> int:
        """Bytes of ``count`` pixels."""
        if self.packing == "Packed":
            return (count * 12 + 7) // 8
        if self.packing == "p":
            return (count * self.bits + 7) // 8
        return count * self.dtype.itemsize * max(len(self.samples), 1)


def named(name: str) -> Format:
    """Return the format of a name, such as ``Mono12p`` or ``BayerRG8``.

    Raises
    ------
    SourceError
        A format that is not read.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise SourceError(
            f"pixel format {name!r} is not read; choose Mono or Bayer of 8 to 16 bits, "
            "p or Packed ones of 10 or 12, RGB8 or BGR8 with pixel_format"
        )
    kind, bits, few, packing, samples = found.groups()
    if samples:
        return Format(8, samples=samples)
    return Format(int(bits or few), packing or "", pattern=kind[5:])


def unpacked(
    data: Array, shape: tuple[int, int], form: Format, padding: int = 0
) -> Array:
    """Return the pixels of a buffer, as they are.

    Parameters
    ----------
    data
        Bytes (uint8, flat); what follows the pixels is left out.
    shape
        Height and width in pixels.
    form
        How they lie.
    padding
        Bytes behind each row.

    Returns
    -------
    ndarray
        uint8 or uint16: ``(y, x)``, or ``(y, x, 3)`` in red, green and blue.

    Raises
    ------
    FrameError
        Fewer bytes than the pixels need.
    """
    count = shape[0] * shape[1]
    row = form.size(shape[1]) + padding
    size = shape[0] * row if padding else form.size(count)
    if data.size < size:
        raise FrameError(f"{data.size} bytes came of {size}")
    data = data[:size]
    if padding:
        rows = data.reshape(shape[0], row)[:, : row - padding]
        lines = [unpacked(np.ascontiguousarray(r), (1, shape[1]), form) for r in rows]
        return np.concatenate(lines)
    if form.samples:
        image = data.reshape(*shape, 3)
        return image[..., ::-1] if form.samples == "BGR" else image
    if form.packing == "p":
        return _stream(data, count, form.bits).reshape(shape)
    if form.packing == "Packed":
        return _pairs(data, count, form.bits).reshape(shape)
    return data.view(form.dtype.newbyteorder("<")).reshape(shape)


def coloured(image: Array, form: Format, color: Color | None) -> tuple[Array, str]:
    """Return pixels as they are wanted, and their axes.

    A Bayer pattern stays one plane of raw samples, unless ``color`` is said: then its
    colours are interpolated between neighbours (bilinear, by OpenCV).

    Raises
    ------
    SourceError
        ``rgb`` of a camera that sees no colours.
    """
    if form.pattern and color:
        import cv2

        code = getattr(cv2, f"COLOR_Bayer{_OPENCV[form.pattern]}2RGB")
        image = cv2.cvtColor(np.ascontiguousarray(image), code)
    elif not form.samples:
        if color == "rgb":
            raise SourceError("the pixel format has no colours, got color: rgb")
        return image, "yx"
    red, green, blue = np.moveaxis(image, 2, 0)
    if color == "rgb":
        return np.stack([red, green, blue]), "cyx"
    return luma(red, green, blue), "yx"


def _stream(data: Array, count: int, bits: int) -> Array:
    """Return pixels of a stream of bits, the lowest first."""
    group = 8 // gcd(bits, 8)
    rows = _rows(data, -(-count // group), group * bits // 8)
    made = np.empty((len(rows), group), np.uint16)
    for k in range(group):
        byte, shift = divmod(k * bits, 8)
        value = rows[:, byte].astype(np.uint32)
        for more in range(1, (shift + bits + 7) // 8):
            value |= rows[:, byte + more].astype(np.uint32) << np.uint32(8 * more)
        made[:, k] = value >> np.uint32(shift) & np.uint32((1 << bits) - 1)
    return made.ravel()[:count]


def _pairs(data: Array, count: int, bits: int) -> Array:
    """Return pixels of which two are in three bytes, their low bits in the middle."""
    rows = _rows(data, -(-count // 2), 3).astype(np.uint16)
    low = bits - 8
    mask = np.uint16((1 << low) - 1)
    made = np.empty((len(rows), 2), np.uint16)
    made[:, 0] = rows[:, 0] << np.uint16(low) | rows[:, 1] & mask
    made[:, 1] = rows[:, 2] << np.uint16(low) | rows[:, 1] >> np.uint16(4) & mask
    return made.ravel()[:count]


def _rows(data: Array, count: int, size: int) -> Array:
    """Return groups of bytes, the last one filled up with zeros."""
    if data.size == count * size:
        return data.reshape(count, size)
    filled = np.zeros(count * size, np.uint8)
    filled[: data.size] = data
    return filled.reshape(count, size)
