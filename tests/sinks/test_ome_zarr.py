import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import ome_zarr_models
import pytest
import tensorstore
import yaozarrs
import zarr
from streamproc.sinks._pyramid import halve_image, halve_labels
from streamproc.sinks.ome_zarr import OmeZarr

from streamproc.errors import ConfigError, FrameError, StoreError
from streamproc.frame import SourceInfo
from streamproc.store.chunks import ChunkRow, verify
from streamproc.store.platform import EMULATED, NATIVE, Platform
from streamproc.store.repair import Repair

#: Anything may come out of a zarr group, as far as its annotations go.
open_group: Any = zarr.open_group
open_array: Any = zarr.open_array


@pytest.fixture(params=[NATIVE, EMULATED], ids=["native", "emulated"])
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


def source(
    shape: tuple[int, ...] = (300, 401),
    axes: str = "yx",
    **more: Any,
) -> SourceInfo:
    settings: dict[str, Any] = {
        "dtype": np.dtype("u2"),
        "pixel_size_um": {"y": 0.65, "x": 0.65},
    }
    return SourceInfo(shape=shape, axes=axes, identity="test", **(settings | more))


def image(frame: int, info: SourceInfo) -> np.ndarray:
    random = np.random.default_rng(frame)
    return random.integers(1, 100, info.shape).astype(info.dtype)


def labels(frame: int, info: SourceInfo) -> np.ndarray:
    shape = tuple(n for n, a in zip(info.shape, info.axes, strict=True) if a != "c")
    found = np.zeros(shape, "i8")
    found[..., 10 : 20 + frame, 30:90] = frame + 1
    return found


class Recording:
    """A store and what was committed to it."""

    def __init__(
        self,
        path: Path,
        info: SourceInfo,
        **settings: Any,
    ) -> None:
        self.info = info
        settings.setdefault("saved_source", True)
        self.store = OmeZarr(path, info=info, **settings)
        self.saved = settings["saved_source"]
        plain = info.axes.replace("c", "")
        self.encoders = {
            "nuclei": self.store.encoder("nuclei", "labels", plain),
            "mask": self.store.encoder("mask", "mask", plain),
            "smooth": self.store.encoder("smooth", "image", info.axes),
        }
        if self.saved:
            self.encoders["source"] = self.store.encoder("source", "image", info.axes)
        self.rows: list[ChunkRow] = []

    def values(self, frame: int) -> dict[str, np.ndarray]:
        pixels = image(frame, self.info)
        found = labels(frame, self.info)
        values = {"nuclei": found, "mask": found > 0, "smooth": pixels.astype("f4") / 2}
        return values | ({"source": pixels} if self.saved else {})

    def append(self, *frames: int) -> list[ChunkRow]:
        rows = []
        for frame in frames:
            for name, value in self.values(frame).items():
                encoded = pickle.loads(pickle.dumps(self.encoders[name]))(value)
                encoded = pickle.loads(pickle.dumps(encoded))
                rows += self.store.append(name, frame, encoded)
            self.store.record_time(frame, 1e9 + frame)
        return rows

    def commit(self, *frames: int) -> None:
        rows = self.append(*frames)
        self.store.flush()
        self.store.publish()
        self.rows += rows

    def recover(self, since: int = 0) -> Repair:
        times = {row.frame: 1e9 + row.frame for row in self.rows}
        repair: Repair = self.store.recover(self.rows, sorted(times.items()), since)
        return repair

    def check(self, *frames: int) -> None:
        """Compare with what zarr-python and tensorstore read."""
        root = self.store.path
        group = open_group(root, mode="r")
        for name, encoder in self.encoders.items():
            array = group[f"{encoder.path}/0"]
            for frame in range(max(frames) + 1):
                value = self.values(frame)[name] if frame in frames else 0
                np.testing.assert_array_equal(array[frame], value, err_msg=name)
            spec = {
                "driver": "zarr3",
                "kvstore": {"driver": "file", "path": str(root / encoder.path / "0")},
            }
            other = tensorstore.open(spec, read=True).result()
            last = max(frames)
            np.testing.assert_array_equal(other[last].read().result(), array[last])
        times = group["source/time"][: max(frames) + 1]
        assert np.flatnonzero(~np.isnan(times)).tolist() == sorted(frames)
        validate(root)


