"""TIFF in its dialects, whole and damaged, against what was written."""

import contextlib
import json
import math
import random
import struct
import uuid
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from streamproc.sources import _ome
from streamproc.sources.files import Files

from streamproc.errors import FrameError, MissingDependency, SourceError
from streamproc.frame import Array, Frame, SourceInfo, Unreadable

RNG = np.random.default_rng(0)
SIZES = {"T": 3, "Z": 4, "C": 2, "Y": 33, "X": 20}
AXES = ["YX", "TYX", "ZYX", "CYX", "TCYX", "TZYX", "ZCYX", "TZCYX"]


def array(axes: str, dtype: str = "uint16") -> Array:
    shape = tuple(SIZES[axis] for axis in axes)
    return (RNG.random(shape) * 250).astype(dtype)


def frames_of(data: Array, axes: str) -> tuple[Array, str]:
    """The frames that an array with axes must give, and their axes."""
    lead = [i for i, a in enumerate(axes) if a not in "CZYX"]
    rest = [axes.index(a) for a in "CZYX" if a in axes]
    frames = data.transpose(lead + rest)
    kept = "".join(axes[i] for i in rest).lower()
    return frames.reshape((-1, *frames.shape[len(lead) :])), kept


def read(path: Path, **options: object) -> tuple[Array, SourceInfo]:
    source = Files(str(path), **options)
    frames = list(source.frames())
    assert all(isinstance(f, Frame) for f in frames), frames
    return np.stack([f.pixels for f in frames]), source.info


def split(path: Path) -> tuple[dict[int, Array], list[str]]:
    """Good frames by index, and errors, of a damaged file."""
    items = list(Files(str(path)).frames())
    good = {i.source_index: i.pixels for i in items if isinstance(i, Frame)}
    return good, [i.error for i in items if isinstance(i, Unreadable)]


def write(path: Path, data: Array, axes: str, kind: str, **given: object) -> None:
    options: dict[str, Any] = {"photometric": "minisblack", **given}
    flat = data.reshape((-1, *data.shape[-2:]))
    if kind == "shaped":
        tifffile.imwrite(path, data, metadata={"axes": axes}, **options)
    elif kind == "imagej":
        options.pop("byteorder", None)
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": axes}, **options)
    elif kind == "ome":
        tifffile.imwrite(path, data, ome=True, metadata={"axes": axes}, **options)
    elif kind == "plain":
        tifffile.imwrite(path, data, metadata=None, **options)
    else:
        own: dict[str, Any] = {"metadata": None} if kind == "bare pages" else {}
        first = {k: options.pop(k) for k in ("bigtiff", "byteorder") if k in options}
        with tifffile.TiffWriter(path, **first) as writer:
            for page in flat:
                writer.write(page, contiguous=kind == "run", **own, **options)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    axes=st.sampled_from(AXES),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    kind=st.sampled_from(
        ["shaped", "imagej", "ome", "plain", "pages", "bare pages", "run"]
    ),
    byteorder=st.sampled_from("<>"),
    bigtiff=st.booleans(),
    compression=st.sampled_from([None, "zlib"]),
    tile=st.sampled_from([None, (16, 16)]),
)
def test_everything_that_tifffile_writes(
    tmp_path: Path,
    axes: str,
    dtype: str,
    kind: str,
    byteorder: str,
    bigtiff: bool,
    compression: str | None,
    tile: tuple[int, int] | None,
) -> None:
    data, path = array(axes, dtype), tmp_path / "a.tif"
    options = {"byteorder": byteorder, "compression": compression}
    if kind == "imagej":
        bigtiff = False
    if kind == "run":
        compression = options["compression"] = tile = None
    write(path, data, axes, kind, bigtiff=bigtiff, tile=tile, **options)
    if kind in ("plain", "pages", "bare pages", "run"):
        data, axes = data.reshape((-1, *data.shape[-2:])), "QYX"
    expected, kept = frames_of(data, axes)
    got, info = read(path)
    assert info.axes == kept
    assert info.frames == len(expected)
    assert got.dtype == np.dtype(dtype)
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "TCYX"])
def test_stacks_behind_each_other(tmp_path: Path, axes: str) -> None:
    first, second = array(axes), array(axes)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for data in (first, second):
            writer.write(data, metadata={"axes": axes}, photometric="minisblack")
    expected = np.concatenate([frames_of(d, axes)[0] for d in (first, second)])
    assert np.array_equal(read(tmp_path / "a.tif")[0], expected)


