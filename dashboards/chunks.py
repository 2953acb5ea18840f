"""Frames read by the ledger's addresses: one read and one decoding, and nothing else.

The zarr library does the same at three times the processor time, in threads of its own.
"""

import sqlite3
import weakref
from contextlib import suppress
from typing import Any, cast

import numpy as np

from streamproc.folder import RunFolder, connect_readonly
from streamproc.frame import Array
from streamproc.store import codecs

_SQL = "SELECT chunk, shard, offset, length FROM chunks WHERE array=? AND frame=?"


class Chunks:
    """Reads frames of one chunk, of arrays that zarr has opened; for one thread."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._db: sqlite3.Connection | None = None

    def read(self, path: str, array: Any, frame: int) -> Array | None:
        """Return a frame; None where zarr has to read it.

        Parameters
        ----------
        path
            Of the array within the store.
        array
            The same as zarr has it.
        frame
            Its number.
        """
        codec = _codec(array)
        if codec is None or not array.dtype.isnative:
            return None
        # whatever is not as it was thought to be, zarr knows better
        with suppress(sqlite3.Error, OSError, ValueError, RuntimeError):
            if self._db is None:
                self._db = connect_readonly(self._folder.ledger)
                # a page that is closed forgets its pictures
                weakref.finalize(self, _end, self._db).atexit = False
            rows = self._db.execute(_SQL, (path, frame)).fetchall()
            if len(rows) != 1 or rows[0][0] != 0:
                return None
            _, shard, offset, length = rows[0]
            pixels = np.empty(array.shape[1:], array.dtype)
            with (self._folder.images / path / shard).open("rb", buffering=0) as file:
                file.seek(offset)
                if codec == "none":
                    is_whole = file.readinto(pixels.data) == pixels.nbytes == length
                    return pixels if is_whole else None
                codecs.decode(file.read(length), codec, pixels)
            return pixels
        self.close()
        return None

    def close(self) -> None:
        """Let go of the ledger."""
        db, self._db = self._db, None
        if db is not None:
            _end(db)


def _end(db: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # another thread's
        db.close()


def _codec(array: Any) -> codecs.Codec | None:
    """Return how an array's chunks are packed; None where it is not known."""
    found = array.metadata.codecs
    inner = getattr(found[0], "codecs", found)
    names = [type(codec).__name__ for codec in inner]
    known = {
        ("BytesCodec",): "none",
        ("BytesCodec", "ZstdCodec"): "zstd",
        ("BytesCodec", "BloscCodec"): "blosc-lz4",
    }
    return cast("codecs.Codec | None", known.get(tuple(names)))
