"""Frames of the raw log of a live run: what the camera gave, to be analysed again."""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from streamproc.errors import FrameError, SourceError, StreamprocError
from streamproc.folder import existing
from streamproc.frame import Frame, FrameRef, Gap, SourceInfo, Unreadable
from streamproc.reading import gaps, source_info
from streamproc.store.layout import ArrayLayout
from streamproc.store.log import LogReader, Mark, read_journal


class Log:
    """Read the frames that a live run has admitted, with their times and metadata.

    A run on this source repeats the live run, whatever its graph: frames have the
    same numbers, source indexes, times and gaps.

    Parameters
    ----------
    path
        The run folder; the run may be going on, then the frames that are there when
        it is opened are read.

    Raises
    ------
    SourceError
        It is no run folder, a run of a recording, or the log was not kept.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            folder = existing(Path(path).expanduser())
            if not folder.journal.exists():
                raise SourceError(
                    f"{path} has no raw log: its source was a recording, or log: none"
                )
            info = source_info(folder)
        except SourceError:
            raise
        except StreamprocError as error:
            raise SourceError(str(error)) from error
        store = folder.document().get("store") or {}
        self._layout = ArrayLayout.of(
            "source/0",
            info.shape,
            info.dtype,
            store.get("images", "none"),
            axes=info.axes,
            files=store.get("layout") == "files",
        )
        self._ends = array("q", (0,))
        for _, end in read_journal(folder.journal, self._layout.name):
            self._ends.append(end)
        names = (folder.images / "source" / "0").iterdir()
        if not any(self._layout.group_of(p.name) is not None for p in names):
            raise SourceError(
                f"the raw log of {path} was not kept (log.keep_raw: false), or is empty"
            )
        #: reads it in order, for the engine: frames keep their source's index
        self.log = LogReader(folder.path, folder.images, self._layout, gaps(folder))
        self.info = SourceInfo(
            shape=info.shape,
            dtype=info.dtype,
            axes=info.axes,
            identity=info.identity,
            frames=len(self._ends) - 1,
            random_access=True,
            pixel_size_um=info.pixel_size_um,
            fps=info.fps,
            channels=info.channels,
        )

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield every frame from ``start`` on; those that cannot be read are named."""
        for index in range(start, self.info.frames or 0):
            try:
                yield self.read(index)
            except FrameError as error:
                ref = self._ref(index)
                metadata = json.loads(ref.metadata or "{}")
                yield Unreadable(ref.source_index, str(error), ref.time, metadata)

    def read(self, index: int) -> Frame:
        """Return the frame at ``index``, from any thread.

        Raises
        ------
        FrameError
            There is no such frame, its checksum fails, or the camera could not give it.
        """
        if not 0 <= index < len(self._ends) - 1:
            raise FrameError(f"no frame {index}; there are {len(self._ends) - 1}")
        ref = self._ref(index)
        if ref.error is not None or ref.address is None:
            raise FrameError(ref.error or "unreadable")
        return ref.address.read()

    def _ref(self, index: int) -> FrameRef:
        (ref,), _ = self.log.read(Mark(index, self._ends[index]), 1)
        return ref

    def stop(self) -> None:
        """Do nothing: what was recorded ends by itself."""

    def close(self) -> None:
        """Release nothing: files are open only while they are read."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the folder's name: another process opens it itself."""
        return {"path": str(Path(self._path).absolute())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the log again."""
        Log.__init__(self, **state)
