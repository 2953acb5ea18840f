"""Names of files that come one by one: which count, and where each belongs."""

import fnmatch
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal

from streamproc.errors import ConfigError, SourceError

from . import _paths, _pattern
from ._pattern import Match, Value
from ._stack import Row, Stack
from ._turn import Place

Order = Literal["arrival", "name", "time"]


class Names:
    """The names that count in a folder, and what they say.

    Parameters
    ----------
    pattern
        As a user gives it; None takes every image.
    recursive
        Whether folders within count: else a pattern names none.

    Raises
    ------
    SourceError
        A field that is not written as one, or a format that nobody reads.
    ConfigError
        A pattern of folders where they do not count.
    """

    def __init__(self, pattern: str | None, *, recursive: bool) -> None:
        self._glob = pattern or "*"
        self._whole = "/" in self._glob
        if self._whole and not recursive:
            raise ConfigError(
                f"pattern: {pattern!r} names folders, which count with recursive: true"
            )
        found = _pattern.parsed(self._glob)
        self._pattern = found if found.fields or self._whole else None
        suffix = Path(self._glob).suffix.lower()
        if not set(suffix) & set("*?[{") and suffix not in ("", *_paths.SUFFIXES):
            raise SourceError(
                f"unknown format {suffix!r} of the pattern {pattern!r}; "
                f"known: {', '.join(_paths.SUFFIXES)}"
            )
        free = found.free
        #: coordinates that are stacked into a frame
        self.inner = [name for name in ("c", "z") if name in free]
        self._others = found.grouping
        self._by_t = "t" in free

    def accept(self, name: str) -> bool:
        """Say whether a file counts, by its path within the folder."""
        # not Path.suffix: a folder may hold a hundred thousand
        if os.path.splitext(name)[1].lower() not in _paths.SUFFIXES:
            return False
        if self._pattern is None:
            return fnmatch.fnmatch(name.rpartition("/")[2], self._glob)
        return self.match(name) is not None

    def match(self, name: str) -> Match | None:
        """Return what the fields of a name say; None where it has none."""
        if self._pattern is None:
            return None
        return self._pattern.match(name if self._whole else name.rpartition("/")[2])

    def fields(self, name: str) -> dict[str, Value]:
        """Return the fields of a frame: all but what is stacked."""
        match = self.match(name)
        values = match.values if match else {}
        return {k: v for k, v in values.items() if k not in self.inner}

    def place(self, name: str, written: int, order: Order | None) -> Place:
        """Return where a file (the first one of a frame) belongs.

        ``written`` is when it was, in ns. Files of different images (by their other
        fields) have no order among each other.
        """
        match = self.match(name)
        if order is None and self._by_t and match is not None:
            line = tuple(match.texts[field] for field in self._others)
            return Place(line, _paths.natural(match.texts["t"]))
        if order == "name":
            return Place((), _paths.natural(name))
        if order == "time":
            return Place((), (written, _paths.natural(name)))
        return Place(name)

    def frame(self, name: str) -> tuple[str, ...]:
        """Return which frame a file is a part of: its folder and fields but c and z."""
        match = self.match(name)
        texts = match.texts if match else {}
        folder = name.rpartition("/")[0] if not self._whole else ""
        return (folder, *(text for n, text in texts.items() if n not in self.inner))

    def plane(self, name: str) -> tuple[str, ...]:
        """Return which plane of its frame a file is: the texts of c and z."""
        match = self.match(name)
        assert match is not None, name
        return tuple(match.texts[axis] for axis in self.inner)

    def missing(self, name: str, plane: Sequence[str]) -> str:
        """Return the name of another plane of a file's frame."""
        match = self.match(name)
        assert match is not None, name
        assert self._pattern is not None, name
        texts = match.texts | dict(zip(self.inner, plane, strict=True))
        return self._pattern.name(texts)


class Planes:
    """The planes that make a frame, in the order c, z; learned from what came."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._steps: list[set[str]] = [set() for _ in names.inner]

    def learn(self, name: str) -> bool:
        """Note a file; return whether its c or z is a new one."""
        return self.add(self._names.plane(name))

    def add(self, plane: Sequence[str]) -> bool:
        """Note the c and z of a plane; return whether one is new."""
        is_new = any(t not in s for t, s in zip(plane, self._steps, strict=True))
        for text, seen in zip(plane, self._steps, strict=True):
            seen.add(text)
        return is_new

    def all(self) -> list[tuple[str, ...]]:
        """Return every plane, c slowest."""
        return list(product(*self._sorted()))

    def stack(self, root: Path, files: Sequence[str | None]) -> Stack:
        """Return how the files of one frame are stacked, in the order of `all`."""
        there = [name for name in files if name is not None]
        row: list[int | str] = []
        for plane, name in zip(self.all(), files, strict=True):
            missing = self._names.missing(there[0], plane)
            row.append(missing if name is None else there.index(name))
        steps = self._sorted()
        channels = steps[0] if self._names.inner[0] == "c" else []
        return Stack(
            paths=[root / name for name in there],
            rows=[Row(row, self._names.fields(there[0]))],
            axes="".join(self._names.inner),
            shape=tuple(map(len, steps)),
            channels=tuple(channels),
        )

    def _sorted(self) -> list[list[str]]:
        return [sorted(seen, key=_paths.natural) for seen in self._steps]
