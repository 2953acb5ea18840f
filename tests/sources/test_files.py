"""Image files: what is given, what is read, what is refused."""

import os
import pickle
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from streamproc.sources.files import Files

from streamproc.errors import ConfigError, FrameError, SourceError
from streamproc.frame import Array, Frame, Source, Unreadable
from streamproc.parameters import Parameters

RNG = np.random.default_rng(0)


def stack(count: int = 5, dtype: str = "uint16") -> Array:
    return RNG.integers(0, 255, (count, 20, 30)).astype(dtype)


def pixels(source: Files) -> Array:
    frames = list(source.frames())
    assert all(isinstance(frame, Frame) for frame in frames), frames
    assert [frame.source_index for frame in frames] == list(range(len(frames)))
    return np.stack([frame.pixels for frame in frames])


def write_sequence(
    folder: Path, images: Iterable[Array], suffix: str = ".png", name: str = "img"
) -> None:
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{name}{i}{suffix}"), image)


def test_it_is_a_source(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack())
    source = Files(str(tmp_path / "a.tif"))
    assert isinstance(source, Source)
    assert source.info.random_access
    assert not source.info.live
    source.stop()
    source.close()
    assert source.read(0).pixels.flags.c_contiguous


def test_the_constructor_is_the_definition() -> None:
    parameters = Parameters(Files, positional=True)
    assert parameters.first == "path"
    values = parameters.check({"path": ["a", "b"]}, owner="files")
    assert values["color"] == "gray"
    with pytest.raises(ConfigError, match=r"pixel_size_um must be > 0.*, got 0\.0"):
        parameters.check({"path": "a", "pixel_size_um": 0.0}, owner="files")


def test_a_folder_is_in_natural_order(tmp_path: Path) -> None:
    images = stack(12, "uint8")
    write_sequence(tmp_path, images)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    source = Files(str(tmp_path))
    assert np.array_equal(pixels(source), images)
    assert source.read(10).metadata == {"file": "img10.png"}
    assert source.info.frames == 12
    assert source.info.metadata["format"] == "png"


def test_a_glob_may_go_through_folders(tmp_path: Path) -> None:
    images = stack(4, "uint8")
    for name, part in (("pos2", images[:2]), ("pos10", images[2:])):
        (tmp_path / name).mkdir()
        write_sequence(tmp_path / name, part)
    assert np.array_equal(pixels(Files(str(tmp_path / "**" / "*.png"))), images)


def test_a_name_that_looks_like_a_glob(tmp_path: Path) -> None:
    images = stack()
    tifffile.imwrite(tmp_path / "a[1].tif", images)
    assert np.array_equal(pixels(Files(str(tmp_path / "a[1].tif"))), images)


def test_a_list_is_in_the_order_given(tmp_path: Path) -> None:
    images = stack(7)
    tifffile.imwrite(tmp_path / "b.tif", images[:5])
    tifffile.imwrite(tmp_path / "a.tiff", images[5:])
    source = Files([str(tmp_path / "b.tif"), str(tmp_path / "a.tiff")])
    assert np.array_equal(pixels(source), images)
    assert source.read(5).metadata == {"file": "a.tiff"}
    assert np.array_equal(
        np.stack([f.pixels for f in source.frames(start=2)]), images[2:]
    )


def test_more_files_than_are_kept_open(tmp_path: Path) -> None:
    images = stack(40)
    for i, image in enumerate(images):
        tifffile.imwrite(tmp_path / f"{i}.tif", image)
    source = Files(str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: source.read(i % 40).pixels, range(200)))
    assert all(np.array_equal(got[i], images[i % 40]) for i in range(200))


def test_threads_read_the_same(tmp_path: Path) -> None:
    images = stack(50)
    tifffile.imwrite(tmp_path / "a.tif", images, compression="zlib", tile=(16, 16))
    source = Files(str(tmp_path / "a.tif"))
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: source.read(i).pixels, range(50)))
    assert np.array_equal(np.stack(got), images)


def test_it_can_be_sent_to_another_process(tmp_path: Path) -> None:
    images = stack()
    tifffile.imwrite(tmp_path / "a.tif", images)
    source = Files(str(tmp_path / "a.tif"), pixel_size_um=0.5)
    other = pickle.loads(pickle.dumps(source))
    assert other.info == source.info
    assert np.array_equal(pixels(other), images)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("samples", [1, 3, 4])
