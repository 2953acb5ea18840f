"""Windowed operators in a run: the same as on the whole stack, in every way to run."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import streamproc as sp
from tests.arrays import Array, Arrays, errors, noise, simulated, wait_for, whole

SHAPES = {"yx": (8, 12), "cyx": (2, 8, 8), "zyx": (3, 8, 8)}


def flat(
    to: Path, source: Arrays, window: int, every: int, executor: str, **more: Any
) -> Array:
    raw = sp.open(source).background(window=window, every=every)
    sp.run({"x": raw}, to, executor=executor, **more)
    result = sp.load(to)
    return np.asarray(whole(result.images["x"]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_equal_to_the_whole_stack(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    axes = data.draw(st.sampled_from(list(SHAPES)))
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "float32", "int16"]))
    n, window = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20))
    every = data.draw(st.integers(1, 20))
    stack = noise(n, SHAPES[axes], dtype)
    expected = sp.ops.background(stack, window=window, every=every)
    for executor in ("inline", "threads"):
        for in_order in (False, True):
            to = tmp_path_factory.mktemp("runs") / "run"
            source = Arrays(stack, axes, in_order=in_order)
            found = flat(to, source, window, every, executor)
            assert found.tobytes() == expected.tobytes()


def test_little_memory_changes_nothing(tmp_path: Path, executor: str) -> None:
    """Frames are read again where the window does not fit."""
    stack = noise(60, (64, 64))
    expected = sp.ops.background(stack, window=10, every=5)
    found = flat(
        tmp_path / "r", Arrays(stack), 10, 5, executor, limits={"memory": "20KB"}
    )
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("in_order", [False, True])
def test_unreadable_frames_are_left_out(
    tmp_path: Path, executor: str, in_order: bool
) -> None:
    stack = noise(30)
    lost = frozenset({0, 7, 12, 13})
    source = Arrays(stack, unreadable=lost, in_order=in_order)
    found = flat(tmp_path / "run", source, window=6, every=5, executor=executor)
    for n in range(30):
        block = n // 5
        past = range(5) if not block else range(max(0, block * 5 - 6), block * 5)
        mean = np.mean([stack[i] for i in past if i not in lost], axis=0)
        expected = np.zeros_like(found[0]) if n in lost else stack[n] - mean
        assert np.allclose(found[n], expected, atol=1e-4)
    assert errors(sp.load(tmp_path / "run")) == [
        f"frame {n} is scratched" for n in sorted(lost)
    ]


def test_a_block_without_a_readable_frame_fails(tmp_path: Path, executor: str) -> None:
    source = Arrays(noise(12), unreadable=frozenset(range(3)))
    raw = sp.open(source).background(window=3, every=3)
    report = sp.run({"x": raw}, tmp_path / "run", executor=executor)
    assert (report.frames.done, report.frames.failed) == (6, 6)
    frames = sp.load(tmp_path / "run").frames
    assert "background of block 1" in frames.error[3]
    assert frames.state[6:].tolist() == ["done"] * 6


def test_two_windows_of_different_lengths(tmp_path: Path, executor: str) -> None:
    stack = noise(50)
    raw = sp.open(Arrays(stack))
    one, two = raw.background(window=5, every=10), raw.background(window=30, every=4)
    late = one.map(lambda a, b: a - b, two)
    saved = {"one": one, "two": two, "late": late}
    sp.run(saved, tmp_path / "run", executor=executor)
    images = sp.load(tmp_path / "run").images
    first = sp.ops.background(stack, window=5, every=10)
    second = sp.ops.background(stack, window=30, every=4)
    assert np.array_equal(whole(images["one"]), first)
    assert np.array_equal(whole(images["two"]), second)
    assert np.array_equal(whole(images["late"]), first - second)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(("window", "every"), [(7, 5), (3, 16), (40, 1)])
def test_resume_anywhere(
    tmp_path: Path, executor: str, live: bool, window: int, every: int
) -> None:
    raw = simulated(160, live=live)
    run = sp.start(
        {"source": raw, "x": raw.background(window=window, every=every)},
        tmp_path / "run",
        executor=executor,
    )
    for stop in (9, 40, 97):
        wait_for(run, stop)
        run.stop()
        run.wait()
        resumed = sp.resume(tmp_path / "run", wait=False)
        assert isinstance(resumed, sp.Run)
        run = resumed
    assert run.wait().frames.done == 160
    result = sp.load(tmp_path / "run")
    stack = whole(result.images["source"])
    expected = sp.ops.background(stack, window=window, every=every)
    assert whole(result.images["x"]).tobytes() == expected.tobytes()
    assert result.frames.source_index.tolist() == list(range(160))


def test_a_changed_shape_in_a_window_ends_the_run(
    tmp_path: Path, executor: str
) -> None:
    source = Arrays(noise(60), breaks_at=45)
    raw = sp.open(source).background(window=5, every=20)
    with pytest.raises(sp.SourceError, match="the cable was pulled at frame 45"):
        sp.run({"x": raw}, tmp_path / "run", executor=executor)
    frames = sp.load(tmp_path / "run").frames
    assert frames.state.tolist() == ["done"] * 45


def test_the_background_is_in_the_ledger(tmp_path: Path) -> None:
    found = []
    for executor in ("inline", "threads"):
        raw = sp.open(Arrays(noise(12))).background(window=3, every=4)
        sp.run([raw], tmp_path / executor, executor=executor)
        db = sqlite3.connect(tmp_path / executor / "run.sqlite")
        sql = "SELECT message FROM events WHERE kind='background' ORDER BY message"
        found.append(db.execute(sql).fetchall())
        db.close()
    assert found[0] == found[1]
    assert [m[0][: len("background block 0")] for m in found[0]] == [
        f"background block {n}" for n in range(3)
    ]
