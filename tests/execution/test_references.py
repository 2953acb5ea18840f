"""Medians of the past, reference frames and drift: the same in every way to run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types

import streamproc as sp
from streamproc.errors import ConfigError
from streamproc.runs import start_replay
from tests.arrays import (
    Array,
    Arrays,
    errors,
    noise,
    run_one,
    simulated,
    wait_for,
    whole,
)
from tests.same_run import assert_same_run
from tests.workers import TWO

#: Pixels per frame, down and to the left.
SPEED = (0.65, -0.4)


def drifting(n: int = 24, size: int = 96) -> Array:
    """Return a movie of one scene that drifts, a little noise on it."""
    rng = np.random.default_rng(3)
    scene = ndimage.gaussian_filter(rng.random((size + 64,) * 2), 1)
    scene = 4000 * (scene - scene.min()) / np.ptp(scene)
    frames = [
        ndimage.shift(scene, [t * v for v in SPEED])[32:-32, 32:-32]
        + rng.normal(0, 20, (size, size))
        for t in range(n)
    ]
    return np.stack(frames).clip(0).astype(np.uint16)


def drift(n: int) -> Array:
    """Return what lays each frame over the first one."""
    return np.asarray(-np.arange(n)[:, None] * np.array(SPEED))


def steps(raw: sp.Image) -> dict[str, sp.Handle]:
    """Return drift, found against the first frame and from frame to frame."""
    first, previous = raw.reference(), raw.reference("previous")
    given: Any = {"upsample_factor": 20, "normalization": None}
    far = raw.phase_cross_correlation(first, **given)
    near = raw.phase_cross_correlation(previous, **given)
    total = near.running_sum()
    return {
        "far": far,
        "near": near,
        "total": total,
        "fixed": raw.drift_correct(first, normalization=None),
        "summed": raw.apply_shift(total, order=1, mode="nearest"),
    }


def everything(raw: sp.Image) -> dict[str, sp.Handle]:
    """Return all that depends on other frames."""
    flat = raw.background("median", window=7, every=4)
    bleached = raw.bleach_correction(raw.reference())
    return {**steps(raw), "flat": flat, "bleached": bleached}


@pytest.mark.parametrize("in_order", [False, True])
def test_drift_is_found_and_undone(
    tmp_path: Path, executor: str, in_order: bool
) -> None:
    movie = drifting()
    raw = sp.open(Arrays(movie, in_order=in_order))
    sp.run(steps(raw), tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    expected = drift(len(movie))
    # each step is off by up to 1/40 px, and from frame to frame they add up
    for name, error in (("far", 0.06), ("total", 0.7)):
        found = result.tables[name][["dy", "dx"]].to_numpy()
        assert np.abs(found - expected).max() < error, name

    def apart(frames: Array) -> float:
        inside = frames[:, 24:-24, 24:-24].astype(float)
        return float(np.abs(inside - inside[0]).mean(axis=(1, 2)).max())

    for name, share in (("fixed", 0.13), ("summed", 0.35)):
        assert apart(whole(result.images[name])) < share * apart(movie), name


@pytest.mark.parametrize("frame", ["first", "previous"])
@pytest.mark.parametrize("axes", ["yx", "cyx", "zyx"])
def test_references_are_those_of_the_whole_stack(
    tmp_path: Path, executor: str, frame: Any, axes: str
) -> None:
    stack = noise(20, {"yx": (8, 12), "cyx": (2, 8, 8), "zyx": (3, 8, 8)}[axes])
    expected = sp.ops.reference(stack, frame=frame)
    for in_order in (False, True):
        source = sp.open(Arrays(stack, axes, in_order=in_order))
        to = tmp_path / f"run-{in_order}"
        result = run_one(source.reference(frame), to, executor=executor)
        found = whole(result.images["x"])
        assert found.dtype == stack.dtype
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("in_order", [False, True])
def test_frames_that_cannot_be_read_are_passed_over(
    tmp_path: Path, executor: str, in_order: bool
) -> None:
    stack = noise(30)
    lost = frozenset({0, 1, 9, *range(14, 24)})
    for frame in ("first", "previous"):
        source = Arrays(stack, unreadable=lost, in_order=in_order)
        handle = sp.open(source).reference(frame)
        result = run_one(handle, tmp_path / frame, executor=executor)
        found, frames = whole(result.images["x"]), result.frames
        for n in range(30):
            place = 2 if frame == "first" else before(n, lost)
            if n in lost:
                assert frames.state[n] == "failed"
            elif place is None:
                assert "reference of block 24: none of the frames" in frames.error[n]
            else:
                assert np.array_equal(found[n], stack[place]), (frame, n)


def before(n: int, lost: frozenset[int]) -> int | None:
    """Return the frame that a frame is compared with."""
    near = [k for k in range(max(0, n - 8), n) if k not in lost]
    return near[-1] if near else n if n < 8 else None


def test_median_background_of_the_whole_stack(tmp_path: Path, executor: str) -> None:
    stack = noise(50, (2, 8, 8))
    for window, every in ((5, 3), (12, 7), (3, 9)):
        expected = sp.ops.background(stack, method="median", window=window, every=every)
        raw = sp.open(Arrays(stack, "cyx", in_order=window == 5))
        flat = raw.background("median", window=window, every=every)
        result = run_one(flat, tmp_path / str(window), executor=executor)
        assert whole(result.images["x"]).tobytes() == expected.tobytes()


def test_a_median_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    raw = sp.open(Arrays(noise(5, (200, 200))))
    flat = raw.background("median", window=50, every=25)
    with pytest.raises(
        ConfigError, match=r"background needs 6 MB of frames in memory \(a median takes"
    ):
        sp.run([flat], tmp_path / "run", limits={"memory": "8MB"})


def test_they_act_on_the_source(tmp_path: Path) -> None:
    smooth = sp.open(Arrays(noise(5))).gaussian()
    with pytest.raises(ConfigError, match="a reference frame acts on 'source', got 'g"):
        smooth.reference()


def test_a_preview_tells_the_reference() -> None:
    stack = noise(12)
    taken: dict[Any, int] = {"first": 0, "previous": 4}
    for frame, number in taken.items():
        seen = sp.open(Arrays(stack)).reference(frame).preview(5)
        assert f"frame {number}, " in str(seen)
        assert np.array_equal(seen.values["reference"], stack[number])


def test_a_shift_of_channels_is_measured_in_one(tmp_path: Path) -> None:
    raw = sp.open(Arrays(np.stack([drifting()] * 2, axis=1), "cyx"))
    found = raw.phase_cross_correlation(raw.reference())
    sp.run({"x": raw.apply_shift(found)}, tmp_path / "each")
    (said,) = errors(sp.load(tmp_path / "each"))[:1]
    assert "for each of dy, dx, got {'dy_c0': " in said
    one = raw.channel(0).phase_cross_correlation(raw.reference().channel(0))
    sp.run({"x": raw.apply_shift(one, order=1)}, tmp_path / "run")
    moved = whole(sp.load(tmp_path / "run").images["x"])
    assert np.array_equal(moved[:, 0], moved[:, 1])


def test_dask_gives_what_inline_gives(tmp_path: Path) -> None:
    for name, executor in (("inline", "inline"), ("dask", TWO)):
        raw = sp.open(
            {"simulation": {"frames": 30, "shape": [64, 64], "seed": 2, "fps": None}}
        )
        sp.run(everything(raw), tmp_path / name, executor=executor)
    assert_same_run(tmp_path / "inline", tmp_path / "dask")


@pytest.mark.parametrize("live", [True, False])
def test_resumed_anywhere(tmp_path: Path, executor: str, live: bool) -> None:
    for name in ("whole", "broken"):
        raw = simulated(120, live=live)
        saved = {"source": raw, **everything(raw)}
        run = sp.start(saved, tmp_path / name, executor=executor)
        for stop in (5, 30, 77) if name == "broken" else ():
            wait_for(run, stop)
            run.stop()
            run.wait()
            resumed = sp.resume(tmp_path / name, wait=False)
            assert isinstance(resumed, sp.Run)
            run = resumed
        assert run.wait().frames.done == 120
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_live_equals_replay(tmp_path: Path, executor: str) -> None:
    raw = simulated(60, live=True)
    saved = {"source": raw, **everything(raw)}
    sp.run(saved, tmp_path / "live", executor=executor)
    again = start_replay(tmp_path / "live", tmp_path / "replay", executor=executor)
    assert again.wait().frames.done == 60
    assert_same_run(tmp_path / "live", tmp_path / "replay")


def test_the_first_frames_of_a_log_that_is_not_kept_stay_while_needed(
    tmp_path: Path, executor: str
) -> None:
    raw = simulated(90, live=True)
    options: dict[str, Any] = {
        "log": {"keep_raw": False},
        "store": {"layout": "files", "durability": "process"},
        "executor": executor,
    }
    run = sp.start({"first": raw.reference()}, tmp_path / "run", **options)
    folder = tmp_path / "run/images.ome.zarr/source/0"
    for stop in (20, 50):
        wait_for(run, stop)
        run.stop()
        run.wait()
        # of those that are kept the first ones, then what is pending
        kept = sorted(int(p.name.split(".")[1]) for p in folder.glob("c.*"))
        assert kept[:8] == list(range(8))
        assert len(kept) < 8 or kept[8:] == [] or kept[8] > 8
        resumed = sp.resume(tmp_path / "run", wait=False)
        assert isinstance(resumed, sp.Run)
        run = resumed
    assert run.wait().frames.done == 90
    first = whole(sp.load(tmp_path / "run").images["first"])
    assert (first == first[0]).all()