def validate(root: Path) -> None:
    """Ask both validators about every group of the store."""
    yaozarrs.validate_zarr_store(root)
    for path in sorted(root.rglob("zarr.json")):
        document = json.loads(path.read_bytes())
        if "ome" in document["attributes"] and path.parent.name != "OME":
            yaozarrs.validate_zarr_store(path.parent)
            if "multiscales" in document["attributes"]["ome"]:
                group = open_group(path.parent, mode="r")
                ome_zarr_models.open_ome_zarr(group, version="0.5")


# what is written


@pytest.mark.parametrize("layout", ["shards", "files"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((300, 401), "yx"),
        ((2, 300, 300), "cyx"),
        ((3, 30, 40), "zyx"),
        ((2, 3, 30, 40), "czyx"),
    ],
)
def test_everything_reads_back_while_written_and_after(
    tmp_path: Path, platform: Platform, shape: tuple[int, ...], axes: str, layout: str
) -> None:
    info = source(shape, axes, fps=10)
    run = Recording(tmp_path / "store", info, platform=platform, layout=layout)
    validate(run.store.path)
    run.commit(0)
    run.check(0)
    run.commit(1, 2, 5)
    run.check(0, 1, 2, 5)
    run.store.close(7)
    run.check(0, 1, 2, 5)
    assert not list(verify(run.store.path, run.rows))
    arrays = [a for _, a in open_group(tmp_path / "store").members(None)]
    lengths = {a.shape[0] for a in arrays if isinstance(a, zarr.Array)}
    assert lengths == {7}
    assert not list(tmp_path.rglob("*.new"))


@pytest.mark.parametrize("images", ["none", "blosc-lz4", "zstd"])
def test_every_codec_of_images(tmp_path: Path, images: str) -> None:
    run = Recording(tmp_path / "store", source(), images=images, labels="blosc-lz4")
    run.commit(0, 1)
    run.store.close(2)
    run.check(0, 1)


