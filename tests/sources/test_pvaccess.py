"""Channels of pvAccess against what another process published, and what breaks them."""

import base64
import io
import json
import re
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs  # type: ignore[import-untyped]  # untyped
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from streamproc.sources import _live, _ntndarray, pvaccess
from streamproc.sources._ntndarray import EPICS_EPOCH
from streamproc.sources.pvaccess import PvAccess

import streamproc as sp
from streamproc.errors import FrameError, MissingDependency, SourceError
from streamproc.testing import SourceContract
from tests.sources.commands import killed_and_resumed
from tests.sources.publisher import Publisher, pixels, structure

pytest.importorskip("p4p", reason="the extra pvaccess is not installed")

Array = NDArray[Any]
DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]
CHANNEL = "CAM1:Pva1:Image"


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A publisher on this computer alone, which holds picture 0."""
    made = Publisher(CHANNEL)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.begin()
    yield made
    made.kill()


def frames(source: PvAccess, count: int) -> list[sp.Frame]:
    """Return the next frames, and whatever else is yielded must be none."""
    items = list(islice(source.frames(), count))
    assert all(isinstance(i, sp.Frame) for i in items), items
    return items


class TestContract(SourceContract):
    """The engine can rely on it."""

    @pytest.fixture(autouse=True)
    def _publishing(self, publisher: Publisher) -> None:
        publisher.tell(do="begin", first=1, every=0.01)

    def make(self, folder: Path) -> PvAccess:
        """Return a channel that goes on for ever."""
        return PvAccess(CHANNEL, roi=(2, 4, 16, 20))


def listen(
    source: PvAccess, publisher: Publisher, first: int, count: int, **how: Any
) -> list[Any]:
    """Return what comes of pictures that are published while the source listens."""
    # the first one is there when it begins, and newer than what it saw when opened
    publisher.tell(first=first, **how)
    running = source.frames()
    items = [next(running)]
    publisher.tell(first=first + 1, count=count - 1, **how)
    items += islice(running, count - 1)
    running.close()
    return items


def test_pixels_order_counts_and_metadata(publisher: Publisher) -> None:
    source = PvAccess(CHANNEL)
    assert (source.info.shape, source.info.dtype, source.info.axes) == (
        *((24, 32), np.uint16),
        "yx",
    )
    before = time.time()
    items = listen(source, publisher, first=7, count=300)
    after = time.time()
    source.close()
    assert [i.source_index for i in items] == list(range(7, 307))
    for item in items:
        assert np.array_equal(item.pixels, pixels(item.source_index))
        assert item.metadata == {
            "ColorMode": 0,
            "Gain": 1.5,
            "Sample": f"well {item.source_index}",
            "unique_id": item.source_index,
        }
    times = [i.time + 0.5 for i in items]
    assert times == sorted(times)
    assert before <= times[0] + 1e-6
    assert times[-1] <= after


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_number(publisher: Publisher, dtype: str) -> None:
    publisher.tell(first=1, dtype=dtype)
    source = PvAccess(CHANNEL)
    items = listen(source, publisher, first=5, count=3, dtype=dtype)
    source.close()
    expected = [pixels(n, dtype=dtype) for n in range(5, 8)]
    assert all(i.pixels.dtype == source.info.dtype for i in items)
    assert np.array_equal([i.pixels for i in items], expected)


def test_what_the_count_leaves_out_is_a_gap(publisher: Publisher) -> None:
    source = PvAccess(CHANNEL)
    publisher.tell(first=2**31 - 3)
    running = source.frames()
    items = [next(running)]
    for first in (2**31 - 2, 2**31 + 5):  # in between 32 bits run over
        publisher.tell(first=first)
    items += islice(running, 3)
    source.close()
    found = [i.source_index for i in items if isinstance(i, sp.Frame)]
    assert found == [2**31 - 3, 2**31 - 2, 2**31 + 5]
    (gap,) = (i for i in items if isinstance(i, sp.Gap))
    assert (gap.first_source_index, gap.count) == (2**31 - 1, 6)
    assert gap.reason == f"the camera counts on from {2**31 - 2} to {2**31 + 5}"


def test_what_a_slow_client_misses_is_a_gap(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pvaccess, "_MOST", 4)
    source = PvAccess(CHANNEL)
    publisher.tell(first=1)
    running = source.frames()
    items = [next(running)]
    publisher.tell(first=2, count=499)  # 2 to 500, and nobody takes them
    while not isinstance(items[-1], sp.Frame) or items[-1].source_index < 500:
        items.append(next(running))
    running.close()
    source.close()
    there = [i.source_index for i in items if isinstance(i, sp.Frame)]
    lost = [i for i in items if isinstance(i, sp.Gap)]
    assert lost
    missing = [
        n for g in lost for n in range(g.first_source_index, g.last_source_index + 1)
    ]
    assert sorted(there + missing) == list(range(1, 501))
    for item in items:
        if isinstance(item, sp.Frame):
            assert np.array_equal(item.pixels, pixels(item.source_index))


def test_pictures_without_a_count(publisher: Publisher) -> None:
    publisher.tell(first=1, counted=False)
    source = PvAccess(CHANNEL)
    publisher.tell(first=2, counted=False)
    running = source.frames()
    items = [next(running)]
    publisher.tell(first=3, count=8, counted=False)
    items += islice(running, 8)
    source.close()
    assert [i.source_index for i in items] == list(range(9))
    got = [i.pixels for i in items]
    assert np.array_equal(got, [pixels(n) for n in range(2, 11)])


def test_what_was_there_before_is_no_frame(publisher: Publisher) -> None:
    source = PvAccess(CHANNEL)
    link = source._connect()
    assert link.take(0.2) is None
    publisher.tell(first=1)
    picture = link.take(10.0)
    assert isinstance(picture, _live.Picture)
    assert picture.counter == 1
    link.close()
    source.close()


def admitted(run: sp.Run, count: int) -> None:
    """Wait until a run has so many frames."""
    while run.report().frames.admitted < count:
        assert run.state == "running"
        time.sleep(0.02)


def counts(run: sp.Results) -> list[int]:
    """Return the publisher's count of each frame, whose pixels must be its own."""
    told = [json.loads(m)["unique_id"] for m in run.frames["metadata"]]
    for saved, count in zip(np.asarray(run.images["source"]), told, strict=True):
        assert np.array_equal(saved, pixels(count))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 5000], ids=["anew", "on"])
