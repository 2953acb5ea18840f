"""The chain of image file directories (IFDs) of a TIFF, walked without trust."""

import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from streamproc.errors import FrameError

_SUBFILE_TYPE = 254
_REDUCED_OR_MASK = 1 | 4
_MOST_TAGS = 4096


class Bytes:
    """A file read at offsets by several threads at once; closed when forgotten."""

    def __init__(self, path: Path) -> None:
        self._handle = -1
        self._handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        self.size = os.fstat(self._handle).st_size

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close it, at most once: the number may be another file's by then."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def read(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes from ``offset``."""
        if hasattr(os, "pread"):
            return os.pread(self._handle, count, offset)
        with self._lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            return os.read(self._handle, count)

    def exactly(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset``; fewer are a `FrameError`."""
        data = self.read(offset, count)
        while 0 < len(data) < count:
            more = self.read(offset + len(data), count - len(data))
            if not more:
                break
            data += more
        if len(data) < count:
            raise FrameError(
                f"the file is cut off: bytes {offset} to {offset + count} are needed, "
                f"it has {self.size}"
            )
        return data

    def into(self, offset: int, buffer: memoryview) -> None:
        """Fill ``buffer`` from ``offset``; too few bytes are a `FrameError`."""
        done, count = 0, buffer.nbytes
        if hasattr(os, "preadv"):
            while done < count:
                got = os.preadv(self._handle, [buffer[done:]], offset + done)
                if got == 0:
                    break
                done += got
        if done < count:
            buffer[done:] = self.exactly(offset + done, count - done)


@dataclass(frozen=True, slots=True)
class Chain:
    """Offsets of the pages (those that are pictures of their own) of a TIFF.

    ``broken`` says where the chain leads nowhere, before its last page.
    """

    offsets: tuple[int, ...]
    pictures: tuple[bool, ...]
    broken: str | None = None


def walk(file: Bytes) -> Chain:
    """Return the chain of pages of a file, as far as it can be followed."""
    head = file.read(0, 16)
    order = "<" if head[:2] == b"II" else ">"
    big = len(head) == 16 and struct.unpack(order + "H", head[2:4])[0] == 43
    count_format, size = (order + "Q", 20) if big else (order + "H", 12)
    offset_format = order + ("Q" if big else "I")
    count_size, offset_size = struct.calcsize(count_format), 8 if big else 4
    (offset,) = struct.unpack(offset_format, head[8:16] if big else head[4:8])
    offsets: dict[int, bool] = {}
    broken = None
    while offset:
        page = len(offsets)
        if offset in offsets:
            broken = f"page {page} points back to an earlier page"
            break
        block = file.read(offset, count_size + 24 * size + offset_size)
        count = 0
        if len(block) >= count_size:
            (count,) = struct.unpack_from(count_format, block)
        need = count_size + count * size + offset_size
        if offset >= file.size:
            broken = f"page {page} begins at byte {offset}, the file has {file.size}"
            break
        if not 0 < count <= _MOST_TAGS:
            broken = f"page {page} at byte {offset} is no page"
            break
        if len(block) < need:
            block = file.read(offset, need)
        if len(block) < need:
            broken = f"page {page} at byte {offset} is cut off; file has {file.size}"
            break
        picture = _is_picture(block[count_size:], order, size)
        offsets[offset] = picture
        (offset,) = struct.unpack_from(offset_format, block, need - offset_size)
    return Chain(tuple(offsets), tuple(offsets.values()), broken)


def _is_picture(tags: bytes, order: str, size: int) -> bool:
    """Say whether a page is a picture, not a thumbnail or a mask of another."""
    (code,) = struct.unpack_from(order + "H", tags)
    if code != _SUBFILE_TYPE:
        return True
    (value,) = struct.unpack_from(order + "I", tags, size - (8 if size == 20 else 4))
    return not value & _REDUCED_OR_MASK
