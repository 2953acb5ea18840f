"""What pims reads: pixels against the file's own bytes, times, refusals."""

import datetime
import pickle
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import tifffile
import zarr
from streamproc.sources.pims import Pims, _rate, _times

import streamproc as sp
from streamproc.errors import FrameError, SourceError
from streamproc.export import export
from streamproc.frame import Array, Frame, Source, Unreadable

#: pims 0.7 asks scikit-image in a way that will go
pims_asks = pytest.mark.filterwarnings("ignore:The plugin infra:FutureWarning")


@pytest.fixture
def norpix(data: Path) -> Path:
    return data / "pims_formats" / "sample_norpix6.seq"


def stored(path: Path) -> Array:
    """Return the frames of the sample: a header and six blocks of 8192 bytes."""
    blocks = np.fromfile(path, np.uint8)[8192:].reshape(6, 8192)
    return blocks[:, : 32 * 36].reshape(6, 32, 36)


def test_norpix_by_its_suffix(norpix: Path) -> None:
    source = sp.open(str(norpix)).graph.source
    assert isinstance(source, Source)
    assert isinstance(source, Pims)
    info = source.info
    assert (info.axes, info.shape, info.frames) == ("yx", (32, 36), 6)
    assert info.dtype == np.uint8
    frames = [item for item in source.frames() if isinstance(item, Frame)]
    assert np.array_equal(np.stack([f.pixels for f in frames]), stored(norpix))
    seconds = [np.fromfile(norpix, "<u4")[(8192 * (i + 1) + 1152) // 4] for i in (0, 5)]
    assert [int(frames[i].time or 0) for i in (0, 5)] == seconds


def stamps(path: Path) -> Array:
    """Return the frames' times: seconds, ms and µs, after the pixels."""
    blocks = np.fromfile(path, np.uint8)[8192:].reshape(6, 8192)
    told = blocks[:, 1152 : 1152 + 8].copy()
    parts = told[:, 4:].copy().view("<u2")
    seconds = told[:, :4].copy().view("<u4")[:, 0]
    return np.asarray(seconds + parts @ [1e-3, 1e-6])


def test_frames_per_second_are_those_of_the_time_stamps(
    norpix: Path, tmp_path: Path
) -> None:
    # was 10, what the header suggests
    source = Pims(str(norpix))
    times = stamps(norpix)
    assert [source.read(i).time for i in range(6)] == pytest.approx(times, abs=1e-6)
    assert source.info.fps == pytest.approx(1 / np.median(np.diff(times)), rel=1e-4)
    assert source.info.fps == pytest.approx(30.3, abs=0.1)
    assert Pims(str(norpix), fps=4).info.fps == 4
    interval = 1 / source.info.fps
    report = sp.run({"source": sp.open(str(norpix))}, tmp_path / "run")
    group = zarr.open_group(report.path / "images.ome.zarr" / "source", mode="r")
    told: Any = group.attrs["ome"]
    scale = told["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    assert scale["scale"][0] == pytest.approx(interval)
    export(report.path, "ome-tiff", tmp_path / "a.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        pixels = ElementTree.fromstring(file.ome_metadata or "").find(".//{*}Pixels")
    assert pixels is not None
    assert float(pixels.attrib["TimeIncrement"]) == pytest.approx(interval)


@pytest.mark.parametrize("stamped", [0, 1])
def test_time_stamps_that_stand_still_leave_what_the_header_says(
    norpix: Path, tmp_path: Path, stamped: int
) -> None:
    content = bytearray(norpix.read_bytes()[: 8192 * 7])
    for i in range(6):
        at = 8192 * (i + 1) + 1152
        content[at : at + 8] = struct.pack("<LHH", 1435776075 * stamped, 0, 0)
    (tmp_path / "a.seq").write_bytes(content)
    assert Pims(str(tmp_path / "a.seq")).info.fps == 10


def test_frames_per_second_of_phantom_time_stamps() -> None:
    class Reader:
        """As pims.Cine keeps them: a moment, and the fraction of its second."""

        frame_time_stamps = tuple(
            (datetime.datetime.fromtimestamp(1435776075), i / 64) for i in range(9)
        )

    assert _rate(_times(Reader(), 9)) == 64
    assert _rate(_times(Reader(), 1)) is None
    assert _times(object(), 9) == []


def test_threads_and_processes(norpix: Path) -> None:
    source = Pims(str(norpix))
    expected = stored(norpix)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: source.read(i % 6).pixels, range(60)))
    assert all(np.array_equal(got[i], expected[i % 6]) for i in range(60))
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    assert np.array_equal(other.read(4).pixels, expected[4])
    source.close()
    source.close()
    assert np.array_equal(source.read(0).pixels, expected[0])


@pims_asks
def test_a_reader_by_its_name(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 3)).astype(np.uint8)
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image[..., ::-1])
    pattern = str(tmp_path / "*.png")
    source = Pims(pattern, reader="ImageSequence", color="rgb", fps=4)
    assert (source.info.axes, source.info.shape) == ("cyx", (3, 20, 30))
    assert np.array_equal(source.read(1).pixels, images[1].transpose(2, 0, 1))
    gray = Pims(pattern, reader="ImageSequence").read(2).pixels
    assert np.array_equal(gray, (images[2].astype(int) @ [299, 587, 114] + 500) // 1000)


@pims_asks
def test_a_reader_with_named_axes(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (2, 3, 2, 20, 30))
    for t, z, c in np.ndindex(2, 3, 2):
        name = str(tmp_path / f"im_t{t}_z{z}_c{c}.png")
        cv2.imwrite(name, images[t, z, c].astype(np.uint8))
    source = Pims(str(tmp_path / "*.png"), reader="ImageSequenceND")
    assert (source.info.axes, source.info.shape) == ("czyx", (2, 3, 20, 30))
    assert source.info.frames == 2
    assert np.array_equal(source.read(1).pixels, images[1].transpose(1, 0, 2, 3))


def test_no_such_frame(norpix: Path) -> None:
    with pytest.raises(FrameError, match="no frame 6; there are 6"):
        Pims(str(norpix)).read(6)


@pytest.mark.parametrize("content", [b"", b"hello" * 400])
def test_not_what_its_name_says(tmp_path: Path, content: bytes) -> None:
    for name, reader in (("a.seq", "NorpixSeq"), ("a.cine", "Cine")):
        (tmp_path / name).write_bytes(content)
        message = rf"{name} cannot be read by pims\.{reader}: "
        with pytest.raises(SourceError, match=message) as caught:
            Pims(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off(norpix: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.seq"
    path.write_bytes(norpix.read_bytes()[: 8192 * 5 + 700])
    items = list(Pims(str(path)).frames())
    assert len(items) == 5
    assert all(isinstance(item, Frame) for item in items[:4])
    assert isinstance(items[4], Unreadable)
    assert items[4].error.endswith("cut off after 4 of 6 announced frames")
    path.write_bytes(norpix.read_bytes()[:9000])
    with pytest.raises(SourceError, match=r"no frame of .*a\.seq can be read: frame 0"):
        Pims(str(path))


@pytest.mark.parametrize(
    ("name", "reader", "message"),
    [
        ("a.seq", None, "no such file: .*a.seq"),
        ("a.xyz", None, "no such file: .*a.xyz"),
        (__file__, None, "does not know the suffix of .*; name a reader of pims"),
        (__file__, "Norpix", "pims has no reader 'Norpix'; did you mean 'NorpixSeq'?"),
    ],
)
def test_refusals(name: str, reader: str | None, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        Pims(name, reader=reader)
