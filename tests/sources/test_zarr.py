"""Zarr arrays and OME-Zarr images: on disk, in memory, over HTTP, and gone."""

import http.server
import json
import pickle
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import zarr
from streamproc.sources.zarr import Zarr

import streamproc as sp
from streamproc.errors import FrameError, MissingDependency, SourceError
from streamproc.frame import Array, Source, Unreadable
from tests.arrays import Arrays, noise

STACK = np.random.default_rng(0).integers(1, 999, (4, 2, 3, 16, 20)).astype("uint16")
AXES = [
    {"name": "t", "type": "time", "unit": "millisecond"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "nanometer"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]

Format = Literal[2, 3]


def multiscales(
    levels: int = 2, axes: Any = AXES, **more: object
) -> dict[str, Any]:  # JSON
    """Return the metadata of an image as OME-Zarr 0.4 and 0.5 have it."""
    n = len(axes) if axes else 5
    scales = [[500.0, 1.0, 300.0, 0.1 * 2**k, 0.2 * 2**k][-n:] for k in range(levels)]
    return {
        "multiscales": [
            {
                "version": "0.4",
                **({"axes": axes} if axes else {}),
                "datasets": [
                    {
                        "path": str(k),
                        "coordinateTransformations": [
                            {"type": "scale", "scale": scale}
                        ],
                    }
                    for k, scale in enumerate(scales)
                ],
                **more,
            }
        ],
        "omero": {"channels": [{"label": "DAPI"}, {"label": "GFP"}]},
    }


def write_image(
    path: Path | str, version: Format = 3, data: Array = STACK, **more: Any
) -> str:
    """Write an image of two levels, a frame's plane in each chunk."""
    told = multiscales(**more)
    attributes: dict[str, Any] = told
    if version == 3:
        attributes = {"ome": {"version": "0.5", **told}}
    group = zarr.open_group(path, mode="w", zarr_format=version, attributes=attributes)
    for level in range(2):
        pixels = data[..., :: 2**level, :: 2**level]
        chunks = (1,) * (data.ndim - 2) + pixels.shape[-2:]
        group.create_array(str(level), data=pixels, chunks=chunks)
    return str(path)


def frames(source: Zarr) -> Array:
    return np.stack([source.read(i).pixels for i in range(source.info.frames or 0)])


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tmp_path: Path, version: Format) -> None:
    path = write_image(tmp_path / "a.ome.zarr", version)
    source = sp.open(path).graph.source
    assert isinstance(source, Source)
    assert isinstance(source, Zarr)
    info = source.info
    assert (info.axes, info.shape, info.frames) == ("czyx", (2, 3, 16, 20), 4)
    assert (info.dtype, info.fps) == (np.uint16, 2)
    assert info.channels == ("DAPI", "GFP")
    assert info.pixel_size_um == pytest.approx({"z": 0.3, "y": 0.1, "x": 0.2})
    assert info.metadata["format"] == f"zarr {version}"
    assert np.array_equal(frames(source), STACK)
    assert [source.read(i).time for i in range(4)] == [0.0, 0.5, 1.0, 1.5]
    half = Zarr(path, level=1)
    assert half.info.pixel_size_um == pytest.approx({"z": 0.3, "y": 0.2, "x": 0.4})
    assert np.array_equal(frames(half), STACK[..., ::2, ::2])