def test_killed_for_five_seconds_and_back(
    publisher: Publisher, tmp_path: Path, first: int
) -> None:
    publisher.tell(do="begin", first=1, every=0.02)
    raw = sp.open({"pvaccess": {"channel": CHANNEL}})
    run = sp.start({"source": raw}, tmp_path / "run")
    admitted(run, 20)
    publisher.kill()
    time.sleep(5)
    before = run.report().frames.admitted
    publisher.begin(first=first)
    admitted(run, before + 1)  # the one that it holds
    publisher.tell(do="begin", first=first + 1, every=0.02)
    admitted(run, before + 40)
    run.drain()
    report = run.wait(60)
    results = sp.load(run.path)
    told = counts(results)
    again = told.index(first)
    assert told[:again] == list(range(told[0], told[0] + again))
    assert told[again:] == list(range(first, first + len(told) - again))
    assert report.frames.done == len(told)
    (gap,) = results.gaps.to_dict("records")
    last = told[again - 1]
    assert gap["first_source_index"] == last + 1
    if first:
        assert gap["last_source_index"] == first - 1
        assert report.frames.lost == first - 1 - last
        assert gap["reason"].startswith("no connection for ")
    else:
        assert gap["last_source_index"] == last
        assert "how many frames are missing is unknown" in gap["reason"]
    index = list(results.frames["source_index"])
    assert index[again:] == list(
        range(first or last + 1, (first or last + 1) + len(told) - again)
    )
    said = results.events
    assert list(said[said["level"] == "warning"]["kind"]) == ["disconnect", "reconnect"]


