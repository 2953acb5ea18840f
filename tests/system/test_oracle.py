"""The main job against the plain loop of scipy and scikit-image, frame by frame."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.measure import regionprops_table
from streamproc.sources.simulation import Simulation

import streamproc as sp
from tests import oracles
from tests.same_run import assert_same_run

FRAMES = 16
PROPERTIES = [
    "area",
    "bbox",
    "centroid",
    "mean_intensity",
    "min_intensity",
    "max_intensity",
    "std_intensity",
    "equivalent_diameter",
    "eccentricity",
    "major_axis_length",
    "minor_axis_length",
    "orientation",
    "perimeter",
]
#: our name of a property: scikit-image's
ORACLE = {
    "mean_intensity": "intensity_mean",
    "min_intensity": "intensity_min",
    "max_intensity": "intensity_max",
    "std_intensity": "intensity_std",
    "equivalent_diameter": "equivalent_diameter_area",
    "major_axis_length": "axis_major_length",
    "minor_axis_length": "axis_minor_length",
}
COLUMNS = {
    "centroid-0": "centroid_y",
    "centroid-1": "centroid_x",
    "bbox-0": "bbox_y0",
    "bbox-1": "bbox_x0",
    "bbox-2": "bbox_y1",
    "bbox-3": "bbox_x1",
    **{new: old for old, new in ORACLE.items()},
}


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multi-page TIFF of 1024 × 1024 uint16."""
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    simulation = Simulation(FRAMES, shape=(1024, 1024), seed=3, live=False)
    with tifffile.TiffWriter(path) as writer:
        for frame in simulation.frames():
            assert isinstance(frame, sp.Frame)
            writer.write(frame.pixels, contiguous=True)
    return path


def run(movie: Path, to: Path, executor: str) -> sp.Results:
    """Run the main job."""
    raw = sp.open(movie)
    flat = raw.background(window=8, every=4)
    smooth = flat.gaussian(sigma=2)
    labels = smooth.threshold("otsu").binary_opening(radius=2).label()
    report = sp.run(
        {
            "source": raw,
            "flat": flat,
            "smooth": smooth,
            "nuclei": labels,
            "cells": labels.measure(raw, properties=PROPERTIES),
        },
        to=to,
        executor=executor,
        limits={"disk_reserve": "100MB"},
    )
    assert report.frames.done == FRAMES
    return sp.load(to)


def test_main_job_equals_the_plain_loop(movie: Path, tmp_path: Path) -> None:
    result = run(movie, tmp_path / "inline", "inline")
    run(movie, tmp_path / "threads", "threads")
    assert_same_run(tmp_path / "inline", tmp_path / "threads")

    frames = tifffile.imread(movie)
    table = result.tables["cells"].set_index("frame")
    for n in range(FRAMES):
        block = n // 4 * 4
        window = frames[max(0, block - 8) : block] if block else frames[:4]
        flat = (frames[n] - window.mean(axis=0, dtype=np.float64)).astype(np.float32)
        assert np.array_equal(result.images["flat"][n], flat)
        smooth = np.asarray(result.images["smooth"][n])
        error = np.abs(smooth - oracles.gaussian(flat, sigma=2)).max()
        assert error <= 1e-5 * np.abs(flat).max()
        mask = oracles.threshold(smooth, method="otsu")
        labels = oracles.label(oracles.binary_opening(mask, radius=2))
        assert np.array_equal(result.labels["nuclei"][n], labels)
        expected = regionprops_table(  # type: ignore[no-untyped-call]  # scikit-image
            labels.astype(np.int64),
            frames[n],
            properties=["label", *(ORACLE.get(p, p) for p in PROPERTIES)],
        )
        mine = table.loc[[n]]
        assert len(mine) == labels.max()
        for name, values in expected.items():
            got = mine[COLUMNS.get(name, name)].to_numpy()
            if values.dtype.kind in "iu":
                assert np.array_equal(got, values), name
            else:
                np.testing.assert_allclose(got, values, rtol=1e-5, atol=1e-9)
