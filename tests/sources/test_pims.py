"""What pims reads: pixels against the file's own bytes, times, refusals."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamproc.sources.pims import Pims

import streamproc as sp
from streamproc.errors import FrameError, SourceError
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
    assert (info.dtype, info.fps) == (np.uint8, 10)
    frames = [item for item in source.frames() if isinstance(item, Frame)]
    assert np.array_equal(np.stack([f.pixels for f in frames]), stored(norpix))
    seconds = [np.fromfile(norpix, "<u4")[(8192 * (i + 1) + 1152) // 4] for i in (0, 5)]
    assert [int(frames[i].time or 0) for i in (0, 5)] == seconds


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
