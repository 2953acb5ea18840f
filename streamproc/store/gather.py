"""Aligned buffers between chunks of any size and writes of a good size."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from .codecs import Chunk
from .platform import BLOCK, Bytes, Platform, aligned_empty, padded
from .shard_file import OpenShard

#: How many buffers, and their size: while one fills, those before it are written.
#: Together they should stay in the cache with the frame that is copied.
BUFFERS, BUFFER_BYTES = 4, 2 << 20
#: Smaller writes are not worth a thread.
_THREAD_BYTES = 1 << 20
_ZEROS = np.zeros(BLOCK, np.uint8)


class _Buffer:
    """Memory that becomes one write."""

    __slots__ = ("fill", "memory", "offset", "shard", "write")

    def __init__(self, size: int) -> None:
        self.memory: Bytes = aligned_empty(size)
        self.fill = 0
        self.offset = 0
        self.shard: OpenShard | None = None
        self.write: Future[None] | None = None

    def wait(self) -> None:
        """Wait until its write is done, if there is one; then it is empty."""
        write, self.write = self.write, None
        if write is not None:
            self.fill = 0  # the write has its own view of what it takes
            write.result()


class Gather:
    """Copies each chunk once, padded to whole blocks, and writes what is contiguous.

    Parameters
    ----------
    size
        Most bytes that one shard may ever take: no buffer is larger.
    platform
        How to write.
    pool
        Gives the threads for large writes, when the first of them comes.
    """

    def __init__(
        self, size: int, platform: Platform, pool: Callable[[], ThreadPoolExecutor]
    ) -> None:
        self._platform = platform
        self._pool = pool
        self._buffers = [_Buffer(min(BUFFER_BYTES, size))]
        self._current = self._buffers[0]

    def put(self, shard: OpenShard, data: Chunk) -> None:
        """Add a chunk at the end of the shard."""
        source = np.frombuffer(data, np.uint8)
        at, size = 0, len(source)
        while at < size:
            buffer = self._current
            buffer.wait()
            if buffer.fill and buffer.shard is not shard:
                self._submit()
                buffer = self._current
                buffer.wait()
            fill, memory = buffer.fill, buffer.memory
            if not fill:
                buffer.shard, buffer.offset = shard, shard.end
            part = min(size - at, len(memory) - fill)
            memory[fill : fill + part] = source[at : at + part]
            at += part
            room = padded(part)
            if room > part:
                memory[fill + part : fill + room] = _ZEROS[: room - part]
            buffer.fill = fill + room
            shard.end += room
            if buffer.fill == len(memory):
                self._submit()

    def flush(self) -> None:
        """Write all that was put; return when the system has it."""
        buffer = self._current
        if buffer.write is None:
            self._write_now(buffer)
        for buffer in self._buffers:
            buffer.wait()

    def drop(self) -> None:
        """Forget all that was put, once no write of it is under way."""
        for buffer in self._buffers:
            with suppress(Exception):
                buffer.wait()
            buffer.fill = 0

    def _submit(self) -> None:
        """Hand the buffer to the background and go on with the next one."""
        buffer = self._current
        if buffer.fill < _THREAD_BYTES:
            self._write_now(buffer)
            return
        buffer.write = self._pool().submit(self._platform.write_at, *_job(buffer))
        if len(self._buffers) < BUFFERS:
            self._buffers.append(_Buffer(len(buffer.memory)))
            self._current = self._buffers[-1]
        else:
            at = self._buffers.index(buffer)
            self._current = self._buffers[(at + 1) % BUFFERS]

    def _write_now(self, buffer: _Buffer) -> None:
        if buffer.fill:
            self._platform.write_at(*_job(buffer))
            buffer.fill = 0


def _job(buffer: _Buffer) -> tuple[int, Bytes, int]:
    """Return what to write where, whatever becomes of the buffer meanwhile."""
    shard = buffer.shard
    if shard is None:
        raise AssertionError("a buffer that holds something belongs to a shard")
    shard.dirty = True
    return shard.fd, buffer.memory[: buffer.fill], buffer.offset
