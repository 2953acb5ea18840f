"""Where pixels lie: what steps do to shapes, pixel sizes and places, as written."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import streamproc as sp
from streamproc.errors import ConfigError
from streamproc.export import export
from streamproc.grid import Grid
from streamproc.inspection import view_run
from streamproc.job import take_handles
from streamproc.plan import make_plan
from tests.arrays import Array, Arrays, noise

UM = {"z": 2.0, "y": 0.5, "x": 0.25}


def opened(shape: tuple[int, ...] = (40, 60), axes: str = "yx", um: bool = True) -> Any:
    source = Arrays(noise(2, shape), axes)
    if um:
        sizes = {a: UM[a] for a in axes if a != "c"}
        source.info = replace(source.info, pixel_size_um=sizes)
    return sp.open(source)


def grid_of(handle: sp.Handle) -> Grid:
    graph, saved, wanted = take_handles({"x": handle})
    (output,) = make_plan(graph, saved, wanted).outputs
    assert output.grid is not None
    return output.grid


def scaled(run: Path, image: str, level: int = 0) -> tuple[list[float], list[float]]:
    """Scale and translation of a level, as written, t left out."""
    group = json.loads((run / "images.ome.zarr" / image / "zarr.json").read_text())
    (multiscale,) = group["attributes"]["ome"]["multiscales"]
    steps = multiscale["datasets"][level]["coordinateTransformations"]
    scale = steps[0]["scale"][1:]
    return scale, steps[1]["translation"][1:] if len(steps) > 1 else [0.0] * len(scale)


def test_a_run_writes_sizes_and_places(tmp_path: Path) -> None:
    raw = opened((600, 800))
    part = raw.crop((100, 200), shape=(300, 400))
    small = part.binning(2)
    labels = part.threshold("fixed", value=100).label()
    to = tmp_path / "run"
    sp.run(
        {
            "part": part,
            "small": small,
            "labels": labels,
            "half": labels.resize(scale=0.5),
        },
        to,
    )
    assert scaled(to, "part") == ([0.5, 0.25], [50.0, 50.0])
    assert scaled(to, "part", 1) == ([1.0, 0.5], [50.25, 50.125])
    assert scaled(to, "small") == ([1.0, 0.5], [50.25, 50.125])
    assert scaled(to, "source/labels/labels") == ([0.5, 0.25], [50.0, 50.0])
    assert scaled(to, "source/labels/half") == ([1.0, 0.5], [50.25, 50.125])
    result = sp.load(to)
    shape = (2, 150, 200)
    small_array = zarr.open_array(to / "images.ome.zarr" / "small" / "0")
    assert small_array.shape == shape
    known = {0, *np.unique(np.asarray(result.labels["labels"]))}
    assert set(np.unique(np.asarray(result.labels["half"]))) <= known


def test_unknown_sizes_are_counted_in_pixels_of_the_source(tmp_path: Path) -> None:
    raw = opened(um=False)
    sp.run({"small": raw.binning(4)}, tmp_path / "run")
    assert scaled(tmp_path / "run", "small") == ([4.0, 4.0], [1.5, 1.5])
    path = tmp_path / "run" / "images.ome.zarr" / "small"
    assert sp.open(path).graph.source.info.pixel_size_um == {}


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_what_is_binned_is_opened_with_its_size(tmp_path: Path, executor: str) -> None:
    raw = opened()
    sp.run(
        {"source": raw, "small": raw.binning((1, 2))},
        tmp_path / "run",
        executor=executor,
    )
    path = tmp_path / "run" / "images.ome.zarr" / "small"
    assert sp.open(path).graph.source.info.pixel_size_um == {"y": 0.5, "x": 0.5}


@pytest.mark.parametrize(
    ("axes", "shape", "change", "after", "sizes", "origin"),
    [
        ("yx", (40, 60), ("flip", {}), (40, 60), (0.5, 0.25), (0, 0)),
        ("yx", (40, 60), ("rot90", {}), (60, 40), (0.25, 0.5), (0, 0)),
        ("yx", (40, 60), ("rot90", {"k": 2}), (40, 60), (0.5, 0.25), (0, 0)),
        ("yx", (40, 60), ("shift", {"shift": 3}), (40, 60), (0.5, 0.25), (0, 0)),
        ("yx", (40, 60), ("crop", {"start": (4, 8)}), (36, 52), (0.5, 0.25), (2, 2)),
        (
            "yx",
            (40, 60),
            ("binning", {"factor": 3}),
            (13, 20),
            (1.5, 0.75),
            (0.5, 0.25),
        ),
        (
            "yx",
            (40, 60),
            ("resize", {"shape": (80, 30)}),
            (80, 30),
            (0.25, 0.5),
            (-0.125, 0.125),
        ),
        (
            "yx",
            (40, 60),
            ("rotate", {"angle": 90.0, "resize": True}),
            (60, 40),
            (0.25, 0.5),
            (0, 0),
        ),
        (
            "yx",
            (40, 60),
            ("affine", {"matrix": ((2, 0), (0, 3))}),
            (40, 60),
            (1, 0.75),
            (0, 0),
        ),
        (
            "yx",
            (40, 60),
            ("warp_polar", {"radius": 20, "output_shape": (90, 10)}),
            (90, 10),
            (1, 0.5),
            (0, 0),
        ),
        (
            "zyx",
            (8, 40, 60),
            ("crop", {"start": (4, 8)}),
            (8, 36, 52),
            (2, 0.5, 0.25),
            (0, 2, 2),
        ),
        (
            "zyx",
            (8, 40, 60),
            ("binning", {"factor": 2}),
            (4, 20, 30),
            (4, 1, 0.5),
            (1, 0.25, 0.125),
        ),
        ("zyx", (8, 40, 60), ("project", {}), (40, 60), (0.5, 0.25), (0, 0)),
        ("zyx", (8, 40, 60), ("project", {"axis": "y"}), (8, 60), (2, 0.25), (0, 0)),
        ("zyx", (8, 40, 60), ("project", {"axis": "x"}), (8, 40), (2, 0.5), (0, 0)),
        (
            "zyx",
            (8, 40, 60),
            ("reslice_radial", {"angles": 9, "radius": 20}),
            (9, 8, 20),
            (1, 2, 0.25),
            (0, 0, 0),
        ),
        (
            "cyx",
            (2, 40, 60),
            ("binning", {"factor": 2}),
            (2, 20, 30),
            (1, 0.5),
            (0.25, 0.125),
        ),
    ],
)
def test_steps_tell_what_they_give(
    axes: str,
    shape: tuple[int, ...],
    change: tuple[str, dict[str, Any]],
    after: tuple[int, ...],
    sizes: tuple[float, ...],
    origin: tuple[float, ...],
) -> None:
    raw = opened(shape, axes)
    handle = raw.apply(change[0], **change[1])
    grid = grid_of(handle)
    assert grid.shape == after
    assert tuple(grid.size[a] for a in grid.spatial) == pytest.approx(sizes)
    assert tuple(grid.origin[a] for a in grid.spatial) == pytest.approx(origin)
    seen = handle.preview().values[change[0]]
    assert seen.shape == after


def test_angles_have_no_size() -> None:
    assert grid_of(opened().warp_polar()).known == {"x"}
    assert grid_of(opened().warp_polar(scaling="log")).known == set()
    assert grid_of(opened((8, 40, 60), "zyx").reslice_radial()).known == {"y", "x"}


def test_turned_pixels_are_as_long_as_their_steps() -> None:
    grid = grid_of(opened().rotate(30.0))
    wide = math.hypot(0.5 * math.cos(math.pi / 6), 0.25 * math.sin(math.pi / 6))
    assert grid.size["y"] == pytest.approx(wide)


@pytest.mark.parametrize(
    ("operator", "given", "said"),
    [
        (
            "crop",
            {"start": (0, 61)},
            r"crop: crop: start \(0, 61\) and shape None reach",
        ),
        (
            "binning",
            {"factor": 41},
            r"binning: binning: blocks of \(41, 41\) are larger",
        ),
        ("reslice_radial", {}, "reslice_radial needs a z axis, got axes 'yx'"),
    ],
)
def test_what_does_not_fit_the_source_is_refused_before_the_first_frame(
    operator: str, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        grid_of(opened().apply(operator, **given))


def test_behind_a_function_frames_tell(tmp_path: Path) -> None:
    doubled = opened().map(_doubled).crop((0, 70), name="part")
    sp.run({"part": doubled}, tmp_path / "run", executor="inline")
    assert np.asarray(sp.load(tmp_path / "run").images["part"]).shape == (2, 80, 50)


def _doubled(image: Array) -> Array:
    return np.tile(image, (2, 2))


@pytest.mark.parametrize(
    "operator", ["rotate", "resize", "affine", "shift", "warp_polar"]
)
def test_labels_and_masks_are_not_interpolated(operator: str) -> None:
    mask = opened().threshold("otsu", name="mask")
    labels = mask.label(name="labels")
    for handle in (mask, labels):
        step = handle.apply(operator).step
        assert (step.kind, step.parameters["order"]) == (handle.kind, 0)
        with pytest.raises(
            ConfigError, match=f"{operator}.order: .* cannot be interpol"
        ):
            handle.apply(operator, order=1)
    assert opened().apply(operator).step.parameters["order"] is None


def test_what_moves_the_pixels_stays_while_a_run_is_on(tmp_path: Path) -> None:
    raw = opened()
    part = raw.crop((2, 3), shape=(8, 9))
    run = sp.start({"part": part}, tmp_path / "run", executor="inline")
    with pytest.raises(
        ConfigError, match="would change where the pixels of 'part' lie"
    ):
        run.set("crop", "start", [4, 4])
    run.wait()


def test_labels_are_drawn_on_what_shows_the_same(tmp_path: Path) -> None:
    raw = opened((64, 80))
    part = raw.crop((10, 20), shape=(32, 40))
    labels = part.threshold("fixed", value=100).label()
    small = raw.binning(2)
    saved = {"source": raw, "small": small, "part": part, "labels": labels}
    whole = small.threshold("fixed", value=100)
    sp.run({**saved, "whole": whole}, tmp_path / "run", executor="inline")
    view = view_run(tmp_path / "run")
    np.testing.assert_array_equal(
        view.image, sp.load(tmp_path / "run").images["part"][0]
    )
    assert view.pixel_size_um == {"y": 0.5, "x": 0.25}
    assert view_run(tmp_path / "run", labels="whole").image.shape == (64, 80)
    sp.run({"labels": labels}, tmp_path / "alone", executor="inline")
    assert not view_run(tmp_path / "alone").image.any()
    with pytest.raises(ConfigError, match="'labels' shows another part of the sample"):
        export(tmp_path / "run", "overlay", tmp_path / "x.png", labels=["labels"])
    png = tmp_path / "y.png"
    export(tmp_path / "run", "overlay", png, images=["part"], labels=["labels"])
    assert png.exists()