def test_another_reader_sees_the_same(tmp_path: Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    path = write_image(tmp_path / "a.ome.zarr")
    store = {"driver": "file", "path": f"{path}/0"}
    other = tensorstore.open({"driver": "zarr3", "kvstore": store}).result()
    assert np.array_equal(frames(Zarr(path)), other.read().result())


@pytest.mark.parametrize("channel", [1, "GFP"])
def test_one_channel(tmp_path: Path, channel: int | str) -> None:
    source = Zarr(write_image(tmp_path / "a.zarr"), channel=channel)
    assert (source.info.axes, source.info.channels) == ("zyx", ())
    assert source.info.metadata["channel"] == "GFP"
    assert np.array_equal(frames(source), STACK[:, 1])


def test_a_scale_of_the_whole_image(tmp_path: Path) -> None:
    scale = {"type": "scale", "scale": [2.0, 1.0, 1.0, 10.0, 10.0]}
    path = write_image(tmp_path / "a.zarr", coordinateTransformations=[scale])
    info = Zarr(path).info
    assert info.fps == 1
    assert info.pixel_size_um == pytest.approx({"z": 0.3, "y": 1.0, "x": 2.0})
    assert Zarr(path, fps=7, pixel_size_um=0.5).info.fps == 7


@pytest.mark.parametrize("axes", [None, ["t", "c", "z", "y", "x"]])
def test_axes_of_old_versions(tmp_path: Path, axes: list[str] | None) -> None:
    info = Zarr(write_image(tmp_path / "a.zarr", 2, axes=axes)).info
    assert (info.axes, info.frames, info.pixel_size_um) == ("czyx", 4, {})
    assert info.fps is None


def test_axes_of_length_one_are_dropped(tmp_path: Path) -> None:
    source = Zarr(write_image(tmp_path / "a.zarr", data=STACK[:, :1, :1]))
    assert (source.info.axes, source.info.shape) == ("yx", (16, 20))
    assert source.info.metadata["channel"] == "DAPI"
    assert np.array_equal(frames(source), STACK[:, 0, 0])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("data", "axes"),
    [
        (STACK[0, 0, 0], "yx"),
        (STACK[:, 0, 0], "yx"),
        (STACK, "czyx"),
    ],
)
def test_plain_arrays(tmp_path: Path, version: Format, data: Array, axes: str) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=data, zarr_format=version)
    source = Zarr(str(tmp_path / "a.zarr"))
    assert source.info.axes == axes
    assert source.info.frames == (1 if data.ndim == 2 else 4)
    assert np.array_equal(frames(source), data.reshape(-1, *data.shape[-len(axes) :]))


def test_axes_that_are_told_or_given(tmp_path: Path) -> None:
    data = STACK[:, 0]
    named = zarr.create_array(
        tmp_path / "a.zarr", data=data, dimension_names=("time", "z", "y", "x")
    )
    assert Zarr(str(tmp_path / "a.zarr")).info.axes == "zyx"
    assert named.ndim == 4
    old = zarr.create_array(tmp_path / "b.zarr", data=data, zarr_format=2)
    with pytest.raises(SourceError, match="4 dimensions without names; say which"):
        Zarr(str(tmp_path / "b.zarr"))
    old.attrs["_ARRAY_DIMENSIONS"] = ["z", "c", "y", "x"]
    assert Zarr(str(tmp_path / "b.zarr")).info.axes == "czyx"
    given = Zarr(str(tmp_path / "b.zarr"), axes="xtzy")
    assert (given.info.frames, given.info.axes) == (3, "zyx")
    assert np.array_equal(given.read(1).pixels, data[:, 1].transpose(1, 2, 0))


def test_chunks_that_are_not_there(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "0" / "c" / "1")
    expected = STACK.copy()
    expected[1] = 0
    assert np.array_equal(frames(Zarr(path)), expected)


