"""Messages between programs: what is sent is what is read; anything else is named."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import streamproc as sp
from streamproc import messages
from streamproc.frame import Array
from streamproc.messages import Compression, Message, MessageError, read

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "float32", "float64"]  # fmt: skip
AXES = ["yx", "zyx", "cyx", "czyx"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def info(pixels: Array, axes: str, **more: Any) -> sp.SourceInfo:
    return sp.SourceInfo(
        shape=pixels.shape, dtype=pixels.dtype, axes=axes, identity="test", **more
    )


@st.composite
def frames(draw: st.DrawFn) -> tuple[sp.Frame, sp.SourceInfo]:
    """Draw a frame of any kind that a source may give."""
    axes = draw(st.sampled_from(AXES))
    shape = draw(
        arrays.array_shapes(min_dims=len(axes), max_dims=len(axes), max_side=5)
    )
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    pixels = draw(arrays.arrays(dtype, shape))
    texts = st.text(st.characters(codec="utf-8"))
    metadata = draw(st.dictionaries(texts, texts | st.integers(-(2**53), 2**53)))
    time = draw(st.none() | st.floats(0, 1e10))
    frame = sp.Frame(pixels, draw(st.integers(0, 2**53 - 1)), time, metadata)
    return frame, info(pixels, axes, pixel_size_um={"y": 0.5, "x": 0.25}, fps=20.0)


def sent(parts: list[Any]) -> list[bytes]:
    """Return what arrives at the other side."""
    return [bytes(memoryview(part).cast("B")) for part in parts]


@given(frames(), st.sampled_from(["none", "blosc"]), st.sampled_from(["", "cam"]))
def test_what_is_sent_is_what_is_read(
    given: tuple[sp.Frame, sp.SourceInfo], compression: Compression, topic: str
) -> None:
    frame, told = given
    parts = sent(messages.encode(frame, told, compression))
    message = read([*([topic.encode()] if topic else []), *parts])
    assert message is not None
    pixels, header = message.pixels(), message.header
    assert pixels.dtype == frame.pixels.dtype
    assert pixels.dtype.isnative
    assert pixels.shape == frame.pixels.shape
    assert pixels.tobytes() == frame.pixels.tobytes()
    assert (header.frame, header.time) == (frame.source_index, frame.time)
    assert header.metadata == frame.metadata
    assert header.named_axes == told.axes
    assert (header.pixel_size_um, header.fps) == (told.pixel_size_um, told.fps)


def test_big_endian_pixels_arrive_little_endian() -> None:
    pixels = np.arange(6, dtype=">u2").reshape(2, 3)
    parts = sent(messages.encode(sp.Frame(pixels, 0), info(pixels, "yx"), "none"))
    assert parts[1] == pixels.astype("<u2").tobytes()


def test_the_end_is_no_frame() -> None:
    assert read(messages.end()) is None
    assert json.loads(messages.end()[0]) == {"htype": "series_end-1.0"}


def test_a_header_as_others_write_it() -> None:
    header = {"htype": "image-1.0", "frame": 3, "shape": [2, 3], "type": "uint8"}
    message = read([json.dumps(header).encode(), bytes(range(6))])
    assert message is not None
    assert message.pixels().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (message.header.named_axes, message.header.time) == ("yx", None)


def changed(**values: Any) -> list[bytes]:
    """Return a message of 2 x 3 pixels whose header says something else."""
    header = {"htype": "image-1.0", "frame": 3, "shape": [2, 3], "type": "uint8"}
    return [json.dumps({**header, **values}).encode(), bytes(6)]


def blosc(plain: int, own: int, data: bytes = b"") -> list[bytes]:
    """Return a message whose blosc frame says that it has such sizes."""
    packed = struct.pack("<4B3I", 2, 1, 0x21, 1, plain, plain, own) + data
    return [changed(compression="blosc")[0], packed]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "a header and pixels, got 0 parts"),
        ([b"topic"], "got 0 parts"),
        ([*changed(), b""], "got 3 parts"),
        ([b"{", b""], "the header cannot be read"),
        ([b'{"htype": "image-1.0"}', b""], "missing required field `frame`"),
        ([b"{" + b'"a":{' * 100_000, b""], "the header cannot be read"),
        ([b"{" + b" " * (1 << 20), b""], "a header of 1,048,577 bytes; at most"),
        (changed(htype="dheader-1.0"), "htype 'dheader-1.0' is not known; known: im"),
        (changed(htype=1), "the header cannot be read"),
        (changed(frame=-1), r"Expected `int` >= 0 - at `\$.frame`"),
        (changed(frame=2**63), "frame"),
        (changed(frame=1.5), "frame"),
        (changed(shape=[6]), "shape"),
        (changed(shape=[2, -3]), "shape"),
        (changed(shape=[2, 0]), "shape"),
        (changed(shape=[1] * 5), "shape"),
        (changed(shape=[2**31 - 1] * 4), "a frame of .* bytes; at most 1,073,741,824"),
        (changed(shape=[30_000, 30_000]), "come in 6 bytes, 900,000,000 are expected"),
        (changed(shape=[2, 2]), "come in 6 bytes, 4 are expected"),
        (changed(type="uint16"), "come in 6 bytes, 12 are expected"),
        (changed(type="object"), "the header cannot be read: Invalid enum value"),
        (changed(type="<u2"), "Invalid enum value"),
        (changed(type="V8"), "Invalid enum value"),
        (changed(compression="pickle"), "Invalid enum value 'pickle'"),
        (changed(compression="blosc"), "6 bytes are no blosc frame"),
        (blosc(6, 16), "the pixels cannot be decompressed"),
        (blosc(2**31 - 1, 16), "become 2,147,483,647 bytes, 6 are expected"),
        (blosc(6, 2**31 - 1), "come in 16 bytes, 2,147,483,647 are expected"),
        (changed(axes="xy"), "axes 'xy' are not within 'czyx'"),
        (changed(axes="zyx"), r"axes 'zyx' of shape \[2, 3\]"),
        (changed(channels=["a"]), "1 names of channels"),
        (changed(pixel_size_um={"z": 1.0}), "pixel_size_um has axes"),
        (changed(pixel_size_um={"y": -1.0}), "pixel_size_um"),
        (changed(time="now"), "time"),
        (changed(metadata=[]), "metadata"),
    ],
)  # fmt: skip
def test_what_is_no_frame_is_named(parts: list[bytes], said: str) -> None:
    with pytest.raises(MessageError, match=said) as caught:
        _pixels(parts)
    assert "\n" not in str(caught.value)


def test_the_number_of_a_spoiled_frame_is_known() -> None:
    with pytest.raises(MessageError) as caught:
        read([*changed()[:1], b"12345"])
    assert caught.value.frame == 3


def _pixels(parts: list[bytes]) -> Message | None:
    message = read(parts)
    if message is not None:
        pixels = message.pixels()
        assert pixels.shape == message.header.shape
        assert pixels.dtype == message.header.dtype
        json.dumps(message.header.metadata)
    return message


def refused(parts: list[bytes]) -> str:
    """Return why a message is refused, in one line; empty where it is read."""
    try:
        _pixels(parts)
    except MessageError as error:
        return str(error)
    return ""


def _refused_or_read(parts: list[bytes]) -> None:
    tracemalloc.start()
    try:
        reason = refused(parts)
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert "\n" not in reason
    # of a few bytes nobody makes many
    assert most < 1 << 20


@given(st.lists(st.binary(max_size=64), max_size=4))
def test_any_bytes_are_refused_or_read(parts: list[bytes]) -> None:
    _refused_or_read(parts)


@given(
    st.dictionaries(
        st.sampled_from([f for f in messages.Header.__struct_fields__ if f != "htype"]),
        json_values,
    ),
    st.binary(max_size=32),
)
def test_any_header_is_refused_or_read(values: dict[str, Any], data: bytes) -> None:
    _refused_or_read([changed(**values)[0], data])
    _refused_or_read([changed(**values)[0], bytes(6)])


@given(frames(), st.data())
def test_damaged_pixels_are_refused_or_read(
    given: tuple[sp.Frame, sp.SourceInfo], data: st.DataObject
) -> None:
    header, packed = sent(messages.encode(*given, "blosc"))
    spoiled = bytearray(packed)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[place] = data.draw(st.integers(0, 255))
    _refused_or_read([header, bytes(spoiled)])
    cut: Callable[[int], bytes] = lambda n: packed[:n]  # noqa: E731
    _refused_or_read([header, cut(data.draw(st.integers(0, len(packed))))])
