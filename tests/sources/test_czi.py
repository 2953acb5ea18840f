"""CZI files: planes against the file's own bytes, mosaics, compression, refusals."""

import pickle
import re
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs import zstd  # type: ignore[import-untyped]  # untyped
from streamproc.sources.czi import Czi

import streamproc as sp
from streamproc.errors import FrameError, MissingDependency, SourceError
from streamproc.frame import Array, Source, Unreadable

pytest.importorskip("czifile", reason="the extra microscopy is not installed")

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60000, (3, 2, 2, 20, 30)).astype("<u2")  # t c z y x
XML = """<ImageDocument><Metadata><Information><Image>
<AcquisitionDateAndTime>2024-05-01T12:00:00.1234567Z</AcquisitionDateAndTime>
<Dimensions><Channels><Channel Id="0" Name="DAPI"/><Channel Id="1" Name="GFP"/>
</Channels></Dimensions></Image></Information><Scaling><Items>
<Distance Id="X"><Value>1e-7</Value></Distance>
<Distance Id="Y"><Value>2e-7</Value></Distance>
<Distance Id="Z"><Value>3e-7</Value></Distance>
</Items></Scaling></Metadata></ImageDocument>"""


@dataclass
class Block:
    """Pixels at a place, as one piece of a CZI file."""

    pixels: Array
    at: dict[str, int] = field(default_factory=dict)
    pyramid: int = 0

    def entry(self, position: int, compression: int) -> bytes:
        kinds = {("<u2", 2): 1, ("|u1", 3): 3, ("|u1", 2): 0}
        height, width = self.pixels.shape[:2]
        sizes = {"X": width, "Y": height}
        places = {"X": 0, "Y": 0, "C": 0, "Z": 0, "T": 0, "S": 0} | self.at
        head: bytes = struct.pack(
            "<2siqiiBB4si",
            b"DV",
            kinds[self.pixels.dtype.str, self.pixels.ndim],
            position,
            0,
            compression,
            self.pyramid,
            0,
            b"",
            len(places),
        )
        for name, start in places.items():
            size = sizes.get(name, 1)
            head += struct.pack("<4siifi", name.encode(), start, size, start, size)
        return head


def segment(name: bytes, content: bytes) -> bytes:
    return struct.pack("<16sqq", name, len(content), len(content)) + content


def packed(pixels: Array) -> bytes:
    """Return pixels as ZEN packs them: low bytes first, Zstandard, a header."""
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1, 2).T
    made: bytes = zstd.compress(np.ascontiguousarray(data).tobytes())
    return b"\x03\x01\x01" + made


def write_czi(
    path: Path,
    blocks: list[Block],
    encode: Callable[[Array], bytes] = lambda pixels: pixels.tobytes(),
    *,
    compression: int = 0,
    stamps: tuple[float, ...] = (),
    xml: str = XML,
) -> Path:
    """Write a file as the format has it, without any library."""
    content = bytearray(32 + 512)
    positions = []
    for block in blocks:
        positions.append(len(content))
        entry, data = block.entry(len(content), compression), encode(block.pixels)
        head = struct.pack("<iiq", 0, 0, len(data)) + entry
        content += segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + data)
    directory = len(content)
    entries = [b.entry(p, compression) for b, p in zip(blocks, positions, strict=True)]
    head = struct.pack("<i", len(blocks)).ljust(128, b"\0")
    content += segment(b"ZISRAWDIRECTORY", head + b"".join(entries))
    metadata = len(content)
    head = struct.pack("<ii", len(xml), 0).ljust(256, b"\0")
    content += segment(b"ZISRAWMETADATA", head + xml.encode())
    attachments = 0
    if stamps:
        place = len(content)
        times = struct.pack(
            f"<ii{len(stamps)}d", 8 + 8 * len(stamps), len(stamps), *stamps
        )
        entry = struct.pack(
            "<2s10sqi16s8s80s",
            *(b"A1", b"", place, 0, b"", b"CZTIMS", b"TimeStamps"),
        )
        head = struct.pack("<i12x", len(times)) + entry
        content += segment(b"ZISRAWATTACH", head.ljust(256, b"\0") + times)
        attachments = len(content)
        head = struct.pack("<i", 1).ljust(256, b"\0")
        content += segment(b"ZISRAWATTDIR", head + entry)
    header = struct.pack(
        "<iiii16s16siqqiq",
        *(1, 0, 0, 0, b"", b"", 0, directory, metadata, 0, attachments),
    )
    content[: 32 + 512] = segment(b"ZISRAWFILE", header.ljust(512, b"\0"))
    path.write_bytes(content)
    return path


def series(scene: int = 0) -> list[Block]:
    return [
        Block(STACK[t, c, z], {"T": t, "C": c, "Z": z, "S": scene})
        for t, c, z in np.ndindex(3, 2, 2)
    ]


