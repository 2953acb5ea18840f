"""Frames between the camera and the raw log, and what becomes of them if it is slow."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from streamproc.errors import StoreError
from streamproc.frame import Frame, Gap

from .admission import Item

OnFull: TypeAlias = Literal["block", "drop_newest", "drop_oldest", "fail"]


class Waiting:
    """Frames taken from the camera and not yet in the log: at most ``most`` of them.

    When they are that many, the next one waits (``block``: a camera may then lose
    frames by itself, and count them), is dropped (``drop_newest``), takes the place of
    the oldest (``drop_oldest``), or ends the run (``fail``). Frames that are dropped in
    a row are one `Gap`, at their place among the others.
    """

    def __init__(self, most: int, on_full: OnFull) -> None:
        self.most = most
        #: frames dropped so far
        self.dropped = 0
        self._on_full = on_full
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._frames = 0
        self._is_open, self._is_hasty, self._has_ended = True, False, False

    def put(self, item: Item) -> None:
        """Take an item of the camera's; nothing once `clear` was called.

        Raises
        ------
        StoreError
            ``fail``, and there is no room.
        """
        with self._changed:
            if self._on_full == "block":
                self._changed.wait_for(lambda: self._has_room or not self._is_open)
            if not self._is_open:
                return
            if isinstance(item, Frame):
                if not self._has_room and not self._make_room(item):
                    return
                self._frames += 1
            self._items.append(item)
            self._changed.notify_all()

    def take(self, most: int) -> Sequence[Item]:
        """Wait for items and return up to ``most``; none after the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._has_ended)
            count = min(most, len(self._items))
            taken = [self._items.popleft() for _ in range(count)]
            self._frames -= sum(isinstance(item, Frame) for item in taken)
            self._changed.notify_all()
            return taken

    def end(self) -> None:
        """Say that no more comes; what waits is still taken."""
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def hasten(self) -> None:
        """Take the last items whatever the room: the camera is to end."""
        with self._changed:
            self._is_hasty = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget what waits: the log takes nothing any more."""
        with self._changed:
            self._is_open = False
            self._items.clear()
            self._frames = 0
            self._changed.notify_all()

    @property
    def _has_room(self) -> bool:
        return self._frames < self.most or self._is_hasty

    def _make_room(self, item: Frame) -> bool:
        """Drop a frame; return whether the new one may be taken."""
        if self._on_full == "fail":
            raise StoreError(
                f"the disk is slower than the camera: {self._frames} frames wait to be "
                "written, as many as limits.memory allows (on_full_log: fail); use a "
                "faster disk or a lower rate, then resume"
            )
        self.dropped += 1
        items = self._items
        if self._on_full == "drop_newest":
            self._drop(item, len(items))
            return False
        place, frame = next(
            (i, kept) for i, kept in enumerate(items) if isinstance(kept, Frame)
        )
        del items[place]
        self._drop(frame, place)
        self._frames -= 1
        return True

    def _drop(self, frame: Frame, place: int) -> None:
        """Put a gap in a frame's place, or make the one before it longer."""
        index = frame.source_index
        before = self._items[place - 1] if place else None
        is_ours = isinstance(before, Gap) and before.place == "log"
        if (
            isinstance(before, Gap)
            and is_ours
            and before.last_source_index + 1 == index
        ):
            self._items[place - 1] = replace(before, last_source_index=index)
            return
        reason = f"the disk is slower than the camera (on_full_log: {self._on_full})"
        self._items.insert(place, Gap(index, index, reason, frame.time, "log"))
