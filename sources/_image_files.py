"""Image files as frames: opened when they are needed, decoded as was asked for."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from streamproc.errors import FrameError
from streamproc.frame import Array

from . import _images, _paths, _pixels, _recording
from ._colour import Choice, Color
from ._layout import Layout
from ._stack import Stack
from ._tiff import Tiff

#: TIFF files kept open.
_OPEN = 8


class ImageFiles:
    """The frames of image files, read by any number of threads.

    Parameters
    ----------
    paths
        Files of one format, in order.
    stacked
        How they are stacked by c and z; None: one after the other.
    color, channel
        As a user gives them.

    Raises
    ------
    SourceError
        No permission, files that are parts of each other, or no such channel.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        stacked: Stack | None = None,
        *,
        color: Color = "gray",
        channel: int | str | None = None,
    ) -> None:
        self.paths = paths
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Tiff | str] = OrderedDict()
        counts = self._counts()
        self._ends = list(accumulate(counts))
        self._stacked = stacked.frames(counts) if stacked else None
        #: names of the channels; None where nothing tells them
        self.channels = stacked.channels if stacked else ()
        names = self.channels or getattr(self.layout(0), "channels", ())
        number = _recording.channel_number(channel, names, str(paths[0]))
        self.choice = Choice(color, number)

    def __len__(self) -> int:
        """Return how many frames the files announce."""
        return len(self._stacked) if self._stacked is not None else self._ends[-1]

    def pixels(self, index: int) -> tuple[Array, str]:
        """Return a frame's pixels as they were asked for, and their axes.

        Raises
        ------
        FrameError
            It cannot be decoded, or a part of it is missing.
        SourceError
            It has not what was asked for, or may not be read.
        """
        if self._stacked is not None:
            return self._stacked[index].pixels(self._planes)
        return self._planes(index)

    def file(self, index: int) -> Path:
        """Return the (first) file of a frame."""
        return self._place(index)[0]

    def layout(self, index: int) -> Layout | None:
        """Return what a frame's TIFF says, None for other formats."""
        path, which, _ = self._place(index)
        tiff = self._tiff(which) if _paths.is_tiff(path) else ""
        return None if isinstance(tiff, str) else tiff.layout

    def time(self, index: int) -> float | None:
        """Return the acquisition time that the one file tells of a frame."""
        layout = self.layout(index) if len(self.paths) == 1 else None
        if layout is None or index not in layout.delta:
            return None
        return (layout.start or 0.0) + float(layout.delta[index])

    def metadata(self, index: int, *, file: bool) -> dict[str, Any]:
        """Return what is told of one frame, with the file's name if asked."""
        path, _, position = self._place(index)
        metadata = {"file": path.name} if file else {}
        if self._stacked is not None:
            metadata = self._stacked[index].metadata(metadata)
        layout = self.layout(index)
        return {**metadata, **(layout.notes.get(position, {}) if layout else {})}

    def forget(self) -> None:
        """Let go of the files; whoever reads one still has it. They open again."""
        with self._lock:
            self._open.clear()

    def close(self) -> None:
        """Close the files, which nobody reads any more: others may move them."""
        with self._lock:
            for tiff in self._open.values():
                if isinstance(tiff, Tiff):
                    tiff.close()
            self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the open files."""
        left_out = ("_lock", "_open")
        return {k: v for k, v in self.__dict__.items() if k not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state; files open when they are read."""
        self.__dict__.update(state, _lock=threading.Lock(), _open=OrderedDict())

    def _counts(self) -> list[int]:
        """Return the number of frames each file announces; a broken one counts one.

        Files of an OME data set whose frames an earlier one gives count none.
        """
        counts, covered = [], set()
        for which, path in enumerate(self.paths):
            tiff = self._tiff(which) if _paths.is_tiff(path) else ""
            if path in covered:
                counts.append(0)
            elif isinstance(tiff, str):
                counts.append(1)
            else:
                counts.append(tiff.count)
                covered |= {path.parent / name for name in tiff.layout.others}
        return counts

    def _place(self, index: int) -> tuple[Path, int, int]:
        """Return the (first) file of a frame, its number and the position in it."""
        return self._within(self._stacked[index].first if self._stacked else index)

    def _within(self, plane: int) -> tuple[Path, int, int]:
        """Return a file, its number and a position in it, by the count over files."""
        which = bisect_right(self._ends, plane)
        before = self._ends[which - 1] if which else 0
        return self.paths[which], which, plane - before

    def _tiff(self, which: int) -> Tiff | str:
        """Return an open TIFF file, or why it cannot be opened."""
        with self._lock:
            if which in self._open:
                self._open.move_to_end(which)
                return self._open[which]
        opened: Tiff | str
        try:
            opened = Tiff(self.paths[which])
        except FrameError as error:
            opened = str(error)
        with self._lock:
            opened = self._open.setdefault(which, opened)
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return opened

    def _planes(self, plane: int) -> tuple[Array, str]:
        """Return what a file holds of a frame, by the count over files."""
        path, which, position = self._within(plane)
        if _paths.is_tiff(path):
            tiff = self._tiff(which)
            if isinstance(tiff, str):
                raise FrameError(tiff)
            image, axes = tiff.read(position)
        else:
            image, axes = _images.decode(path)
        _pixels.target(image.dtype)
        made = self.choice.axes(axes, image.shape, path.name)
        return _pixels.native(self.choice.apply(image, axes)), made