def test_png_samples(tmp_path: Path, dtype: str, samples: int) -> None:
    shape = (20, 30, samples) if samples > 1 else (20, 30)
    bgra = RNG.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    path = str(tmp_path / "a.png")
    cv2.imwrite(path, bgra)
    if samples == 1:
        assert np.array_equal(Files(path).read(0).pixels, bgra)
        return
    blue, green, red = (bgra[..., i].astype(int) for i in range(3))
    rgb = Files(path, color="rgb")
    assert rgb.info.axes == "cyx"
    assert np.array_equal(rgb.read(0).pixels, np.stack([red, green, blue]))
    assert rgb.read(0).pixels.dtype == dtype
    assert np.array_equal(Files(path, channel=1).read(0).pixels, green)
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    assert np.array_equal(Files(path).read(0).pixels, luma)
    if samples == 4:
        assert np.array_equal(Files(path, channel=3).read(0).pixels, bgra[..., 3])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_modes_as_pillow_sees_them(tmp_path: Path, mode: str) -> None:
    rgb = Image.fromarray(RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8))
    picture = Image.fromarray(stack()[0]) if mode == "I;16" else rgb.convert(mode)
    picture.save(tmp_path / "a.png")
    path = str(tmp_path / "a.png")
    if mode in ("P", "RGB", "RGBA"):
        expected = np.moveaxis(np.asarray(picture.convert("RGB")), 2, 0)
        assert np.array_equal(Files(path, color="rgb").read(0).pixels, expected)
    elif mode == "LA":
        assert np.array_equal(Files(path).read(0).pixels, np.asarray(picture)[..., 0])
        got = Files(path, channel=1).read(0).pixels
        assert np.array_equal(got, np.asarray(picture)[..., 1])
    else:
        factor = 255 if mode == "1" else 1
        assert np.array_equal(Files(path).read(0).pixels, np.asarray(picture) * factor)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".bmp", ".JPG"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_and_bmp_as_pillow_sees_them(
    tmp_path: Path, suffix: str, mode: str
) -> None:
    rgb = Image.fromarray(RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8))
    rgb.convert(mode).save(tmp_path / f"a{suffix}")
    expected = np.asarray(Image.open(tmp_path / f"a{suffix}"))
    color = "rgb" if mode == "RGB" else "gray"
    got = Files(str(tmp_path / f"a{suffix}"), color=color).read(0).pixels
    assert np.array_equal(
        got, np.moveaxis(expected, 2, 0) if mode == "RGB" else expected
    )
    assert got.flags.writeable


@pytest.mark.parametrize("mode", ["1", "P"])
def test_bmp_palettes(tmp_path: Path, mode: str) -> None:
    rgb = Image.fromarray(RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8))
    rgb.convert(mode).save(tmp_path / "a.bmp")
    expected = np.asarray(Image.open(tmp_path / "a.bmp").convert("RGB"))
    got = Files(str(tmp_path / "a.bmp")).read(0).pixels
    luma = (expected.astype(int) @ [299, 587, 114] + 500) // 1000
    assert np.array_equal(got, luma)


