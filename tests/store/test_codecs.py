import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.codecs import BloscCodec, ZstdCodec

from streamproc.errors import ConfigError
from streamproc.store import codecs
from streamproc.store.codecs import CODECS, Codec

DTYPES = ["u1", "<u2", "<i4", "<u8", "<f4", "<f8", "?", "<c8"]


@pytest.mark.parametrize("codec", CODECS)
@given(
    pixels=st.sampled_from(DTYPES).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=1, max_dims=3, max_side=40))
    )
)
def test_what_goes_in_comes_out(codec: Codec, pixels: np.ndarray) -> None:
    data = codecs.encode(pixels, codec)
    assert len(data) <= codecs.bound(pixels.nbytes, codec)
    out = np.empty_like(pixels)
    codecs.decode(data, codec, out)
    assert out.tobytes() == pixels.tobytes()


@pytest.mark.parametrize("codec", CODECS)
def test_noise_stays_within_the_bound(codec: Codec) -> None:
    noise = np.random.default_rng(0).integers(0, 2**16, (300, 301), dtype="u2")
    assert len(codecs.encode(noise, codec)) <= codecs.bound(noise.nbytes, codec)


def test_without_a_codec_nothing_is_copied() -> None:
    pixels = np.zeros((8, 8), "u2")
    assert np.shares_memory(codecs.encode(pixels, "none"), pixels)


@pytest.mark.parametrize("codec", CODECS)
def test_threads_give_the_same_bytes(codec: Codec) -> None:
    pixels = np.random.default_rng(0).poisson(20, (1024, 1024)).astype("u2")
    expected = bytes(codecs.encode(pixels, codec))
    found: list[bytes] = []

    def work() -> None:
        found.extend(bytes(codecs.encode(pixels, codec)) for _ in range(4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {expected}


@pytest.mark.parametrize(
    ("codec", "theirs"),
    [
        ("zstd", ZstdCodec(level=1, checksum=False)),
        (
            "blosc-lz4",
            BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=2),
        ),
    ],
)
def test_metadata_is_what_zarr_python_writes(
    codec: Codec,
    theirs: Any,
) -> None:
    assert codecs.metadata(codec, 2)[1] == theirs.to_dict()


def test_crc32c_is_castagnoli() -> None:
    assert codecs.crc32c(b"123456789") == 0xE3069283


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ConfigError, match=r"codec 'zst' is not known; did you mean"):
        codecs.check("zst")
