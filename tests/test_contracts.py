"""The contracts of `streamproc.testing`, kept by every plugin that is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import tifffile
import zarr
from streamproc.sinks.ome_zarr import OmeZarr
from streamproc.sinks.parquet import Parquet

from streamproc import ops, plugins
from streamproc.frame import Array, Source, SourceInfo
from streamproc.ordered import ORDERED
from streamproc.testing import (
    ObserverContract,
    OperatorContract,
    SinkContract,
    SourceContract,
    frames,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# every source


def _tiff(folder: Path) -> Source:
    path = folder / "stack.ome.tif"
    if not path.exists():
        tifffile.imwrite(path, frames(5, shape=(40, 56)), metadata={"axes": "TYX"})
    return plugins.make_source(path)


def _pictures(folder: Path) -> Source:
    import cv2

    for number, image in enumerate(frames(4, shape=(40, 56), dtype="uint8")):
        if not (folder / f"{number}.png").exists():
            cv2.imwrite(str(folder / f"{number}.png"), image)
    return plugins.make_source(str(folder / "*.png"))


def _damaged(folder: Path) -> Source:
    _pictures(folder).close()
    (folder / "2.png").write_bytes(b"no picture")
    return plugins.make_source(str(folder / "*.png"))


def _npz(folder: Path) -> Source:
    if not (folder / "stack.npz").exists():
        np.savez(folder / "stack.npz", stack=frames(5, shape=(40, 56)))
    return plugins.make_source(folder / "stack.npz")


def _video(folder: Path) -> Source:
    import av

    path = folder / "clip.mkv"
    if not path.exists():
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 40, 56, "gray"
            for image in frames(6, shape=(40, 56), dtype="uint8"):
                picture = av.VideoFrame.from_ndarray(image, format="gray")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
    return plugins.make_source(path)


def _simulation(**more: Any) -> Callable[[Path], Source]:
    given = {"frames": 6, "shape": [48, 64], "fps": 200.0, "live": False, **more}
    return lambda folder: plugins.make_source({"simulation": given})


def _reader(folder: Path) -> Source:
    _tiff(folder).close()
    given = {"path": str(folder / "stack.ome.tif"), "reader": "TiffStack_tifffile"}
    return plugins.make_source({"pims": given})


def _log(folder: Path) -> Source:
    import streamproc as sp

    if not (folder / "run").exists():
        camera = sp.open({"simulation": {"shape": [48, 64], "fps": None}})
        sp.run({"mask": camera.threshold()}, folder / "run", frames=6)
    return plugins.make_source({"log": str(folder / "run")})


def _cut_log(folder: Path) -> Source:
    _log(folder).close()
    (shard,) = (folder / "run/images.ome.zarr/source/0").glob("c.*")
    content = bytearray(shard.read_bytes())
    content[2 * 48 * 64 * 2 + 4096] ^= 1
    shard.write_bytes(content)
    return plugins.make_source({"log": str(folder / "run")})


def _micromanager(folder: Path) -> Source:
    for package in ("pymmcore_plus", "mm_test_adapters"):
        pytest.importorskip(package, reason="no demo devices of Micro-Manager")
    given = {"exposure_ms": 2.0, "roi": [16, 24, 48, 64], "buffer_mb": 4}
    return plugins.make_source({"micromanager": given})


def _watched(folder: Path) -> Source:
    """A folder that is full: the stop file says so."""
    for n, image in enumerate(frames(5, shape=(40, 56))):
        if not (folder / "STOP").exists():
            tifffile.imwrite(folder / f"{n}.tif", image)
    (folder / "STOP").touch()
    given = {"folder": str(folder), "settle": 0.02, "stop_file": "STOP"}
    return plugins.make_source({"watch": {**given, "patience": 0.1}})


def _cut_watched(folder: Path) -> Source:
    _watched(folder).close()
    path = folder / "2.tif"
    path.write_bytes(path.read_bytes()[:400])
    return _watched(folder)


def _zarr(folder: Path) -> Source:
    path = folder / "stack.zarr"
    if not path.exists():
        zarr.create_array(path, data=frames(5, shape=(40, 56)), chunks=(1, 40, 56))
    return plugins.make_source({"zarr": str(path)})


def _cut_tiff(folder: Path) -> Source:
    """A page whose compressed pixels are noise."""
    path = folder / "stack.tif"
    tifffile.imwrite(path, frames(5, shape=(40, 56)), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[3].dataoffsets[0], tiff.pages[3].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    return plugins.make_source(path)


def _cut_video(folder: Path) -> Source:
    _video(folder).close()
    path = folder / "clip.mkv"
    path.write_bytes(path.read_bytes()[:-3000])
    return plugins.make_source(path)


def _torn_zarr(folder: Path) -> Source:
    _zarr(folder).close()
    (folder / "stack.zarr" / "c" / "2" / "0" / "0").write_bytes(b"torn")
    return plugins.make_source({"zarr": str(folder / "stack.zarr")})


def _real(name: str, file: str) -> Callable[[Path], Source]:
    """A recording that nobody but an instrument writes."""

    def make(folder: Path) -> Source:
        path = DATA / file
        if not path.exists():
            pytest.skip(f"no shared/data/{file} beside the repository")
        return plugins.make_source({name: {"path": str(path)}})

    return make


#: One example of every source, and of some that differ in what they promise.
SOURCES: dict[str, Callable[[Path], Source]] = {
    "czi": _real("czi", "neubias_formats/xyz__multiple_images.czi"),
    "files": _tiff,
    "files: pictures": _pictures,
    "log": _log,
    "micromanager": _micromanager,
    "nd2": _real("nd2", "pims_formats/cluster.nd2"),
    "npz": _npz,
    "pims": _real("pims", "pims_formats/sample_norpix6.seq"),
    "pims: tiff": _reader,
    "simulation": _simulation(),
    "simulation: live": _simulation(live=True, frames=None),
    "video": _video,
    "watch": _watched,
    "zarr": _zarr,
}
#: Sources whose examples are in tests/sources, beside the other side that they need.
BESIDE = {"align", "camera", "genicam", "pvaccess", "zmq"}
DAMAGED: dict[str, Callable[[Path], Source]] = {
    "files": _cut_tiff,
    "files: pictures": _damaged,
    "log": _cut_log,
    "video": _cut_video,
    "watch": _cut_watched,
    "zarr": _torn_zarr,
}


def test_every_source_has_an_example() -> None:
    ours = {n for n, p in plugins.installed("sources").items() if plugins.is_ours(p)}
    assert ours - BESIDE <= {name.partition(":")[0] for name in SOURCES}


@pytest.mark.parametrize("name", sorted(SOURCES))
class TestSources(SourceContract):
    limit = 8

    @pytest.fixture(autouse=True)
    def _named(self, name: str) -> None:
        self.name = name

    def make(self, folder: Path) -> Source:
        return SOURCES[self.name](folder)

    def make_damaged(self, folder: Path) -> Source | None:
        return DAMAGED[self.name](folder) if self.name in DAMAGED else None


# every sink


def _array(path: Path, name: str) -> Any:
    where = name if name in ("source", "smooth") else f"source/labels/{name}"
    place = path / where / "0"
    return zarr.open_array(place, mode="r") if place.exists() else None


@pytest.mark.parametrize("layout", ["shards", "files"])
class TestOmeZarr(SinkContract):
    @pytest.fixture(autouse=True)
    def _laid_out(self, layout: str) -> None:
        self.layout = layout

    def make(self, path: Path, info: SourceInfo) -> Any:
        return OmeZarr(path, info=info, saved_source=True, layout=self.layout)

    def read(self, path: Path, name: str, frame: int) -> Array | None:
        array = _array(path, name)
        if array is None or frame >= array.shape[0]:
            return None
        return np.asarray(array[frame])


class TestParquet(ObserverContract):
    def make(self) -> Any:
        return Parquet(rows=20)

    def read(self, path: Path) -> object:
        import pandas as pd

        parts = sorted((path / "parquet" / "cells").glob("part-*.parquet"))
        table = pd.read_parquet(path / "parquet" / "cells")
        return [part.name for part in parts], table.to_dict("list")


def test_every_sink_has_a_contract() -> None:
    ours = {n for n, p in plugins.installed("sinks").items() if plugins.is_ours(p)}
    # that of microscope, which needs a source: tests/sinks/test_microscope.py
    assert ours == {"microscope", "ome-zarr", "parquet"}


# every operator


def _moved(contract: OperatorContract, dtype: str) -> list[Any]:
    return [frames(1, shape=(64, 64), dtype=cast(Any, dtype))[0], {"dy": 2, "dx": 0.5}]


#: What an operator is tried with, where a plain image and its defaults say nothing.
OPERATORS: dict[str, dict[str, Any]] = {
    "apply_shift": {"inputs": _moved},
    "background": {"parameters": {"method": "top_hat", "radius": 5}},
    "channel": {"axes": "cyx", "keeps_axes": False, "parameters": {"channel": 1}},
    "project": {"axes": "zyx", "keeps_axes": False},
    "reslice_radial": {"axes": "zyx"},
}


#: a frame of one level has no peak, no classes and no brightness to divide by
REFUSING = (
    "bleach_correction",
    "drift_correct",
    "multi_otsu",
    "phase_cross_correlation",
)
OPERATORS |= {n: {**OPERATORS.get(n, {}), "refuses_blank": True} for n in REFUSING}


# a reference is a frame of others: tests/execution/test_references.py
@pytest.mark.parametrize("name", sorted({*ops.OPERATORS} - {"reference"}))
class TestOperators(OperatorContract):
    @pytest.fixture(autouse=True)
    def _named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "operator", name, raising=False)
        for key, value in OPERATORS.get(name, {}).items():
            monkeypatch.setattr(type(self), key, value)


@pytest.mark.parametrize("name", ["gaussian", "threshold", "label", "white_tophat"])
class TestOperatorsOfVolumes(OperatorContract):
    axes: ClassVar[str] = "zyx"

    @pytest.fixture(autouse=True)
    def _named(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(self), "operator", name, raising=False)


def test_ordered_steps_are_no_operators_of_pixels() -> None:
    assert not set(ORDERED) & set(ops.OPERATORS)
