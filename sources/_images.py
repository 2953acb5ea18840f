"""One image file decoded: PNG, JPEG, BMP."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from streamproc.errors import FrameError, SourceError, one_line
from streamproc.frame import Array

_PNG = b"\x89PNG\r\n\x1a\n"
#: Chunks that change pixel values; the others would only make libpng talk.
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_GRAY_ALPHA = 4


def decode(path: Path) -> tuple[Array, str]:
    """Return an image as stored, red first, and its axes (``yx`` or ``yxs``).

    A palette is resolved. Rotation tags (EXIF), colour profiles and gamma are not
    applied.

    Raises
    ------
    FrameError
        A file that is no image, damaged or cut off.
    SourceError
        A file that cannot be read.
    """
    data = read_bytes(path)
    try:
        image = _png(data) if data.startswith(_PNG) else _pillow(data, path)
    except (OSError, ValueError, SyntaxError, struct.error, EOFError) as error:
        raise FrameError(f"{path.name} cannot be decoded: {_reason(error)}") from None
    return image, "yxs" if image.ndim == 3 else "yx"


def read_bytes(path: Path) -> bytes:
    """Return a file's content."""
    try:
        return path.read_bytes()
    except PermissionError:
        raise SourceError(f"no permission to read {path}") from None
    except OSError as error:
        raise FrameError(f"{path.name} cannot be read: {error.strerror}") from None


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if isinstance(error, OSError) else one_line(error)


def _png(data: bytes) -> Array:
    """Return the samples of a PNG whose checksums are right."""
    import cv2

    chunks, kind = _png_chunks(memoryview(data))
    image = cv2.imdecode(np.frombuffer(chunks, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError("its pixels are damaged")
    samples: Array = np.asarray(image)
    if samples.ndim == 2:
        return samples
    if kind == _GRAY_ALPHA:
        return np.ascontiguousarray(samples[..., [0, -1]])
    swap = cv2.COLOR_BGR2RGB if samples.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(samples, swap))


def _png_chunks(data: memoryview) -> tuple[bytes, int]:
    """Return the PNG without its remarks, checked, and its colour type."""
    kept: list[bytes | memoryview] = [_PNG]
    position, kind = len(_PNG), 0
    while True:
        head = data[position : position + 8]
        if len(head) < 8:
            raise OSError(f"the file is cut off at byte {len(data)}")
        length, name = struct.unpack(">I4s", head)
        end = position + 12 + length
        if end > len(data):
            raise OSError(f"the file is cut off at byte {len(data)}, needs {end}")
        if name in _PNG_NEEDED:
            (stored,) = struct.unpack(">I", data[end - 4 : end])
            if zlib.crc32(data[position + 4 : end - 4]) != stored:
                raise OSError(f"wrong checksum of its {name.decode()} at {position}")
            kept.append(data[position:end])
        if name == b"IHDR":
            kind = data[position + 8 + 9]
        if name == b"IEND":
            return b"".join(kept), kind
        position = end


def _pillow(data: bytes, path: Path) -> Array:
    """Return the samples of a JPEG or BMP, by Pillow (quiet, strict at the end)."""
    from PIL import BmpImagePlugin, JpegImagePlugin

    jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    reader: Any = JpegImagePlugin.JpegImageFile if jpeg else BmpImagePlugin.BmpImageFile
    with reader(io.BytesIO(data)) as picture:
        picture.load()
        if picture.mode in ("P", "CMYK", "YCbCr"):
            return np.array(picture.convert("RGB"))
        if picture.mode == "1":
            return np.array(picture.convert("L"))
        return np.array(picture)