def test_another_shape_ends_the_run_which_can_be_resumed(
    publisher: Publisher, tmp_path: Path
) -> None:
    # the part that is cut is in both: what it shows is not
    source = {"pvaccess": {"channel": CHANNEL, "roi": [0, 0, 24, 32]}}
    publisher.tell(do="begin", first=1, every=0.01)
    run = sp.start({"source": sp.open(source)}, tmp_path / "run")
    admitted(run, 5)
    publisher.tell(do="end")
    publisher.tell(first=9000, shape=(48, 32))
    with pytest.raises(SourceError) as caught:
        run.wait(60)
    assert str(caught.value) == (
        f"channel {CHANNEL!r} gives (48, 32) uint16 now, before (24, 32) uint16; "
        "set the detector back and resume"
    )
    done = run.report().frames.done
    assert done >= 5
    publisher.tell(first=9001)
    publisher.tell(do="begin", first=9002, every=0.01)
    again = sp.resume(tmp_path / "run", wait=False)
    assert isinstance(again, sp.Run)
    admitted(again, done + 10)
    again.drain()
    report = again.wait(60)
    assert report.frames.done >= done + 10
    told = counts(sp.load(report.path))
    assert told[:done] == list(range(told[0], told[0] + done))
    assert told[done] >= 9001


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another type": (
        {"do": "scalar"},
        {},
        f"channel {CHANNEL!r} is epics:nt/NTScalar:1.0, not an NTNDArray",
    ),
    "no picture": (
        {"do": "empty"},
        {"connect_timeout": 0.3},
        f"channel {CHANNEL!r} has no picture after 0.3 s; start the detector first",
    ),
    "one axis": (
        {"shape": [32]},
        {},
        "the picture has 1 dimensions, where yx are 2; choose a part with",
    ),
    "no colours": (
        {},
        {"color": "rgb"},
        "the picture has no red, green and blue samples, got color: rgb",
    ),
    "a part beyond": (
        {},
        {"roi": (20, 0, 5, 32)},
        r"roi \[20, 0, 5, 32\] .* reaches beyond the picture of 24 x 32 pixels",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, parameters, message = REFUSED[case]
    publisher = Publisher(CHANNEL)
    for name, value in publisher.environment.items():
        monkeypatch.setenv(name, value)
    publisher.begin(**command)
    try:
        with pytest.raises(sp.StreamprocError, match=message) as caught:
            PvAccess(CHANNEL, **parameters)
    finally:
        publisher.kill()
    assert "\n" not in str(caught.value)


def test_no_such_channel(publisher: Publisher) -> None:
    with pytest.raises(
        SourceError, match=r"no channel 'CAM2' within 0\.5 s; .* EPICS_PVA_ADDR_LIST"
    ):
        PvAccess("CAM2", connect_timeout=0.5)


def test_stop_is_heard_while_the_channel_is_away(publisher: Publisher) -> None:
    source = PvAccess(CHANNEL, connect_timeout=60.0)
    publisher.kill()
    ended = threading.Event()

    def listen() -> None:
        list(source.frames())
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    source.stop()
    assert ended.wait(30)
    source.close()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "p4p.client.raw", None)
    with pytest.raises(
        MissingDependency, match=r"pip install 'streamproc\[pvaccess\]'"
    ):
        PvAccess(CHANNEL)


def bitshuffled(flat: Array) -> bytes:
    """Compress as bitshuffle does: blocks behind their lengths, the rest as it is."""
    size = flat.itemsize
    block = max(8192 // size // 8 * 8, 128)
    end = flat.size // 8 * 8
    made = b""
    for first in range(0, end, block):
        part = imagecodecs.bitshuffle_encode(
            flat[first : min(first + block, end)].tobytes(), itemsize=size
        )
        packed = imagecodecs.lz4_encode(part)
        made += struct.pack(">I", len(packed)) + packed
    return made + flat[end:].tobytes()


COMPRESS: dict[str, Callable[[Array], bytes]] = {
    "blosc": lambda flat: numcodecs.Blosc("zstd", shuffle=2).encode(flat),
    "bslz4": bitshuffled,
    "lz4": lambda flat: bytes(imagecodecs.lz4_encode(flat.tobytes())),
}


def compressed(image: Array, codec: str, *, full_length: bool = False) -> Any:
    """Return the structure of a compressed image, as either server gives it."""
    data = np.frombuffer(COMPRESS[codec](image.ravel()), np.uint8)
    if not full_length:
        parameters = DTYPES.index(image.dtype.str[1:].replace("b1", "?"))
        return structure(1, image, codec=codec, parameters=parameters, stored=data)
    whole = np.zeros(max(image.nbytes, data.size), np.uint8)
    whole[: data.size] = data
    made = structure(1, image, codec=codec, stored=whole.view(image.dtype))
    made.compressedSize = data.size
    return made


@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    dtype=st.sampled_from([d for d in DTYPES if d not in ("i8", "u8", "f8")]),
    codec=st.sampled_from(sorted(COMPRESS)),
    full_length=st.booleans(),
)
def test_compressions(
    shape: tuple[int, int], dtype: str, codec: str, full_length: bool
) -> None:
    image = np.tile(pixels(3, shape, dtype), (3, 2))
    value = compressed(image, codec, full_length=full_length and image.dtype != bool)
    got, axes = _ntndarray.picture(value, "gray")
    assert axes == "yx"
    assert np.array_equal(got, image)


