"""What the page is told is what the ledger has."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from streamproc.dashboards.chunks import Chunks
from streamproc.dashboards.feed import SERIES, Feed
from streamproc.dashboards.picture import COLOURS, HEADER, Pictures
from streamproc.dashboards.prometheus import exposition

import streamproc as sp
from streamproc.folder import RunFolder
from tests import cameras


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A live run with gaps, failures and objects."""
    raw = sp.open(cameras.Lossy())
    labels = raw.gaussian(sigma=1).threshold().label()
    save = {"source": raw, "spots": labels, "cells": labels.measure(raw)}
    return sp.run(save, tmp_path / "run").path


def test_counts_are_those_of_status(run: Path) -> None:
    feed = Feed(RunFolder(run))
    told, status = feed.told(), sp.load(run).status()
    for name in ("state", "admitted", "done", "failed", "skipped", "lost", "pending"):
        assert told[name] == status[name], name
    assert feed.told()["done"] == status["done"]  # nothing is counted twice
    feed.close()


def test_series_are_the_summary(run: Path) -> None:
    feed = Feed(RunFolder(run))
    rows = feed.series(0, 600)
    done = sp.load(run).frames
    assert rows
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert (
        sum(row[SERIES.index("failed")] for row in rows)
        == (done["state"] == "failed").sum()
    )
    newest = feed.newest()
    assert newest == done[done["state"] == "done"]["frame"].max()
    cells = sp.load(run).table("cells", newest)
    assert feed.areas(newest) == list(cells["area"])
    assert feed.parameters()["gaussian.sigma"] == 1
    feed.close()


def test_what_is_raised_and_not_cleared_is_told(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 2, "shape": [32, 32], "live": False}})
    path = tmp_path / "run"
    feed = Feed(RunFolder(sp.run({"mask": raw.threshold()}, path).path))
    assert feed.alerts() == []
    with closing(sqlite3.connect(path / "run.sqlite")) as db:

        def event(level: str, message: str) -> None:
            values = (5.0, 7, level, "alert", message)
            db.execute("INSERT INTO events VALUES (?,?,?,?,?)", values)
            db.commit()

        event("warning", "stalled: no frame for 9 s")
        event("warning", "failed: 3: three")
        found = [(alert["rule"], alert["text"]) for alert in feed.alerts()]
        assert found == [("failed", "3: three"), ("stalled", "no frame for 9 s")]
        event("info", "stalled: cleared")
        assert [alert["rule"] for alert in feed.alerts()] == ["failed"]
        assert [alert["rule"] for alert in feed.alerts()] == ["failed"]
    feed.close()


def test_a_picture_is_the_frame_and_its_objects(run: Path) -> None:
    results = sp.load(run)
    picture = Pictures(RunFolder(run)).read(7)
    assert picture is not None
    labels = np.asarray(results.labels["spots"][7])
    np.testing.assert_array_equal(picture.labels > 0, labels > 0)
    assert picture.labels.max() <= COLOURS
    pixels = np.asarray(results.images["source"][7], float)
    order = np.argsort(pixels.ravel(), kind="stable")
    shown = picture.gray.ravel()[order].astype(int)
    assert (np.diff(shown) >= 0).all()  # brighter is never darker
    assert (shown[0], shown[-1]) == (0, 255)
    message = picture.message(12.5)
    _, frame, width, height, jpeg, runs, when, _, _ = HEADER.unpack_from(message)
    assert (frame, width, height, when) == (7, 32, 32, 12_500.0)
    lengths = np.frombuffer(message, "<u2", runs, HEADER.size + jpeg)
    colours = np.frombuffer(message, np.uint8, runs, HEADER.size + jpeg + 2 * runs)
    assert len(message) == HEADER.size + jpeg + 3 * runs
    unpacked = np.repeat(colours, lengths).reshape(labels.shape)
    np.testing.assert_array_equal(unpacked > 0, labels > 0)
    # an object has one colour
    for label in np.unique(labels):
        assert len(np.unique(unpacked[labels == label])) == 1, label


@pytest.mark.parametrize("store", [{}, {"labels": "blosc-lz4", "images": "zstd"}])
@pytest.mark.parametrize("layout", ["shards", "files"])
def test_chunks_are_read_as_zarr_reads_them(
    tmp_path: Path, store: dict[str, str], layout: str
) -> None:
    raw = sp.open({"simulation": {"frames": 4, "shape": [60, 90], "live": True}})
    save = {"source": raw, "nuclei": raw.gaussian(sigma=1).threshold().label()}
    path = sp.run(save, tmp_path / "run", store={**store, "layout": layout}).path
    results, chunks = sp.load(path), Chunks(RunFolder(path))
    for name in ("source", "labels/nuclei"):
        array = (
            results.images["source"] if name == "source" else results.labels["nuclei"]
        )
        where = "source/0" if name == "source" else f"source/{name}/0"
        for frame in range(4):
            found = chunks.read(where, array, frame)
            assert found is not None
            np.testing.assert_array_equal(found, np.asarray(array[frame]))
        assert chunks.read(where, array, 4) is None
    chunks.close()


