"""A branch of a graph for each channel; measures in all of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.measure import regionprops_table

import streamproc as sp
from streamproc.config import build, parse
from tests.arrays import Arrays

NAMES = ("DAPI", "GFP")


def stack(shape: tuple[int, ...] = (5, 2, 40, 50)) -> Any:
    return np.random.default_rng(0).integers(0, 4000, shape, dtype=np.uint16)


def test_each_branch_takes_its_channel(tmp_path: Path, executor: str) -> None:
    frames = stack()
    raw = sp.open(Arrays(frames, "cyx", channels=NAMES))
    nuclei = raw.channel("DAPI").threshold("otsu").label(name="nuclei")
    saved = {
        "nuclei": nuclei,
        "green": raw.channel(1).gaussian(sigma=1),
        "cells": nuclei.measure(raw, properties=["area", "mean_intensity"]),
        "own": nuclei.measure(raw.channel("GFP"), properties=["mean_intensity"]),
        "marks": raw.threshold("otsu").channel("GFP"),
        "both": raw.threshold("otsu").label().channel(0),
    }
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    for t, frame in enumerate(frames):
        mask = sp.ops.threshold(frame[0], method="otsu")
        labels = sp.ops.label(mask)
        assert np.array_equal(result.labels["nuclei"][t], labels)
        assert np.array_equal(result.labels["both"][t], labels)
        green = sp.ops.gaussian(frame[1], sigma=1)
        assert np.array_equal(result.images["green"][t], green)
        marks = sp.ops.threshold(frame[1], method="otsu")
        assert np.array_equal(result.labels["marks"][t], marks)
        expected = regionprops_table(  # type: ignore[no-untyped-call]  # skimage
            labels, np.moveaxis(frame, 0, -1), properties=["label", "mean_intensity"]
        )
        cells = result.tables["cells"].query("frame == @t")
        for c in (0, 1):
            mean = cells[f"mean_intensity_c{c}"]
            np.testing.assert_allclose(mean, expected[f"mean_intensity-{c}"], 1e-5)
        own = result.tables["own"].query("frame == @t")["mean_intensity"]
        np.testing.assert_allclose(own, expected["mean_intensity-1"], 1e-5)


def test_a_channel_of_a_volume_and_in_yaml(tmp_path: Path) -> None:
    from tifffile import imwrite

    frames = stack((3, 4, 2, 20, 24))  # TZCYX
    imwrite(tmp_path / "a.tif", frames, imagej=True, metadata={"axes": "TZCYX"})
    given = {
        "source": str(tmp_path / "a.tif"),
        "graph": {"green": {"channel": 1, "of": "source"}, "top": {"project": "max"}},
        "save": ["green", "top"],
    }
    given["graph"]["top"]["of"] = "green"  # type: ignore[index]
    graph, handles = build(parse(given, "here"))
    sp.run(handles, tmp_path / "run")
    graph.source.close()
    result = sp.load(tmp_path / "run")
    assert np.array_equal(result.images["green"][:], frames[:, :, 1])
    assert np.array_equal(result.images["top"][:], frames[:, :, 1].max(axis=1))


@pytest.mark.parametrize(
    ("axes", "channel", "message"),
    [
        ("cyx", "GPF", "channel: no channel 'GPF' in the source; it has DAPI, GFP; "),
        ("cyx", 2, "channel: no channel 2 in the source; it has 2, from 0"),
        ("cyx", -1, "channel.channel"),
        ("yx", 0, "channel: channel needs an axis c, 'source' has axes 'yx'"),
    ],
)
def test_no_such_channel(
    tmp_path: Path, axes: str, channel: int | str, message: str
) -> None:
    frames = stack() if axes == "cyx" else stack()[:, 0]
    raw = sp.open(Arrays(frames, axes, channels=NAMES if axes == "cyx" else ()))
    with pytest.raises(sp.ConfigError, match=re.escape(message)):
        sp.run([raw.channel(channel)], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_source_without_names(tmp_path: Path) -> None:
    raw = sp.open(Arrays(stack(), "cyx"))
    with pytest.raises(sp.ConfigError, match="no channel 'GFP' in the source, which n"):
        sp.run([raw.channel("GFP")], tmp_path / "run")


def test_a_plain_array_has_no_names() -> None:
    with pytest.raises(sp.ConfigError, match="give its number"):
        sp.ops.channel(stack()[0], channel="GFP")
    with pytest.raises(sp.FrameError, match="channel 2 of an image of shape"):
        sp.ops.channel(stack()[0], channel=2)
