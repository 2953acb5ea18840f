"""EPICS' NTNDArray, as areaDetector serves it, made into pixels."""

import struct
import time
from math import prod
from typing import Any

import numpy as np

from streamproc.errors import FrameError, MissingDependency, SourceError, one_line
from streamproc.frame import Array

from . import _pixels
from ._colour import Choice, Color

#: areaDetector's ``ColorMode``: axes in the order of memory, s are the samples.
_MODES = {0: "yx", 1: "yx", 2: "yxs", 3: "ysx", 4: "syx"}
_OTHER_MODES = {5: "YUV444", 6: "YUV422", 7: "YUV411"}
#: ``codec.parameters``, in pvData's numbers: the dtype of what was compressed.
_DTYPES = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
#: Bytes of one block of bitshuffle, and the fewest elements of it.
_BLOCK, _FEWEST = 8192, 128
#: EPICS' own epoch (1990) in seconds, and what a clock is wrong by at most.
EPICS_EPOCH, _WRONG = 631_152_000, 10 * 31_557_600


def is_array(value: Any) -> bool:
    """Return whether a structure of pvAccess is an NTNDArray."""
    return str(value.getID()).startswith("epics:nt/NTNDArray:")


def picture(value: Any, color: Color) -> tuple[Array, str]:
    """Return an NTNDArray's pixels, native, and their axes.

    ``dimension`` begins with the axis that runs fastest: two are x and y, three are
    x, y and z or, as the attribute ColorMode says, a colour image. An axis that is
    marked ``reverse`` was reversed before it was served, and stays as it is.

    Parameters
    ----------
    value
        The structure; its union ``value`` is set.
    color
        ``gray`` (luma) or ``rgb`` (axis c first) of a colour image.

    Raises
    ------
    FrameError
        Data that cannot be decompressed, or not as many as are announced.
    SourceError
        Another number of dimensions or colour mode, no colours, an unknown codec.
    MissingDependency
        bslz4 where imagecodecs is not installed.
    """
    axes = _axes(value)
    sizes = [int(d.size) for d in value.dimension][::-1]
    flat = _decompressed(value, prod(sizes))
    if flat.size != prod(sizes):
        said = " x ".join(map(str, sizes))
        raise FrameError(f"{flat.size} pixels came where {said} were announced")
    if value.codec.name == "jpeg" and "s" in axes:
        # a JPEG has the samples of a pixel side by side, whatever they were before
        sizes, axes = [sizes[axes.index(a)] for a in "yxs"], "yxs"
    image = flat.reshape(sizes)
    choice = Choice(color)
    told = choice.axes(axes, image.shape, "the picture")
    return _pixels.native(choice.apply(image, axes)), told


def moment(value: Any) -> float:
    """Return the time of acquisition in seconds since the Unix epoch.

    ``dataTimeStamp`` is the detector's, ``timeStamp`` the publisher's. One that is
    ten years off this computer's clock, even if it counted from 1990 as in old
    areaDetectors, is none; where both are, it is the time of arrival.
    """
    now = time.time()
    for stamp in (value.dataTimeStamp, value.timeStamp):
        seconds = float(stamp.secondsPastEpoch + 1e-9 * stamp.nanoseconds)
        for told in (seconds, seconds + EPICS_EPOCH):
            if abs(told - now) < _WRONG:
                return told
    return now


def metadata(value: Any) -> dict[str, Any]:
    """Return what is told of a picture: its attributes, and the publisher's count.

    ``offset``, ``binning`` and ``reverse`` are by axis, and there where they say
    something, as ``user_tag`` and ``alarm``.
    """
    told = {str(a.name): _plain(a.value) for a in value.attribute}
    dimensions = dict(zip(_axes(value)[::-1], value.dimension, strict=True))
    for name, usual in (("offset", {0}), ("binning", {0, 1}), ("reverse", {0})):
        found = {a: _plain(d[name]) for a, d in dimensions.items() if a != "s"}
        if not usual.issuperset(found.values()):
            told[name] = found
    if value.timeStamp.userTag:
        told["user_tag"] = int(value.timeStamp.userTag)
    if value.alarm.severity:
        told["alarm"] = str(value.alarm.message) or f"severity {value.alarm.severity}"
    return {**told, "unique_id": int(value.uniqueId)}


