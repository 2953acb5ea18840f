"""Files that another program writes into a folder: noticed, and given once settled.

Notifications make it quick, listing the folder makes it sure: they may get lost, and
those of other computers never come. So a notification is no more than a hint where to
look, and the whole folder is listed now and then, as often as it is cheap.
"""

import heapq
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

from streamproc.errors import SourceError, one_line
from streamproc.frame import Notice

#: Seconds between two listings: where notifications come, and where they do not.
SURE, POLL = 5.0, 0.25
#: Rests between two listings at least, in durations of one, of the same kinds.
_SURE_REST, _POLL_REST = 20.0, 3.0
#: Seconds between two looks whether the folder is still the same one.
_SAME = 0.5
#: Seconds that one look waits at most, and that a burst of notifications takes.
_WAIT, _BURST, _STEP = 0.2, 0.1, 0.01

#: What tells two versions of a file apart: its size, and when it was last written (ns).
State: TypeAlias = tuple[int, int]


@dataclass(slots=True)
class Growing:
    """A file that was noticed and not taken yet; ``since`` is its last change."""

    state: State
    since: float
    is_handed: bool = False


class Arrivals:
    """The files of a folder as they settle: unchanged for ``settle`` seconds.

    Parameters
    ----------
    root
        The folder, in its real place (notifications name files by that).
    accepts
        Says whether a file counts, by its path within the folder (``/`` between).
    settle
        Seconds without a change after which a file counts as written.
    sidecar
        What is appended to a file's name by a second file, which says that the first
        one is written; then nothing else does.
    recursive
        Folders within it, too; symbolic links to folders are not followed.
    excluded
        A folder within it that does not count, or None.
    polling
        Ask for no notifications.
    stopping
        Ends waiting.
    """

    def __init__(
        self,
        root: Path,
        accepts: Callable[[str], bool],
        *,
        settle: float,
        sidecar: str | None,
        recursive: bool,
        excluded: str | None,
        polling: bool,
        stopping: threading.Event,
    ) -> None:
        self._root, self._prefix = str(root), os.path.join(str(root), "")
        self._accepts, self._settle, self._sidecar = accepts, settle, sidecar
        self._recursive, self._excluded = recursive, excluded
        self._stopping = stopping
        #: files that were taken, or left out, and the state they had
        self.known: dict[str, State] = {}
        self.growing: dict[str, Growing] = {}
        self._due: list[tuple[float, int, str]] = []
        self._count = count()
        #: when anything was written last
        self.changed = time.monotonic()
        self._bell: Any = None  # watchfiles' RustNotify
        self._is_deaf, self._is_listed, self._wants_bell = True, False, not polling
        self._identity: tuple[int, int] | None = None
        self._same = self._listing = 0.0
        self._told: set[str] = set()

    def look(self, *, waits: bool = True) -> Iterator[Notice]:
        """Wait for news, a moment at most, and take note of them.

        What there is to say of the folder itself is yielded.
        """
        now = time.monotonic()
        soon = min([self._listing, *(due for due, _, _ in self._due[:1])]) - now
        hints = self._hear(max(min(soon, _WAIT), 0.0) if waits else 0.0)
        yield from self._check_folder()
        if self._identity is None:
            return
        if time.monotonic() >= self._listing:
            yield from self.list()
            return
        try:
            for path in hints:
                if path.startswith(self._prefix):
                    self._hint(path[len(self._prefix) :].replace(os.sep, "/"))
                elif path == self._root:
                    self._same = self._listing = 0.0
        except OSError as error:
            yield from self._lose(error)

    def list(self) -> Iterator[Notice]:
        """Look at every file now, until the folder is known to be the same again."""
        began = time.monotonic()
        try:
            has_news = self._scan("")
        except OSError as error:
            yield from self._lose(error)
            return
        # files came and no notification did: another computer may write them
        self._is_deaf |= has_news and self._is_listed
        self._is_listed = True
        now = time.monotonic()
        least, rest = (POLL, _POLL_REST) if self._is_polling else (SURE, _SURE_REST)
        self._listing = now + max(least, rest * (now - began))

    def settled(self) -> Iterator[str]:
        """Yield the files that have settled since the last call, the oldest first."""
        now, found = time.monotonic(), []
        while self._due and self._due[0][0] <= now:
            _, _, name = heapq.heappop(self._due)
            growing = self.growing.get(name)
            if growing is None or growing.is_handed:
                continue
            state = self.state(name)
            if state is None or state == self.known.get(name):
                del self.growing[name]
            elif state != growing.state or now - growing.since < self._wait:
                self._see(name, state)
                self._look_again(name, growing.since + self._wait)
            else:
                growing.is_handed = True
                found.append((state[1], name))
        yield from (name for _, name in sorted(found))

    def since(self, name: str) -> float:
        """Return when a file was last seen to change."""
        state, growing = self.state(name), self.growing.get(name)
        if state is not None and growing is not None:
            self._see(name, state)
        return growing.since if growing is not None else time.monotonic()

    def again(self, name: str, when: float) -> None:
        """Ask for a file once more, though nothing was written to it."""
        if name in self.growing:
            self.growing[name].is_handed = False
            self._look_again(name, when)

    def done(self, name: str, state: State | None) -> None:
        """Say that a file needs no more attention while it stays as it is."""
        self.growing.pop(name, None)
        if state is not None:
            self.known[name] = state
            if self.state(name) not in (state, None):
                self._hint(name)

    def state(self, name: str) -> State | None:
        """Return what a file is now; None where it is gone."""
        try:
            found = os.stat(self._prefix + name)
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    def close(self) -> None:
        """Ask for no more notifications."""
        bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()

    @property
    def is_there(self) -> bool:
        """Whether the folder could be read when it was looked at last."""
        return self._identity is not None

    @property
    def _is_polling(self) -> bool:
        """Whether the folder is listed again and again, as no notifications come."""
        return self._bell is None or self._is_deaf

    @property
    def _wait(self) -> float:
        return 0.0 if self._sidecar else self._settle

    def _look_again(self, name: str, when: float) -> None:
        heapq.heappush(self._due, (when, next(self._count), name))

    # --- notifications ------------------------------------------------------------

    def _hear(self, wait: float) -> Iterable[str]:
        """Wait for notifications; return the paths they name."""
        if self._bell is None:
            self._stopping.wait(wait)
            return ()
        step = int(1000 * _STEP)
        heard = self._bell.watch(
            int(1000 * _BURST), step, max(int(1000 * wait), 1), self._stopping
        )
        if heard == "signal":
            raise KeyboardInterrupt
        if isinstance(heard, str):
            return ()
        self._is_deaf = False
        return {path for _, path in heard}

    def _listen(self) -> Iterator[Notice]:
        """Ask for notifications; where there are none, the folder is listed often."""
        self.close()
        if not self._wants_bell:
            return
        from watchfiles._rust_notify import RustNotify

        try:
            self._bell = RustNotify(
                [self._root], False, False, 300, self._recursive, True
            )
            self._is_deaf = False
        except (OSError, RuntimeError) as error:
            if "polling" not in self._told:
                self._told.add("polling")
                said = f"no notifications of {self._root}: {one_line(error)}"
                yield Notice("polling", f"{said}; it is listed again and again")

    # --- the folder ---------------------------------------------------------------

    def _check_folder(self) -> Iterator[Notice]:
        """See whether the folder is there, and still the same one."""
        now = time.monotonic()
        if now < self._same:
            return
        self._same = now + _SAME
        try:
            found = os.stat(self._root)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError("it is no folder")
        except OSError as error:
            yield from self._lose(error)
            return
        if (found.st_dev, found.st_ino) == self._identity:
            return
        if self._identity is None and "gone" in self._told:
            self._told.discard("gone")
            self.changed = now
            yield Notice("reconnect", f"the folder {self._root} is there again")
        self._identity = found.st_dev, found.st_ino
        self._listing, self._is_listed = 0.0, False
        yield from self._listen()

    def _lose(self, error: OSError) -> Iterator[Notice]:
        """Let go of a folder that cannot be read; it may come back."""
        self.close()
        self._identity = None
        if "gone" not in self._told:
            self._told.add("gone")
            self.changed = time.monotonic()
            why = error.strerror or str(error)
            said = f"the folder {self._root} cannot be read: {why}"
            yield Notice("disconnect", f"{said}; waiting for it")

    def _scan(self, folder: str) -> bool:
        """Look at all files below; return whether there are new ones."""
        is_new = False
        folders = [folder]
        while folders:
            within = folders.pop()
            try:
                entries = os.scandir(self._prefix + within)
            except OSError:
                if not within:
                    raise
                continue  # a folder of its own that went, or is closed to us
            with entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    name = within + entry.name
                    if self._accepts(self._named(name)):
                        is_new |= self._notice(name, entry)
                    elif self._enters(name) and entry.is_dir(follow_symlinks=False):
                        folders.append(name + "/")
        return is_new

    def _enters(self, name: str) -> bool:
        return self._recursive and name != self._excluded

    def _named(self, name: str) -> str:
        """Return the file that another one is about."""
        return name.removesuffix(self._sidecar) if self._sidecar else name

    def _notice(self, name: str, entry: "os.DirEntry[str]") -> bool:
        """Take note of a file in a listing; return whether it is a new one."""
        try:
            found = entry.stat()
        except OSError:
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        if not self._sidecar:
            return self._see(name, (found.st_size, found.st_mtime_ns))
        self._hint(name)
        return False

    def _hint(self, name: str) -> None:
        """Take note of what a notification names, whatever that is."""
        if self._excluded is not None and name.startswith(self._excluded + "/"):
            return
        about = self._named(name)
        if not self._accepts(about):
            path = self._prefix + name
            # a new folder: files may be in it already
            if self._enters(name) and os.path.isdir(path) and not os.path.islink(path):
                self._scan(name + "/")
            return
        if self._sidecar and not os.path.isfile(self._prefix + about + self._sidecar):
            return
        if any(part.startswith(".") for part in about.split("/")):
            return
        if os.path.isfile(self._prefix + about):
            state = self.state(about)
            if state is not None:
                self._see(about, state)

    def _see(self, name: str, state: State) -> bool:
        """Take note of a file's state; return whether it is a new one, or changed."""
        growing = self.growing.get(name)
        if growing is None and state == self.known.get(name):
            return False
        if growing is not None and growing.state == state:
            return False
        now = self.changed = time.monotonic()
        if growing is None:
            self.growing[name] = Growing(state, now)
            self._look_again(name, now + self._wait)
        else:
            growing.state, growing.since = state, now
        return True


def folder_of(given: str) -> Path:
    """Return the real place of a folder that can be listed.

    Raises
    ------
    SourceError
        It is missing, a file, or closed to us.
    """
    path = Path(given).expanduser()
    if not path.exists():
        raise SourceError(f"no such folder: {given}")
    if not path.is_dir():
        raise SourceError(f"{given} is a file; watch takes a folder")
    try:
        os.scandir(path).close()
    except OSError as error:
        raise SourceError(f"cannot list the folder {given}: {error.strerror}") from None
    return Path(os.path.realpath(path))