def test_bitshuffle_is_that_of_its_authors() -> None:
    image = (np.arange(9003, dtype=np.uint16) // 3000)[None]
    # what bitshuffle.compress_lz4, version 0.5.2, makes of it
    stored = np.frombuffer(
        base64.b85decode(
            "0000s9{>RW|70Kk0RVLm{{jDG4*~%H|NsC0|NsC0|NsC0|NsC0|NsC0|NsC0|NsAvPyhe`0000"
            "006ZW60RY+`00991?GNn&+7AK%5)Tmr|LqR~0RR90|NsC0|NsC0|NsC0|NsC0|NsC0|Ns93Pyh"
            "e`00000039Cy0RT}S{{a9|56J*g4*~%H|NsC04^RLA0000300RI600"
        ),
        np.uint8,
    )
    value = structure(1, image, codec="bslz4", parameters=6, stored=stored)
    assert np.array_equal(_ntndarray.picture(value, "gray")[0], image)


MODES = {2: (0, 1, 2), 3: (0, 2, 1), 4: (2, 0, 1)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_colours(mode: int, dtype: str) -> None:
    image = pixels(1, (5, 7, 3), dtype)
    value = structure(1, image.transpose(MODES[mode]), attributes={"ColorMode": mode})
    got, axes = _ntndarray.picture(value, "rgb")
    assert axes == "cyx"
    assert np.array_equal(got, image.transpose(2, 0, 1))
    assert got.flags.c_contiguous
    gray, axes = _ntndarray.picture(value, "gray")
    assert axes == "yx"
    exact = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(gray - exact).max() <= (0.500001 if dtype[0] == "u" else 1e-3)


def test_bayer_is_one_plane_and_mono_may_have_depth() -> None:
    image = pixels(1, (6, 8))
    value = structure(1, image, attributes={"ColorMode": 1})
    assert np.array_equal(_ntndarray.picture(value, "gray")[0], image)
    volume = pixels(1, (3, 6, 8))
    got, axes = _ntndarray.picture(structure(1, volume), "gray")
    assert axes == "zyx"
    assert np.array_equal(got, volume)


@pytest.mark.parametrize("mode", [0, 2, 3, 4])
def test_jpeg(mode: int) -> None:
    y, x = np.mgrid[:40, :56]
    image = np.stack([3 * y, 4 * x, y + x], -1).astype(np.uint8)
    served = image[..., 0] if mode == 0 else image.transpose(MODES[mode])
    coded = io.BytesIO()
    Image.fromarray(served if mode == 0 else image).save(coded, "JPEG", quality=95)
    value = structure(
        1,
        served,
        codec="jpeg",
        parameters=5,
        stored=np.frombuffer(coded.getvalue(), np.uint8),
        attributes={"ColorMode": mode},
    )
    got, _ = _ntndarray.picture(value, "rgb" if mode else "gray")
    decoded = np.asarray(Image.open(coded))
    expected = decoded.transpose(2, 0, 1) if mode else decoded
    # decoders differ by rounding, in the colours' conversion and in enlarging them
    assert np.abs(got.astype(int) - expected).max() <= 3


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "cut off": (
        {"codec": "blosc", "parameters": 6},
        FrameError,
        "blosc data cannot be decoded: ",
    ),
    "torn lz4": ({"codec": "lz4", "parameters": 6}, FrameError, "lz4 data cannot be"),
    "torn bslz4": (
        {"codec": "bslz4", "parameters": 6},
        FrameError,
        "bslz4 data cannot",
    ),
    "no jpeg": ({"codec": "jpeg", "parameters": 5}, FrameError, "no JPEG"),
    "too few": ({}, FrameError, "20 pixels came where 24 x 32 were announced"),
    "another codec": (
        {"codec": "zlib"},
        SourceError,
        "the codec 'zlib' is not read; known: blosc, bslz4, jpeg, lz4",
    ),
    "no type": (
        {"codec": "lz4", "parameters": 11},
        SourceError,
        "codec.parameters must be a type of pvData, got 11",
    ),
    "yuv": (
        {"attributes": {"ColorMode": 6}},
        SourceError,
        "the picture is YUV422, which is not read; have areaDetector's plugin",
    ),
    "one more axis": (
        {"sizes": (32, 24, 1, 1)},
        SourceError,
        "the picture has 4 dimensions, where yx are 2",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_says_why(case: str) -> None:
    how, kind, message = BAD[case]
    torn = np.frombuffer(b"\x02\x01\x13\x02not anything", np.uint8)[:10]
    stored = np.tile(torn, 2)
    value = structure(1, pixels(1), stored=stored, **how)
    with pytest.raises(kind, match=re.escape(message)) as caught:
        _ntndarray.picture(value, "gray")
    assert "\n" not in str(caught.value)


def test_a_spoiled_picture_is_lost(publisher: Publisher) -> None:
    source = PvAccess(CHANNEL)
    torn = structure(1, pixels(1), codec="lz4", parameters=6, stored=np.ones(9, "u1"))
    spoiled = source._read(torn, is_held=False)
    assert isinstance(spoiled, _live.Spoiled)
    assert spoiled.counter == 1
    assert spoiled.reason.startswith("lz4 data cannot be decoded: ")
    source.close()


NOW = time.time()


@pytest.mark.parametrize(
    ("data_seconds", "seconds", "expected"),
    [
        (NOW - 5.25, NOW - 1, NOW - 5.25),
        (0.0, NOW - 1.5, NOW - 1.5),
        (12.5, NOW - 1.5, NOW - 1.5),  # since the detector was switched on
        (EPICS_EPOCH + 12.5, NOW - 1.5, NOW - 1.5),
        (NOW - 5.25 - EPICS_EPOCH, 0.0, NOW - 5.25),  # of old areaDetectors
    ],
)
def test_times(data_seconds: float, seconds: float, expected: float) -> None:
    value = structure(1, pixels(1), seconds=seconds, data_seconds=data_seconds)
    assert _ntndarray.moment(value) == pytest.approx(expected, abs=1e-6)


def test_a_picture_without_a_clock_is_of_its_arrival() -> None:
    before = time.time()
    assert before <= _ntndarray.moment(structure(1, pixels(1))) <= time.time()


def test_what_is_told_of_a_picture() -> None:
    value = structure(
        8,
        pixels(1),
        attributes={"Note": "µ", "Gain": 2, "Row": np.arange(3.0), "None": None},
        dimension={"offset": 16, "binning": 2, "reverse": True},
    )
    value.timeStamp.userTag = 77
    value.alarm = {"severity": 2, "message": "too bright"}
    told = _ntndarray.metadata(value)
    assert json.loads(json.dumps(told)) == {
        "Note": "µ",
        "Gain": 2,
        "Row": [0.0, 1.0, 2.0],
        "None": None,
        "offset": {"x": 16, "y": 16},
        "binning": {"x": 2, "y": 2},
        "reverse": {"x": True, "y": True},
        "user_tag": 77,
        "alarm": "too bright",
        "unique_id": 8,
    }


@pytest.mark.slow
def test_on_the_command_line(publisher: Publisher, tmp_path: Path) -> None:
    publisher.tell(do="begin", first=1, every=0.05)
    results = killed_and_resumed({"pvaccess": {"channel": CHANNEL}}, tmp_path)
    told = counts(results)
    assert told == list(results.frames["source_index"])
    (gap,) = results.gaps.to_dict("records")
    assert gap["place"] == "restart"
    missing = range(gap["first_source_index"], gap["last_source_index"] + 1)
    assert sorted([*told, *missing]) == list(range(told[0], told[-1] + 1))