@pytest.fixture
def several(data: Path) -> Path:
    return data / "neubias_formats" / "xyz__multiple_images.czi"


@pytest.mark.parametrize("scene", [0, 1])
def test_a_file_of_a_microscope(several: Path, scene: int) -> None:
    source = Czi(str(several), scene=scene)
    assert isinstance(source, Source)
    info = source.info
    assert (info.axes, info.shape, info.frames) == ("zyx", (2, 251, 251), 1)
    assert info.dtype == np.uint16
    assert info.channels == ()
    assert info.metadata["channel"] == "ChA"
    assert info.metadata["scenes"] == 2
    size = {"z": 0.3, "y": 0.195644, "x": 0.195644}
    assert info.pixel_size_um == pytest.approx(size, abs=1e-6)
    content, planes, at = several.read_bytes(), [], 0
    while (at := content.find(b"ZISRAWSUBBLOCK\0", at) + 1) > 0:
        told, attached, size = struct.unpack_from("<iiq", content, at + 31)
        start = at + 31 + 256 + told
        assert (attached, size) == (0, 251 * 251 * 2)
        planes.append(np.frombuffer(content, "<u2", 251 * 251, start))
    expected = np.reshape(planes, (2, 2, 251, 251))[scene]
    pixels = source.read(0).pixels
    assert np.array_equal(pixels, expected)
    # what Zeiss' own library reads of it
    means = [(13716.464, 13344.150), (12475.748, 12146.007)][scene]
    assert pixels.mean((1, 2)) == pytest.approx(means, abs=1e-3)


def test_by_its_suffix(several: Path, tmp_path: Path) -> None:
    raw = sp.open(str(several))
    assert isinstance(raw.graph.source, Czi)
    report = sp.run({"source": raw}, tmp_path / "run")
    saved = sp.load(report.path).images["source"]
    assert np.array_equal(saved[0], Czi(str(several)).read(0).pixels)


@pytest.mark.parametrize(
    ("compression", "encode"),
    [
        (0, lambda pixels: pixels.tobytes()),
        (5, lambda pixels: zstd.compress(pixels.tobytes())),
        (6, packed),
        (6, lambda pixels: b"\x01" + zstd.compress(pixels.tobytes())),
    ],
)
def test_time_channels_and_depth(
    tmp_path: Path, compression: int, encode: Callable[[Array], bytes]
) -> None:
    path = tmp_path / "a.czi"
    stamps = (10.0, 12.0, 14.5)
    write_czi(path, series(), encode, compression=compression, stamps=stamps)
    source = Czi(str(path))
    assert (source.info.axes, source.info.shape) == ("czyx", (2, 2, 20, 30))
    assert source.info.frames == 3
    assert source.info.channels == ("DAPI", "GFP")
    assert source.info.pixel_size_um == pytest.approx({"z": 0.3, "y": 0.2, "x": 0.1})
    assert source.info.fps == pytest.approx(2 / 4.5)
    for t in range(3):
        frame = source.read(t)
        assert np.array_equal(frame.pixels, STACK[t])
        assert frame.time == pytest.approx(1714564800.123456 + stamps[t], abs=1e-6)
    gfp = Czi(str(path), channel="GFP")
    assert (gfp.info.axes, gfp.info.metadata["channel"]) == ("zyx", "GFP")
    assert np.array_equal(gfp.read(2).pixels, STACK[2, 1])


def test_times_of_a_file_with_a_date_of_creation_alone(several: Path) -> None:
    # was 7202.75: the time stamp, without the date that it is relative to
    content = several.read_bytes()
    told = re.search(rb"<CreationDate>(.*?)</CreationDate>", content)
    assert told is not None
    began = np.datetime64(told[1].decode()).astype("datetime64[s]").astype(int)
    place = content.index(b"TimeStamps\0", content.index(b"ZISRAWATTACH"))
    size, count, stamp = struct.unpack_from("<iid", content, place - 64 + 256)
    assert (size, count) == (16, 1)
    time = Czi(str(several)).read(0).time
    assert time == pytest.approx(began + stamp, abs=1e-6)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2024-05-01T12:00:00", 1714564800.0),
        ("2024-05-01T14:00:00.5000000+02:00", 1714564800.5),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_since_the_epoch_or_untold(
    tmp_path: Path, date: str, expected: float | None
) -> None:
    xml = re.sub(
        r"<Acq.*Time>", f"<AcquisitionDateAndTime>{date}</AcquisitionDateAndTime>", XML
    )
    path = write_czi(tmp_path / "a.czi", series(), stamps=(1.0, 2.0, 3.0), xml=xml)
    source = Czi(str(path))
    assert source.info.fps == 1
    if expected is None:
        assert source.read(1).time is None
    else:
        assert source.read(1).time == pytest.approx(expected + 2, abs=1e-6)


