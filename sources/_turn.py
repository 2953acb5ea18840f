"""The order in which files are given: at once, or after those that come first."""

import heapq
import time
from collections.abc import Hashable, Iterator
from itertools import count
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

#: Sorts files of one line; None where they need no order.
Key: TypeAlias = Any


class Place(NamedTuple):
    """Where a file belongs: files of one line are given in the order of their keys."""

    line: Hashable
    key: Key = None


class Turn(Generic[T]):
    """Files, or all files of a frame, that wait for their turn.

    One goes at once if it has no order, follows the last one of its line by one, or
    comes late: after one that it should have come before. Else earlier ones may still
    come, and it waits for them, ``patience`` seconds at most. One that cannot be read
    yet is put back: those behind it in its line wait as well.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._count = count()
        self._lines: dict[Hashable, list[_Entry[T]]] = {}
        self._last: dict[Hashable, Key] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return self._size

    def put(self, item: T, place: Place) -> None:
        """Take one that has come."""
        self._push(item, place, time.monotonic(), 0.0)

    def back(self, item: T, place: Place, when: float) -> None:
        """Take one back that had its turn, to be tried again."""
        self._push(item, place, 0.0, when)

    def gone(self, place: Place) -> bool:
        """Note that one has gone for good; return whether it was late."""
        last = self._last.get(place.line)
        if place.key is None:
            return False
        if last is not None and place.key < last:
            return True
        self._last[place.line] = place.key
        return False

    def take(self, most: int, *, hurry: bool) -> Iterator[tuple[T, Place]]:
        """Yield those whose turn it is, ``most`` at most; with ``hurry`` none waits."""
        now, taken = time.monotonic(), 0
        for line in list(self._lines):
            entries = self._lines[line]
            while (
                taken < most and entries and self._may_go(line, entries[0], now, hurry)
            ):
                entry = heapq.heappop(entries)
                self._size -= 1
                taken += 1
                yield entry.item, Place(line, entry.key)
            if not entries:
                del self._lines[line]
            if taken == most:
                return

    def _push(self, item: T, place: Place, since: float, when: float) -> None:
        entry = _Entry(place.key, next(self._count), item, since, when)
        heapq.heappush(self._lines.setdefault(place.line, []), entry)
        self._size += 1

    def _may_go(
        self, line: Hashable, entry: "_Entry[T]", now: float, hurry: bool
    ) -> bool:
        if now < entry.not_before:
            return False
        if entry.key is None or hurry or now - entry.since >= self._patience:
            return True
        last = self._last.get(line)
        return last is not None and (entry.key < last or follows(last, entry.key))


class _Entry(NamedTuple, Generic[T]):
    key: Key
    number: int
    item: T
    since: float
    not_before: float


def follows(before: Key, after: Key) -> bool:
    """Say whether two keys of `_paths.natural` differ by one in one number alone."""
    parts, others = before[0], after[0]
    if not isinstance(parts, list) or len(parts) != len(others):
        return False  # times
    differ = [(a, b) for a, b in zip(parts, others, strict=True) if a != b]
    if len(differ) != 1:
        return False
    ((a, text), (b, other)) = differ[0]
    return bool(text == other == "" and a >= 0 and b == a + 1)
