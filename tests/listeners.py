"""Observers as a user writes them: careful, slow, broken."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from streamproc.observers import Committed


class Careful:
    """Writes down all that it is told, by run folder."""

    opened: ClassVar[dict[Path, list[Mapping[str, Mapping[str, str]] | None]]] = {}
    taken: ClassVar[dict[Path, list[list[Committed]]]] = {}
    ends: ClassVar[dict[Path, list[str]]] = {}
    threads: ClassVar[set[str]] = set()

    def open(self, path: Path, tables: Mapping[str, Mapping[str, str]] | None) -> None:
        self.path = path
        self.opened.setdefault(path, []).append(tables)
        self.taken.setdefault(path, [])
        self.threads.add(threading.current_thread().name)

    def take(self, frames: Sequence[Committed]) -> None:
        self.taken[self.path].append(list(frames))

    def flush(self) -> None:
        self.ends.setdefault(self.path, []).append("flush")

    def close(self) -> None:
        self.ends.setdefault(self.path, []).append("close")


class Knowing(Careful):
    """Knows where it stood: from frame 3 on, always."""

    def __init__(self, tables: tuple[str, ...] | None = None) -> None:
        self.tables = tables

    def position(self) -> int:
        return 3


class Broken(Careful):
    """Fails at one frame, once per run folder, as ``how`` says."""

    failed: ClassVar[set[Path]] = set()

    def __init__(self, at: int = 5, *, how: str = "raise", bad: bool = False) -> None:
        if bad:
            raise LookupError("no such address")
        self.at = at
        self.how = how

    def take(self, frames: Sequence[Committed]) -> None:
        reached = any(frame.frame >= self.at for frame in frames)
        if reached and self.path not in self.failed:
            self.failed.add(self.path)
            if self.how == "exit":
                raise SystemExit(3)
            raise ConnectionError("nobody listens")
        super().take(frames)


class Hanging(Careful):
    """Waits in its first batch until it is let go."""

    go: ClassVar[threading.Event] = threading.Event()

    def take(self, frames: Sequence[Committed]) -> None:
        self.go.wait()
        super().take(frames)
