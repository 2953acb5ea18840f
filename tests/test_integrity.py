"""What careless sources and functions do must cost nobody a frame in silence."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import streamproc as sp
from streamproc.errors import one_line

Made = Callable[[int], Iterator[Any]]
RESERVE = {"disk_reserve": "100MB"}


class Careless:
    """A user's source: whatever a generator yields."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, made: Made, *, live: bool) -> None:
        self._made = made
        self.info = sp.SourceInfo(
            shape=(32, 32), dtype=np.dtype("u2"), axes="yx", identity="c", live=live
        )

    def frames(self, start: int = 0) -> Iterator[Any]:
        """Yield what the generator does."""
        return self._made(start)

    def read(self, index: int) -> sp.Frame:
        """Not at random."""
        raise sp.FrameError("in sequence only")

    def stop(self) -> None:
        """Nothing to stop."""

    def close(self) -> None:
        """Nothing to close."""


def frame(i: int) -> sp.Frame:
    """Return a frame filled with its number."""
    return sp.Frame(np.full((32, 32), i, np.uint16), i, float(i))


def run(made: Made, to: Path, *, live: bool) -> sp.Report:
    """Run a source and save its frames."""
    return sp.run({"source": sp.open(Careless(made, live=live))}, to, limits=RESERVE)


def saved(to: Path) -> list[int]:
    """Return the number that each saved frame is filled with."""
    images = np.asarray(sp.load(to).images["source"][:])
    assert (images == images[:, :1, :1]).all()
    return [int(n) for n in images[:, 0, 0]]


both = pytest.mark.parametrize("live", [True, False])


@both
def test_a_source_that_yields_nothing_meant_is_an_error(
    tmp_path: Path, live: bool
) -> None:
    def made(start: int) -> Iterator[Any]:
        for i in range(start, 20):
            yield None if i == 5 else frame(i)

    with pytest.raises(sp.SourceError, match="the source gave None; it yields Frame"):
        run(made, tmp_path / "run", live=live)
    status = sp.load(tmp_path / "run").status()
    assert (status["state"], status["done"]) == ("stopped", 5)


@both
def test_a_source_may_reuse_its_buffer(tmp_path: Path, live: bool) -> None:
    def made(start: int) -> Iterator[Any]:
        buffer = np.empty((32, 32), np.uint16)
        for i in range(start, 20):
            buffer[:] = i
            yield sp.Frame(buffer, i)

    run(made, tmp_path / "run", live=live)
    assert saved(tmp_path / "run") == list(range(20))


@both
def test_numpy_numbers_and_unknown_times_are_taken(tmp_path: Path, live: bool) -> None:
    def made(start: int) -> Iterator[Any]:
        yield sp.Frame(np.zeros((32, 32), np.uint16), np.int64(0), float("nan"))  # type: ignore[arg-type]  # that is the point
        yield sp.Gap(np.int64(1), np.int64(4), "overflow")  # type: ignore[arg-type]  # too
        yield frame(5)

    report = run(made, tmp_path / "run", live=live)
    assert (report.frames.done, report.frames.lost) == (2, 4)
    assert sp.load(tmp_path / "run").status()["lost"] == 4
    verify = [sys.executable, "-m", "streamproc", "verify", str(tmp_path / "run")]
    assert subprocess.run(verify, check=False, capture_output=True).returncode == 0


def test_a_gap_that_goes_backwards_is_an_error(tmp_path: Path) -> None:
    def made(start: int) -> Iterator[Any]:
        yield sp.Gap(9, 5, "what")

    with pytest.raises(sp.SourceError, match="not more than 1 below its first"):
        run(made, tmp_path / "run", live=True)


class Wordless(Exception):  # noqa: N818  # a name of its own
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_hostile_functions_are_failed_rows(tmp_path: Path, executor: str) -> None:
    def hostile(image: NDArray[Any]) -> NDArray[Any]:
        number = image.max()
        if number == 3:
            raise Wordless
        if number == 4:
            raise ValueError("\udcff")
        if number == 5:
            image.setflags(write=True)
            image *= 0
        return image

    raw = sp.open(Careless(lambda start: map(frame, range(start, 8)), live=True))
    save = {"source": raw, "m": raw.map(hostile)}
    report = sp.run(save, tmp_path / "run", executor=executor, limits=RESERVE)
    assert (report.frames.done, report.frames.failed) == (5, 3)
    assert saved(tmp_path / "run") == list(range(8))
    errors = sp.load(tmp_path / "run").frames["error"].dropna().tolist()
    assert errors[0] == "step 'map': Wordless"
    assert errors[1] == r"step 'map': ValueError: \udcff"
    assert "cannot set WRITEABLE flag" in errors[2]


def test_an_error_without_words_has_its_name() -> None:
    assert one_line(Wordless()) == "Wordless"


def test_missing_committed_data_is_said_at_resume(tmp_path: Path) -> None:
    to = tmp_path / "run"
    raw = sp.open({"simulation": {"frames": 12, "shape": [64, 64], "live": False}})
    sp.run({"smooth": raw.gaussian()}, to, limits=RESERVE)
    (shard,) = (to / "images.ome.zarr/smooth/0").glob("c.*")
    shard.unlink()
    ended = subprocess.run(
        [sys.executable, "-m", "streamproc", "resume", str(to)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert "12 committed chunk(s) are missing" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_run_killed_before_its_ledger_is_resumed(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 9, "shape": [64, 64], "live": False}})
    sp.run({"mask": raw.threshold()}, tmp_path / "run", limits=RESERVE)
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(tmp_path / "run/pipeline.yaml", begun)
    ended = subprocess.run(
        [sys.executable, "-m", "streamproc", "resume", str(begun)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert sp.load(begun).status()["done"] == 9


@pytest.mark.skipif(sys.platform == "win32", reason="closes a POSIX stream")
def test_a_closed_stdout_does_not_turn_success_into_failure(tmp_path: Path) -> None:
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(
        "source: {simulation: {frames: 5, live: false}}\nsave: [source]\n"
        "limits: {disk_reserve: 100MB}\n"
    )
    command = f"{sys.executable} -m streamproc run {pipeline} --to {tmp_path}/run >&-"
    ended = subprocess.run(
        command, shell=True, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