def test_frames_without_time_stamps_have_no_time(tmp_path: Path) -> None:
    source = Czi(str(write_czi(tmp_path / "a.czi", series())))
    assert (source.read(0).time, source.info.fps) == (None, None)


def test_colours_and_levels(tmp_path: Path) -> None:
    bgr = RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    level = Block(bgr[::2, ::2], pyramid=1)
    for name, encode, compression in (
        ("a", lambda pixels: pixels.tobytes(), 0),
        ("b", lambda pixels: b"\x01" + zstd.compress(pixels.tobytes()), 6),
    ):
        path = tmp_path / f"{name}.czi"
        write_czi(path, [Block(bgr), level], encode, compression=compression)
        source = Czi(str(path), color="rgb")
        assert (source.info.axes, source.info.shape) == ("cyx", (3, 20, 30))
        assert np.array_equal(source.read(0).pixels, bgr[..., ::-1].transpose(2, 0, 1))
        gray = (bgr[..., ::-1].astype(int) @ [299, 587, 114] + 500) // 1000
        assert np.array_equal(Czi(str(path)).read(0).pixels, gray)


def test_mosaics_are_put_together(tmp_path: Path) -> None:
    first, second = STACK[0, 0, 0], STACK[1, 0, 0]
    tiles = [
        Block(second, {"X": 15, "Y": 2, "M": 1}),
        Block(first, {"X": -10, "Y": 5, "M": 0}),
    ]
    source = Czi(str(write_czi(tmp_path / "a.czi", tiles)))
    expected = np.zeros((23, 55), np.uint16)
    expected[3:23, :30] = first
    expected[:20, 25:] = second
    assert np.array_equal(source.read(0).pixels, expected)


def test_planes_that_were_never_written(tmp_path: Path) -> None:
    path = write_czi(tmp_path / "a.czi", series()[:6])
    items = list(Czi(str(path)).frames())
    assert len(items) == 2
    assert isinstance(items[1], Unreadable)
    assert items[1].error == "frame 1 has no image of z=0, c=1: never written"


def test_a_block_that_is_damaged(tmp_path: Path) -> None:
    path = write_czi(tmp_path / "a.czi", series(), packed, compression=6)
    source = Czi(str(path))
    source.close()
    content = bytearray(path.read_bytes())
    at = content.index(b"\x03\x01\x01", content.index(b"\x03\x01\x01") + 3)
    content[at + 3 : at + 7] = b"oops"
    path.write_bytes(content)
    with pytest.raises(FrameError, match="frame 0 cannot be decoded: "):
        source.read(0)
    assert np.array_equal(source.read(1).pixels, STACK[1])


def test_threads_and_processes(tmp_path: Path) -> None:
    source = Czi(str(write_czi(tmp_path / "a.czi", series())))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: source.read(i % 3).pixels, range(60)))
    assert all(np.array_equal(got[i], STACK[i % 3]) for i in range(60))
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    assert np.array_equal(other.read(2).pixels, STACK[2])
    source.close()
    source.close()
    assert np.array_equal(source.read(2).pixels, STACK[2])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"scene": 1}, r"a\.czi has one scene, 0; got scene: 1"),
        ({"channel": 2}, "2 channels, so channel must be from 0 to 1, got 2"),
        ({"channel": "RFP"}, "no channel 'RFP'; did you mean 'GFP'?"),
        ({"color": "rgb"}, "has no red, green and blue samples, got color: rgb"),
    ],
)
def test_what_is_not_in_it(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    path = write_czi(tmp_path / "a.czi", series(scene=3))
    with pytest.raises(SourceError, match=message):
        Czi(str(path), **parameters)


def test_dimensions_that_are_no_image(tmp_path: Path) -> None:
    phases = [Block(STACK[0, 0, 0], {"H": phase}) for phase in range(3)]
    path = write_czi(tmp_path / "a.czi", phases)
    with pytest.raises(SourceError, match="several values of the dimension H, which"):
        Czi(str(path))


@pytest.mark.parametrize("content", [b"", b"hello" * 200, b"ZISRAWFILE" + bytes(30)])
def test_not_what_its_name_says(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.czi").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.czi cannot be read as CZI: ") as caught:
        Czi(str(tmp_path / "a.czi"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_file_that_is_cut_off(tmp_path: Path, share: float) -> None:
    path = write_czi(tmp_path / "a.czi", series())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SourceError, match=r"cannot be read as CZI.*is it complete\?"):
        Czi(str(path))


def test_missing_and_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such file: .*a\.czi"):
        Czi(str(tmp_path / "a.czi"))
    with pytest.raises(SourceError, match="is a folder; give one file"):
        Czi(str(tmp_path))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = write_czi(tmp_path / "a.czi", series())
    monkeypatch.setitem(sys.modules, "czifile", None)
    with pytest.raises(MissingDependency, match=r"pip install 'streamproc\[microsc"):
        Czi(str(path))
