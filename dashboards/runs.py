"""The runs that a page shows: one, or those below a folder."""

import asyncio
import os
import time
from calendar import timegm
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamproc.errors import RunFolderError, StreamprocError
from streamproc.folder import RunFolder, existing
from streamproc.store.lock import is_locked

from .feed import Feed
from .live import Hub

#: Seconds that a run nobody looks at is kept open; that a list is as good as new.
_KEPT, _NEW = 60.0, 0.9
#: States of a run that is on.
GOING = ("running", "paused")


class Runs:
    """One run, or those up to two folders below one; each is open while it is shown.

    Raises
    ------
    RunFolderError
        ``path`` is no run, and holds none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._hubs: dict[str, Hub] = {}
        self._used: dict[str, float] = {}
        # ledgers of the list are of this thread
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="runs")
        self._known: dict[str, _Known] = {}
        self._rows: list[dict[str, Any]] = []
        self._listed_at = -_NEW
        #: whether there may be more than one
        self.several = False
        try:
            existing(path)
        except RunFolderError:
            if not self.path.is_dir() or not any(self._found()):
                raise
            self.several = True

    def folder(self, name: str) -> RunFolder:
        """Return where the run of a name is, or was."""
        return RunFolder(self.path / name) if self.several else RunFolder(self.path)

    def split(self, path: str) -> tuple[str, str] | None:
        """Return the run that ``/run/NAME/REST`` is of, and the rest; None if none."""
        parts = path.removeprefix("/run/").split("/")
        for length in (1, 2):
            name = "/".join(parts[:length])
            if len(parts) > length and self._holds(name):
                return name, "/".join(parts[length:])
        return None

    def hub(self, name: str) -> Hub:
        """Return what serves a run; it is begun if nobody looked at it so far."""
        name = name if self.several else ""
        if name not in self._hubs:
            self._hubs[name] = hub = Hub(self.folder(name))
            hub.start()
        self._used[name] = time.monotonic()
        return self._hubs[name]

    def forget(self) -> None:
        """Close what nobody looked at for a while."""
        now = time.monotonic()
        for name, hub in tuple(self._hubs.items()):
            if hub.viewers or hub.history.exports:
                self._used[name] = now
            elif now - self._used[name] > _KEPT:
                del self._hubs[name]
                hub.close()
        if self._known and now - self._listed_at > _KEPT:
            self._pool.submit(self._let_go)

    async def rows(self) -> list[dict[str, Any]]:
        """Return a line about each run: those that are on first, then the newest.

        Who asks more often than once a second gets the same.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._read)

    def close(self) -> None:
        """Close all."""
        for hub in self._hubs.values():
            hub.close()
        self._pool.submit(self._let_go)
        self._pool.shutdown(wait=False)

    # --- in the list's thread -----------------------------------------------------

    def _read(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._listed_at < _NEW:
            return self._rows
        found = dict(self._found())
        for name in self._known.keys() - found.keys():
            self._known.pop(name).close()
        rows = []
        for name, folder in found.items():
            if name not in self._known:
                self._known[name] = _Known(folder)
            with suppress(OSError):  # it may be deleted this moment
                rows.append({"name": name, **self._known[name].told()})
        rows.sort(key=lambda r: (r["state"] in GOING, r["begun"] or 0), reverse=True)
        self._rows, self._listed_at = rows, time.monotonic()
        return rows

    def _let_go(self) -> None:
        for known in self._known.values():
            known.close()

    # ------------------------------------------------------------------------------

    def _holds(self, name: str) -> bool:
        parts = name.split("/")
        if any(p in ("", ".", "..") or "\\" in p or ":" in p for p in parts):
            return False
        return _is_run(self.path / name)

    def _found(self) -> Iterator[tuple[str, RunFolder]]:
        for one in _folders(self.path):
            if _is_run(one):
                yield one.name, RunFolder(one)
                continue
            for two in _folders(one):
                if _is_run(two):
                    yield f"{one.name}/{two.name}", RunFolder(two)


class _Known:
    """What is known of one run of a list; what has ended is read once."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._feed: Feed | None = None
        self._at: tuple[object, ...] | None = None
        self._told: dict[str, Any] = {}
        self._begun: float | None = None

    def told(self) -> dict[str, Any]:
        is_on = is_locked(self._folder.lock)
        at = (is_on, _changed(self._folder.ledger))
        if is_on or at != self._at:
            self._read(is_on)
            self._at = at
        return self._told

    def _read(self, is_on: bool) -> None:
        if self._feed is None:
            self._feed = Feed(self._folder)
        feed = self._feed
        numbers, newest = feed.told(), feed.newest()
        self._told = {
            name: numbers[name] for name in ("state", "done", "failed", "lost")
        }
        # what has ended has no speed
        self._told["fps"] = numbers["fps"] if numbers["state"] in GOING else None
        self._told["last"] = feed.when(newest)[1] if newest is not None else None
        if self._begun is None:
            self._begun = _begun(self._folder)
        self._told["begun"] = self._begun
        if not is_on:
            self.close()

    def close(self) -> None:
        """Let go of the ledger."""
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()


def _folders(path: Path) -> list[Path]:
    """Return the folders in one, by name; none where it cannot be read."""
    with suppress(OSError), os.scandir(path) as entries:
        return sorted(
            Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir()
        )
    return []


def _is_run(path: Path) -> bool:
    try:
        existing(path)
    except (RunFolderError, OSError):
        return False
    return True


def _changed(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def _begun(folder: RunFolder) -> float | None:
    """Return when a run was begun, in seconds since the epoch."""
    with suppress(StreamprocError, KeyError, TypeError, ValueError):
        text = str(folder.document()["recorded"]["started"])
        return float(timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))
    return None