def test_ome_images_behind_each_other(tmp_path: Path) -> None:
    pages = array("TYX")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for page in pages:
            writer.write(page, photometric="minisblack")
    assert np.array_equal(read(tmp_path / "a.ome.tif")[0], pages)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours(tmp_path: Path, planar: str, samples: int) -> None:
    data = RNG.integers(0, 255, (5, 20, 30, samples)).astype(np.uint8)
    stored = data if planar == "contig" else np.moveaxis(data, 3, 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar)
    rgb, info = read(path, color="rgb")
    assert info.axes == "cyx"
    assert np.array_equal(rgb, np.moveaxis(data[..., :3], 3, 1))
    assert np.array_equal(read(path, channel=1)[0], data[..., 1])
    luma = (data[..., :3].astype(int) @ [299, 587, 114] + 500) // 1000
    assert np.array_equal(read(path)[0], luma)


def test_samples_that_are_no_colours_are_channels(tmp_path: Path) -> None:
    data = array("CYX")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig="separate")
    got, info = read(path)
    assert info.axes == "cyx"
    assert np.array_equal(got[0], data)


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint64", "float64", "float16"])
def test_unusual_pixels(tmp_path: Path, dtype: str) -> None:
    data = (RNG.random((5, 20, 30)) * 2).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    got, info = read(tmp_path / "a.tif")
    assert info.dtype.itemsize <= 4
    assert np.array_equal(got, data.astype(info.dtype))


def test_64_bit_pixels_that_do_not_fit(tmp_path: Path) -> None:
    data = np.zeros((5, 20, 30), np.int64)
    data[2] = 2**40
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    good, errors = split(tmp_path / "a.tif")
    assert sorted(good) == [0, 1, 3, 4]
    assert "must fit into int32, got 1099511627776" in errors[0]


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.complex64))
    with pytest.raises(SourceError, match="whole or real numbers, got complex64"):
        Files(str(tmp_path / "a.tif"))


def test_thumbnails_and_pyramid_levels_are_no_frames(tmp_path: Path) -> None:
    data = array("TYX")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        own: dict[str, Any] = {
            "photometric": "minisblack",
            "metadata": {"axes": "TYX"},
        }
        writer.write(data, subifds=1, **own)
        writer.write(data[:, ::2, ::2], subfiletype=1, **own)
    assert np.array_equal(read(tmp_path / "a.ome.tif")[0], data)
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        for page in data:
            writer.write(page, metadata=None)
            writer.write(page[::2, ::2], metadata=None, subfiletype=1)
    assert np.array_equal(read(tmp_path / "b.tif")[0], data)


@pytest.mark.parametrize("metadata", [{}, {"metadata": None}])
def test_pages_of_another_shape(tmp_path: Path, metadata: dict[str, Any]) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in (*array("TYX"), np.zeros((8, 9), np.uint16)):
            writer.write(page, **metadata)
    with pytest.raises(SourceError, match=r"frames change shape: frame 3 in a\.tif is"):
        list(Files(str(tmp_path / "a.tif")).frames())


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["shaped", "imagej", "pages", "bare pages", "run"])
@pytest.mark.parametrize("share", [0.95, 0.6, 0.3])
def test_a_file_that_is_cut_off(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    compression: str | None,
    share: float,
) -> None:
    if kind == "run":
        compression = None
    data, path = (RNG.random((8, 60, 50)) * 60000).astype(np.uint16), tmp_path / "a.tif"
    write(path, data, "TYX", kind, compression=compression)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    good, errors = split(path)
    assert sorted(good) == list(range(len(good)))
    assert abs(len(good) - 8 * share) <= 1.1
    assert all(np.array_equal(good[i], data[i]) for i in good)
    assert errors
    assert all("a.tif" in error and "\n" not in error for error in errors)
    assert "the file is cut off" in errors[0]
    if kind in ("shaped", "imagej", "run"):
        assert len(good) + len(errors) == 8
    assert capfd.readouterr() == ("", "")


