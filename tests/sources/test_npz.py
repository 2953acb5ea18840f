"""NumPy's archives: stacks, named arrays, axes, refusals."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamproc.sources.npz import Npz

import streamproc as sp
from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array, Source, Unreadable

STACK = np.random.default_rng(0).integers(0, 999, (5, 2, 3, 20, 30)).astype("uint16")


def save(path: Path, array: Array = STACK) -> str:
    np.savez_compressed(path, stack=array)
    return str(path)


def test_axes_by_number_or_as_given(tmp_path: Path) -> None:
    for array, frames, axes in (
        (STACK[0, 0, 0], 1, "yx"),
        (STACK[:, 0, 0], 5, "yx"),
        (STACK, 5, "czyx"),
    ):
        info = Npz(save(tmp_path / "a.npz", array)).info
        assert (info.frames, info.axes) == (frames, axes)
    source = Npz(save(tmp_path / "a.npz"), axes="zctxy", fps=2, pixel_size_um=0.5)
    assert (source.info.axes, source.info.frames) == ("czyx", 3)
    assert source.info.pixel_size_um == {"y": 0.5, "x": 0.5}
    frame = source.read(1)
    assert frame.time == 0.5
    assert np.array_equal(frame.pixels, STACK[:, :, 1].transpose(1, 0, 3, 2))
    one = Npz(str(tmp_path / "a.npz"), channel=1)
    assert np.array_equal(one.read(4).pixels, STACK[4, 1])


def test_a_stack_of_a_challenge(data: Path, tmp_path: Path) -> None:
    path = data / "c2c12" / "data_small.npz"
    with pytest.raises(SourceError, match=r"2 arrays \(images, labels\); choose one"):
        sp.open(str(path))
    raw = sp.open({"npz": {"path": str(path), "array": "images"}})
    info = raw.graph.source.info
    assert (info.axes, info.shape, info.frames) == ("yx", (234, 234), 10)
    report = sp.run({"source": raw}, tmp_path / "run")
    expected = np.load(path)["images"]
    assert np.array_equal(sp.load(report.path).images["source"][:], expected)


def test_it_is_a_source(tmp_path: Path) -> None:
    source = sp.open(
        save(tmp_path / "a.npz", STACK[:, 0, 0].astype(">f8"))
    ).graph.source
    assert isinstance(source, Source)
    assert source.info.dtype == np.float32
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: source.read(i % 5).pixels, range(50)))
    assert all(np.array_equal(got[i], STACK[i % 5, 0, 0]) for i in range(50))
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    source.close()
    assert np.array_equal(other.read(2).pixels, source.read(2).pixels)
    with pytest.raises(FrameError, match="no frame 5; there are 5"):
        source.read(5)


def test_a_value_that_does_not_fit(tmp_path: Path) -> None:
    stack = np.zeros((3, 4, 4), np.int64)
    stack[1] = 2**40
    items = list(Npz(save(tmp_path / "a.npz", stack)).frames())
    assert isinstance(items[1], Unreadable)
    assert "pixels of int64 must fit into int32" in items[1].error


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"array": "stak"}, "no array 'stak'; did you mean 'stack'"),
        ({"axes": "tyx"}, "has 5 dimensions: axes must be .* got 'tyx'"),
        ({"channel": 2}, "has 2 channels, 0 to 1; got channel: 2"),
    ],
)
def test_what_is_not_in_it(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        Npz(save(tmp_path / "a.npz"), **parameters)


def test_no_arrays(tmp_path: Path) -> None:
    save(tmp_path / "four.npz", STACK[0])
    save(tmp_path / "empty.npz", STACK[:0])
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "none.npz").write_bytes(b"")
    whole = Path(save(tmp_path / "cut.npz")).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-100])
    np.savez(tmp_path / "objects.npz", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "nothing.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, STACK)
    for name, message in (
        ("missing", "no such file"),
        ("four", "4 dimensions without names; say which they are with axes"),
        ("empty", r"holds no pixels: its shape is \(0, 2, 3, 20, 30\)"),
        ("text", "cannot be read as .npz: .*; is it complete"),
        ("none", "cannot be read as .npz: "),
        ("cut", "cannot be read as .npz: "),
        ("nothing", "holds 0 arrays"),
        ("one", "cannot be read as .npz: ValueError: it is one array, no archive"),
    ):
        with pytest.raises(SourceError, match=message) as caught:
            Npz(str(tmp_path / f"{name}.npz"))
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match=r"cannot be read as \.npz: .*pickle"):
        Npz(str(tmp_path / "objects.npz"), array="arr_0")