def test_a_chunk_that_is_damaged(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.zarr")
    (tmp_path / "a.zarr/0/c/1/0/0/0/0").write_bytes(b"oops")
    items = list(Zarr(path).frames())
    assert isinstance(items[1], Unreadable)
    assert items[1].error.startswith("frame 1 cannot be decoded: ")
    assert sum(isinstance(item, sp.Frame) for item in items) == 3


def test_collections(tmp_path: Path) -> None:
    root = tmp_path / "a.zarr"
    attributes = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    zarr.create_group(root, attributes=attributes)
    for name, data in (("10", STACK + 1), ("2", STACK)):
        write_image(root / name, data=data)
    with pytest.raises(SourceError, match=r"holds 2 images \(2, 10\); choose one with"):
        Zarr(str(root))
    assert np.array_equal(frames(Zarr(str(root), series=1)), STACK + 1)
    assert np.array_equal(frames(Zarr(str(root), series="2")), STACK)
    assert np.array_equal(frames(Zarr(str(root), series="2/1")), STACK[..., ::2, ::2])
    assert isinstance(sp.open(f"{root}/2").graph.source, Zarr)
    named = {"ome": {"version": "0.5", "series": ["10", "2"]}}
    zarr.create_group(root / "OME", attributes=named)
    assert np.array_equal(frames(Zarr(str(root), series=0)), STACK + 1)
    with pytest.raises(SourceError, match="has 2 series, 0 to 1; got series: 2"):
        Zarr(str(root), series=2)
    with pytest.raises(SourceError, match="has no image '3'; known: 10, 2"):
        Zarr(str(root), series="3")


def test_plates(tmp_path: Path) -> None:
    root = tmp_path / "plate.zarr"
    wells = [{"path": f"A/{n}"} for n in (1, 2)]
    zarr.create_group(root, zarr_format=2, attributes={"plate": {"wells": wells}})
    for n in (1, 2):
        images = {"images": [{"path": str(i)} for i in range(n)]}
        zarr.create_group(
            root / "A" / str(n), zarr_format=2, attributes={"well": images}
        )
        for i in range(n):
            write_image(root / "A" / str(n) / str(i), 2, data=STACK + 10 * n + i)
    with pytest.raises(SourceError, match=r"holds 2 images \(A/1, A/2\)"):
        Zarr(str(root))
    assert np.array_equal(frames(Zarr(str(root), series=0)), STACK + 10)
    assert np.array_equal(frames(Zarr(str(root), series="A/2/1")), STACK + 21)
    with pytest.raises(SourceError, match=r"zarr/A/2 holds 2 images \(0, 1\)"):
        Zarr(str(root), series="A/2")


def test_images_of_a_run(tmp_path: Path) -> None:
    source = Arrays(noise(5, shape=(40, 50)), unreadable=frozenset({3}))
    raw = sp.open(source)
    labels = raw.gaussian(sigma=1).threshold("otsu").label()
    sp.run({"source": raw, "cells": labels}, tmp_path / "run")
    images = tmp_path / "run" / "images.ome.zarr"
    again = Zarr(str(images))
    assert (again.info.frames, again.info.axes) == (5, "yx")
    assert np.array_equal(again.read(4).pixels, source.stack[4])
    assert again.read(3).pixels.max() == 0
    times = sp.load(tmp_path / "run").frames.time
    assert [again.read(i).time for i in (0, 4)] == [times[0], times[4]]
    cells = Zarr(str(images), series="source/labels/cells")
    expected = sp.load(tmp_path / "run").labels["cells"][2]
    assert np.array_equal(cells.read(2).pixels, expected)
    assert isinstance(sp.open(str(images / "source")).graph.source, Zarr)


def test_an_image_that_was_not_saved(tmp_path: Path) -> None:
    raw = sp.open(Arrays(noise(2)))
    sp.run({"mask": raw.threshold("otsu")}, tmp_path / "run")
    with pytest.raises(SourceError, match="the image source was not saved; run again"):
        Zarr(str(tmp_path / "run" / "images.ome.zarr"))


def test_threads_and_processes(tmp_path: Path) -> None:
    source = Zarr(write_image(tmp_path / "a.zarr"))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: source.read(i % 4).pixels, range(60)))
    assert all(np.array_equal(got[i], STACK[i % 4]) for i in range(60))
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    assert np.array_equal(frames(other), STACK)
    source.close()
    assert np.array_equal(frames(source), STACK)
    same = write_image(tmp_path / "elsewhere" / "a.zarr")
    assert Zarr(same).info.identity == source.info.identity
    assert Zarr(same, channel=0).info.identity != source.info.identity


def test_a_store_that_goes_away(tmp_path: Path) -> None:
    source = Zarr(write_image(tmp_path / "a.zarr"))
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(SourceError, match=r"a\.zarr is gone: .*; resume when it is b"):
        source.read(2)
    with pytest.raises(FrameError, match="no frame 4; there are 4"):
        source.read(4)


def test_a_store_that_goes_away_within_a_frame(tmp_path: Path) -> None:
    # one chunk is read, the next one is missing already: no frame of zeros and truth
    source = Zarr(write_image(tmp_path / "a.zarr"))
    chunks = list((tmp_path / "a.zarr" / "0").rglob("c/0/*/*/*/*"))
    first = min(path for path in chunks if path.is_file())
    assert len(chunks) > 1
    for path in (tmp_path / "a.zarr").rglob("*"):
        if path.is_file() and path != first:
            path.unlink()
    with pytest.raises(SourceError, match=r"is gone: .*; resume when it is back"):
        source.read(0)


