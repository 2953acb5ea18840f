"""Pixel formats of GenICam against their bits, one by one."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]  # scipy ships no types
from streamproc.sources import _formats

from streamproc.errors import FrameError, SourceError

Words = list[int]


def stream(values: Words, bits: int) -> bytes:
    """Lay values behind each other, the lowest bit of each first."""
    text = "".join(f"{v:0{bits}b}"[::-1] for v in values)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def pairs(values: Words, bits: int) -> bytes:
    """Lay the high bits of two values around a byte with the low bits of both."""
    made = b""
    for i in range(0, len(values), 2):
        pair = [f"{v:0{bits}b}" for v in values[i : i + 2]]
        low = "".join(p[8:].rjust(4, "0") for p in pair[::-1]).rjust(8, "0")
        made += bytes([int(pair[0][:8], 2), int(low, 2)])
        made += bytes(int(p[:8], 2) for p in pair[1:])
    return made


def words(values: Words, size: int) -> bytes:
    """Lay values in bytes of their own, the lowest byte first."""
    return b"".join(v.to_bytes(size, "little") for v in values)


@given(st.data())
def test_pixels_are_those_of_the_bits(data: st.DataObject) -> None:
    bits, packing = data.draw(
        st.sampled_from(
            [(8, ""), (10, ""), (12, ""), (14, ""), (16, "")]
            + [(b, p) for b in (10, 12) for p in ("p", "Packed")]
        )
    )
    kind = data.draw(st.sampled_from(["Mono", "BayerRG", "BayerGB"]))
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    count = shape[0] * shape[1]
    values = data.draw(
        st.lists(st.integers(0, 2**bits - 1), min_size=count, max_size=count)
    )
    lay = {"p": stream, "Packed": pairs}.get(packing)
    raw = words(values, 1 if bits == 8 else 2) if lay is None else lay(values, bits)
    form = _formats.named(f"{kind}{bits}{packing}")
    assert form.size(count) == len(raw)
    # whatever follows in the buffer is none of it
    buffer = np.frombuffer(raw + b"\xff" * data.draw(st.integers(0, 3)), np.uint8)
    image = _formats.unpacked(buffer, shape, form)
    rows = np.reshape(values, shape).tolist()
    lines = [
        words(r, 1 if bits == 8 else 2) if lay is None else lay(r, bits) for r in rows
    ]
    padded = np.frombuffer(b"".join(line + b"\xee\xee" for line in lines), np.uint8)
    assert _formats.unpacked(padded, shape, form, 2).tolist() == rows
    assert image.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert image.tolist() == rows
    assert _formats.coloured(image, form, None)[1] == "yx"


@pytest.mark.parametrize("name", ["RGB8", "BGR8"])
def test_colours_side_by_side(name: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    stored = rgb if name == "RGB8" else rgb[..., ::-1]
    form = _formats.named(name)
    image = _formats.unpacked(stored.ravel(), (5, 7), form)
    got, axes = _formats.coloured(image, form, "rgb")
    assert axes == "cyx"
    assert np.array_equal(got, rgb.transpose(2, 0, 1))
    for color in ("gray", None):
        gray, axes = _formats.coloured(image, form, color)
        assert axes == "yx"
        assert np.abs(gray - rgb @ [0.299, 0.587, 0.114]).max() <= 0.500001


def demosaiced(mosaic: NDArray[np.uint16], pattern: str) -> NDArray[np.float64]:
    """Return the mean of the nearest samples of each colour, the inner ones exact."""
    first = [pattern, {"R": "GB", "B": "GR", "G": pattern[1] + "G"}[pattern[0]]]
    if pattern[0] == "G":  # GR over BG, GB over RG
        first[1] = ("B" if pattern[1] == "R" else "R") + "G"
    made = []
    y, x = np.indices(mosaic.shape) % 2
    for colour in "RGB":
        there = np.array([[c == colour for c in row] for row in first])[y, x]
        weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], float)
        if colour == "G":
            weights = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], float)
        total = ndimage.convolve(mosaic * there, weights, mode="constant")
        made.append(total / ndimage.convolve(there.astype(float), weights))
    return np.stack(made)


@pytest.mark.parametrize("pattern", ["RG", "GR", "GB", "BG"])
@pytest.mark.parametrize("bits", [8, 12])
def test_bayer(pattern: str, bits: int) -> None:
    form = _formats.named(f"Bayer{pattern}{bits}")
    rng = np.random.default_rng(1)
    mosaic = rng.integers(0, 2**bits, (12, 16)).astype(form.dtype)
    got, axes = _formats.coloured(mosaic, form, "rgb")
    assert axes == "cyx"
    assert got.dtype == form.dtype
    inner = (slice(None), slice(2, -2), slice(2, -2))
    expected = demosaiced(mosaic.astype(np.uint16), pattern)
    assert np.abs(got[inner] - expected[inner]).max() <= 1
    gray, _ = _formats.coloured(mosaic, form, "gray")
    luma = np.tensordot([0.299, 0.587, 0.114], got, 1)
    assert np.abs(gray - luma).max() <= 0.500001


@pytest.mark.parametrize(
    "name", ["YUV422_8", "Mono8p", "Mono14p", "Mono16Packed", "RGB10", "mono8", ""]
)
def test_formats_that_are_not_read(name: str) -> None:
    with pytest.raises(SourceError, match=re.escape(f"pixel format {name!r} is not")):
        _formats.named(name)


def test_too_few_bytes() -> None:
    with pytest.raises(FrameError, match="7 bytes came of 8"):
        _formats.unpacked(np.zeros(7, np.uint8), (2, 2), _formats.named("Mono12"))
    with pytest.raises(SourceError, match="no colours, got color: rgb"):
        _formats.coloured(np.zeros((2, 2), np.uint8), _formats.named("Mono8"), "rgb")
