"""What live sources share, on a scripted link: losses, rates, parts, reconnects."""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamproc.sources import _live
from streamproc.sources._live import (
    Disconnected,
    Ended,
    Link,
    LiveSource,
    Picture,
    Roi,
    Spoiled,
)

import streamproc as sp
from streamproc.testing import SourceContract

Item = sp.Frame | sp.Unreadable | sp.Gap | sp.Notice
#: What a link gives, in order: counters, or what it raises.
Script = Sequence[int | Spoiled | sp.Notice | Exception | None]


class Scripted:
    """A link that gives pictures of given counters, each with the counter as value."""

    def __init__(self, script: Script) -> None:
        self._script = iter(script)
        self._buffer = np.zeros((4, 6), np.uint16)
        self.is_closed = False

    def take(self, timeout: float) -> Picture | Spoiled | sp.Notice | None:
        """Give the next one; nothing more comes after the last."""
        act = next(self._script, None)
        if isinstance(act, Exception):
            raise act
        if act is None or isinstance(act, Spoiled | sp.Notice):
            return act
        self._buffer[...] = act % 65536
        return Picture(self._buffer, act, float(act), {"counter": act})

    def close(self) -> None:
        """Be closed."""
        self.is_closed = True


class Device(LiveSource):  # type: ignore[misc]  # its types are the wheel's
    """A device whose connections follow scripts, one after another."""

    def __init__(
        self,
        *scripts: Script,
        max_fps: float | None = None,
        every_nth: int = 1,
        roi: Roi | None = None,
        stall_timeout: float | None = None,
    ) -> None:
        super().__init__(
            max_fps=max_fps, every_nth=every_nth, roi=roi, stall_timeout=stall_timeout
        )
        self._scripts = list(scripts)
        self.links: list[Scripted] = []
        self.info = sp.SourceInfo(
            shape=self.cut_shape((4, 6)),
            dtype=np.dtype("uint16"),
            axes="yx",
            identity="device",
            live=True,
        )

    def _connect(self) -> Link:
        if not self._scripts:
            raise sp.SourceError("no device")
        self.links.append(Scripted(self._scripts.pop(0)))
        return self.links[-1]


