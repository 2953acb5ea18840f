"""The operating-system lock on ``run.lock``: one process per run folder."""

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import IO

from streamproc.errors import RunFolderError, StoreError

# msvcrt locks bytes mandatorily; one far behind the text keeps the text readable
_LOCKED_BYTE = 1 << 30
#: How often the lock is tried, 20 ms apart.
_TRIES = 25


class RunLock:
    """Held while a run is on; released by the operating system when we die.

    The host and process id inside serve the message alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        RunFolderError
            Another process holds it; the message names host and process id.
        """
        try:
            file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise RunFolderError(
                f"cannot write {self.path}: {error.strerror or error}"
            ) from error
        patience = _TRIES
        while not (locked := _try_lock(file)) and patience:
            # somebody's `status` may be looking at it just now
            time.sleep(0.02)
            patience -= 1
        if not locked:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise RunFolderError(
                f"run folder {self.path.parent} is in use by {_describe(holder)}; "
                "wait for its end or choose another folder"
            )
        file.seek(0)
        file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid()}, file)
        file.flush()
        self._file = file

    def check(self) -> None:
        """Make sure that the folder is still ours; costs two looks at a file.

        Raises
        ------
        RunFolderError
            Another process took over, or the folder was deleted or moved.
        StoreError
            The file system does not answer.
        """
        if self._file is None:
            raise RunFolderError(
                f"run folder {self.path.parent} is not ours: its lock was given back; "
                "resume the run"
            )
        folder = self.path.parent
        try:
            ours, there = os.fstat(self._file.fileno()), self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            what = "its run.lock was deleted" if folder.exists() else "it is gone"
            raise RunFolderError(
                f"run folder {folder} was taken from this process: {what}; "
                "look who deleted or moved it, then resume the run"
            ) from None
        except OSError as error:
            raise StoreError(
                f"cannot read {self.path}: {error.strerror or error}; mend the disk, "
                "then resume the run"
            ) from error
        if not os.path.samestat(ours, there):
            raise taken_over(folder)

    def release(self) -> None:
        """Give the lock back; idempotent."""
        if self._file is not None:
            _unlock(self._file)
            self._file.close()
            self._file = None


def taken_over(folder: Path) -> RunFolderError:
    """Return the error of a run whose folder another process goes on with."""
    return RunFolderError(
        f"another process took over run folder {folder}; this one records nothing "
        "more, wait for the other's end"
    )


def is_locked(path: Path) -> bool:
    """Return whether some process holds the lock (this one included)."""
    if not path.exists():
        return False
    try:
        with path.open("a+", encoding="utf-8") as file:
            if not _try_lock(file, shared=True):
                return True
            _unlock(file)
    except OSError:  # no right to write, or a read-only file system
        with path.open(encoding="utf-8") as file:
            return not _try_lock(file, shared=True)
    return False


def _describe(holder: str) -> str:
    try:
        owner = json.loads(holder)
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[str], *, shared: bool = False) -> bool:
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[str]) -> None:
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[str], *, shared: bool = False) -> bool:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