def test_a_broken_chain_is_one_failure(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", array("TYX"), "TYX", "bare pages")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        second, third = tif.pages[1].offset, tif.pages[2].offset
    link = data.index(struct.pack("<I", third), second)
    for target, message in (
        (10**9, "page 2 begins at byte 1000000000, the file has"),
        (second, "page 2 points back to an earlier page"),
        (len(data) - 3, "page 2 at byte"),
    ):
        data[link : link + 4] = struct.pack("<I", target)
        (tmp_path / "a.tif").write_bytes(data)
        good, errors = split(tmp_path / "a.tif")
        assert sorted(good) == [0, 1]
        assert len(errors) == 1
        assert f"a.tif: the chain of pages is broken: {message}" in errors[0]


def test_a_corrupt_page_in_the_middle(tmp_path: Path) -> None:
    data = array("TYX")
    write(tmp_path / "a.tif", data, "TYX", "shaped", compression="zlib")
    stored = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offset = tif.pages[1].dataoffsets[0]
    stored[offset + 20 : offset + 60] = bytes(40)
    (tmp_path / "a.tif").write_bytes(stored)
    good, errors = split(tmp_path / "a.tif")
    assert sorted(good) == [0, 2]
    assert len(errors) == 1
    assert errors[0].startswith("a.tif, page 1 (of 0 to 2): ")


def test_damage_never_ends_in_another_error(tmp_path: Path) -> None:
    chance = random.Random(0)
    path = tmp_path / "a.tif"
    for kind in ("shaped", "imagej", "ome", "pages"):
        write(path, array("TYX"), "TYX", kind, compression="zlib")
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(chance.choice((1, 5, 20))):
                data[chance.randrange(min(len(data), 600))] = chance.randrange(256)
            path.write_bytes(data)
            with contextlib.suppress(SourceError):
                split(path)


def test_a_file_without_pages(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0\0\0\0\0")
    with pytest.raises(SourceError, match=r"a\.tif cannot be read: "):
        Files(str(tmp_path / "a.tif"))


def test_a_codec_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.tif", array("TYX"), "TYX", "shaped", compression="lzw")
    source = Files(str(tmp_path / "a.tif"))

    def refuse(self: tifffile.TiffPage) -> NoReturn:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(refuse))
    with pytest.raises(
        MissingDependency, match=r"a\.tif needs imagecodecs; pip install"
    ):
        source.read(0)


def test_imagej_calibration(tmp_path: Path) -> None:
    data = array("TZYX")
    meta = {"axes": "TZYX", "spacing": 2.5, "unit": "um", "finterval": 0.2}
    tifffile.imwrite(
        tmp_path / "a.tif", data, imagej=True, resolution=(4, 2), metadata=meta
    )
    source = Files(str(tmp_path / "a.tif"))
    assert source.info.pixel_size_um == {"z": 2.5, "y": 0.5, "x": 0.25}
    assert source.info.fps == pytest.approx(5)
    assert [source.read(i).time for i in range(3)] == pytest.approx([0, 0.2, 0.4])


def test_ome_calibration_and_times(tmp_path: Path) -> None:
    meta = {
        "axes": "TYX",
        "PhysicalSizeX": 650,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.65,
        "TimeIncrement": 100,
        "TimeIncrementUnit": "ms",
        "AcquisitionDate": "2024-05-06T07:08:09Z",
        "Plane": {
            "DeltaT": [0.0, 0.11, 0.2],
            "ExposureTime": [10.0, 10.0, 20.0],
            "ExposureTimeUnit": ["ms"] * 3,
            "PositionX": [1.0, 2.0, 3.0],
            "PositionXUnit": ["mm"] * 3,
        },
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", array("TYX"), metadata=meta)
    source = Files(str(tmp_path / "a.ome.tif"))
    assert source.info.pixel_size_um == pytest.approx({"y": 0.65, "x": 0.65})
    assert source.info.fps == pytest.approx(10)
    start = 1714979289.0
    times = [source.read(i).time for i in range(3)]
    assert times == pytest.approx([start, start + 0.11, start + 0.2], abs=1e-6)
    assert source.read(2).metadata == {
        "exposure_ms": 20.0,
        "position_x": 3.0,
        "position_unit": "mm",
    }
    json.dumps(dict(source.info.metadata))
    faster = Files(str(tmp_path / "a.ome.tif"), fps=2)
    assert faster.read(1).time == start + 0.5


@pytest.mark.parametrize(
    ("resolution", "unit", "size"),
    [
        ((72, 72), "inch", {}),
        ((600, 600), "inch", {}),
        ((50800, 25400), "inch", {"y": 1.0, "x": 0.5}),
        ((20000, 20000), "centimeter", {"y": 0.5, "x": 0.5}),
        ((2, 2), None, {}),
    ],
)
def test_printers_resolutions_are_no_pixel_sizes(
    tmp_path: Path,
    resolution: tuple[int, int],
    unit: str | None,
    size: dict[str, float],
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array("YX"), resolution=resolution, resolutionunit=unit)
    assert Files(str(path)).info.pixel_size_um == pytest.approx(size)


def ome_of_two_files(folder: Path, planes: Array) -> None:
    """Write planes alternately into a.ome.tif and b.ome.tif, one data set."""
    names = ("a.ome.tif", "b.ome.tif")
    own = [f"urn:uuid:{uuid.UUID(int=i + 1)}" for i in range(2)]
    places = "".join(
        f'<TiffData FirstT="{t}" IFD="{t // 2}" PlaneCount="1">'
        f'<UUID FileName="{names[t % 2]}">{own[t % 2]}</UUID></TiffData>'
        for t in range(len(planes))
    )
    for i, name in enumerate(names):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{own[i]}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
            'DimensionOrder="XYCZT" Type="uint16" SizeX="20" SizeY="33" SizeC="1" '
            f'SizeZ="1" SizeT="{len(planes)}">{places}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(folder / name) as writer:
            for k, plane in enumerate(planes[i::2]):
                text = xml if k == 0 else None
                writer.write(plane, description=text, metadata=None)


def test_an_ome_data_set_of_several_files(tmp_path: Path) -> None:
    planes = np.concatenate([array("TYX"), array("TYX")])
    ome_of_two_files(tmp_path, planes)
    assert np.array_equal(read(tmp_path / "a.ome.tif")[0], planes)
    assert np.array_equal(read(tmp_path)[0], planes)
    (tmp_path / "b.ome.tif").unlink()
    good, errors = split(tmp_path / "a.ome.tif")
    assert sorted(good) == [0, 2, 4]
    assert len(errors) == 3
    assert "its file b.ome.tif is missing" in errors[0]


def test_ome_xml_that_tells_no_place() -> None:
    xml = (
        '<OME><Image><Pixels DimensionOrder="XYZCT" SizeC="1" SizeZ="1" SizeT="3">'
        '<TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>'
    )
    (image,) = _ome.parse(xml, 3)
    assert image.planes == (_ome.Plane(0), _ome.Plane(1), None)
    assert _ome.parse("<OME><Image>", 1) == []


def test_a_plane_without_a_place(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>'
        '<Pixels DimensionOrder="XYZCT" SizeX="20" SizeY="33" SizeC="1" SizeZ="1" '
        'SizeT="3" Type="uint16"><TiffData IFD="0"/></Pixels></Image></OME>'
    )
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, array("YX"), description=xml, metadata=None)
    good, errors = split(path)
    assert sorted(good) == [0]
    assert "page 1 (of 0 to 2): the file tells no place for it" in errors[0]


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "axes", "frames"),
    [
        ("pims_formats/stuck.tif", (512, 512), "uint16", "yx", 5),
        ("blobs/blobs.tif", (254, 256), "uint8", "yx", 1),
        ("blobs/blobs_sparse_labels.tif", (254, 256), "int32", "yx", 1),
        (
            "cancer_migration/cancer_cell_migration_crop.tif",
            (130, 130),
            "uint16",
            "yx",
            48,
        ),
        (
            "neubias_formats/xyz_8bit__nuclei_autothresh.tif",
            (37, 118, 132),
            "uint8",
            "zyx",
            1,
        ),
        (
            "neubias_formats/xyt_calibrated_16bit__golgi_bfa_sum_projection.tif",
            (137, 147),
            "float32",
            "yx",
            30,
        ),
        (
            "neubias_formats/anchor_nuclei_downsampled.tiff",
            (912, 630),
            "float32",
            "yx",
            1,
        ),
    ],
)
def test_real_files(
    data: Path, name: str, shape: tuple[int, ...], dtype: str, axes: str, frames: int
) -> None:
    got, info = read(data / name)
    assert (info.shape, info.dtype, info.axes) == (shape, np.dtype(dtype), axes)
    assert info.frames == frames
    expected = tifffile.imread(data / name)
    assert np.array_equal(got.reshape(expected.shape), expected)


