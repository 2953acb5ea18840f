"""What the store asks of the operating system, with an emulation switch for tests."""

import errno
import mmap
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError

#: Alignment of everything written to a shard: memory, offsets and lengths.
BLOCK = 4096

Durability: TypeAlias = Literal["power", "process"]
Bytes: TypeAlias = NDArray[np.uint8]

_BINARY: int = getattr(os, "O_BINARY", 0)
_DIRECT: int = getattr(os, "O_DIRECT", 0)
_seek_lock = threading.Lock()
_direct_devices: dict[int, bool] = {}


def padded(size: int) -> int:
    """Return ``size`` rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def aligned_empty(size: int) -> Bytes:
    """Return ``size`` bytes of page-aligned memory, as direct writes want it.

    The pages cost nothing until they are touched.
    """
    return np.frombuffer(mmap.mmap(-1, max(size, BLOCK)), np.uint8)[:size]


@dataclass(frozen=True, slots=True)
class Platform:
    """The abilities of an operating system, each with a working alternative.

    ``direct``: writes that bypass the page cache, so that a reader never sees half
    an index block; ``pwrite``: writing at an offset without seeking; ``fdatasync``:
    syncing data without timestamps; ``replace_failure``: the probability that
    replacing a file fails once, as it does on Windows while someone reads it.
    """

    direct: bool
    pwrite: bool
    fdatasync: bool
    replace_failure: float = 0.0
    seed: int = 0
    _random: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_random", random.Random(self.seed))

    @classmethod
    def detect(cls) -> "Platform":
        """Return what this operating system offers."""
        return cls(
            direct=_DIRECT != 0,
            pwrite=hasattr(os, "pwrite"),
            fdatasync=hasattr(os, "fdatasync"),
        )

    def open(self, path: Path, *, create: bool = False) -> int:
        """Open a file for aligned writes, directly where its file system can.

        Parameters
        ----------
        path
            The file; its folder exists.
        create
            Start with an empty file, whatever was there.
        """
        flags = os.O_RDWR | _BINARY | (os.O_CREAT | os.O_TRUNC if create else 0)
        if self.direct and _direct_works(path.parent):
            flags |= _DIRECT
        return os.open(path, flags, 0o644)

    def open_ordinary(self, path: Path) -> int:
        """Open or create a file for writes of any size, at any offset."""
        return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o644)

    def write_at(self, fd: int, data: bytes | NDArray[Any], offset: int) -> None:
        """Write all of ``data`` at ``offset``, however often the system stops short."""
        plain = data.data if isinstance(data, np.ndarray) else memoryview(data)
        view = plain.cast("B")
        while view.nbytes:
            if self.pwrite:
                written = os.pwrite(fd, view, offset)
            else:
                with _seek_lock:
                    os.lseek(fd, offset, os.SEEK_SET)
                    written = os.write(fd, view)
            if written <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            offset += written
            view = view[written:]

    def sync(self, fd: int) -> None:
        """Make the file's data durable against a loss of power."""
        if sys.platform == "darwin":
            import fcntl

            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        elif self.fdatasync:
            os.fdatasync(fd)
        else:
            os.fsync(fd)

    def sync_directory(self, folder: Path) -> None:
        """Make the names in a folder durable; Windows does so by itself."""
        if sys.platform == "win32":
            return
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        except OSError as error:  # file systems that cannot sync folders
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                raise
        finally:
            os.close(fd)

    def replace(self, source: Path, target: Path, *, attempts: int = 10) -> None:
        """Rename ``source`` over ``target``, again and again while someone reads it.

        Parameters
        ----------
        source, target
            Files in one folder.
        attempts
            How often to try; the waits double from 1 ms.
        """
        for attempt in range(attempts):
            try:
                if self.replace_failure and (
                    self._random.random() < self.replace_failure
                ):
                    raise PermissionError(errno.EACCES, "the file is in use")
                os.replace(source, target)
            except PermissionError:
                if attempt == attempts - 1:
                    raise
                time.sleep(0.001 * 2**attempt)
            else:
                return

    def resize_sparse(self, fd: int, size: int) -> None:
        """Set the size of a file; what was never written costs no disk."""
        if sys.platform == "win32":
            _mark_sparse(fd)
        os.ftruncate(fd, size)

    def write_file(
        self, path: Path, content: bytes, *, durable: bool, attempts: int = 10
    ) -> None:
        """Write a small file so that readers see the old or the new one, never half.

        Parameters
        ----------
        path
            The file; its folder exists.
        content
            All of it.
        durable
            Sync it before it takes its name.
        attempts
            As for `replace`.
        """
        new = path.with_name(path.name + ".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o644)
        try:
            self.write_at(fd, content, 0)
            if durable:
                self.sync(fd)
        finally:
            os.close(fd)
        self.replace(new, path, attempts=attempts)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the operating system says into one line with the remedy."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror or error}; free space or mend "
            "the disk, then resume the run"
        ) from error


def _direct_works(folder: Path) -> bool:
    """Say whether direct writes work here, by writing a block once per device."""
    device = folder.stat().st_dev
    known = _direct_devices.get(device)
    if known is None:
        probe = folder / f".direct-{os.getpid()}-{threading.get_ident()}.new"
        try:
            fd = os.open(probe, os.O_RDWR | os.O_CREAT | _DIRECT, 0o600)
            try:
                written = os.write(fd, aligned_empty(BLOCK).data)
            finally:
                os.close(fd)
            known = written == BLOCK
        except OSError as error:
            if error.errno == errno.ENOSPC:  # says nothing about direct writes
                return False
            known = False
        finally:
            probe.unlink(missing_ok=True)
        _direct_devices[device] = known
    return known


def _mark_sparse(fd: int) -> None:
    """Mark a file sparse on Windows, best effort: without it, it is merely larger."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        fsctl_set_sparse = 0x900C4
        returned = ctypes.c_ulong(0)
        ctypes.windll.kernel32.DeviceIoControl(
            ctypes.c_void_p(msvcrt.get_osfhandle(fd)),
            fsctl_set_sparse,
            None,
            0,
            None,
            0,
            ctypes.byref(returned),
            None,
        )


#: The least that any operating system offers; what the tests also run on.
EMULATED = Platform(direct=False, pwrite=False, fdatasync=False, replace_failure=0.05)
#: Set to ``emulated``, it makes a whole process run on the least: for tests alone.
SWITCH = "STREAMPROC_PLATFORM"
#: This operating system.
NATIVE = EMULATED if os.environ.get(SWITCH) == "emulated" else Platform.detect()