def test_the_metadata(tmp_path: Path) -> None:
    info = source((3, 300, 600), "zyx", fps=4, pixel_size_um={"z": 2.0, "y": 0.5})
    run = Recording(tmp_path / "store", info)
    run.commit(0)
    run.store.close(1)
    group = open_group(tmp_path / "store", mode="r")
    assert group.attrs["ome"] == {"version": "0.5", "bioformats2raw.layout": 3}
    assert group["OME"].attrs["ome"]["series"] == ["source", "smooth"]
    assert group["source/labels"].attrs["ome"]["labels"] == ["nuclei", "mask"]
    label = group["source/labels/nuclei"].attrs["ome"]
    assert label["image-label"] == {"version": "0.5", "source": {"image": "../../"}}
    scales = group["source"].attrs["ome"]["multiscales"][0]
    assert scales["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space"},
    ]
    steps = [d["coordinateTransformations"] for d in scales["datasets"]]
    assert [s[0]["scale"] for s in steps] == [
        [0.25, 2.0, 0.5, 1.0],
        [0.25, 2.0, 1.0, 2.0],
        [0.25, 2.0, 2.0, 4.0],
    ]
    assert steps[1][1]["translation"] == [0.0, 0.0, 0.25, 0.5]
    of_labels = label["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    assert [step["type"] for step in of_labels] == ["scale"]
    assert group["source/2"].shape == (1, 3, 75, 150)
    assert group["source/2"].metadata.dimension_names == ("t", "z", "y", "x")
    assert group["source/labels/nuclei/0"].dtype == "u4"
    assert group["source/labels/mask/0"].dtype == "u1"


def test_an_unsaved_source_is_an_image_without_chunks(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source(), saved_source=False)
    run.commit(0, 1)
    run.store.close(2)
    run.check(0, 1)
    group = open_group(tmp_path / "store", mode="r")
    assert group["source"].attrs["streamproc"]["saved"] is False
    assert group["source/0"].shape == (2, 300, 401)
    assert not list((tmp_path / "store/source/0").glob("c.*"))


def test_without_pyramid_there_is_one_level(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source(), pyramid=False)
    run.commit(0)
    run.store.close(1)
    run.check(0)
    assert not (tmp_path / "store/source/1").exists()


@pytest.mark.parametrize("layout", ["shards", "files"])
@pytest.mark.parametrize("saved", [True, False])
def test_the_raw_log_writes_the_full_size(
    tmp_path: Path, platform: Platform, saved: bool, layout: str
) -> None:
    info = source(live=True, fps=20)
    store = OmeZarr(
        tmp_path / "s", info=info, saved_source=saved, platform=platform, layout=layout
    )
    log = store.log_writer()
    assert store.log_writer() is log
    encoder = store.encoder("source", "image", "yx")
    rows = []
    for frame in range(5):
        pixels = image(frame, info)
        rows += log.append(frame, log.layout.encode(pixels))
        log.sync()
        log.publish()
        if saved:
            rows += store.append("source", frame, encoder(pixels, first_level=1))
        store.record_time(frame, float(frame))
        store.flush()
        store.publish()
    log.recover([row for row in rows if row.array == "source/0"])
    repair = store.recover(rows)
    assert not repair.lost
    log.close(5)
    store.close(5)
    found = open_array(tmp_path / "s/source/0", mode="r")
    np.testing.assert_array_equal(found, [image(frame, info) for frame in range(5)])
    assert any((tmp_path / "s/source/1").glob("c.*")) == saved
    assert open_array(tmp_path / "s/source/time", mode="r").shape == (5,)
    validate(tmp_path / "s")


def test_all_arrays_agree_on_the_length_while_growing(tmp_path: Path) -> None:
    info = source((20, 30), fps=1)
    run = Recording(tmp_path / "store", info)
    run.commit(0)
    encoded = run.encoders["source"](image(300, info))
    run.store.append("source", 300, encoded)
    run.store.flush()
    run.store.publish()
    members = open_group(tmp_path / "store", mode="r").members(None)
    assert {a.shape[0] for _, a in members if isinstance(a, zarr.Array)} == {512}
    run.store.abandon()


def test_an_output_that_comes_late_has_all_times(tmp_path: Path) -> None:
    info = source((20, 30))
    store = OmeZarr(tmp_path / "s", info=info, saved_source=True)
    late = store.encoder("late", "image", "yx")
    store.record_time(0, 5.0)
    store.append("late", 1, late(image(1, info)))
    store.record_time(1, 6.0)
    store.flush()
    store.publish()
    store.close(2)
    times = open_array(tmp_path / "s/late/time", mode="r")[:]
    assert times.tolist() == [5.0, 6.0]


def test_a_list_that_cannot_be_replaced_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = source((20, 30))
    run = Recording(tmp_path / "store", info)
    write = run.store._write

    def refuse(path: Path, document: dict[str, Any]) -> None:
        if path.parent.name in ("labels", "OME"):
            raise PermissionError
        write(path, document)

    monkeypatch.setattr(run.store, "_write", refuse)
    run.commit(0)
    assert not (tmp_path / "store/source/labels/zarr.json").exists()
    monkeypatch.undo()
    run.commit(1)
    group = open_group(tmp_path / "store", mode="r")
    assert group["source/labels"].attrs["ome"]["labels"] == ["nuclei", "mask"]
    assert group["OME"].attrs["ome"]["series"] == ["source", "smooth"]
    run.store.close(2)
    run.check(0, 1)


def test_labels_have_as_many_levels_as_their_image(tmp_path: Path) -> None:
    store = OmeZarr(tmp_path / "s", info=source((600, 700)), saved_source=True)
    encoder = store.encoder("part", "labels", "yx")
    store.append("part", 0, encoder(np.ones((3, 50), "u4")))
    store.flush()
    store.publish()
    store.close(1)
    validate(tmp_path / "s")
    found = open_array(tmp_path / "s/source/labels/part/2", mode="r")
    assert found[0].tolist() == np.ones((1, 13)).tolist()


# pyramids


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
def test_images_halve_as_opencv_does(dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 100, (2, 64, 50)).astype(dtype)
    half = halve_image(pixels)
    assert half.dtype == dtype
    for plane, found in zip(pixels, half, strict=True):
        expected = cv2.resize(plane, (25, 32), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["i1", "u4", "i4", "u8", "i8", "f2", "?", "c8"])
def test_other_dtypes_halve_by_the_mean(dtype: str) -> None:
    random = np.random.default_rng(0)
    low = -100 if dtype in ("i1", "i4", "i8") else 0
    pixels = random.integers(low, 2 if dtype == "?" else 100, (8, 10)).astype(dtype)
    half = halve_image(pixels)
    blocks = pixels.astype("c16" if dtype == "c8" else "f8").reshape(4, 2, 5, 2)
    mean = blocks.mean((1, 3))
    expected = np.floor(mean + 0.5) if half.dtype.kind in "iub" else mean
    np.testing.assert_array_equal(half, expected.astype(dtype))


def test_large_integers_do_not_overflow() -> None:
    top = np.iinfo("u8").max
    assert halve_image(np.full((2, 2), top, "u8")) == top
    low = np.iinfo("i4").min
    assert halve_image(np.full((2, 2), low, "i4")) == low


def test_odd_edges_count_twice() -> None:
    assert halve_image(np.array([[1, 3, 8], [1, 3, 8], [5, 5, 9]], "u2")).tolist() == [
        [2, 8],
        [5, 9],
    ]
    assert halve_labels(np.arange(9).reshape(3, 3)).tolist() == [[0, 2], [6, 8]]


# refusals


def test_another_shape_is_refused_with_both(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source((20, 30)))
    run.commit(0)
    for shape in [(20, 31), (600, 600)]:
        encoded = run.encoders["smooth"](np.zeros(shape, "f4"))
        wanted = rf"frame 1 of 'smooth/0' is {shape[0]} x {shape[1]} float32.*20 x 30"
        with pytest.raises(FrameError, match=wanted):
            run.store.append("smooth", 1, encoded)
    with pytest.raises(FrameError, match=r"is 20 x 30 float64.*are 20 x 30 float32"):
        run.store.append("smooth", 1, run.encoders["smooth"](np.zeros((20, 30))))
    run.commit(1)
    run.store.close(2)
    run.check(0, 1)


def test_a_refused_output_keeps_the_others_of_its_frame_out(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source((20, 30)))
    run.commit(0)
    values = run.values(1) | {"smooth": np.zeros((2, 3), "f4")}
    encoded = {name: run.encoders[name](value) for name, value in values.items()}
    with pytest.raises(FrameError, match=r"frame 1 of 'smooth/0' is 2 x 3 float32"):
        run.store.append_all(1, encoded)
    run.commit(2)
    run.store.close(3)
    run.check(0, 2)


def test_dimensions_must_match_the_axes(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source())
    with pytest.raises(FrameError, match=r"'nuclei' has the axes 'yx'.*\(2, 3, 4\)"):
        run.encoders["nuclei"](np.zeros((2, 3, 4), "u4"))
    with pytest.raises(FrameError, match=r"'mask' is float64, a mask image holds"):
        run.encoders["mask"](np.zeros((2, 3)))


def test_masks_are_zero_and_one(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source((4, 4)))
    encoded = run.encoders["mask"](np.full((4, 4), 255, "u1"))
    layout, chunks = encoded.levels[0]
    assert layout.decode(chunks).tolist() == np.ones((4, 4)).tolist()
    assert encoded.nbytes == len(chunks[0])
    run.store.abandon()


def test_settings_are_checked(tmp_path: Path) -> None:
    settings: Any
    for settings in ({"images": "lz4"}, {"labels": "gzip"}):
        (value,) = settings.values()
        with pytest.raises(ConfigError, match=f"codec '{value}' is not known"):
            OmeZarr(tmp_path, info=source(), saved_source=True, **settings)
    with pytest.raises(ConfigError, match="layout 'tiles' is neither"):
        OmeZarr(tmp_path, info=source(), saved_source=True, layout="tiles")


def test_a_store_of_another_source_is_refused(tmp_path: Path) -> None:
    OmeZarr(tmp_path / "s", info=source((20, 30)), saved_source=True).abandon()
    with pytest.raises(StoreError, match="describes another array"):
        OmeZarr(tmp_path / "s", info=source((20, 31)), saved_source=True)


# resuming


@pytest.mark.parametrize("layout", ["shards", "files"])
def test_what_was_not_committed_is_written_again(
    tmp_path: Path, platform: Platform, layout: str
) -> None:
    settings: dict[str, Any] = {"platform": platform, "layout": layout}
    first = Recording(tmp_path / "store", source(), **settings)
    first.commit(0, 1, 2)
    first.append(3, 4)
    first.store.flush()
    first.store.publish()
    first.store.abandon()
    again = Recording(tmp_path / "store", source(), **settings)
    again.rows = first.rows
    repair = again.recover()
    assert repair.trimmed
    assert not repair.lost
    assert repair.frames == 3
    again.check(0, 1, 2)
    again.commit(3, 4, 5)
    again.store.close(6)
    again.check(*range(6))
    assert not list(verify(again.store.path, again.rows))


def test_a_closed_store_goes_on(tmp_path: Path, platform: Platform) -> None:
    run = Recording(tmp_path / "store", source(), platform=platform)
    run.commit(0, 1)
    run.store.close(2)
    again = Recording(tmp_path / "store", source(), platform=platform)
    again.rows = run.rows
    assert not again.recover().trimmed
    assert again.append(0, 1) == []
    again.commit(2, 3)
    members = open_group(tmp_path / "store", mode="r").members(None)
    assert {a.shape[0] for _, a in members if isinstance(a, zarr.Array)} == {256}
    again.store.close(4)
    again.check(*range(4))


def test_a_crash_while_arrays_are_made_is_mended(tmp_path: Path) -> None:
    run = Recording(tmp_path / "store", source())
    run.commit(0)
    run.store.abandon()
    for name in ("source/labels/zarr.json", "smooth/zarr.json", "OME/zarr.json"):
        (tmp_path / "store" / name).unlink()
    (tmp_path / "store/smooth/1/zarr.json").unlink()
    (tmp_path / "store/OME/zarr.json.new").touch()
    again = Recording(tmp_path / "store", source())
    again.rows = run.rows
    assert not again.recover().lost
    again.check(0)
    again.commit(1)
    again.store.close(2)
    again.check(0, 1)


def test_committed_arrays_that_are_gone_are_named(tmp_path: Path) -> None:
    import shutil

    run = Recording(tmp_path / "store", source((20, 30)))
    run.commit(0)
    run.store.abandon()
    shutil.rmtree(tmp_path / "store/smooth")
    again = Recording(tmp_path / "store", source((20, 30)))
    again.rows = run.rows
    assert [row.array for row in again.recover().lost] == ["smooth/0"]
    again.store.abandon()


def test_after_a_failure_the_group_is_appended_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Recording(tmp_path / "store", source((20, 30)))
    run.commit(0)
    run.append(1)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(Platform, "write_at", fail)
        with pytest.raises(StoreError, match=r"cannot write .*No space left on device"):
            run.store.flush()
    run.store.forget()
    run.commit(1, 2)
    run.store.close(3)
    run.check(0, 1, 2)


_WRITER = """
import sqlite3, sys
import numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_ome_zarr import Recording, ChunkRow, source
db = sqlite3.connect(sys.argv[1] + "/rows.sqlite", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE IF NOT EXISTS chunks(a, f, c, s, o, l, x)")
run = Recording(Path(sys.argv[1]) / "store", source((260, 270), fps=20))
run.rows = [ChunkRow(*row) for row in db.execute("SELECT * FROM chunks")]
run.recover()
frame = max((row.frame for row in run.rows), default=-1) + 1
print("go", flush=True)
while True:
    rows = run.append(*range(frame, frame + 3))
    run.store.flush()
    run.store.publish()
    db.execute("BEGIN")
    db.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?)", rows)
    db.execute("COMMIT")
    frame += 3
"""


def test_killed_at_any_moment_the_store_goes_on(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    random = np.random.default_rng(0)
    rows: list[ChunkRow] = []
    for _ in range(6):
        here = str(Path(__file__).parent)
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), here],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == b"go"
        time.sleep(random.uniform(0, 0.3))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        with closing(sqlite3.connect(tmp_path / "rows.sqlite")) as db:
            found = db.execute("SELECT * FROM chunks ORDER BY f").fetchall()
        db.close()
        assert len(found) >= len(rows)
        rows = [ChunkRow(*row) for row in found]
        assert not list(verify(tmp_path / "store", rows))
    run = Recording(tmp_path / "store", source((260, 270), fps=20))
    run.rows = rows
    assert not run.recover().lost
    frames = max(row.frame for row in rows) + 1
    run.check(*range(frames))
    run.commit(frames)
    run.store.close(frames + 1)
    run.check(*range(frames + 1))