@pytest.mark.parametrize("fill", [0, 7, float("nan")])
def test_a_chunk_that_was_never_written_holds_the_fill_value(
    tmp_path: Path, fill: float
) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(2, 8, 8),
        chunks=(1, 4, 4),
        dtype="float32",
        fill_value=fill,
    )
    array[0, :4, :4] = 3
    pixels = Zarr(str(tmp_path / "a.zarr")).read(0).pixels
    assert np.array_equal(pixels, np.asarray(array[0]), equal_nan=True)
    assert (pixels[:4, :4] == 3).all()


def test_axes_are_said_where_an_array_names_none(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=STACK[:, :, 0])
    with pytest.raises(SourceError, match="has 4 dimensions without names; say which"):
        Zarr(str(tmp_path / "a.zarr"))
    source = Zarr(str(tmp_path / "a.zarr"), axes="tcyx")
    assert source.info.axes == "cyx"
    assert np.array_equal(frames(source), STACK[:, :, 0])


def test_channels_of_a_run_keep_their_names(tmp_path: Path) -> None:
    raw = sp.open({"zarr": {"path": write_image(tmp_path / "a.zarr")}})
    sp.run({"deep": raw.project(method="max")}, tmp_path / "run", executor="inline")
    saved = str(tmp_path / "run" / "images.ome.zarr" / "deep")
    assert Zarr(saved).info.channels == ("DAPI", "GFP")
    assert np.array_equal(frames(Zarr(saved, channel="GFP")), STACK[:, 1].max(axis=1))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"level": 2}, "has 2 levels, 0 to 1; got level: 2"),
        ({"channel": 2}, "has 2 channels, 0 to 1; got channel: 2"),
        ({"channel": "RFP"}, "has no channel 'RFP'; did you mean 'GFP'?"),
        ({"series": 1}, "is one image, got series: 1"),
        ({"series": "x"}, "has no image 'x'"),
        ({"axes": "tzyx"}, "has 5 dimensions: axes must be .* got 'tzyx'"),
        ({"axes": "tczya"}, "has 5 dimensions: axes must be .* got 'tczya'"),
        ({"options": {"anon": True}}, "options are for remote stores; .* is a folder"),
    ],
)
def test_what_is_not_in_it(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    path = write_image(tmp_path / "a.zarr")
    with pytest.raises(SourceError, match=message) as caught:
        Zarr(path, **parameters)
    assert "\n" not in str(caught.value)


def test_arrays_have_no_levels_or_series(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=STACK)
    with pytest.raises(SourceError, match="an array without levels, got level: 1"):
        Zarr(str(tmp_path / "a.zarr"), level=1)
    with pytest.raises(SourceError, match="is one array; leave series out"):
        Zarr(str(tmp_path / "a.zarr"), series=0)


def test_no_zarr(tmp_path: Path) -> None:
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "c.zarr").write_text("hello")
    (tmp_path / "d.zarr").mkdir()
    (tmp_path / "d.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_')
    zarr.create_group(tmp_path / "e.zarr")
    zarr.create_array(tmp_path / "f.zarr", shape=(0, 4, 4), dtype="u1")
    zarr.create_array(tmp_path / "g.zarr", data=STACK.astype("complex64"))
    broken = {"ome": {"multiscales": [{"axes": AXES}]}}
    zarr.create_group(tmp_path / "h.zarr", attributes=broken)
    for name, message in (
        ("a", "no such folder: "),
        ("b", "holds no zarr array or group"),
        ("c", "is a file; a zarr array is a folder"),
        ("d", "has broken metadata"),
        ("e", "holds no image"),
        ("f", "has no frames yet"),
        ("g", "pixels must be whole or real numbers, got complex64"),
        ("h", "metadata that is no OME-Zarr image: KeyError 'datasets'"),
    ):
        with pytest.raises(SourceError, match=message) as caught:
            sp.open(str(tmp_path / f"{name}.zarr"))
        assert "\n" not in str(caught.value)


def test_in_memory() -> None:
    pytest.importorskip("fsspec")
    store = zarr.storage.FsspecStore.from_url("memory://here/a.zarr")
    zarr.create_array(store, data=STACK, chunks=(1, 2, 3, 16, 20))
    source = sp.open("memory://here/a.zarr").graph.source
    assert isinstance(source, Zarr)
    assert np.array_equal(frames(source), STACK)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serve a folder, parts of files too (shards are read by their parts)."""

    root = Path()

    def do_GET(self) -> None:
        try:
            content = (self.root / self.path.lstrip("/")).read_bytes()
        except OSError:
            self.send_error(404)
            return
        size = len(content)
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        first, last = 0, size
        if span:
            first = int(span[1]) if span[1] else size - int(span[2])
            last = min(size, int(span[2]) + 1) if span[1] and span[2] else size
        self.send_response(206 if span else 200)
        self.send_header("Content-Length", str(last - first))
        self.send_header("Last-Modified", self.date_time_string(0))
        if span:
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{size}")
        self.end_headers()
        self.wfile.write(content[first:last])

    def log_message(self, *args: object) -> None: ...


class Served:
    """A folder served on this machine, until it is taken away."""

    def __init__(self, root: Path) -> None:
        handler = type("Handler", (_Handler,), {"root": root})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    pytest.importorskip("obstore")
    served = Served(tmp_path)
    yield served
    served.stop()


#: A test does not want to wait for a store to come back.
IMPATIENT: dict[str, Any] = {
    "retry_config": {"max_retries": 0},
    "client_options": {"timeout": "300ms"},
}


def test_over_http(tmp_path: Path, served: Served) -> None:
    write_image(tmp_path / "a.zarr")
    zarr.create_array(
        tmp_path / "b.zarr", data=STACK, chunks=(1, 1, 1, 8, 10), shards=STACK.shape
    )
    for name in ("a", "b"):
        source = sp.open(f"{served.url}/{name}.zarr").graph.source
        assert isinstance(source, Zarr)
        assert np.array_equal(frames(source), STACK)
        assert np.array_equal(frames(pickle.loads(pickle.dumps(source))), STACK)
    within = sp.open(f"{served.url}/a.zarr/1").graph.source
    assert within.info.shape == (2, 3, 8, 10)
    with pytest.raises(SourceError, match=r"c\.zarr holds no zarr array or group"):
        sp.open(f"{served.url}/c.zarr")


def test_a_server_that_goes_away_mid_run(tmp_path: Path, served: Served) -> None:
    write_image(tmp_path / "a.zarr")
    source = {"zarr": {"path": f"{served.url}/a.zarr", "options": IMPATIENT}}

    def leave(image: Array) -> Array:
        if np.array_equal(image, STACK[1]):
            served.stop()
        return image

    raw = sp.open(source)
    with pytest.raises(SourceError, match=r"is gone: .*; resume when") as caught:
        sp.run({"x": raw.map(leave)}, tmp_path / "run", executor="inline")
    assert "\n" not in str(caught.value)
    assert sp.load(tmp_path / "run").status()["done"] < 4


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("obstore")
    with pytest.raises(SourceError, match="cannot be read as zarr: ") as caught:
        Zarr("http://127.0.0.1:9/a.zarr", options=IMPATIENT)
    assert "\n" not in str(caught.value)
    assert "Debug source" not in str(caught.value)


def test_a_server_that_never_answers() -> None:
    pytest.importorskip("obstore")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zarr"
        with pytest.raises(SourceError, match="cannot be read as zarr: "):
            Zarr(url, options=IMPATIENT)


@pytest.mark.parametrize("missing", ["obstore.store", "fsspec"])
def test_without_the_package(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from streamproc.sources import zarr as module

    def no_fsspec(*args: object, **kwargs: object) -> None:
        raise ImportError(name="fsspec")

    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setattr(zarr.storage.FsspecStore, "from_url", no_fsspec)
    scheme = "http" if missing.startswith("obstore") else "memory"
    with pytest.raises(MissingDependency, match=r"pip install 'streamproc\[remote\]'"):
        module.Zarr(f"{scheme}://a.zarr")


def test_an_address_without_a_format() -> None:
    with pytest.raises(SourceError, match="unknown format 'http://nowhere/image'"):
        sp.open("http://nowhere/image")
    with pytest.raises(SourceError, match="Protocol not known: nowhere"):
        sp.open("nowhere://a.zarr")


def test_metadata_is_plain(tmp_path: Path) -> None:
    info = Zarr(write_image(tmp_path / "a.zarr")).info
    assert json.loads(json.dumps(dict(info.metadata)))["array"] == "0"
