"""Sources by entry point, by suffix, and as objects."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import streamproc as sp
from streamproc.plugins import installed, load, make_source, source_form
from tests.arrays import Arrays, noise, whole


@pytest.fixture
def png(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "a.png"), noise(1)[0])
    return tmp_path / "a.png"


def test_built_ins_come_by_the_same_door() -> None:
    assert {"files", "simulation", "video"} <= set(installed("sources"))
    assert list(installed("sources")) == sorted(installed("sources"))
    assert "ome-zarr" in installed("sinks")
    assert load("sources", "files").__name__ == "Files"


def test_paths_globs_and_folders_go_to_their_source(png: Path) -> None:
    for address in (png, str(png), str(png.parent), f"{png.parent}/*.png"):
        source = make_source(address)
        assert type(source).__name__ == "Files"
        assert source.info.frames == 1
        source.close()


def test_the_full_form() -> None:
    assert source_form("a.png") == {"files": {"path": "a.png"}}
    assert source_form({"video": "clip.mp4"}) == {"video": {"path": "clip.mp4"}}
    given: dict[str, Any] = {"files": {"path": "x", "color": "rgb"}}
    assert source_form(given) == given
    assert source_form(given) is not given
    assert source_form(Arrays(noise(1))) is None


def test_an_object_is_taken_as_it_is(tmp_path: Path) -> None:
    source = Arrays(noise(5))
    raw = sp.open(source)
    assert raw.graph.source is source
    report = sp.run({"source": raw}, tmp_path / "run")
    assert report.frames.done == 5
    assert np.array_equal(whole(sp.load(report.path).images["source"]), source.stack)
    assert source.closed == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "source: needs a path, a mapping or a Source object, got 3"),
        ({}, "source: needs one source name with its parameters, got nothing"),
        (
            {"files": {}, "video": {}},
            "one source name with its parameters, got files, v",
        ),
        ({"fils": {}}, "source: no source named 'fils'; did you mean 'files'?"),
        (
            {"files": {"pth": "a"}},
            "source.files.pth: source 'files' has no parameter 'pt",
        ),
        ({"files": {}}, "source.files.path: source 'files' needs 'path'"),
        ("nowhere/movie.xyz", "source: no such file: 'nowhere/movie.xyz'"),
        (__file__, r"source: unknown format '.py'; known: .*\.avi.*"),
    ],
)
def test_refusals(given: Any, message: str) -> None:
    with pytest.raises(sp.StreamprocError, match=message):
        sp.open(given)


def test_an_object_that_lacks_a_method_is_no_source() -> None:
    class Half:
        info = Arrays(noise(1)).info

    with pytest.raises(sp.ConfigError, match="needs a path, a mapping or a Source obj"):
        sp.open(Half())  # type: ignore[arg-type]  # what a user may try


def test_a_plugin_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from streamproc import plugins

    point = EntryPoint("cam", "nowhere_driver:Camera", "streamproc.sources")
    monkeypatch.setattr(plugins, "_scanned", lambda group, where: [("cam", point)])
    with pytest.raises(sp.MissingDependency, match="source 'cam' cannot be loaded: No"):
        sp.open({"cam": {}})
