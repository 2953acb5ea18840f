"""The address of each committed chunk, and reading pixels by it."""

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from . import codecs
from .layout import ArrayLayout
from .platform import Bytes


class ChunkRow(NamedTuple):
    """One row of the table ``chunks``.

    ``array`` is the array's path with level, ``chunk`` the C-order number within
    the frame, ``shard`` the file's name in the array's folder; ``length`` and
    ``crc32c`` are those of the encoded bytes at ``offset``.
    """

    array: str
    frame: int
    chunk: int
    shard: str
    offset: int
    length: int
    crc32c: int


def read_chunk(root: Path, row: ChunkRow) -> Bytes:
    """Return the encoded bytes of one chunk, checked; safe from any thread.

    Parameters
    ----------
    root
        The store (``images.ome.zarr``).
    row
        The chunk's address.

    Raises
    ------
    FrameError
        Naming frame and shard, where the bytes are missing or damaged.
    """
    data = np.empty(row.length, np.uint8)
    return _read_into(root, row, data)


def read_frame(
    root: Path, layout: ArrayLayout, rows: Iterable[ChunkRow]
) -> NDArray[Any]:
    """Return one frame in memory of its own, checked; safe from any thread.

    Parameters
    ----------
    root
        The store (``images.ome.zarr``).
    layout
        Of the array.
    rows
        The addresses of all chunks of the frame, in any order.

    Raises
    ------
    FrameError
        Naming frame and shard, where a chunk is missing or damaged.
    """
    wanted = sorted(rows, key=lambda row: row.chunk)
    if len(wanted) != len(layout.places):
        which = f"frame {wanted[0].frame}" if wanted else "a frame"
        raise FrameError(
            f"{which} of {layout.name!r} has {len(wanted)} of its "
            f"{len(layout.places)} chunks; it was not committed whole"
        )
    if layout.codec == "none" and layout.chunk == layout.shape:
        pixels = np.empty(layout.shape, layout.dtype)
        row = wanted[0]
        if row.length == pixels.nbytes:
            _read_into(root, row, pixels.reshape(-1).view(np.uint8))
            return pixels
    return layout.decode(tuple(read_chunk(root, row) for row in wanted))


def verify(root: Path, rows: Iterable[ChunkRow]) -> Iterator[str]:
    """Read every chunk and yield one line for each that is missing or damaged.

    Parameters
    ----------
    root
        The store (``images.ome.zarr``).
    rows
        The committed chunks, of any arrays.
    """
    for row in rows:
        try:
            read_chunk(root, row)
        except FrameError as error:
            yield str(error)


def _read_into(root: Path, row: ChunkRow, data: Bytes) -> Bytes:
    try:
        with (root / row.array / row.shard).open("rb", buffering=0) as file:
            file.seek(row.offset)
            view = data.data
            while view.nbytes:
                count = file.readinto(view)
                if not count:
                    raise OSError(errno.EIO, "the file ends too early")
                view = view[count:]
    except OSError as error:
        raise FrameError(
            f"frame {row.frame} cannot be read from shard {row.array}/{row.shard}: "
            f"{error.strerror or error}"
        ) from error
    if codecs.crc32c(data) != row.crc32c:
        raise FrameError(
            f"frame {row.frame} is damaged in shard {row.array}/{row.shard}: the "
            f"checksum of chunk {row.chunk} does not match; restore it from a copy"
        )
    return data
