"""ND2 files: planes against the file's own bytes, metadata, refusals."""

import json
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamproc.sources.nd2 import Nd2

import streamproc as sp
from streamproc.errors import FrameError, MissingDependency, SourceError
from streamproc.frame import Array, Source, Unreadable
from streamproc.inspection import as_json, read_source, tell_source

pytest.importorskip("nd2", reason="the extra microscopy is not installed")


@pytest.fixture
def cluster(data: Path) -> Path:
    return data / "pims_formats" / "cluster.nd2"


def stored(path: Path, plane: int) -> Array:
    """Return plane ``(y, x, channel)`` as the file holds it, without any reader."""
    content = path.read_bytes()
    name = f"ImageDataSeq|{plane}!".encode()
    at = content.index(name)
    magic, name_length, _ = struct.unpack("<IIQ", content[at - 16 : at])
    assert magic == 0x0ABECEDA
    # eight bytes of time go before the pixels
    pixels = np.frombuffer(content, "<u2", 31 * 38 * 2, at + name_length + 8)
    return pixels.reshape(31, 38, 2)


def test_axes_sizes_and_pixels(cluster: Path) -> None:
    source = Nd2(str(cluster))
    assert isinstance(source, Source)
    info = source.info
    assert (info.axes, info.shape, info.frames) == ("czyx", (2, 10, 31, 38), 3)
    assert info.dtype == np.uint16
    assert info.channels == ("5-FAM/pH 9.0", "FM 4-64/2% CHAPS")
    assert info.pixel_size_um == pytest.approx({"z": 0.5, "y": 0.167809, "x": 0.167809})
    for t in range(3):
        expected = np.stack([stored(cluster, 10 * t + z) for z in range(10)])
        pixels = source.read(t).pixels
        assert np.array_equal(pixels, expected.transpose(3, 0, 1, 2))
        assert pixels.flags.c_contiguous


def test_it_agrees_with_the_package(cluster: Path) -> None:
    import nd2

    whole = nd2.imread(cluster)
    source = sp.open(str(cluster)).graph.source
    assert isinstance(source, Nd2)
    frames = np.stack([source.read(t).pixels for t in range(3)])
    assert np.array_equal(frames, whole.swapaxes(1, 2))


def test_what_info_tells(cluster: Path) -> None:
    source = read_source(str(cluster))
    told = json.loads(as_json(tell_source(source.info)))
    assert told["channels"] == ["5-FAM/pH 9.0", "FM 4-64/2% CHAPS"]
    assert (told["axes"], told["shape"]) == ("czyx", [2, 10, 31, 38])
    source.close()


def test_times_and_places(cluster: Path) -> None:
    source = Nd2(str(cluster))
    first, last = source.read(0), source.read(2)
    # 15:55:27 by the clock on the wall, two hours east of UTC
    assert first.time == pytest.approx(1403099724.0, abs=6)
    assert first.time is not None
    assert last.time is not None
    assert source.info.fps == pytest.approx(2 / (last.time - first.time))
    assert first.metadata["position_unit"] == "µm"
    assert first.metadata["position_x"] == pytest.approx(-26056.951)
    assert Nd2(str(cluster), fps=2, pixel_size_um=1.0).info.fps == 2


@pytest.mark.parametrize("channel", [1, "FM 4-64/2% CHAPS"])
def test_one_channel(cluster: Path, channel: int | str) -> None:
    source = Nd2(str(cluster), channel=channel)
    assert (source.info.axes, source.info.channels) == ("zyx", ())
    assert source.info.metadata["channel"] == "FM 4-64/2% CHAPS"
    assert np.array_equal(source.read(1).pixels[3], stored(cluster, 13)[..., 1])


def test_threads_and_processes(cluster: Path) -> None:
    source = Nd2(str(cluster))
    expected = [source.read(t).pixels for t in range(3)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: source.read(i % 3).pixels, range(60)))
    assert all(np.array_equal(got[i], expected[i % 3]) for i in range(60))
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    assert np.array_equal(other.read(2).pixels, expected[2])
    source.close()
    source.close()
    assert np.array_equal(source.read(2).pixels, expected[2])
    assert other.info.identity == Nd2(str(cluster)).info.identity
    assert other.info.identity != Nd2(str(cluster), channel=0).info.identity


def test_a_run(cluster: Path, tmp_path: Path) -> None:
    raw = sp.open(str(cluster))
    report = sp.run({"source": raw, "smooth": raw.gaussian(sigma=1)}, tmp_path / "run")
    assert report.frames.done == 3
    saved = sp.load(report.path).images["source"]
    assert np.array_equal(saved[1], Nd2(str(cluster)).read(1).pixels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"position": 1}, "cluster.nd2 has one position, 0; got position: 1"),
        ({"channel": 2}, "2 channels, so channel must be from 0 to 1, got 2"),
        ({"channel": "GFP"}, "no channel 'GFP'; known: 5-FAM/pH 9.0, FM 4-64/2% CH"),
        ({"color": "rgb"}, "has no red, green and blue samples, got color: rgb"),
    ],
)
def test_what_is_not_in_it(
    cluster: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        Nd2(str(cluster), **parameters)


def test_no_such_frame(cluster: Path) -> None:
    with pytest.raises(FrameError, match="no frame 3; there are 3"):
        Nd2(str(cluster)).read(3)


@pytest.mark.parametrize("content", [b"", b"hello" * 200, b"\xda\xce\xbe\x0a\x10"])
def test_not_what_its_name_says(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nd2").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.nd2 cannot be read as ND2: ") as caught:
        Nd2(str(tmp_path / "a.nd2"))
    assert "\n" not in str(caught.value)


def test_missing_and_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file: .*a\.nd2"):
        Nd2(str(tmp_path / "a.nd2"))
    with pytest.raises(SourceError, match="is a folder; give one file"):
        Nd2(str(tmp_path))


def test_a_file_that_is_cut_off(cluster: Path, tmp_path: Path) -> None:
    content = cluster.read_bytes()
    (tmp_path / "a.nd2").write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match=r"cannot be read as ND2.*is it complete\?"):
        Nd2(str(tmp_path / "a.nd2"))


def test_a_plane_that_was_never_written(cluster: Path) -> None:
    source = Nd2(str(cluster))
    source._planes[1] = {z: n for z, n in source._planes[1].items() if z != 4}
    items = list(source.frames())
    assert isinstance(items[1], Unreadable)
    assert items[1].error == "frame 1 has no plane z=4"
    source._planes[2][0] = 99
    with pytest.raises(FrameError, match="frame 2"):
        source.read(2)


def test_without_the_package(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(MissingDependency, match=r"pip install 'streamproc\[microsc"):
        Nd2(str(cluster))
