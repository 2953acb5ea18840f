"""Frames of image files that another program writes into a folder, as they come."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import xxhash
from annotated_types import Ge, Gt

from streamproc.errors import (
    ConfigError,
    FrameError,
    MissingDependency,
    SourceError,
    StreamprocError,
    one_line,
)
from streamproc.frame import (
    Frame,
    Gap,
    Notice,
    Receipt,
    SourceInfo,
    Unreadable,
)

from . import _recording
from ._arrivals import Arrivals, State, folder_of
from ._attempt import Attempt
from ._expectation import Expectation
from ._image_files import ImageFiles
from ._names import Names, Planes
from ._piles import First, Piles, Unit
from ._register import FileId, Mover, Register
from ._turn import Place, Turn

#: Files that are read between two looks at the folder.
_BATCH = 64
#: Seconds between two attempts to read a file that cannot be read yet.
_LEAST, _RETRY = 0.05, 1.0

#: Files that events name at most: nobody wants a million.
_MOST_SAID = 1000

Item: TypeAlias = Frame | Unreadable | Gap | Notice


class Watch:
    """Read the images that another program writes into a folder, as they come.

    A file is read once it is whole: its size and time have not changed for ``settle``
    seconds, and it can be decoded to its end. Each is taken once, over a resume too;
    what a file holds is what `files` makes of it.

    Parameters
    ----------
    folder
        Where the files come.
    pattern
        Names that count: ``*.tif``, or with fields as in `files`,
        ``img_{t:d}_{c}.tif``: t orders the frames, c and z are stacked into each, what
        other fields say goes with every frame. With ``/`` it is the path within the
        folder. Default: every image. Hidden files never count.
    recursive
        Folders within it, too, those made later included. Links to folders are not
        followed.
    existing
        Take the files that are there already. If not, a run that is resumed leaves
        out what is older than the oldest file it took.
    order
        ``arrival``, as they become whole; ``name``, natural (img2 before img10);
        ``time``, as they were written. Default: by t of the pattern, else arrival.
    patience
        Seconds to wait, at most: for an earlier file, where there is an order (one
        whose number follows the last one by one goes at once); for the rest of a file
        that cannot be read yet, since it was last written; for the other planes of a
        frame.
    settle
        Seconds without a change until a file is read; 0 is for writers that rename
        whole files into place.
    sidecar
        What the writer appends to an image's name in a second file once the first is
        whole (``.done`` for img.tif.done); ``settle`` does not count then.
    polling
        Ask for no notifications of changes. Nothing relies on them: the folder is
        listed every few seconds in any case, and again and again where none come, as
        on network drives.
    stop_file
        A file of this name in the folder ends it, once all that is there is taken.
    idle_timeout
        Seconds without any change in the folder after which it ends; that it goes away
        is a change.
    first_timeout
        Seconds to wait for the first image, which tells shape and dtype; null: for
        ever.
    expect
        What the first image would tell, so that none is waited for: ``{shape: [512,
        512], dtype: uint16}``, and if they need saying axes, channels, pixel_size_um
        (by axis). A run that is resumed knows it.
    move_to
        A folder into which a file goes once all its frames are in the raw log.
    color, channel, pixel_size_um
        As in `files`.

    Raises
    ------
    SourceError
        No such folder or one that cannot be listed, a pattern that cannot be read, or
        no image in time.
    ConfigError
        Parameters that contradict each other.

    Notes
    -----
    A file that comes late, after one that it should have come before, is taken all the
    same; ``late`` in its metadata says so. One that cannot be read, or whose frames
    have another shape or dtype, is a failed frame that names it, once; written again,
    it is tried again. A name that was taken is not taken again, whatever is written to
    it, but for the pages that a TIFF gains: it stays where it is, and an event says so.
    Nor is a file that was renamed. The time of a frame is what its file tells, else
    when that was written. A file of several frames is decoded twice: once to know that
    it is whole.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        folder: str,
        *,
        pattern: str | None = None,
        recursive: bool = False,
        existing: bool = True,
        order: Literal["arrival", "name", "time"] | None = None,
        patience: Annotated[float, Ge(0)] = 10.0,
        settle: Annotated[float, Ge(0)] = 0.5,
        sidecar: str | None = None,
        polling: bool = False,
        stop_file: str | None = None,
        idle_timeout: Annotated[float, Gt(0)] | None = None,
        first_timeout: Annotated[float, Gt(0)] | None = 60.0,
        expect: dict[str, Any] | None = None,
        move_to: str | None = None,
        color: Literal["gray", "rgb"] = "gray",
        channel: Annotated[int, Ge(0)] | str | None = None,
        pixel_size_um: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        self._given, self._root = folder, folder_of(folder)
        self._names = Names(pattern, recursive=recursive)
        self._planes = Planes(self._names) if self._names.inner else None
        self._order, self._patience = order, patience
        self._settle, self._sidecar = settle, sidecar
        self._recursive, self._existing, self._polling = recursive, existing, polling
        self._stop_file, self._idle_timeout = stop_file, idle_timeout
        self._color, self._channel = color, channel
        self._move_to = None if move_to is None else _target(move_to, self._root)
        self._stopping = threading.Event()
        self._resumed = Register()
        self._mover: Mover | None = None
        #: files that were there when it was opened, where those do not count
        self._old: dict[str, State] | None = {} if existing else None
        #: what determines which pixels there are, beside the first of them
        self._told = (str(self._root), pattern, recursive, color, channel)
        if expect is None:
            with _interruptible():
                self._expected = self._wait_for_first(first_timeout)
        else:
            self._expected = Expectation.parse(expect)
            self._learn_planes()
        self.info = self._describe(pixel_size_um)

    # --- what the engine calls --------------------------------------------------------

    @property
    def reopen(self) -> dict[str, Any]:
        """What the first image told; at a resume it may have gone."""
        planes = [] if self._planes is None else self._planes.all()
        return {"expect": self._expected.form(planes)}

    def resumed(self, frames: Iterable[Receipt]) -> None:
        """Learn what the raw log has from before: `frames` gives none of it again."""
        self._resumed.recall(frames)

    def admitted(self, frames: Sequence[Receipt]) -> None:
        """Learn what is in the raw log for good (any thread): it may be moved away."""
        if self._mover is not None:
            self._mover.admitted(frames)

    def frames(self, start: int = 0) -> Iterator[Item]:
        """Yield frames as their files come, until `stop`, or until it is to end."""
        self._stopping.clear()
        self._register, self._resumed = self._resumed, Register()
        self._index, self._turn = start, Turn[Unit](self._patience)
        piles = self._piles = Piles(self._names, self._planes, self._patience)
        self._announced = set[str]()
        arrivals = self._arrivals = self._watched(self._polling)
        if self._move_to is not None:
            self._mover = Mover(self._root, self._move_to, self._sidecar)
        is_sure, read = False, 0
        try:
            yield from self._begin()
            while not self._stopping.is_set():
                yield from arrivals.look(waits=read < _BATCH)
                is_over = self._is_over()
                for name in arrivals.settled():
                    if refusal := piles.put(name):
                        arrivals.done(name, arrivals.state(name))
                        yield from self._say_once(name, refusal)
                for unit in piles.full(hurry=is_over):
                    self._put(unit)
                read = 0
                turns = self._turn.take(_BATCH, hurry=is_over)
                for read, (unit, place) in enumerate(turns, 1):  # noqa: B007
                    yield from self._read(unit, place)
                    if self._stopping.is_set():
                        return
                yield from self._moved()
                waits = len(self._turn) + len(arrivals.growing) + len(piles)
                if not is_over or waits:
                    is_sure = False
                elif is_sure:
                    return
                else:  # what no notification has told yet
                    yield from arrivals.list()
                    is_sure = arrivals.is_there or not self._root.is_dir()
        finally:
            arrivals.close()

    def read(self, index: int) -> Frame:
        """Refuse: a live source has no past.

        Raises
        ------
        FrameError
            Always.
        """
        raise FrameError(f"frame {index}: a live source cannot be read again")

    def stop(self) -> None:
        """End `frames` within a second (any thread); it may be begun again."""
        self._stopping.set()

    def close(self) -> None:
        """Move the last files that may go."""
        for _ in self._moved():
            pass

    # --- the first image --------------------------------------------------------------

    def _wait_for_first(self, timeout: float | None) -> Expectation:
        """Return what the first image that is whole says of all of them."""
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        arrivals = self._watched(polling=True)
        first = First(self._names, self._planes, self._patience)
        why = ""
        while True:
            for notice in arrivals.look():
                why = f"; {notice.message}"
            if self._old is None:
                self._old = {name: g.state for name, g in arrivals.growing.items()}
                arrivals.known.update(self._old)
            for unit in first.of(arrivals.settled()):
                try:
                    return self._first(unit)
                except MissingDependency:
                    raise
                except StreamprocError as error:
                    why = f"; {one_line(error)}"
                for name in unit:
                    if name is not None:
                        arrivals.again(name, time.monotonic() + _RETRY)
            if time.monotonic() >= end:
                raise SourceError(
                    f"no image came into {self._given} within {timeout:g} s "
                    f"(first_timeout){why}"
                )

    def _first(self, unit: Unit) -> Expectation:
        images = self._open(unit)
        try:
            return Expectation.of(images, str(unit[0]))
        finally:
            images.close()

    def _learn_planes(self) -> None:
        """Take the planes of a frame from what is expected."""
        if self._planes is None:
            return
        if not self._expected.planes:
            raise ConfigError(
                "expect needs planes where a pattern has c or z: a list of their texts"
            )
        for plane in self._expected.planes:
            self._planes.add(plane)

    def _describe(self, pixel_size_um: float | None) -> SourceInfo:
        """Return what all images are."""
        what = self._expected
        same = (what.axes, what.shape, str(what.dtype), what.channels)
        content = repr((*self._told, *same))
        return SourceInfo(
            shape=what.shape,
            dtype=what.dtype,
            axes=what.axes,
            identity="watch:" + xxhash.xxh3_64_hexdigest(content.encode()),
            live=True,
            pixel_size_um=_recording.pixel_size(
                what.pixel_size_um, pixel_size_um, what.axes
            ),
            channels=what.channels,
            metadata={"folder": str(self._root), **what.told},
        )

    # --- one look at the folder -------------------------------------------------------

    def _begin(self) -> Iterator[Notice]:
        """Take note of what needs no more attention, before the first look."""
        register, arrivals = self._register, self._arrivals
        arrivals.known.update(register.whole)
        for name in register.frames:
            state = register.whole.get(name, (0, 0))
            self._turn.gone(self._names.place(name, state[1], self._order))
            self._piles.given(name)
        if self._mover is not None:
            for name, state in register.whole.items():
                if register.frames[name]:
                    yield from self._mover.away(name, state)
        if self._existing:
            return
        if register.oldest is None:
            arrivals.known.update(self._old or {})
        yield from arrivals.look(waits=False)
        oldest = register.oldest
        for name, growing in list(arrivals.growing.items()):
            is_old = self._old is None if oldest is None else growing.state[1] < oldest
            if is_old and name not in register.frames:
                arrivals.done(name, growing.state)
        count = len(arrivals.known) - len(register.whole)
        if count:
            said = (
                f"{count} files that were there before are left out (existing: false)"
            )
            yield Notice("existing", said, "info")

    def _is_over(self) -> bool:
        """Say whether no more files are to come."""
        if self._stop_file is not None and (self._root / self._stop_file).exists():
            return True
        idle = time.monotonic() - self._arrivals.changed
        return self._idle_timeout is not None and idle >= self._idle_timeout

    def _put(self, unit: Unit) -> None:
        name = next(name for name in unit if name is not None)
        state = self._arrivals.state(name) or (0, 0)
        self._turn.put(unit, self._names.place(name, state[1], self._order))

    def _moved(self) -> Iterator[Notice]:
        if self._mover is not None:
            yield from self._mover.move()

    def _say_once(self, name: str, what: str) -> Iterator[Notice]:
        """Say something of a file, unless it was said before."""
        if name in self._announced or len(self._announced) > _MOST_SAID:
            return
        self._announced.add(name)
        if len(self._announced) > _MOST_SAID:
            what = "is not the last one of those; no more are named"
        yield Notice("file", f"{' '.join(name.split())} {what}")

    # --- one frame, or those of one file ----------------------------------------------

    def _read(self, unit: Unit, place: Place) -> Iterator[Item]:
        """Yield what files hold; or put them back, where they are not whole yet."""
        arrivals, names = self._arrivals, [n for n in unit if n is not None]
        since = max(map(arrivals.since, names))
        ids = [_file_id(self._root / name) for name in names]
        if None in ids:
            for name in names:
                arrivals.done(name, None)
                yield from self._say_once(name, "is gone, before it could be read")
            return
        files = [file for file in ids if file is not None]
        if not self._sidecar and time.monotonic() - since < self._settle:
            self._turn.back(unit, place, since + self._settle)
            return
        begin = self._register.frames.get(names[0], 0)
        attempt = Attempt(lambda: self._open(unit), begin, self.info)
        try:
            age = time.monotonic() - since
            may_come = attempt.error and age < self._patience and None not in unit
            if may_come or [_file_id(self._root / name) for name in names] != ids:
                rest = min(max(age, _LEAST), _RETRY)
                self._turn.back(unit, place, time.monotonic() + rest)
                return
            yield from self._taken(names, files, attempt, begin, place)
        finally:
            attempt.close()
        for name, file in zip(names, files, strict=True):
            arrivals.done(name, file.state)

    def _taken(
        self,
        names: Sequence[str],
        files: Sequence[FileId],
        attempt: Attempt,
        begin: int,
        place: Place,
    ) -> Iterator[Item]:
        """Yield the frames of files that are whole, or will never be."""
        register = self._register
        known = names[0] in register.frames
        if known and (len(attempt) <= begin or (attempt.error and not begin)):
            if begin:
                yield from self._say_once(
                    names[0], "was written again; it is taken once"
                )
            return
        files = [files[0]._replace(content=attempt.content), *files[1:]]
        before = None if known or len(names) > 1 else register.name_of(files[0])
        if before is not None:
            begin = register.frames[before]
            yield from self._say_once(names[0], "was taken under another name")
            if begin >= len(attempt):
                # what is owed for it, it is under the name it was taken by
                register.frames[names[0]] = begin
                if self._mover is not None:
                    yield from self._mover.renamed(before, names[0], files[0].state)
                return
            attempt.skip(begin)  # killed between two of its frames, and renamed
        told = self._told_of(names, files, late=self._turn.gone(place))
        good = 0
        for page, made in attempt.frames():
            pages = {"page": page, "pages": len(attempt)} if len(attempt) > 1 else {}
            metadata = {**told, **pages, **attempt.metadata(page)}
            when = attempt.time(page) or max(file.written for file in files) / 10**9
            index, self._index = self._index, self._index + 1
            if isinstance(made, str):
                yield Unreadable(index, made, when, metadata)
            else:
                good += 1
                frame = Frame(made, index, when, metadata)
                del made  # the only reference: nobody has to copy it
                yield frame
                del frame
        given = len(attempt) - begin
        for name, file in zip(names, files, strict=True):
            register.take(name, len(attempt) if good or given > 1 else 0, file)
            if self._mover is not None and (good or given > 1):
                self._mover.given(name, given, file.state)

    def _told_of(
        self, names: Sequence[str], files: Sequence[FileId], *, late: bool
    ) -> dict[str, Any]:
        """Return what is told of every frame of some files."""
        told: dict[str, Any] = {"file": names[0]}
        if self._planes is not None:
            told = {"files": list(names)}
        told |= self._names.fields(names[0])
        if late:
            told["late"] = True
        return {**told, "file_id": " ".join(map(str, files))}

    def _open(self, unit: Unit) -> ImageFiles:
        """Open the files of a frame."""
        if self._planes is not None:
            stack = self._planes.stack(self._root, unit)
            paths: Sequence[Path] = stack.paths
        else:
            stack, paths = None, [self._root / name for name in unit if name]
        return ImageFiles(paths, stack, color=self._color, channel=self._channel)

    def _watched(self, polling: bool) -> Arrivals:
        """Return the folder, watched from now on."""
        excluded = None
        if self._move_to is not None and self._root in self._move_to.parents:
            excluded = self._move_to.relative_to(self._root).as_posix()
        return Arrivals(
            self._root,
            self._names.accept,
            settle=self._settle,
            sidecar=self._sidecar,
            recursive=self._recursive,
            excluded=excluded,
            polling=polling,
            stopping=self._stopping,
        )


def _file_id(path: Path) -> FileId | None:
    """Return what tells a file from others; None where it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileId(found.st_ino, found.st_size, found.st_mtime_ns)


def _target(given: str, root: Path) -> Path:
    """Return the real place of the folder that files are moved into."""
    path = Path(os.path.realpath(Path(given).expanduser()))
    if path == root:
        raise ConfigError(f"move_to: {given} is the folder that is watched")
    if path.exists() and not path.is_dir():
        raise SourceError(f"move_to: {given} is a file; give a folder")
    return path


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a wait before the run has begun."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, signal.default_int_handler) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