def _axes(value: Any) -> str:
    """Return the axes of memory, the fastest one last."""
    mode = next((a.value for a in value.attribute if a.name == "ColorMode"), 0)
    if mode not in _MODES:
        name = _OTHER_MODES.get(mode, f"of ColorMode {mode}")
        raise SourceError(
            f"the picture is {name}, which is not read; have areaDetector's plugin "
            "ColorConvert make it mono or RGB"
        )
    dimensions = len(value.dimension)
    axes = "zyx" if mode == 0 and dimensions == 3 else _MODES[mode]
    if len(axes) != dimensions:
        raise SourceError(
            f"the picture has {dimensions} dimensions, where {axes.replace('s', 'c')} "
            f"are {len(axes)}; choose a part with areaDetector's plugin ROI"
        )
    return axes


def _decompressed(value: Any, count: int) -> Array:
    """Return ``count`` elements, flat, or however many there are."""
    stored: Array = value.value
    codec = str(value.codec.name)
    if not codec:
        return stored
    if codec not in _CODECS:
        raise SourceError(
            f"the codec {codec!r} is not read; known: {', '.join(sorted(_CODECS))}"
        )
    # some servers leave the array at its full length
    data = stored.view(np.uint8)[: int(value.compressedSize) or None]
    dtype = np.dtype(np.uint8) if codec == "jpeg" else _dtype(value, data)
    try:
        return _CODECS[codec](data, count, dtype)
    except (RuntimeError, ValueError, struct.error) as error:
        raise FrameError(f"{codec} data cannot be decoded: {one_line(error)}") from None


def _dtype(value: Any, data: Array) -> np.dtype[Any]:
    """Return the dtype of what was compressed.

    Servers by pvxs keep the array's type and length; others serve bytes, and
    ``codec.parameters`` is the type.
    """
    stored: Array = value.value
    if stored.dtype != np.uint8 or stored.size > data.size:
        return stored.dtype
    code = value.codec.parameters
    code = getattr(code, "value", code)
    if code is None:
        return stored.dtype
    if not 0 <= int(code) < len(_DTYPES):
        raise SourceError(f"codec.parameters must be a type of pvData, got {code}")
    return np.dtype(_DTYPES[int(code)])


def _blosc(data: Array, count: int, dtype: np.dtype[Any]) -> Array:
    from numcodecs import blosc  # type: ignore[import-untyped]  # untyped

    return np.frombuffer(blosc.decompress(data), dtype)


def _lz4(data: Array, count: int, dtype: np.dtype[Any]) -> Array:
    return np.frombuffer(_lz4_block(data, count * dtype.itemsize), dtype)


def _lz4_block(data: Array, size: int) -> bytes:
    """Return ``size`` bytes of one LZ4 block."""
    from numcodecs import lz4

    made: bytes = lz4.decompress(struct.pack("<i", size) + data.tobytes())
    return made


def _bslz4(data: Array, count: int, dtype: np.dtype[Any]) -> Array:
    """Return what bitshuffle's ``compress_lz4`` was given.

    Blocks are compressed one by one, each behind its length (big-endian); up to seven
    elements at the end are as they were [1]_.

    References
    ----------
    .. [1] K. Masui et al., A compression scheme for radio data in high performance
       computing, Astronomy and Computing 12 (2015), doi:10.1016/j.ascom.2015.07.002;
       src/bitshuffle.c of https://github.com/kiyo-masui/bitshuffle
    """
    try:
        from imagecodecs import bitshuffle_decode
    except ImportError:
        raise MissingDependency(
            "bslz4 needs the package imagecodecs: pip install 'streamproc[codecs]'"
        ) from None
    size = dtype.itemsize
    block = max(_BLOCK // size // 8 * 8, _FEWEST)
    parts, at = [], 0
    for first in range(0, count // 8 * 8, block):
        length = int.from_bytes(data[at : at + 4].tobytes(), "big")
        part = data[at + 4 : at + 4 + length]
        parts.append(_lz4_block(part, min(block, count // 8 * 8 - first) * size))
        at += 4 + length
    parts.append(data[at : at + count % 8 * size].tobytes())
    return np.frombuffer(bitshuffle_decode(b"".join(parts), itemsize=size), dtype)


def _jpeg(data: Array, count: int, dtype: np.dtype[Any]) -> Array:
    """Return gray, or red, green and blue side by side."""
    import cv2

    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("no JPEG")
    flat: Array = (image if image.ndim == 2 else image[..., ::-1]).ravel()
    return flat


_CODECS = {"blosc": _blosc, "bslz4": _bslz4, "jpeg": _jpeg, "lz4": _lz4}


def _plain(value: Any) -> Any:
    """Return an attribute's value as JSON knows it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