class TestContract(SourceContract):
    """The engine can rely on it."""

    def make(self, folder: Path) -> Device:
        """Return a device of 40 pictures, of which some are lost."""
        script = [*range(10), *range(12, 20), Disconnected("gone")]
        return Device(script, [*range(3), Ended()], roi=(1, 2, 2, 3))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again soon."""
    monkeypatch.setattr(_live, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(_live, "LONGEST_WAIT", 0.002)


def told(items: Iterator[Item]) -> list[int | str | tuple[int, int]]:
    """Return indices of frames, bounds of gaps and kinds of notices."""
    found: list[int | str | tuple[int, int]] = []
    for item in items:
        if isinstance(item, sp.Gap):
            found.append((item.first_source_index, item.last_source_index))
        elif isinstance(item, sp.Notice):
            found.append(item.kind)
        else:
            found.append(item.source_index)
    return found


def test_what_the_counter_leaves_out_is_lost() -> None:
    device = Device([7, 8, 11, 12, Ended()])
    items = list(device.frames())
    assert told(iter(items)) == [7, 8, (9, 10), 11, 12]
    pixels = [i.pixels for i in items if isinstance(i, sp.Frame)]
    assert [int(p[0, 0]) for p in pixels] == [7, 8, 11, 12]  # not the link's buffer


def test_one_of_so_many() -> None:
    device = Device([*range(5), *range(10, 17), 19, 20, 21, Ended()], every_nth=3)
    # 6 and 9 would have been kept, and 18
    assert told(device.frames()) == [0, 1, (2, 3), 4, 5, (6, 6), 7]


@given(
    st.sets(st.integers(0, 60), min_size=1),
    st.integers(1, 5),
    st.integers(0, 1000),
)
def test_kept_and_lost_are_all_there_are(
    lost: set[int], every_nth: int, first: int
) -> None:
    came = [first + n for n in range(62) if n not in lost]
    device = Device([*came, Ended()], every_nth=every_nth)
    items = list(device.frames())
    kept = [i.source_index for i in items if isinstance(i, sp.Frame)]
    assert kept == [n // every_nth for n in came if n % every_nth == 0]
    gone = [i for i in items if isinstance(i, sp.Gap)]
    missing = [
        n
        for gap in gone
        for n in range(gap.first_source_index, gap.last_source_index + 1)
    ]
    # what was lost before the first picture nobody knows of
    expected = {first + n for n in lost if first + n > min(came)}
    assert missing == sorted(n // every_nth for n in expected if n % every_nth == 0)


def test_a_device_that_goes_and_counts_on() -> None:
    device = Device([0, 1, Disconnected("it was unplugged")], [5, 6, Ended()])
    items = list(device.frames())
    assert told(iter(items)) == [0, 1, "disconnect", "reconnect", (2, 4), 5, 6]
    assert all(link.is_closed for link in device.links)
    gap = next(i for i in items if isinstance(i, sp.Gap))
    assert gap.reason.startswith("no connection for ")


def test_a_device_that_goes_and_begins_anew() -> None:
    device = Device([0, 1, Disconnected("unplugged")], [0, 1, 3, Ended()])
    items = list(device.frames())
    assert told(iter(items)) == [
        0, 1, "disconnect", "reconnect", (2, 1), 2, 3, (4, 4), 5,
    ]  # fmt: skip
    unknown = next(i for i in items if isinstance(i, sp.Gap))
    assert (unknown.count, "unknown" in unknown.reason) == (0, True)


def test_a_device_that_was_started_again_within_one_link() -> None:
    device = Device([5, 6, 0, 1, Ended()])
    assert told(device.frames()) == [5, 6, (7, 6), 7, 8]


class Started(Device):
    """A device that counts only while we are connected."""

    counts_on = False


def test_a_device_that_is_started_and_stopped_with_us() -> None:
    device = Started([5, 6, Disconnected("unplugged")], [7, 9, Ended()])
    items = list(device.frames())
    # 7 follows 6 by its own count, whatever it has not seen in between
    assert told(iter(items)) == [
        5, 6, "disconnect", "reconnect", (7, 6), 7, (8, 8), 9,
    ]  # fmt: skip
    assert told(Started([300, 301, Ended()]).frames(7)) == [(7, 6), 7, 8]


def test_a_link_that_gives_nothing_is_made_anew() -> None:
    device = Device([0, 1], [2, Ended()], stall_timeout=0.001)
    assert told(device.frames()) == [0, 1, "stall", "reconnect", 2]


def test_a_link_that_is_made_anew_by_itself_says_why_pictures_are_missing() -> None:
    gone = sp.Notice("disconnect", "the sender is gone")
    back = sp.Notice("reconnect", "no connection for 5.0 s")
    items = list(Device([0, 1, gone, back, 4, gone, back, 5, 0, Ended()]).frames())
    assert told(iter(items)) == [
        0, 1, "disconnect", "reconnect", (2, 3), 4, "disconnect", "reconnect", 5,
        (6, 5), 6,
    ]  # fmt: skip
    reasons = [i.reason for i in items if isinstance(i, sp.Gap)]
    assert reasons[0] == "no connection for 5.0 s"
    assert reasons[1].startswith("the device was started again")


def test_who_is_slow_to_take_frames_is_no_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(_live.time, "monotonic", lambda: now)
    device = Device([0, 1, 2, Ended()], stall_timeout=5.0)
    seen = []
    for item in device.frames():
        seen.append(item)
        now += 60.0
    assert told(iter(seen)) == [0, 1, 2]


def test_spoiled_pictures_are_lost() -> None:
    torn = Spoiled("3 packets are missing", counter=1, place="network")
    device = Device([0, torn, Spoiled("no header"), 3, Ended()])
    items = list(device.frames())
    assert told(iter(items)) == [0, (1, 1), (2, 2), 3]
    gap = next(i for i in items if isinstance(i, sp.Gap))
    assert (gap.reason, gap.place) == ("3 packets are missing", "network")


def test_frames_after_a_restart_of_the_run() -> None:
    # it counted on: the engine, which knows the log, tells what is missing
    assert told(Device([9, 10, Ended()]).frames(7)) == [9, 10]
    assert told(Device([0, 1, Ended()]).frames(7)) == [(7, 6), 7, 8]
    items = list(Device([0, Ended()]).frames(7))
    assert isinstance(items[0], sp.Gap)
    assert (items[0].place, "the run was not on" in items[0].reason) == (
        "restart",
        True,
    )


def test_a_rate_leaves_out_and_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.01
        return now

    device = Device([*range(100), *range(150, 200), Ended()], max_fps=10.0)
    monkeypatch.setattr(_live.time, "monotonic", clock)
    items = list(device.frames())
    kept = [i for i in items if isinstance(i, sp.Frame)]
    counters = [int(i.metadata["counter"]) for i in kept]
    steps = {b - a for a, b in pairwise(counters) if b - a < 40}
    assert min(steps) >= 2  # the clock ticks three times a picture
    assert sum(i.count for i in items if isinstance(i, sp.Gap)) == 50
    indices = [n for i in items for n in _indices(i)]
    assert indices == list(range(len(kept) + 50))


def _indices(item: Item) -> range:
    if isinstance(item, sp.Gap):
        return range(item.first_source_index, item.last_source_index + 1)
    assert isinstance(item, sp.Frame)
    return range(item.source_index, item.source_index + 1)


def test_a_part_beyond_the_picture_is_refused() -> None:
    with pytest.raises(sp.ConfigError, match=r"\[0, 4, 4, 3\] .* beyond .* 4 x 6"):
        Device(roi=(0, 4, 4, 3))


def test_what_it_says_and_misses_is_in_the_ledger(tmp_path: Path) -> None:
    device = Device(
        [0, 1, Disconnected("it was unplugged")], [4, 5], stall_timeout=None
    )
    run = sp.start(
        {"mask": sp.open(device).threshold("fixed", value=1.0)},
        tmp_path / "run",
        frames=4,
    )
    report = run.wait(60)
    assert (report.frames.done, report.frames.lost) == (4, 2)
    events = sp.load(run.path).events
    said = events[events["level"] == "warning"]
    assert list(said["kind"]) == ["disconnect", "reconnect"]
    assert next(iter(said["message"])) == "it was unplugged"


def test_stop_is_heard_while_nothing_can_be_reached() -> None:
    device = Device([0, Disconnected("gone")])
    frames = device.frames()
    assert told(islice(frames, 2)) == [0, "disconnect"]
    device.stop()
    assert list(frames) == []