def test_real_truth(data: Path) -> None:
    got, _ = read(data / "pims_formats" / "stuck.tif")
    assert np.array_equal(got[0], np.load(data / "pims_formats" / "stuck_frame0.npy"))


def test_real_calibration(data: Path) -> None:
    folder = data / "neubias_formats"
    _, series = read(folder / "xyt_calibrated_16bit__golgi_bfa_sum_projection.tif")
    assert series.pixel_size_um == pytest.approx({"y": 0.35143, "x": 0.35143}, rel=1e-4)
    assert series.fps == pytest.approx(1 / 59.86)
    _, volume = read(folder / "xyz_8bit__nuclei_autothresh.tif")
    assert volume.pixel_size_um == pytest.approx(
        {"z": 4.0, "y": 0.82864, "x": 0.82864}, rel=1e-4
    )


def test_a_missing_frame_is_a_frame_error(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", array("TYX"), "TYX", "shaped")
    with pytest.raises(FrameError, match="no frame 3; there are 3"):
        Files(str(tmp_path / "a.tif")).read(3)
    assert math.prod(Files(str(tmp_path / "a.tif")).info.shape) == 33 * 20


NAMES = ["DAPI", "GFP"]


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("a.ome.tif", {"Channel": {"Name": NAMES}}),
        ("a.tif", {"Labels": NAMES}),
        ("b.tif", {"Labels": [f"c:{i % 2 + 1}/2 - {NAMES[i % 2]}" for i in range(12)]}),
    ],
)
def test_channels_have_names(
    tmp_path: Path, name: str, metadata: dict[str, object]
) -> None:
    data = np.arange(2 * 3 * 2 * 20 * 30, dtype=np.uint16).reshape(2, 3, 2, 20, 30)
    metadata = {"axes": "TZCYX", **metadata}
    tifffile.imwrite(
        tmp_path / name,
        data,
        photometric="minisblack",
        metadata=metadata,
        imagej=not name.endswith("ome.tif"),
    )
    info = Files(str(tmp_path / name)).info
    assert (info.axes, info.channels) == ("czyx", ("DAPI", "GFP"))
    assert np.array_equal(
        Files(str(tmp_path / name)).read(1).pixels, data[1].swapaxes(0, 1)
    )
    one = Files(str(tmp_path / name), channel=1).info
    assert (one.channels, one.metadata["channel"]) == ((), "GFP")
    named = Files(str(tmp_path / name), channel="GFP")
    assert named.info == one
    with pytest.raises(SourceError, match="no channel 'GPF'; did you mean 'GFP'"):
        Files(str(tmp_path / name), channel="GPF")


