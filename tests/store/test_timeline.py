from pathlib import Path

import numpy as np
import pytest
import zarr

from streamproc.errors import StoreError
from streamproc.store import timeline as module
from streamproc.store.platform import EMULATED, NATIVE, Platform
from streamproc.store.timeline import Timeline, read_times


@pytest.fixture(params=[NATIVE, EMULATED], ids=["native", "emulated"])
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)


def test_times_are_readable_while_written(tmp_path: Path, platform: Platform) -> None:
    line = Timeline(tmp_path / "time", platform=platform)
    for frame in range(250):
        if frame % 7:
            line.record(frame, frame / 10)
        if frame % 16 == 15:
            line.flush()
            live = zarr.open_array(tmp_path / "time", mode="r")
            assert live[frame] == frame / 10 or frame % 7 == 0
            assert np.isnan(live[frame + 1])
    line.close(250)
    times = zarr.open_array(tmp_path / "time", mode="r")[:]
    expected = np.where(np.arange(250) % 7, np.arange(250) / 10, np.nan)
    np.testing.assert_array_equal(times, expected)
    np.testing.assert_array_equal(read_times(tmp_path / "time"), expected)


def test_an_unknown_time_is_nan(tmp_path: Path) -> None:
    line = Timeline(tmp_path / "time", frames_hint=3)
    line.record(1, None)
    line.record(2, 5.0)
    line.close()
    np.testing.assert_array_equal(read_times(tmp_path / "time"), [np.nan, np.nan, 5])


def test_rebuilt_from_pairs_after_a_crash(tmp_path: Path, platform: Platform) -> None:
    line = Timeline(tmp_path / "time", platform=platform)
    for frame in range(150):
        line.record(frame, float(frame))
    line.flush()
    line.abandon()
    (tmp_path / "time" / "c.1").write_bytes(b"\0" * 13)
    (tmp_path / "time" / "c.9.new").write_bytes(b"")
    line = Timeline(tmp_path / "time", platform=platform)
    line.rebuild((frame, float(frame)) for frame in range(150))
    line.close(150)
    np.testing.assert_array_equal(read_times(tmp_path / "time"), np.arange(150.0))
    assert not list((tmp_path / "time").glob("*.new"))


def test_out_of_order_times_keep_the_others(tmp_path: Path) -> None:
    line = Timeline(tmp_path / "time", frames_hint=300)
    for frame in [5, 250, 3, 120, 4]:
        line.record(frame, float(frame))
    line.close()
    times = read_times(tmp_path / "time")
    assert np.flatnonzero(~np.isnan(times)).tolist() == [3, 4, 5, 120, 250]


def test_a_folder_of_another_array_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "time", shape=(10,), dtype="u1")
    with pytest.raises(StoreError, match="describes another array"):
        Timeline(tmp_path / "time")


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Timeline(tmp_path / "time")
    line.record(0, 1.0)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Platform, "write_at", fail)
    with pytest.raises(StoreError, match=r"cannot write .*time: No space left"):
        line.flush()
    line.abandon()
