"""Frames of several sources, joined by time or trigger number."""

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamproc.sources.align import Align

import streamproc as sp
from streamproc.testing import SourceContract

SHAPE = (3, 4)


class Stamped:
    """A camera whose frames have given times; each pixel is the frame's number."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        times: Sequence[float | None],
        *,
        counters: Sequence[int] | None = None,
        live: bool = False,
        torn: int | None = None,
        **info: Any,
    ) -> None:
        self._times, self._torn = times, torn
        self._counters = range(len(times)) if counters is None else counters
        self.stopped = False
        self.info = sp.SourceInfo(
            **{
                "shape": SHAPE,
                "dtype": np.dtype("uint16"),
                "axes": "yx",
                "identity": f"stamped:{times}",
                "frames": None if live else len(times),
                "live": live,
                **info,
            }
        )

    def frames(self, start: int = 0) -> Iterator[sp.Frame | sp.Unreadable | sp.Gap]:
        """Yield them, and what the counter leaves out."""
        before = None
        for index, when in zip(self._counters, self._times, strict=True):
            if before is not None and index > before + 1:
                yield sp.Gap(before + 1, index - 1, "the counter jumped", when)
            before = index
            if index == self._torn:
                yield sp.Unreadable(index, "torn", when)
            else:
                pixels = np.full(self.info.shape, index, self.info.dtype)
                yield sp.Frame(pixels, index, when, {"counter": index})

    def read(self, index: int) -> sp.Frame:
        """Refuse."""
        raise sp.FrameError("in sequence")

    def stop(self) -> None:
        """Remember it."""
        self.stopped = True

    def close(self) -> None:
        """Release nothing."""


class TestContract(SourceContract):
    """The engine can rely on it."""

    def make(self, folder: Path) -> Align:
        """Return two cameras, one a little behind, each with a frame of its own."""
        first = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        second = [0.01, 1.01, 2.5, 3.01, 4.01, 5.01, 6.01]
        return Align([Stamped(first), Stamped(second)], tolerance_ms=20)


def pairs(source: Align) -> tuple[list[tuple[int, ...]], list[sp.Gap]]:
    """Return which frames were joined, and what was lost."""
    joined, gaps = [], []
    for item in source.frames():
        if isinstance(item, sp.Frame):
            assert item.pixels.shape == source.info.shape
            joined.append(tuple(int(plane[0, 0]) for plane in item.pixels))
        elif isinstance(item, sp.Gap):
            gaps.append(item)
    return joined, gaps


def test_by_time() -> None:
    a = Stamped([0.0, 1.0, 2.0, 3.0, 4.0])
    b = Stamped([0.004, 1.5, 2.003, 2.996, 9.0])
    joined, gaps = pairs(Align([a, b], tolerance_ms=5))
    assert joined == [(0, 0), (2, 2), (3, 3)]
    assert [gap.count for gap in gaps] == [1, 1, 1, 1]
    assert {gap.place for gap in gaps} == {"align"}
    assert gaps[0].reason == "frame 1 of source 1 has no partner"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_every_frame_is_joined_or_lost(seen: list[tuple[bool, bool]]) -> None:
    """Two cameras, of which either may miss any moment."""
    times = [[n + 0.1 * k for n, s in enumerate(seen) if s[k]] for k in range(2)]
    source = Align([Stamped(times[0]), Stamped(times[1])], tolerance_ms=200)
    items = [i for i in source.frames() if not isinstance(i, sp.Notice)]
    joined = [i for i in items if isinstance(i, sp.Frame)]
    lost = sum(i.count for i in items if isinstance(i, sp.Gap))
    assert [i.time for i in joined] == [n for n, s in enumerate(seen) if all(s)]
    assert lost == sum(s[0] != s[1] for s in seen)
    places = [
        n
        for i in items
        for n in (
            range(i.first_source_index, i.last_source_index + 1)
            if isinstance(i, sp.Gap)
            else [i.source_index]
        )
    ]
    assert places == list(range(len(joined) + lost))


def test_by_trigger_the_index_is_the_number() -> None:
    a = Stamped([None] * 6, counters=[3, 4, 5, 7, 8, 10])
    b = Stamped([None] * 5, counters=[4, 5, 6, 8, 9])
    source = Align([a, b], by="trigger")
    items = list(source.frames())
    joined = [i.source_index for i in items if isinstance(i, sp.Frame)]
    assert joined == [4, 5, 8]
    lost = [i for i in items if isinstance(i, sp.Gap) and i.count]
    assert [(i.first_source_index, i.last_source_index) for i in lost] == [
        (6, 7),
        (9, 10),
    ]
    told = [i.reason for i in items if isinstance(i, sp.Gap) and not i.count]
    assert told == [
        "source 1 lost 6 to 6: the counter jumped",
        "source 2 lost 7 to 7: the counter jumped",
        "source 1 lost 9 to 9: the counter jumped",
    ]


def test_a_torn_frame_tears_the_joined_one() -> None:
    source = Align([Stamped([0.0, 1.0]), Stamped([0.0, 1.0], torn=1)], tolerance_ms=1)
    items = list(source.frames())
    assert isinstance(items[1], sp.Unreadable)
    assert items[1].error == "source 2: torn"


def test_metadata_are_of_all() -> None:
    source = Align([Stamped([0.0]), Stamped([0.25])], tolerance_ms=300)
    (item,) = source.frames()
    assert isinstance(item, sp.Frame)
    others = [{"source_index": 0, "time": 0.25, "counter": 0}]
    assert (item.time, item.metadata) == (0.0, {"counter": 0, "others": others})


def test_channels_of_all_in_their_order() -> None:
    colour: dict[str, Any] = {
        "shape": (2, *SHAPE),
        "axes": "cyx",
        "channels": ("GFP", "RFP"),
    }
    source = Align([Stamped([0.0], **colour), Stamped([0.0])], tolerance_ms=0)
    assert source.info.channels == ("1 GFP", "1 RFP", "2")
    assert (source.info.axes, source.info.shape) == ("cyx", (3, *SHAPE))


def test_the_other_camera_ends_with_the_first() -> None:
    endless = Stamped([], live=True)

    def frames(start: int = 0) -> Iterator[sp.Frame]:
        for n in itertools.count():
            if endless.stopped:
                return
            yield sp.Frame(np.zeros(SHAPE, np.uint16), n, float(n))

    endless.frames = frames  # type: ignore[method-assign]
    source = Align([Stamped([0.0, 1.0], live=True), endless], tolerance_ms=1)
    items = list(source.frames())
    assert [i.time for i in items if isinstance(i, sp.Frame)] == [0.0, 1.0]


def test_a_camera_that_breaks_is_told() -> None:
    broken = Stamped([0.0])

    def frames(start: int = 0) -> Iterator[sp.Frame]:
        yield sp.Frame(np.zeros(SHAPE, np.uint16), 0, 0.0)
        raise sp.SourceError("the cable is out")

    broken.frames = frames  # type: ignore[method-assign]
    with pytest.raises(sp.SourceError, match="the cable is out"):
        list(Align([Stamped([0.0, 1.0]), broken], tolerance_ms=1).frames())


@pytest.mark.parametrize(
    ("sources", "options", "says"),
    [
        ([Stamped([0.0])], {"by": "trigger"}, "align joins two sources or more"),
        ([Stamped([0.0])] * 2, {}, "needs tolerance_ms"),
        ([Stamped([0.0])] * 2, {"by": "trigger", "tolerance_ms": 1}, "takes no tol"),
        (
            [Stamped([0.0]), Stamped([0.0], shape=(3, 5))],
            {"tolerance_ms": 1},
            r"one shape and dtype; source 1 gives \(3, 4\) uint16, source 2 \(3, 5\)",
        ),
        ([Stamped([0.0]), "nothing.tif"], {"tolerance_ms": 1}, "nothing.tif"),
    ],
)
def test_what_does_not_fit_is_refused(
    sources: list[Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(sp.StreamprocError, match=says):
        Align(sources, **options)


def test_without_times_the_trigger_is_told() -> None:
    source = Align([Stamped([None]), Stamped([0.0])], tolerance_ms=1)
    with pytest.raises(sp.SourceError, match="source 1 has no time; join by trigger"):
        list(source.frames())


def test_two_live_cameras_in_one_run(tmp_path: Path) -> None:
    form = {"simulation": {"frames": 12, "shape": [32, 48], "fps": 50, "live": True}}
    raw = sp.align(sp.open(form), sp.open(form), tolerance_ms=1)
    assert raw.graph.form == {"align": {"sources": [form, form], "tolerance_ms": 1}}
    report = sp.run({"source": raw, "mask": raw.threshold()}, tmp_path / "run")
    assert (report.frames.done, report.frames.lost) == (12, 0)
    pixels = np.asarray(sp.load(report.path).images["source"])
    assert pixels.shape == (12, 2, 32, 48)
    assert (pixels[:, 0] == pixels[:, 1]).all()


def test_yaml_is_resumed_with_paths_that_hold_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", np.arange(5 * 32 * 32, dtype=np.uint16).reshape(5, 32, 32))
    raw = sp.align("a.npz", "a.npz", by="trigger")
    report = sp.run(
        {"mask": raw.threshold("fixed", value=100.0)}, tmp_path / "run", frames=2
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = sp.resume(report.path)
    assert isinstance(again, sp.Report)
    assert again.frames.done == 2
    with closing(sqlite3.connect(report.path / "run.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM gaps").fetchone() == (0,)


def test_a_step_is_no_source() -> None:
    raw = sp.open({"simulation": {"frames": 2, "shape": [32, 32]}})
    with pytest.raises(sp.ConfigError, match="takes sources, not the step 'gaussian'"):
        sp.align(raw.gaussian(), raw, tolerance_ms=1)