def test_channels_that_labels_do_not_tell_apart(tmp_path: Path) -> None:
    data = np.zeros((2, 20, 30), np.uint8)
    for labels in (["a", "a"], ["c:1/2", "c:2/2"], ["a"]):
        metadata = {"axes": "CYX", "Labels": labels}
        tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=metadata)
        info = Files(str(tmp_path / "a.tif")).info
        assert (info.axes, info.channels) == ("cyx", ())


@pytest.mark.parametrize(
    ("name", "axes", "shape", "frames", "pixel_size", "interval"),
    [
        ("anchor_nuclei_downsampled.tiff", "yx", (912, 630), 1, {}, None),
        (
            "xyt_calibrated_16bit__golgi_bfa_sum_projection.tif",
            *("yx", (137, 147), 30, {"y": 0.351435, "x": 0.351435}, 59.86),
        ),
        (
            "xyz_8bit__nuclei_autothresh.tif",
            *("zyx", (37, 118, 132), 1, {"z": 4.0, "y": 0.828643, "x": 0.828643}),
            None,
        ),
    ],
)
def test_images_of_a_course(
    data: Path,
    name: str,
    axes: str,
    shape: tuple[int, ...],
    frames: int,
    pixel_size: dict[str, float],
    interval: float | None,
) -> None:
    path = data / "neubias_formats" / name
    source = Files(str(path))
    info = source.info
    assert (info.axes, info.shape, info.frames) == (axes, shape, frames)
    assert info.pixel_size_um == pytest.approx(pixel_size, abs=1e-6)
    assert info.fps == (pytest.approx(1 / interval) if interval else None)
    expected = tifffile.imread(path).reshape(frames, *shape)
    for index in range(frames):
        assert np.array_equal(source.read(index).pixels, expected[index])
