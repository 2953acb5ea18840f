"""Flat and dark pictures from files, and bleaching."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

import streamproc as sp
from streamproc import ops
from streamproc.errors import ConfigError, FrameError
from streamproc.runs import resume
from tests.arrays import Array, Arrays, errors, noise, run_one, whole
from tests.ops.pictures import smooth
from tests.workers import TWO


def written(folder: Path, shape: tuple[int, int] = (32, 32)) -> tuple[str, str]:
    """Write three flat pictures and a dark one; return their paths."""
    flats = np.stack([smooth(shape, "uint16", n) for n in range(3)]) + 500
    tifffile.imwrite(folder / "flat.tif", flats, photometric="minisblack")
    cv2.imwrite(str(folder / "dark.png"), smooth(shape, "uint8") // 8)
    return str(folder / "flat.tif"), str(folder / "dark.png")


def gray(path: str) -> Array:
    """Read a picture as it is."""
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def corrected(image: Array, flat: str, dark: str) -> Array:
    """The formula, in float64."""
    below = gray(dark).astype(float)
    light = tifffile.imread(flat).astype(float).mean(axis=0) - below
    gain = light.mean() / light
    return np.asarray((image - below) * gain, np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", ">u2", "int64"])
@pytest.mark.parametrize("shape", [(32, 32), (3, 32, 32)])
def test_flat_field_is_its_formula(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    flat, dark = written(tmp_path)
    image = smooth(shape, np.dtype(dtype).name).astype(dtype)
    found = ops.flat_field(image, flat=flat, dark=dark)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, corrected(image, flat, dark))
    below = gray(dark)
    np.testing.assert_array_equal(
        ops.flat_field(image, dark=dark), image.astype(np.float32) - below
    )


def test_even_light_stays_even(tmp_path: Path) -> None:
    flat, dark = written(tmp_path)
    light = tifffile.imread(flat).mean(axis=0)
    found = ops.flat_field(light, flat=flat, dark=dark)
    np.testing.assert_allclose(found, found.mean(), rtol=1e-5)


def test_no_light_is_not_a_number(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "flat.tif", np.array([[0, 2], [2, 4]], np.uint8))
    found = ops.flat_field(np.full((2, 2), 4), flat=str(tmp_path / "flat.tif"))
    np.testing.assert_array_equal(found, [[np.nan, 4], [4, 2]])


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    image = np.zeros((4, 4))
    missing = str(tmp_path / "gone.tif")
    with pytest.raises(ConfigError, match=r"cannot use '.*gone.tif': "):
        ops.flat_field(image, flat=missing)
    colour = tmp_path / "colour.tif"
    tifffile.imwrite(colour, np.zeros((2, 5, 6), np.uint8), metadata={"axes": "CYX"})
    with pytest.raises(ConfigError, match="it has axes 'cyx'; give a file of gray pic"):
        ops.flat_field(image, flat=str(colour))
    flat, dark = written(tmp_path)
    with pytest.raises(FrameError, match=r"images of shape \(4, 4\) do not fit"):
        ops.flat_field(image, flat=flat)
    with pytest.raises(ConfigError, match=r"its pictures have changed .* was 123\);"):
        ops.flat_field(image, flat=flat, digest="123")
    cv2.imwrite(dark, np.zeros((5, 5), np.uint8))
    with pytest.raises(ConfigError, match=r"flat and dark differ in shape: \(32, 32"):
        ops.flat_field(image, flat=flat, dark=dark)


@pytest.mark.parametrize("executor", ["inline", "threads", TWO])
def test_in_a_run(tmp_path: Path, executor: Any, monkeypatch: Any) -> None:
    flat, dark = written(tmp_path)
    monkeypatch.chdir(tmp_path)
    stack = noise(12)
    raw = sp.open(Arrays(stack)).flat_field("flat.tif", dark="dark.png")
    found = whole(run_one(raw, tmp_path / "run", executor=executor).images["x"])
    np.testing.assert_array_equal(found, corrected(stack, flat, dark))


def test_pictures_of_another_shape_are_refused_before_the_run(tmp_path: Path) -> None:
    flat, _ = written(tmp_path)
    raw = sp.open(Arrays(noise(3, (8, 9)))).flat_field(flat)
    with pytest.raises(ConfigError, match=r"flat_field: images of shape \(8, 9\) do"):
        sp.run({"x": raw}, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    half = sp.open(Arrays(noise(3, (8, 9)))).map(np.transpose).flat_field(flat)
    result = run_one(half, tmp_path / "run")
    assert "images of shape (9, 8) do not fit" in errors(result)[0]


def test_changed_pictures_are_no_way_to_go_on(tmp_path: Path) -> None:
    flat, _ = written(tmp_path)
    tifffile.imwrite(tmp_path / "movie.tif", noise(30), photometric="minisblack")
    raw = sp.open(str(tmp_path / "movie.tif")).flat_field(flat)
    run = sp.start({"x": raw}, tmp_path / "run", executor="inline")
    run.stop()
    run.wait()
    before = Path(flat).read_bytes()
    tifffile.imwrite(flat, np.full((32, 32), 9, np.uint8))
    with pytest.raises(ConfigError, match="flat_field: its pictures have changed"):
        resume(tmp_path / "run")
    Path(flat).write_bytes(before)
    resume(tmp_path / "run")
    found = whole(sp.load(tmp_path / "run").images["x"])
    light = tifffile.imread(flat).astype(float).mean(axis=0)
    expected = noise(30) * (light.mean() / light)
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_a_changed_picture_is_read_again_by_a_new_run(tmp_path: Path) -> None:
    for level in (2, 4):
        lamp = np.full((32, 32), 4, np.uint8)
        lamp[:16] = level
        tifffile.imwrite(tmp_path / "flat.tif", lamp)
        raw = sp.open(Arrays(noise(3))).flat_field(str(tmp_path / "flat.tif"))
        found = whole(run_one(raw, tmp_path / f"run-{level}").images["x"])
        gain = lamp.mean() / lamp
        np.testing.assert_array_equal(found, (noise(3) * gain).astype(np.float32))


@pytest.mark.parametrize("method", ["ratio", "histogram"])
def test_bleaching_is_undone(method: Any) -> None:
    reference = smooth((40, 50), "float32")
    found = ops.bleach_correction(reference * 0.25, reference, method=method)
    np.testing.assert_allclose(found, reference, rtol=1e-5)


def test_the_background_does_not_bleach() -> None:
    reference = smooth((40, 50), "float64") + 100
    late = (reference - 100) / 2 + 100
    found = ops.bleach_correction(late, reference, background=100)
    mean = reference.mean()
    gain = (mean - 100) / (late.mean() - 100)
    np.testing.assert_array_equal(found, (late * gain).astype(np.float32))


def test_what_cannot_be_corrected_is_refused() -> None:
    image = smooth((5, 6), "float32")
    with pytest.raises(FrameError, match="mean of the image less the background is"):
        ops.bleach_correction(image, image, background=5000)
    holed = image.copy()
    holed[2, 2] = np.nan
    with pytest.raises(FrameError, match="it must be > 0"):
        ops.bleach_correction(holed, image)
    with pytest.raises(FrameError, match="image holds NaN, which has no place among"):
        ops.bleach_correction(holed, image, method="histogram")
    with pytest.raises(FrameError, match="reference holds NaN, which has no place am"):
        ops.bleach_correction(image, holed, method="histogram")
    with pytest.raises(ConfigError, match="background must be >= 0"):
        ops.bleach_correction(image, image, background=-1)
