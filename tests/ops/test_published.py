"""Results on published images, through the doors that users take."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from scipy import spatial  # type: ignore[import-untyped]  # scipy ships no types
from skimage import feature as _feature

import streamproc as sp
from tests.arrays import whole
from tests.ops.pictures import Array, shared

#: scikit-image has no types yet.
feature: Any = _feature

COLLOIDS = 80


def dice(ours: Array, theirs: Array) -> float:
    """Twice the common foreground over the sum of both."""
    mine, other = ours > 0, theirs > 0
    return float(2 * (mine & other).sum() / (mine.sum() + other.sum()))


def objects(labels: Array) -> int:
    """The number of labels."""
    return len(np.unique(labels[labels > 0]))


def figures(pairs: Iterable[tuple[Array, Array]]) -> tuple[float, float]:
    """Mean Dice, and the mean of how far the counts are apart."""
    scores = [(dice(a, b), abs(objects(a) - objects(b))) for a, b in pairs]
    return float(np.mean([s for s, _ in scores])), float(
        np.mean([c for _, c in scores])
    )


def test_nuclei_of_bbbc038(repository: Path, tmp_path: Path) -> None:
    folder = shared("bbbc038_a")
    written = repository / "examples" / "pipelines" / "touching_nuclei.yaml"
    text = written.read_text(encoding="utf-8")
    assert "path: nuclei.tif" in text
    images = json.dumps((folder / "*_img.png").as_posix())
    pipeline = tmp_path / "nuclei.yaml"
    pipeline.write_text(text.replace("nuclei.tif", images), encoding="utf-8")
    command = [sys.executable, "-m", "streamproc", "run", str(pipeline)]
    command += ["--to", str(tmp_path / "RUN")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    pairs = []
    for truth in sorted(folder.glob("*_lab.tif")):
        name = truth.name.replace("_lab.tif", "_img")
        nuclei = whole(sp.load(tmp_path / "RUN" / name).labels["nuclei"])
        pairs.append((nuclei.reshape(nuclei.shape[-2:]), tifffile.imread(truth)))
    assert len(pairs) == 24
    overlap, error = figures(pairs)
    assert overlap >= 0.92
    assert error <= 3.4
    with sqlite3.connect(tmp_path / "RUN" / "index.sqlite") as index:
        (rows,) = index.execute("SELECT count(*) FROM cells").fetchone()
    index.close()
    assert rows == sum(objects(nuclei) for nuclei, _ in pairs)


def test_cells_of_another_tool(tmp_path: Path) -> None:
    to = tmp_path / "RUN"
    folder = shared("cancer_migration")
    raw = sp.open(str(folder / "cancer_cell_migration_crop.tif"))
    sp.run({"cells": raw.voronoi_otsu(spot_sigma=5.0, outline_sigma=2.0)}, to)
    name = "cancer_cell_migration_voronoi_otsu_labeling_crop.tif"
    peers = tifffile.imread(folder / name)
    ours = whole(sp.load(to).labels["cells"])
    overlap, error = figures(zip(ours, peers, strict=True))
    assert overlap >= 0.93
    assert error <= 1.54


def test_spots_of_the_deep_field(tmp_path: Path) -> None:
    to = tmp_path / "RUN"
    path = shared("hubble/hubble_deep_field.png")
    sizes: Mapping[str, Any] = {"max_sigma": 30.0, "num_sigma": 10, "threshold": 0.1}
    sp.run({"spots": sp.open(str(path)).blob_log(**sizes)}, to)
    spots = sp.load(to).tables["spots"]
    image = np.asarray(Image.open(path).convert("L"))
    expected = feature.blob_log(image, **sizes)
    assert abs(len(spots) - len(expected)) <= 0.02 * len(expected)
    assert len(spots) > 1000


def test_colloids_of_trackpy(tmp_path: Path) -> None:
    to = tmp_path / "RUN"
    folder = shared("bulk_water_a")
    raw = sp.open({"files": {"path": str(folder / "*.png"), "channel": 1}})
    found = raw.locate(diameter=11, minmass=20.0, invert=True)
    sp.run({"colloids": found}, to)
    table = sp.load(to).tables["colloids"]
    features = np.load(folder / "trackpy_oracle.npz")["features"]
    ours = table[["frame", "y", "x"]].to_numpy()
    assert len(np.unique(ours[:, 0])) == COLLOIDS
    assert near(features[:, :3], ours) >= 0.95, "recall"
    assert near(ours, features[:, :3]) >= 0.95, "precision"


def near(points: Array, others: Array) -> float:
    """The share of points with another one within a pixel in the same frame."""
    hits = 0
    for frame in np.unique(points[:, 0]):
        tree = spatial.cKDTree(others[others[:, 0] == frame, 1:])
        away, _ = tree.query(points[points[:, 0] == frame, 1:])
        hits += int((away <= 1).sum())
    return hits / len(points)
