"""Workers that do not see the files that we see: they are sent the pixels."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from distributed import Client

import streamproc as sp
from tests.arrays import noise, simulated, wait_for
from tests.same_run import assert_same_run
from tests.workers import analysed, scheduler, wait_for_workers, worker

#: clusters and workers begin again and again: once, on one interpreter
pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder in which the paths of the tests lead to other files, or to none."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def numbered(n: int, seed: int = 0) -> Any:
    """Return noise whose first pixel is the frame's number."""
    frames = noise(n, (64, 64), seed=seed)
    frames[:, 0, 0] = np.arange(n)
    return frames


def test_a_late_worker_that_sees_another_file_is_sent_ours(
    tmp_path: Path, elsewhere: Path, mine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the worker that saw ours leaves."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("movie.tif", numbered(200), photometric="minisblack")
    other = numbered(200, seed=1)
    tifffile.imwrite(elsewhere / "movie.tif", other, photometric="minisblack")

    def graph() -> dict[str, sp.Handle]:
        raw = sp.open("movie.tif")
        return analysed(raw) | {"n": raw.map(mine.slow_number, kind="value")}

    with scheduler(tmp_path, workers=0) as (address, _), ExitStack() as stack:
        first = stack.enter_context(worker(address, cwd=tmp_path))
        wait_for_workers(address, 1)
        there = {"dask": {"scheduler": address}}
        run = sp.start(graph(), tmp_path / "late", executor=there)
        wait_for(run, 5)
        path = {**os.environ, "PYTHONPATH": str(tmp_path)}
        stack.enter_context(worker(address, cwd=elsewhere, env=path))
        wait_for_workers(address, 2)
        assert run.is_alive
        first.terminate()
        assert run.wait().frames.done == 200
    assert len(set(sp.load(tmp_path / "late").frames.worker)) == 2
    sp.run(graph(), tmp_path / "here", executor={"threads": {"workers": 16}})
    assert_same_run(tmp_path / "here", tmp_path / "late")


def test_workers_that_see_nothing_are_sent_everything(
    tmp_path: Path, elsewhere: Path, mine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("frames").mkdir()
    for n, frame in enumerate(numbered(40)):
        tifffile.imwrite(f"frames/{n:02d}.tif", frame, photometric="minisblack")
    for torn in (0, 17):  # a frame that nobody can read fails, as everywhere
        os.truncate(f"frames/{torn:02d}.tif", 300)

    def recording() -> dict[str, sp.Handle]:
        return analysed(sp.open("frames/*.tif"))

    def live() -> dict[str, sp.Handle]:
        return analysed(simulated(40, live=True))

    with scheduler(elsewhere) as (address, _):
        with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            seen = client.run(os.path.exists, "frames")
        assert not any(seen.values())
        there = {"dask": {"scheduler": address}}
        for make in (recording, live):
            # the log of a live source is found by a path, too: that of the run
            sp.run(make(), f"{make.__name__}-there", executor=there)
            sp.run(make(), f"{make.__name__}-here", executor="inline")
    for name in ("recording", "live"):
        assert_same_run(tmp_path / f"{name}-here", tmp_path / f"{name}-there")
    states = sp.load("recording-there").frames.state
    assert list(states[states == "failed"].index) == [0, 17]
    assert (sp.load("live-there").frames.state == "done").all()


def test_a_frame_that_only_workers_cannot_read_is_sent(
    tmp_path: Path, elsewhere: Path, mine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies that are not complete yet: the first file is there, others are not."""
    monkeypatch.chdir(tmp_path)
    for folder, ends in ((tmp_path, 40), (elsewhere, 10)):
        (folder / "frames").mkdir()
        for n, frame in enumerate(numbered(40)[:ends]):
            path = folder / "frames" / f"{n:02d}.tif"
            tifffile.imwrite(path, frame, photometric="minisblack")
    with scheduler(elsewhere) as (address, _):
        there = {"dask": {"scheduler": address}}
        report = sp.run(analysed(sp.open("frames/*.tif")), "there", executor=there)
    assert report.frames.done == 40
    sp.run(analysed(sp.open("frames/*.tif")), "here", executor="inline")
    assert_same_run(tmp_path / "here", tmp_path / "there")
