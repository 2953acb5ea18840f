"""Files put together into frames: one by one, or the planes of each."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ._names import Names, Planes

#: The files of one frame, or one that holds several; planes that are missing: None.
Unit: TypeAlias = tuple[str | None, ...]
#: What tells frames apart that are stacked of several files.
_Frame: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class Pile:
    """The planes of a frame that have come, and when the first one did."""

    files: dict[tuple[str, ...], str] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)


class Piles:
    """Files that wait for the others of their frame, ``patience`` seconds at most.

    Parameters
    ----------
    names
        What names say.
    planes
        What a frame is made of; None: each file is a frame of its own.
    patience
        Seconds from a frame's first file on.
    """

    def __init__(self, names: Names, planes: Planes | None, patience: float) -> None:
        self._names, self._planes, self._patience = names, planes, patience
        self._ready: list[Unit] = []
        self._piles: dict[_Frame, Pile] = {}
        self._given: set[_Frame] = set()

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._ready) + len(self._piles)

    def given(self, name: str) -> None:
        """Note that the frame of a file was given before."""
        if self._planes is not None:
            self._given.add(self._names.frame(name))

    def put(self, name: str) -> str | None:
        """Take a file; return why it is refused, if it is."""
        if self._planes is None:
            self._ready.append((name,))
            return None
        frame, plane = self._names.frame(name), self._names.plane(name)
        if frame in self._given:
            return "came after its frame was taken"
        if plane not in self._planes.all():
            return "is no plane of a frame, by what came first"
        files = self._piles.setdefault(frame, Pile()).files
        other = files.setdefault(plane, name)
        return None if other == name else f"is in the same place as {other}"

    def full(self, *, hurry: bool) -> Iterator[Unit]:
        """Yield frames that are complete, or have waited; with ``hurry`` all."""
        yield from self._ready
        self._ready.clear()
        if self._planes is None or not self._piles:
            return
        expected, now = self._planes.all(), time.monotonic()
        for frame, pile in list(self._piles.items()):
            waited = now - pile.since >= self._patience
            if hurry or waited or len(pile.files) == len(expected):
                del self._piles[frame]
                self._given.add(frame)
                yield tuple(pile.files.get(plane) for plane in expected)


class First:
    """Which files make a whole frame, before it is known what makes one.

    Without planes each file does. Else, once no new c or z has come for ``patience``
    seconds, the files of a frame that has all of them.
    """

    def __init__(self, names: Names, planes: Planes | None, patience: float) -> None:
        self._names, self._planes, self._patience = names, planes, patience
        self._news = time.monotonic()
        self._piles: dict[_Frame, Pile] = {}

    def of(self, settled: Iterable[str]) -> Iterator[Unit]:
        """Yield candidates, given the files that have settled since."""
        planes = self._planes
        if planes is None:
            yield from ((name,) for name in settled)
            return
        for name in settled:
            if planes.learn(name):
                self._news = time.monotonic()
            pile = self._piles.setdefault(self._names.frame(name), Pile())
            pile.files[self._names.plane(name)] = name
        if time.monotonic() - self._news < self._patience:
            return
        expected = planes.all()
        for pile in self._piles.values():
            if len(pile.files) == len(expected):
                yield tuple(pile.files.get(plane) for plane in expected)