def test_large_frames_come_from_a_level_that_fits(tmp_path: Path) -> None:
    form = {"simulation": {"frames": 1, "shape": [1100, 2100], "live": False}}
    raw = sp.open(form)
    mask = raw.threshold()
    saved = sp.run({"source": raw, "mask": mask}, tmp_path / "saved").path
    without = sp.run({"mask": mask}, tmp_path / "without").path
    picture = Pictures(RunFolder(saved)).read(0)
    assert picture is not None
    assert (picture.gray.shape, picture.scale) == ((275, 525), 4.0)
    # a recording that was not saved is read again
    again = Pictures(RunFolder(without)).read(0)
    assert again is not None
    assert again.gray.any()


def test_a_camera_is_not_opened_a_second_time(tmp_path: Path) -> None:
    form = {"simulation": {"frames": 3, "shape": [32, 32], "live": True}}
    raw = sp.open(form)
    save = {"cells": raw.threshold().label().measure()}
    run = sp.run(save, tmp_path / "run", log={"keep_raw": False}).path
    pictures = Pictures(RunFolder(run))
    assert pictures.read(0) is None
    assert pictures.reason == "this run saves no source images, and they came only once"


def test_a_folder_that_is_gone_is_said_to_be(run: Path) -> None:
    feed = Feed(RunFolder(run))
    assert feed.told()["state"] == "finished"
    shutil.rmtree(run)
    assert feed.told()["state"] == "gone"
    assert feed.told()["done"] == 58
    feed.close()


def test_prometheus_reads_the_numbers(run: Path) -> None:
    feed = Feed(RunFolder(run))
    exposition(feed)
    text = exposition(feed).decode()  # nothing is counted twice
    feed.close()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    frames = sp.load(run).frames
    status = sp.load(run).status()
    for state in ("admitted", "done", "failed", "skipped", "lost"):
        assert found["streamproc_frames_total", state] == status[state], state
    waits = frames["latency_ms"].dropna()
    assert found["streamproc_latency_seconds_count",] == len(waits)
    assert found["streamproc_latency_seconds_sum",] == pytest.approx(waits.sum() / 1e3)
    assert found["streamproc_latency_seconds_bucket", "0.25"] == (waits <= 250).sum()
    assert found["streamproc_running",] == 0
    assert found["streamproc_written_bytes_total",] > 0


def test_a_long_run_keeps_its_peaks_and_its_length(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "run.sqlite")
    columns = "seconds, done, failed, skipped, bytes, " + ", ".join(SERIES[:8])
    db.execute(f"CREATE TABLE summary({columns})")
    rng = np.random.default_rng(1)
    for seconds, number in ((1, 20_000), (10, 2000), (60, 334)):
        objects = rng.integers(0, 50, number)
        lines = [
            (seconds, 1, 20, 0, 1, n * seconds, int(objects[n]), 7.0, 9.0, 1, 2, 3, 10)
            for n in range(number)
        ]
        marks = ", ".join("?" * 13)
        db.executemany(f"INSERT INTO summary VALUES ({marks})", lines)
        if seconds == 10:
            expected = objects
    db.commit()
    db.close()
    feed = Feed(RunFolder(tmp_path))
    rows = np.array(feed.series(-1, 600))
    feed.close()
    assert len(rows) <= 600
    time, objects, area = rows[:, 0], rows[:, 1], rows[:, 2]
    # of 20,000 s those of 10 s, from the first to the last
    assert (time[0], time[-1]) == (0, 19_990)
    assert (np.diff(time) > 0).all()
    # two rows stand for seven
    for start in range(0, 2000, 70):
        part = expected[start : start + 70]
        near = objects[(time >= 10 * start) & (time < 10 * (start + 70))]
        assert (near.max(), near.min()) == (part.max(), part.min())
    # without an object there is no area; what was lost in 10 s is told per second
    assert set(area[objects > 0]) == {7.0}
    assert set(rows[:, SERIES.index("failed")]) == {2.0}


def test_a_run_without_measured_objects_says_no_number_of_them(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 3, "shape": [64, 64], "live": False}})
    spots = raw.locate(diameter=11)
    without = sp.run({"source": raw, "spots": spots}, tmp_path / "without").path
    nothing = raw.threshold("fixed", value=65_000).label().measure(raw)
    empty = sp.run({"cells": nothing}, tmp_path / "empty").path
    for path, objects in ((without, None), (empty, 0)):
        feed = Feed(RunFolder(path))
        told, rows = feed.told(), np.array(feed.series(0, 600))
        feed.close()
        assert (told["objects"], told["area"], told["intensity"]) == (
            objects,
            None,
            None,
        )
        number = np.nan if objects is None else objects
        np.testing.assert_array_equal(rows[:, SERIES.index("objects")], number)
        assert np.isnan(rows[:, SERIES.index("area")]).all()
