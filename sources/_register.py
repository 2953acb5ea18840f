"""Which files were taken: each once, over a resume too; and where they go then."""

import errno
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import xxhash

from streamproc.frame import Notice, Receipt

from ._arrivals import State

#: How often a file that somebody else has open is tried again, at every look.
_TRIES = 100


class FileId(NamedTuple):
    """A file whatever its name: its number on the disk, its state, its content."""

    inode: int
    size: int
    written: int
    content: int = 0

    @classmethod
    def parse(cls, text: object) -> "FileId":
        """Return what `__str__` wrote; zeros for anything else."""
        try:
            return cls(*(int(part, 16) for part in str(text).split("-")))
        except (TypeError, ValueError):
            return cls(0, 0, 0)

    @property
    def state(self) -> State:
        """What tells versions apart."""
        return self.size, self.written

    def __str__(self) -> str:
        return "-".join(f"{part:x}" for part in self)

    def __hash__(self) -> int:
        return xxhash.xxh3_64_intdigest(str(self).encode())


class Register:
    """What was taken: how many frames of each file, and which files those are.

    A file of none is one that could not be read, and was named.
    """

    def __init__(self) -> None:
        self.frames: dict[str, int] = {}
        self._names: dict[int, str] = {}
        #: files that need no more attention, unless they change
        self.whole: dict[str, State] = {}
        #: when the oldest of them was written, in ns
        self.oldest: int | None = None

    def recall(self, receipts: Iterable[Receipt]) -> None:
        """Learn from the log what earlier sessions took."""
        for receipt in receipts:
            ids = str(receipt.metadata.get("file_id", "")).split()
            page, pages = pages_of(receipt)
            for name, text in zip(files(receipt), ids, strict=False):
                file = FileId.parse(text)
                is_read = receipt.error is None or pages > 1
                self.take(name, page + 1 if is_read else 0, file)
                if page + 1 == pages:
                    self.whole[name] = file.state
                if self.oldest is None or file.written < self.oldest:
                    self.oldest = file.written

    def take(self, name: str, frames: int, file: FileId) -> None:
        """Note that so many frames of a file were given."""
        self.frames[name] = max(frames, self.frames.get(name, 0))
        if frames and file.inode:
            self._names[hash(file)] = name

    def name_of(self, file: FileId) -> str | None:
        """Return the name under which a file was taken; None if it was not."""
        return self._names.get(hash(file)) if file.inode else None


def files(receipt: Receipt) -> list[str]:
    """Return the files that a frame in the log was read from."""
    told = receipt.metadata
    return [str(name) for name in told.get("files") or [told.get("file")]]


def pages_of(receipt: Receipt) -> tuple[int, int]:
    """Return the place of a frame in its file, and how many that has."""
    told = receipt.metadata
    return int(told.get("page", 0)), int(told.get("pages", 1))


@dataclass(slots=True)
class Owed:
    """A file that waits for the log: its name now, frames given, frames admitted."""

    name: str
    given: int | None = None
    admitted: int = 0
    state: State = (0, 0)
    tries: int = 0


class Mover:
    """Moves files away whose frames are in the raw log.

    Parameters
    ----------
    root, to
        The folder they are in, and where they go.
    sidecar
        What is appended to the name of the file that goes with each.
    """

    def __init__(self, root: Path, to: Path, sidecar: str | None) -> None:
        self._root, self._to, self._sidecar = root, to, sidecar
        self._receipts: deque[Receipt] = deque()
        self._owed: dict[str, Owed] = {}
        self._touched: set[str] = set()

    def admitted(self, receipts: Iterable[Receipt]) -> None:
        """Learn what is in the log for good (any thread)."""
        self._receipts.extend(receipts)

    def given(self, name: str, frames: int, state: State) -> None:
        """Learn that a file was given to its end."""
        owed = self._owed.setdefault(name, Owed(name))
        owed.given, owed.state = frames, state
        self._touched.add(name)  # the log may have been quicker

    def move(self) -> Iterator[Notice]:
        """Move what may go; say what cannot."""
        while self._receipts:
            receipt = self._receipts.popleft()
            if receipt.error is not None and pages_of(receipt)[1] == 1:
                continue  # nothing of it was read: it stays, to be mended
            for name in files(receipt):
                self._owed.setdefault(name, Owed(name)).admitted += 1
                self._touched.add(name)
        touched, self._touched = self._touched, set()
        for name in touched:
            owed = self._owed[name]
            if owed.given is None or owed.admitted < owed.given:
                continue
            refusal = self._move(owed.name, owed.state)
            if isinstance(refusal, PermissionError) and owed.tries < _TRIES:
                owed.tries += 1  # somebody else has it open (Windows)
                self._touched.add(name)
                continue
            del self._owed[name]
            yield from _told(owed.name, refusal)

    def renamed(self, before: str, name: str, state: State) -> Iterator[Notice]:
        """Learn that a file that was given has another name now."""
        if (owed := self._owed.get(before)) is None:  # its frames are in the log
            yield from self.away(name, state)
            return
        owed.name, owed.state = name, state
        self._touched.add(before)

    def away(self, name: str, state: State) -> Iterator[Notice]:
        """Move one file, if it is still the one that was taken; say if it cannot."""
        yield from _told(name, self._move(name, state))

    def _move(self, name: str, state: State) -> OSError | None:
        """Move one file, and what lies beside it; return why it cannot be."""
        try:
            found = os.stat(self._root / name)
            if (found.st_size, found.st_mtime_ns) != state:
                return None
            _move(self._root / name, self._to / name)
            if self._sidecar and (self._root / (name + self._sidecar)).exists():
                beside = name + self._sidecar
                _move(self._root / beside, self._to / beside)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error
        return None


def _told(name: str, refusal: OSError | None) -> Iterator[Notice]:
    if refusal is not None:
        why = refusal.strerror or str(refusal)
        yield Notice("move", f"{name} stays where it is: {why}")


def _move(path: Path, to: Path) -> None:
    """Move a file, also to another disk; never over another one."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if to.exists():
        raise FileExistsError(errno.EEXIST, f"{to} is there already")
    try:
        os.rename(path, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # another disk; what is cut off there by a crash has another name
        part = to.with_name(to.name + ".part")
        shutil.copy2(path, part)
        with part.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(part, to)
        os.unlink(path)
