"""The raw log of a live run as a source: the same frames for any graph."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import streamproc as sp
from streamproc.plugins import make_source
from tests import cameras
from tests.arrays import simulated, wait_for, whole


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A live run with a gap and two frames that were never readable."""
    raw = sp.open(cameras.Lossy())
    sp.run({"mask": raw.threshold()}, tmp_path / "run")
    return tmp_path / "run"


def test_its_frames_are_those_of_the_camera(run: Path, tmp_path: Path) -> None:
    source = make_source({"log": str(run)})
    assert (source.info.frames, source.info.live) == (60, False)
    kinds = sp.Frame | sp.Unreadable
    items = [i for i in source.frames() if isinstance(i, kinds)]
    given = [i for i in cameras.Lossy().frames() if not isinstance(i, sp.Gap)]
    assert [i.source_index for i in items] == [i.source_index for i in given]
    assert [i.time for i in items] == [i.time for i in given]
    for item, was in zip(items, given, strict=True):
        assert type(item) is type(was)
        if isinstance(item, sp.Frame) and isinstance(was, sp.Frame):
            assert np.array_equal(item.pixels, was.pixels)
            assert item.metadata == was.metadata
    # a worker opens it itself
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.read(7).pixels, source.read(7).pixels)
    with pytest.raises(sp.FrameError, match="picture 5 is torn"):
        source.read(5)
    with pytest.raises(sp.FrameError, match="no frame 60; there are 60"):
        source.read(60)


def test_another_graph_on_the_same_frames(run: Path, tmp_path: Path) -> None:
    raw = sp.open({"log": str(run)})
    report = sp.run({"source": raw, "low": raw.gaussian(sigma=2)}, tmp_path / "new")
    assert (report.frames.done, report.frames.failed, report.frames.lost) == (58, 2, 3)
    old, new = sp.load(run), sp.load(tmp_path / "new")
    columns = ["frame", "source_index", "time", "metadata"]
    assert new.frames[columns].equals(old.frames[columns])
    assert new.gaps.equals(old.gaps)
    assert np.array_equal(whole(new.images["source"]), whole(old.images["source"]))


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    run = sp.start([simulated(None, live=True)], tmp_path / "run")
    wait_for(run, 20)
    source = make_source({"log": str(tmp_path / "run")})
    frames = source.info.frames
    assert frames is not None
    assert frames >= 20
    assert len(list(source.frames())) == frames
    run.stop()
    run.wait()


def test_where_there_is_none(tmp_path: Path) -> None:
    def refused(match: str, path: Path) -> None:
        with pytest.raises(sp.SourceError, match=match):
            make_source({"log": str(path)})

    refused(r"no run folder '.*nope'", tmp_path / "nope")
    refused(r"is no run folder", tmp_path)
    sp.run([simulated(3)], tmp_path / "recorded")
    refused(r"has no raw log: its source was a recording, or", tmp_path / "recorded")
    camera = sp.open(cameras.Lossy())
    sp.run({"m": camera.threshold()}, tmp_path / "gone", log={"keep_raw": False})
    refused(r"the raw log of .*gone was not kept", tmp_path / "gone")