def test_a_rotation_tag_is_not_applied(tmp_path: Path) -> None:
    picture = Image.fromarray(stack(dtype="uint8")[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.png"):
        picture.save(tmp_path / name, exif=exif)
        assert Files(str(tmp_path / name)).info.shape == (20, 30)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_an_image_that_is_cut_off_fails_alone(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    images = stack(4, "uint8")
    write_sequence(tmp_path, images, suffix)
    for index, share in ((0, 0.0), (2, 0.6)):
        path = tmp_path / f"img{index}{suffix}"
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
    kinds = [type(item) for item in Files(str(tmp_path)).frames()]
    assert kinds == [Unreadable, Frame, Unreadable, Frame]
    error = list(Files(str(tmp_path)).frames())[2]
    assert isinstance(error, Unreadable)
    assert f"img2{suffix} cannot be decoded" in error.error
    assert error.metadata == {"file": f"img2{suffix}"}
    with pytest.raises(FrameError, match="cannot be decoded"):
        Files(str(tmp_path)).read(2)
    assert capfd.readouterr() == ("", "")


def test_a_png_with_a_wrong_checksum(tmp_path: Path) -> None:
    write_sequence(tmp_path, stack(2, "uint8"))
    data = bytearray((tmp_path / "img1.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "img1.png").write_bytes(data)
    bad = list(Files(str(tmp_path)).frames())[1]
    assert isinstance(bad, Unreadable)
    assert "img1.png cannot be decoded: wrong checksum of its IDAT" in bad.error


def test_a_file_that_vanishes_later(tmp_path: Path) -> None:
    write_sequence(tmp_path, stack(2, "uint8"))
    source = Files(str(tmp_path))
    os.remove(tmp_path / "img1.png")
    with pytest.raises(FrameError, match=r"img1\.png cannot be read: No such file"):
        source.read(1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.tif", "no such file or folder"),
        ("*.tif", "no file matches"),
        ("empty", r"no images in .*; known: \.tif"),
        ("notes.txt", r"unknown format '\.txt' of .*; known: \.tif, \.tiff, \.png"),
        ("*.txt", r"unknown format '\.txt'"),
        ("emp*", "only folders do"),
        ("mixed", r"mixture of formats \(\.png, \.tif\); one source is one format"),
        ([], "no image files given"),
        ("broken.png", r"not even one frame of .* can be read: .*cannot be decoded"),
        ("broken", "none of the 2 frames of"),
        ("bad.tiff", r"not even one frame of .* can be read: bad\.tiff cannot be read"),
    ],
)
def test_nothing_to_read(tmp_path: Path, name: str | list[str], message: str) -> None:
    for folder in ("empty", "mixed", "broken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    for path in ("broken.png", "broken/a.png", "broken/b.png", "bad.tiff"):
        (tmp_path / path).write_text("hello")
    write_sequence(tmp_path / "mixed", stack(1, "uint8"))
    tifffile.imwrite(tmp_path / "mixed" / "a.tif", stack())
    given = name if isinstance(name, list) else str(tmp_path / name)
    with pytest.raises(SourceError, match=message) as caught:
        Files(given)
    assert "\n" not in str(caught.value)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sequence(tmp_path, stack(1, "uint8"))
    tifffile.imwrite(tmp_path / "a.tiff", stack())

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SourceError, match=r"no permission to read .*img0\.png"):
        Files(str(tmp_path / "img0.png"))
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SourceError, match=r"no permission to read .*a\.tiff"):
        Files(str(tmp_path / "a.tiff"))
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(SourceError, match="no permission to list the folder"):
        Files(str(tmp_path))


def test_a_batch_is_no_one_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch: true .*; use sp.run_batch\(\)"):
        Files(str(tmp_path), batch=True)


@pytest.mark.parametrize(
    "other", [np.zeros((20, 31), np.uint8), np.zeros((20, 30), np.uint16)]
)
def test_frames_that_change(tmp_path: Path, other: Array) -> None:
    write_sequence(tmp_path, [*stack(2, "uint8"), other])
    source = Files(str(tmp_path))
    message = r"frames change shape: frame 2 in img2\.png is yx \(20, 3., those"
    message = message.replace("3.", r"3.\) \w+")
    with pytest.raises(SourceError, match=message):
        list(source.frames())


def test_no_such_frame(tmp_path: Path) -> None:
    write_sequence(tmp_path, stack(2, "uint8"))
    with pytest.raises(FrameError, match="no frame 2; there are 2"):
        Files(str(tmp_path)).read(2)


def test_times_and_sizes_that_are_given(tmp_path: Path) -> None:
    write_sequence(tmp_path, stack(2, "uint8"))
    source = Files(str(tmp_path), fps=4, pixel_size_um=0.65)
    assert source.info.fps == 4
    assert source.info.pixel_size_um == {"y": 0.65, "x": 0.65}
    assert [source.read(i).time for i in (0, 1)] == [0.0, 0.25]
    assert Files(str(tmp_path)).read(0).time is None


def test_identity_is_of_the_content(tmp_path: Path) -> None:
    images = stack(2, "uint8")
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        write_sequence(tmp_path / name, images)
    write_sequence(tmp_path / "c", 255 - images)
    write_sequence(tmp_path / "c", images[1:2], name="img1")
    same = {Files(str(tmp_path / name)).info.identity for name in ("a", "b")}
    assert len(same) == 1
    same.add(Files(str(tmp_path / "c")).info.identity)
    same.add(Files(str(tmp_path / "a"), channel=0).info.identity)
    assert len(same) == 3


def test_bulk_water(data: Path) -> None:
    source = Files(str(data / "bulk_water_a"), channel=1)
    assert (source.info.frames, source.info.shape) == (80, (424, 640))
    for index, path in enumerate(sorted((data / "bulk_water_a").glob("*.png"))):
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert np.array_equal(source.read(index).pixels, stored[..., 1])


def test_hubble(data: Path) -> None:
    path = data / "hubble" / "hubble_deep_field.png"
    rgb = np.asarray(Image.open(path).convert("RGB"))
    source = Files(str(path), color="rgb")
    assert np.array_equal(source.read(0).pixels, np.moveaxis(rgb, 2, 0))


def test_images_of_different_sizes(data: Path) -> None:
    source = Files(str(data / "bbbc038_a" / "*_img.png"))
    with pytest.raises(SourceError, match="frames change shape"):
        list(source.frames())
