"""How the pixels of one chunk become bytes and back.

Compressors come from numcodecs: they release the GIL, and with one thread per call
their output depends on the input alone.
"""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, nearest

Codec: TypeAlias = Literal["none", "blosc-lz4", "zstd"]
#: Bytes of a chunk: a flat uint8 view where nothing was compressed.
Chunk: TypeAlias = bytes | NDArray[np.uint8]

CODECS: tuple[str, ...] = get_args(Codec)


def check(codec: str) -> Codec:
    """Return ``codec``, or raise `ConfigError` naming the known ones."""
    if codec not in CODECS:
        raise ConfigError(f"codec {codec!r} is not known{nearest(codec, CODECS)}")
    return codec  # type: ignore[return-value]


def crc32c(data: Chunk) -> int:
    """Return the Castagnoli checksum of the bytes."""
    value: int = google_crc32c.value(data)
    return value


def encode(pixels: NDArray[Any], codec: Codec) -> Chunk:
    """Return the bytes of one chunk.

    Parameters
    ----------
    pixels
        Little-endian and C-contiguous.
    codec
        ``"none"`` returns a view of the pixels and copies nothing.
    """
    if codec == "none":
        return pixels.reshape(-1).view(np.uint8)
    if codec == "zstd":
        return bytes(_zstd().compress(pixels, 1, False))
    blosc = _blosc()
    plain = pixels.view(np.uint8) if pixels.dtype.kind == "b" else pixels
    return bytes(blosc.compress(plain, b"lz4", 1, blosc.BITSHUFFLE, 0))


def decode(data: Chunk, codec: Codec, out: NDArray[Any]) -> None:
    """Fill ``out``, C-contiguous, with the pixels of one chunk."""
    flat = out.reshape(-1).view(np.uint8)
    if codec == "none":
        flat[:] = np.frombuffer(data, np.uint8)
    elif codec == "zstd":
        _zstd().decompress(data, flat)
    else:
        _blosc().decompress(data, flat)


def bound(size: int, codec: Codec) -> int:
    """Return the most bytes that ``size`` bytes can become."""
    if codec == "none":
        return size
    if codec == "zstd":  # ZSTD_COMPRESSBOUND
        return size + (size >> 8) + max(0, ((128 << 10) - size) >> 11)
    return size + 16  # BLOSC_MAX_OVERHEAD


def metadata(codec: Codec, itemsize: int) -> list[dict[str, Any]]:
    """Return the codecs of zarr.json for chunks encoded so."""
    ends: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    if codec == "zstd":
        settings: dict[str, Any] = {"level": 1, "checksum": False}
        return [ends, {"name": "zstd", "configuration": settings}]
    if codec == "blosc-lz4":
        settings = {
            "typesize": itemsize,
            "cname": "lz4",
            "clevel": 1,
            "shuffle": "bitshuffle",
            "blocksize": 0,
        }
        return [ends, {"name": "blosc", "configuration": settings}]
    return [ends]


@cache
def _zstd() -> ModuleType:
    return import_module("numcodecs.zstd")


@cache
def _blosc() -> ModuleType:
    blosc = import_module("numcodecs.blosc")
    # its own threads order blocks as they finish
    blosc.use_threads = False  # type: ignore[attr-defined]
    return blosc
