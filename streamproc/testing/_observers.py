"""What the engine relies on in every observer of committed frames."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import ClassVar

from ..errors import FrameError
from ..folder import RunFolder, connect_readonly
from ..frame import Array, Frame, SourceInfo
from ..graph import open_source
from ..observers import Committed, Observer
from ..runs import run
from ._frames import frames

#: The frame that fails, the one without an object, and what marks the first.
_FAILED, _EMPTY, _MARK = 4, 7, 60_000


class ObserverContract:
    """Tests of an observer; inherit it and define `make` and `read`.

    They hand it the committed frames of a real run that saved the table ``cells``:
    some frames have many rows, some none, and one failed.
    """

    def make(self) -> Observer:
        """Return an observer as YAML would make it, of the table ``cells``."""
        raise NotImplementedError(f"{type(self).__name__} needs a method make()")

    def read(self, path: Path) -> object:
        """Return what it left of the run at ``path``, comparable by ``==``."""
        raise NotImplementedError(f"{type(self).__name__} needs a method read(path)")

    def test_it_has_the_methods(self) -> None:
        """It follows the protocol and touches nothing before it is opened."""
        observer = self.make()
        assert isinstance(observer, Observer), "it lacks a method of Observer"
        tables = getattr(observer, "tables", None)
        assert tables is None or not isinstance(tables, str), "tables is a tuple"
        assert (type(observer).__doc__ or "").strip(), "the class has no docstring"

    def test_batches_make_no_difference(self, tmp_path: Path) -> None:
        """One by one or all at once: the same is left."""
        left = []
        for number, size in enumerate((1, 3, 100)):
            made = _Run(tmp_path / str(number))
            self._session(made, size)
            left.append(self.read(made.path))
        assert left[0], "read(path) returns nothing of a run with many rows"
        assert left[1:] == left[:-1]

    def test_what_was_taken_is_there_before_the_end(self, tmp_path: Path) -> None:
        """After `flush` nothing waits for `close`."""
        made = _Run(tmp_path / "a")
        observer = self._begin(made)
        observer.take(made.frames)
        observer.flush()
        before = self.read(made.path)
        observer.close()
        assert self.read(made.path) == before

    def test_it_goes_on_after_a_crash(self, tmp_path: Path) -> None:
        """Killed at any frame, then handed over again: as if nothing had happened."""
        whole = _Run(tmp_path / "whole")
        self._session(whole, 4)
        for stop in (0, 1, 5, len(whole.frames)):
            made = _Run(tmp_path / f"broken-{stop}")
            killed = self._begin(made)
            killed.take(made.frames[:stop])
            self._session(made, 3)
            same = self.read(made.path) == self.read(whole.path)
            killed.close()  # only now: what it still held must not count
            assert same, f"killed at frame {stop}, the next session left something else"

    def test_a_frame_counts_once(self, tmp_path: Path) -> None:
        """All frames again, in this session or in the next, change nothing."""
        made = _Run(tmp_path / "a")
        observer = self._begin(made)
        observer.take(made.frames[:5])
        observer.take(made.frames[2:])
        observer.flush()
        observer.close()
        left = self.read(made.path)
        again = self.make()
        again.open(made.path, made.units)
        again.take(made.frames)
        again.flush()
        again.close()
        assert self.read(made.path) == left

    def test_a_run_may_leave_nothing_to_take(self, tmp_path: Path) -> None:
        """No frame, no table, closed at once, closed twice: no error."""
        made = _Run(tmp_path / "a")
        for tables in (made.units, None):
            observer = self.make()
            observer.open(made.path, tables)
            observer.take([])
            observer.flush()
            observer.close()
            observer.close()
        self.make().close()

    def test_it_changes_nothing_it_is_given(self, tmp_path: Path) -> None:
        """Other observers get the same frames; the ledger is the engine's."""
        made = _Run(tmp_path / "a")
        before = deepcopy((made.frames, made.units))
        ledger = (made.path / "run.sqlite").read_bytes()
        self._session(made, 4)
        assert (made.frames, made.units) == before
        assert (made.path / "run.sqlite").read_bytes() == ledger

    def _begin(self, made: "_Run") -> Observer:
        observer = self.make()
        observer.open(made.path, made.units)
        return observer

    def _session(self, made: "_Run", size: int) -> None:
        """Hand over what it does not have, in batches, to the end."""
        observer = self._begin(made)
        position = getattr(observer, "position", None)
        first = position() if position is not None else 0
        assert 0 <= first <= len(made.frames), "position() is a frame"
        for begin in range(first, len(made.frames), size):
            observer.take(made.frames[begin : begin + size])
        observer.flush()
        observer.close()


class _Run:
    """A run of twelve frames, and what an observer is given of it."""

    def __init__(self, path: Path) -> None:
        raw = open_source(_Stack())
        labels = raw.map(_refuse_marked, name="seen").threshold("otsu").label()
        run({"cells": labels.measure(raw)}, path, executor="inline")
        self.path = path
        with closing(connect_readonly(RunFolder(path).ledger)) as db:
            db.row_factory = sqlite3.Row
            columns = db.execute("SELECT * FROM columns WHERE \"table\" = 'cells'")
            units = {row["column"]: row["unit"] for row in columns}
            rows = db.execute("SELECT * FROM cells ORDER BY frame, label").fetchall()
            found = db.execute(
                "SELECT frame, time, state, error, source_index FROM frames "
                "ORDER BY frame"
            ).fetchall()
        self.units: Mapping[str, Mapping[str, str]] = {"cells": units}
        self.frames = []
        for frame in found:
            mine = [dict(row) for row in rows if row["frame"] == frame["frame"]]
            tables = {"cells": mine} if mine else {}
            number, when, state, error, index = frame
            self.frames.append(Committed(number, when, state, error, tables, index))
        assert {frame.state for frame in self.frames} == {"done", "failed"}
        assert not self.frames[_EMPTY].tables


class _Stack:
    """A recording in memory: one frame fails, one has no objects."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._pixels = frames(12, shape=(96, 96))
        self._pixels[_EMPTY] = 0
        self._pixels[_FAILED, 0, 0] = _MARK
        self.info = SourceInfo(
            shape=(96, 96),
            dtype=self._pixels.dtype,
            axes="yx",
            identity="contract",
            frames=12,
            random_access=True,
        )

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return map(self.read, range(start, 12))

    def read(self, index: int) -> Frame:
        return Frame(self._pixels[index].copy(), index, 100.0 + index)

    def stop(self) -> None:
        return

    def close(self) -> None:
        return


def _refuse_marked(image: Array) -> Array:
    if image[0, 0] == _MARK:
        raise FrameError("this one is to fail")
    return image
