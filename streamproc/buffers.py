"""Memory for frames that is used again: a camera's frames are all of one size."""

import sys
import threading
from collections import deque

import numpy as np

from .frame import Array

#: Smaller arrays are left to the allocator, which uses their memory again by itself.
_SMALLEST = 128 << 10


class Block(bytearray):
    """The memory of one array; whoever has an array on it, or a view, holds it."""

    __slots__ = ()


class Buffers:
    """Memory for arrays, taken again once nobody has the array that was on it.

    Fresh memory of a large array costs more than filling it: the system clears and
    maps every page at the first touch.

    Parameters
    ----------
    most
        Bytes that are kept for ever; what is wanted beyond is ordinary memory.

    Notes
    -----
    Who holds a block is told by CPython's count of references: an array holds the block
    it lies on, and a view of it holds the array. Safe for several threads.
    """

    def __init__(self, most: int) -> None:
        self._most, self._kept = most, 0
        self._blocks: deque[Block] = deque()
        self._lock = threading.Lock()

    def copy(self, pixels: Array) -> Array:
        """Return a copy, C-contiguous, that is the caller's own."""
        if pixels.nbytes < _SMALLEST:
            return np.array(pixels, order="C", copy=True)
        made = np.ndarray(pixels.shape, pixels.dtype, buffer=self._take(pixels.nbytes))
        made[...] = pixels
        return made

    def _take(self, size: int) -> Block:
        """Return a block that nobody has."""
        with self._lock:
            # the block that was taken first is the first that is free again
            for _ in range(len(self._blocks)):
                self._blocks.rotate(-1)
                block = self._blocks[-1]
                if sys.getrefcount(block) == _FREE and len(block) == size:
                    return block
                del block
            made = Block(size)
            if self._kept + size <= self._most:
                self._kept += size
                self._blocks.append(made)
            return made


def is_own(pixels: Array) -> bool:
    """Return whether an array lies on a block: nobody writes into it any more."""
    base: object = pixels.base
    return isinstance(base, Block)


def _free() -> int:
    """Return the references to a block that `Buffers._take` sees if it is free."""
    blocks = deque([Block(1)])
    block = blocks[-1]
    return sys.getrefcount(block)


_FREE = _free()
