"""File names with fields: which file is which plane of which frame."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from streamproc.sources import _pattern
from streamproc.sources.files import Files

import streamproc as sp
from streamproc.errors import FrameError, SourceError
from streamproc.frame import Array, Frame, Unreadable

SHAPE = (8, 9)


def image(*numbers: int, shape: tuple[int, ...] = SHAPE) -> Array:
    """An image that no other file has."""
    return np.random.default_rng(numbers).integers(0, 60_000, shape, dtype=np.uint16)


def write(path: Path, pixels: Array, axes: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if axes:
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": axes})
    else:
        tifffile.imwrite(path, pixels, photometric="minisblack")


def frames(source: Files) -> list[Frame]:
    found = list(source.frames())
    assert all(isinstance(frame, Frame) for frame in found), found
    return [frame for frame in found if isinstance(frame, Frame)]


@pytest.fixture
def plate(tmp_path: Path) -> str:
    """Two wells, three times, two channels."""
    for well in (1, 2):
        for t in (1, 2, 10):
            for c, name in enumerate(("DAPI", "GFP")):
                write(tmp_path / f"A{well}_{t}_{name}.tif", image(well, t, c))
    return f"{tmp_path}/"


def test_t_orders_c_is_stacked_and_named(plate: str) -> None:
    source = Files(plate + "{well=A2}_{t:d}_{c}.tif")
    assert (source.info.axes, source.info.shape) == ("cyx", (2, *SHAPE))
    assert source.info.channels == ("DAPI", "GFP")
    assert source.info.frames == 3
    for frame, t in zip(frames(source), (1, 2, 10), strict=True):
        expected = [image(2, t, 0), image(2, t, 1)]
        assert np.array_equal(frame.pixels, expected)
        assert frame.metadata == {"well": "A2", "t": t}


def test_a_gap_in_t_is_no_frame(plate: str) -> None:
    # slots are numbered by the times that there are; each frame says its own
    source = Files(plate + "A1_{t}_DAPI.tif")
    assert [f.source_index for f in frames(source)] == [0, 1, 2]
    assert [f.metadata["t"] for f in frames(source)] == ["1", "2", "10"]
    assert frames(source)[2].metadata["file"] == "A1_10_DAPI.tif"


def test_a_number_that_is_missing_is_an_unreadable_frame(tmp_path: Path) -> None:
    for t in (10, 12, 16, 18):
        tifffile.imwrite(tmp_path / f"f_{t:03d}.tif", np.full(SHAPE, t, np.uint16))
    source = Files(str(tmp_path / "f_{t:d}.tif"))
    assert source.info.frames == 5
    given = list(source.frames())
    assert given[2] == Unreadable(2, "no file f_014.tif", None, {"t": 14})
    assert [f.pixels[0, 0] for f in given if isinstance(f, Frame)] == [10, 12, 16, 18]


def test_times_are_no_numbers_of_frames(tmp_path: Path) -> None:
    # milliseconds: in steps of one nearly all would be missing
    for t in (0, 33, 67, 100):
        tifffile.imwrite(tmp_path / f"f_{t}.tif", np.full(SHAPE, t, np.uint16))
    source = Files(str(tmp_path / "f_{t:d}.tif"))
    assert [f.metadata["t"] for f in frames(source)] == [0, 33, 67, 100]


def test_z_and_c_in_any_order_of_the_name(tmp_path: Path) -> None:
    for z in (9, 10, 11):
        for c in range(2):
            write(tmp_path / f"z{z}_ch{c}.tif", image(z, c))
    source = Files(str(tmp_path / "z{z:d}_ch{c:d}.tif"))
    assert (source.info.axes, source.info.shape) == ("czyx", (2, 3, *SHAPE))
    assert source.info.channels == ("0", "1")
    (frame,) = frames(source)
    for c in range(2):
        for k, z in enumerate((9, 10, 11)):
            assert np.array_equal(frame.pixels[c, k], image(z, c))


@pytest.mark.parametrize(("field", "own"), [("c", "ZYX"), ("z", "CYX")])
def test_axes_of_the_files_stay(tmp_path: Path, field: str, own: str) -> None:
    stacks = [image(n, shape=(3, *SHAPE)) for n in range(2)]
    for n, stack in enumerate(stacks):
        write(tmp_path / f"s_{n}.tif", stack, own)
    source = Files(str(tmp_path / f"s_{{{field}}}.tif"))
    assert source.info.axes == "czyx"
    (frame,) = frames(source)
    expected = np.stack(stacks, axis=0 if field == "c" else 1)
    assert np.array_equal(frame.pixels, expected)


def test_files_of_several_frames_keep_them(tmp_path: Path) -> None:
    movies = [image(n, shape=(4, *SHAPE)) for n in range(2)]
    for n, movie in enumerate(movies):
        write(tmp_path / f"m_{n}.tif", movie, "TYX")
    source = Files(str(tmp_path / "m_{c}.tif"), fps=2)
    assert (source.info.frames, source.info.shape) == (4, (2, *SHAPE))
    for t, frame in enumerate(frames(source)):
        assert np.array_equal(frame.pixels, [movies[0][t], movies[1][t]])
        assert frame.time == t / 2


def test_files_shorter_than_others_end_early(tmp_path: Path) -> None:
    for n, length in enumerate((3, 2)):
        write(tmp_path / f"m_{n}.tif", image(n, shape=(length, *SHAPE)), "TYX")
    found = list(Files(str(tmp_path / "m_{c}.tif")).frames())
    assert [type(f) for f in found] == [Frame, Frame, Unreadable]
    with pytest.raises(FrameError, match=r"m_1\.tif has only 2 frames"):
        Files(str(tmp_path / "m_{c}.tif")).read(2)


def test_a_missing_file_is_an_unreadable_frame(tmp_path: Path, plate: str) -> None:
    (tmp_path / "A1_2_GFP.tif").unlink()
    first, second, third = Files(plate + "{well=A1}_{t:d}_{c}.tif").frames()
    assert isinstance(first, Frame)
    assert isinstance(third, Frame)
    assert second == Unreadable(1, "no file A1_2_GFP.tif", None, {"well": "A1", "t": 2})


def test_the_first_frame_may_be_the_missing_one(tmp_path: Path, plate: str) -> None:
    (tmp_path / "A1_1_DAPI.tif").unlink()
    source = Files(plate + "{well=A1}_{t:d}_{c}.tif")
    assert source.info.shape == (2, *SHAPE)
    with pytest.raises(FrameError, match=r"no file A1_1_DAPI\.tif"):
        source.read(0)


def test_it_travels_to_another_process(plate: str) -> None:
    source = Files(plate + "A1_{t:d}_{c}.tif")
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again.read(1).pixels, source.read(1).pixels)
    assert again.info.identity == source.info.identity


def test_what_is_stacked_is_part_of_the_identity(plate: str) -> None:
    names = ("A1_1_{c}.tif", "A1_1_{z}.tif", "A1_1_{t}.tif")
    assert len({Files(plate + name).info.identity for name in names}) == 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("{well}_{t:d}_{c}.tif", r"matches 2 images \(well A1; well A2\); give batch"),
        ("{well}_{t:d}_{c}.tif", r"or choose one in the path: \{well=A1\}"),
        ("B{well}_{t}.tif", r"no file matches the pattern .*B\{well\}_\{t\}\.tif"),
        ("*_{t:d}_{c}.tif", r"two files for t 1, c DAPI: .*A1_1_DAPI\.tif and .*A2_1"),
        ("{well=A1}_{t:d}_{c:x}.tif", r"has no field at '\{c:x\}'; write \{name\}"),
        ("{well=A1}_{t:d}_{c.tif", r"has no field at '\{c\.tif'.*double a brace"),
        ("A1_{t:03d}_{c}.tif", "no file matches the pattern"),
    ],
)
def test_one_clear_line(plate: str, name: str, error: str) -> None:
    with pytest.raises(SourceError, match=error) as caught:
        Files(plate + name)
    assert "\n" not in str(caught.value)


def test_mixed_formats(tmp_path: Path) -> None:
    write(tmp_path / "a_1.tif", image(1))
    cv2.imwrite(str(tmp_path / "a_2.png"), image(2))
    with pytest.raises(SourceError, match=r"mixture of formats \(\.png, \.tif\)"):
        Files(str(tmp_path / "a_{t}.*"))


def test_different_shapes(tmp_path: Path) -> None:
    write(tmp_path / "a_1_0.tif", image(1))
    write(tmp_path / "a_1_1.tif", image(2, shape=(3, 4)))
    with pytest.raises(SourceError, match=r"files of one frame differ: yx \(8, 9\)"):
        Files(str(tmp_path / "a_{t}_{c}.tif"))
    source = Files(str(tmp_path / "a_1_{t}.tif"))
    with pytest.raises(
        SourceError, match=r"frames change shape: frame 1 in a_1_1\.tif"
    ):
        list(source.frames())


def test_a_field_that_is_an_axis_of_the_files_too(tmp_path: Path) -> None:
    write(tmp_path / "a_1.tif", image(1, shape=(2, *SHAPE)), "CYX")
    with pytest.raises(SourceError, match=r"c is a field of the path, and an axis"):
        Files(str(tmp_path / "a_{c}.tif"))
    assert Files(str(tmp_path / "a_{c}.tif"), channel=1).info.shape == (1, *SHAPE)


def test_two_spellings_of_one_number_are_two_files(tmp_path: Path) -> None:
    for text in ("1", "01"):
        write(tmp_path / f"t{text}.tif", image(1))
    with pytest.raises(SourceError, match=r"two files for t 1: .*t01\.tif and .*t1"):
        Files(str(tmp_path / "t{t:d}.tif"))


def test_widths_part_digits_without_a_separator(tmp_path: Path) -> None:
    for s, t in ((1, 7), (1, 12)):
        write(tmp_path / f"s{s:02}t{t:03}.tif", image(s, t))
    source = Files(str(tmp_path / "s{site:02d}t{t:03d}.tif"))
    assert [f.metadata["t"] for f in frames(source)] == [7, 12]
    assert frames(source)[0].metadata["site"] == 1


def test_fields_in_folders_wildcards_and_twice(tmp_path: Path) -> None:
    for well in ("A1", "B2"):
        for t in range(2):
            write(
                tmp_path / well / "day1" / f"{well}-{t}-x.tif", image(ord(well[0]), t)
            )
    pattern = str(tmp_path / "{well=B2}" / "**" / "{name}-{t:d}-?.tif")
    assert frames(Files(pattern))[1].metadata["name"] == "B2"
    twice = str(tmp_path / "{well}" / "*" / "{well}-{t:d}-x.tif")
    with pytest.raises(SourceError, match="matches 2 images"):
        Files(twice)
    write(tmp_path / "A1" / "day1" / "B2-7-x.tif", image(9))
    assert [name for name, _ in _pattern.images(twice)] == ["A1", "B2"]


def test_literal_braces_are_doubled(tmp_path: Path) -> None:
    write(tmp_path / "run{a}" / "im_1.tif", image(1))
    source = Files(str(tmp_path / "run{{a}}" / "im_{t:d}.tif"))
    assert np.array_equal(source.read(0).pixels, image(1))
    assert Files(str(tmp_path / "run{{a}}" / "*.tif")).info.frames == 1


def test_plain_paths_and_globs_stay_what_they_are(tmp_path: Path) -> None:
    write(tmp_path / "im{t}.tif", image(1))
    write(tmp_path / "x{1}" / "im.tif", image(2))
    assert np.array_equal(Files(str(tmp_path / "im{t}.tif")).read(0).pixels, image(1))
    glob = Files(str(tmp_path / "x{1}" / "*.tif"))
    assert np.array_equal(glob.read(0).pixels, image(2))


def test_images_of_a_batch_open_as_one(plate: str) -> None:
    found = _pattern.images(plate + "{well}_{t:d}_{c}.tif")
    assert [name for name, _ in found] == ["A1", "A2"]
    for well, (_, path) in enumerate(found, 1):
        source = Files(path)
        assert np.array_equal(source.read(2).pixels[1], image(well, 10, 1))
        assert source.read(0).metadata == {"well": f"A{well}", "t": 1}


def test_through_a_run(tmp_path: Path, plate: str) -> None:
    (tmp_path / "A1_2_GFP.tif").unlink()
    raw = sp.open(plate + "{well=A1}_{t:d}_{c}.tif")
    run = tmp_path / "RUN"
    report = sp.run({"source": raw}, run, limits={"disk_reserve": "1MB"})
    assert (report.frames.done, report.frames.failed) == (2, 1)
    loaded = sp.load(run)
    assert np.array_equal(loaded.images["source"][2, 1], image(1, 10, 1))
    assert not np.asarray(loaded.images["source"][1]).any()
    assert loaded.frames["error"][1] == "no file A1_2_GFP.tif"
    assert loaded.frames["metadata"][2] == '{"well": "A1", "t": 10}'
