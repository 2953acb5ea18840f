"""What is exported is what the run holds, as other programs read it."""

import json
import os
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import ome_types
import pandas as pd
import pytest
import tifffile
from pyarrow import parquet  # type: ignore[import-untyped]  # untyped

import streamproc as sp
from streamproc.__main__ import main
from streamproc.export import FORMATS, export, ome_tiff, saved, tables
from streamproc.export.overlay import write_video
from streamproc.view import picture
from tests.arrays import Arrays, noise, run_one, segmented, simulated, wait_for, whole

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
TABLE_SQL = "SELECT * FROM cells ORDER BY frame, label"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight frames with source, labels, mask, a table, values and text."""
    to = tmp_path_factory.mktemp("runs") / "run"
    raw = simulated(8, fps=5.0)
    labels, cells = segmented(raw)
    mask = raw.threshold("otsu", name="mask")
    words = raw.map(
        lambda image: {"word": 'a "b",\nc', "n": int(image[0, 0])}, kind="value"
    )
    sp.run(
        {"source": raw, "mask": mask, "nuclei": labels, "cells": cells, "words": words},
        to,
        executor="inline",
    )
    return to


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames, of which 1 and 4 could not be read."""
    to = tmp_path_factory.mktemp("runs") / "broken"
    raw = sp.open(Arrays(noise(6), unreadable=frozenset({1, 4})))
    labels, cells = segmented(raw)
    sp.run({"source": raw, "nuclei": labels, "cells": cells}, to, executor="inline")
    return to


def keep(raw: sp.Image, to: Path) -> None:
    sp.run({"source": raw}, to, executor="inline")


def rows(path: Path, sql: str = TABLE_SQL) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path / "run.sqlite")) as db:
        return db.execute(sql).fetchall()


def video(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]


def series(path: Path) -> tuple[np.ndarray, Any, bool]:
    """Pixels, OME metadata checked against the schema, and whether it is BigTIFF."""
    with tifffile.TiffFile(path) as file:
        xml = file.ome_metadata
        assert xml is not None
        ome_types.validate_xml(xml)
        pixels = file.series[0].asarray(squeeze=False)
        pixels = pixels.reshape(*(n for n in pixels.shape if n > 1))
        return pixels, ome_types.from_xml(xml).images[0], file.is_bigtiff


# --- tables -----------------------------------------------------------------------


def test_parquet_is_the_loaded_table(run: Path, tmp_path: Path) -> None:
    done = export(run, "parquet", tmp_path / "out")
    assert [p.name for p in done.files] == ["cells.parquet", "words.parquet"]
    loaded = sp.load(run)
    for name in ("cells", "words"):
        read = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        pd.testing.assert_frame_equal(read, loaded.tables[name])


def test_parquet_says_the_units(run: Path, tmp_path: Path) -> None:
    export(run, "parquet", tmp_path / "cells.parquet", tables=["cells"])
    schema = parquet.read_schema(tmp_path / "cells.parquet")
    told = dict(rows(run, 'SELECT "column", unit FROM columns WHERE "table"=\'cells\''))
    assert told["area"] == "px"
    for name, unit in told.items():
        assert schema.field(name).metadata[b"unit"].decode() == unit
    about = json.loads(schema.metadata[b"streamproc"])
    assert (about["table"], about["run"]) == ("cells", "run")
    assert {n: c["unit"] for n, c in about["columns"].items()} == told


def test_csv_has_every_number_exactly(run: Path, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "cells.csv", tables=["cells"])
    lines = (tmp_path / "cells.csv").read_text().splitlines()
    assert lines[0].split(",") == list(sp.load(run).tables["cells"])
    read = [
        tuple(kind(cell) for kind, cell in zip(kinds, line.split(","), strict=True))
        for line, kinds in zip(
            lines[1:], ([type(v) for v in row] for row in rows(run)), strict=True
        )
    ]
    assert read == rows(run)


def test_csv_keeps_text_with_commas_and_lines(run: Path, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "words.csv", tables=["words"])
    read = pd.read_csv(tmp_path / "words.csv")
    assert set(read["word"]) == {'a "b",\nc'}


def test_null_is_empty_in_csv_and_null_in_parquet(tmp_path: Path) -> None:
    raw = sp.open(Arrays(np.arange(4)[:, None, None] * np.ones((4, 8, 8), "uint8")))
    table = raw.map(_half_missing, kind="table", name="x")
    sp.run({"x": table}, tmp_path / "run", executor="inline")
    export(tmp_path / "run", "csv", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == (
        "frame,label,value,word\n0,1,,\n1,1,0.1,odd\n2,1,,\n3,1,0.1,odd\n"
    )
    export(tmp_path / "run", "parquet", tmp_path / "x.parquet")
    read = parquet.read_table(tmp_path / "x.parquet")
    assert read.column("value").to_pylist() == [None, 0.1, None, 0.1]
    assert read.column("word").to_pylist() == [None, "odd", None, "odd"]


def _half_missing(image: np.ndarray) -> list[dict[str, Any]]:
    odd = bool(image[0, 0] % 2)
    return [{"label": 1, "value": 0.1 if odd else None, "word": "odd" if odd else None}]


def test_a_column_begun_with_whole_numbers_may_hold_others(tmp_path: Path) -> None:
    raw = sp.open(Arrays(np.arange(3)[:, None, None] * np.ones((3, 8, 8), "uint8")))
    value = raw.map(lambda image: [0, 0.5, 2][int(image[0, 0])], kind="value", name="v")
    result = run_one(value, tmp_path / "run")
    export(tmp_path / "run", "parquet", tmp_path / "v.parquet")
    read = pd.read_parquet(tmp_path / "v.parquet")
    assert list(read["value"]) == [0, 0.5, 2] == list(result.tables["x"]["value"])


def test_the_fate_of_frames_is_a_table_too(broken: Path, tmp_path: Path) -> None:
    export(broken, "parquet", tmp_path / "f.parquet", tables=["frames"])
    read = pd.read_parquet(tmp_path / "f.parquet")
    assert list(read["state"]) == ["done", "failed", "done", "done", "failed", "done"]
    assert list(read["frame"]) == list(range(6))


def test_rows_are_read_in_lots(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "_ROWS", 2)
    for form in ("csv", "parquet"):
        export(run, form, tmp_path / form, tables=["cells", "frames"])
        read = getattr(pd, f"read_{form}")
        assert len(read(tmp_path / form / f"frames.{form}")) == 8
        cells = read(tmp_path / form / f"cells.{form}")
        assert list(cells[["frame", "label"]].itertuples(index=False, name=None)) == [
            row[:2] for row in rows(run)
        ]


def test_without_pyarrow_the_extra_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        sp.MissingDependency, match=r"pip install 'streamproc\[parquet\]'"
    ):
        export(run, "parquet", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- OME-TIFF ---------------------------------------------------------------------


def test_tiff_holds_the_same_pixels(run: Path, tmp_path: Path) -> None:
    done = export(run, "ome-tiff", tmp_path / "out")
    assert {p.name for p in done.files} == {
        "source.ome.tif",
        "mask.ome.tif",
        "nuclei.ome.tif",
    }
    loaded = sp.load(run)
    for name in ("source", "mask", "nuclei"):
        array = (loaded.images if name == "source" else loaded.labels)[name]
        pixels, image, _ = series(tmp_path / "out" / f"{name}.ome.tif")
        assert pixels.dtype == array.dtype
        np.testing.assert_array_equal(pixels, whole(array))
        assert image.name == name
        assert image.pixels.size_t == 8


def test_tiff_says_sizes_times_and_channels(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 9999, (4, 2, 3, 17, 21), np.uint16)
    source = Arrays(stack, "czyx", channels=("DAPI", "GFP & <x>"))
    more = {"pixel_size_um": {"z": 2.0, "y": 0.5, "x": 0.25}, "fps": 4.0}
    source.info = _with(source.info, **more)
    keep(sp.open(source), tmp_path / "run")
    export(tmp_path / "run", "ome-tiff", tmp_path / "x.ome.tif")
    pixels, image, big = series(tmp_path / "x.ome.tif")
    np.testing.assert_array_equal(pixels.reshape(stack.shape), stack)
    told = image.pixels
    assert (told.size_t, told.size_c, told.size_z) == (4, 2, 3)
    assert (told.size_y, told.size_x) == (17, 21)
    assert told.dimension_order.value == "XYZCT"
    sizes = (told.physical_size_z, told.physical_size_y, told.physical_size_x)
    assert sizes == (2.0, 0.5, 0.25)
    assert told.physical_size_x_unit.value == "µm"
    assert [c.name for c in told.channels] == ["DAPI", "GFP & <x>"]
    assert told.time_increment == 1.0  # the frames' own times are a second apart
    assert not big


def _with(info: sp.SourceInfo, **more: Any) -> sp.SourceInfo:
    from dataclasses import replace

    return replace(info, **more)


class Jittering(Arrays):
    """Frames at uneven times, from 2024 on."""

    TIMES = (1.7e9, 1.7e9 + 1.0, 1.7e9 + 3.5)

    def read(self, index: int) -> sp.Frame:
        frame = super().read(index)
        return sp.Frame(frame.pixels, index, self.TIMES[index])


def test_uneven_times_are_told_for_every_plane(tmp_path: Path) -> None:
    stack = noise(3, (2, 20, 20))
    keep(sp.open(Jittering(stack, "zyx")), tmp_path / "run")
    export(tmp_path / "run", "ome-tiff", tmp_path / "x.ome.tif")
    _, image, _ = series(tmp_path / "x.ome.tif")
    assert [p.delta_t for p in image.pixels.planes] == [0, 0, 1, 1, 3.5, 3.5]
    assert [(p.the_t, p.the_z) for p in image.pixels.planes] == [
        (t, z) for t in range(3) for z in range(2)
    ]
    assert image.acquisition_date.isoformat()[:10] == "2023-11-14"


def test_failed_frames_are_zero_and_said(broken: Path, tmp_path: Path) -> None:
    done = export(broken, "ome-tiff", tmp_path / "x.ome.tif", images=["source"])
    assert done.notes == ("source: 2 frames have no pixels and are 0 here: 1, 4",)
    pixels, image, _ = series(tmp_path / "x.ome.tif")
    assert [bool(frame.any()) for frame in pixels] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    assert "2 frames have no pixels" in image.description


def test_large_ones_are_bigtiff(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ome_tiff, "_PLAIN", 1000)
    export(run, "ome-tiff", tmp_path / "x.ome.tif", images=["source"])
    pixels, _, big = series(tmp_path / "x.ome.tif")
    assert big
    np.testing.assert_array_equal(pixels, whole(sp.load(run).images["source"]))


def test_an_image_of_64_bits_is_refused(tmp_path: Path) -> None:
    raw = sp.open(Arrays(noise(2)))
    wide = raw.map(lambda image: image.astype(np.int64), kind="image", name="wide")
    run_one(wide, tmp_path / "run")
    with pytest.raises(sp.ConfigError, match="'x' is int64, which OME-TIFF does not"):
        export(tmp_path / "run", "ome-tiff", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_holds_a_few_frames_only(tmp_path: Path) -> None:
    frames = np.broadcast_to(noise(1, (512, 512)), (120, 512, 512))  # 60 MiB
    keep(sp.open(Arrays(frames)), tmp_path / "run")
    tracemalloc.start()
    export(tmp_path / "run", "ome-tiff", tmp_path / "x.ome.tif")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 << 20


# --- overlays ---------------------------------------------------------------------


def test_the_video_shows_the_outlines_where_the_labels_are(
    run: Path, tmp_path: Path
) -> None:
    done = export(run, "overlay", tmp_path / "x.mp4")
    assert done.notes == ()
    frames = video(tmp_path / "x.mp4")
    loaded = sp.load(run)
    assert len(frames) == 8
    stack = whole(loaded.images["source"])
    contrast = [picture.limits(stack)]
    for number, shown in enumerate(frames):
        labels = np.asarray(loaded.labels["nuclei"][number])
        drawn = picture.draw(
            stack[number],
            "yx",
            labels=labels,
            pixel_size_um=_sizes(run),
            contrast=contrast,
        )
        assert shown.shape == drawn.shape
        assert np.abs(shown.astype(int) - drawn).mean() < 4
        coloured = np.ptp(drawn.astype(int), axis=2) > 100
        seen = np.ptp(shown.astype(int), axis=2) > 40
        assert seen[coloured].mean() > 0.9


def _sizes(run: Path) -> dict[str, float]:
    return saved.Saved(run, slice(None)).described("source")[1]


def test_all_frames_have_one_contrast(tmp_path: Path) -> None:
    frames = np.stack([np.full((32, 32), n * 100, np.uint16) for n in range(11)])
    keep(sp.open(Arrays(frames)), tmp_path / "run")
    export(tmp_path / "run", "overlay", tmp_path / "x.mp4")
    grey = [float(frame.mean()) for frame in video(tmp_path / "x.mp4")]
    np.testing.assert_allclose(grey, np.linspace(0, 255, 11), atol=4)


def test_a_video_plays_at_the_runs_rate_or_as_asked(run: Path, tmp_path: Path) -> None:
    export(run, "overlay", tmp_path / "own.mp4")
    export(run, "overlay", tmp_path / "asked.mp4", fps=12.5)
    for name, rate in (("own", 5), ("asked", 12.5)):
        with av.open(str(tmp_path / f"{name}.mp4")) as container:
            assert container.streams.video[0].average_rate == rate


def test_an_unknown_rate_is_said(broken: Path, tmp_path: Path) -> None:
    done = export(broken, "overlay", tmp_path / "x.mp4")
    assert any("frame rate is unknown" in note for note in done.notes)
    assert any(
        "2 frames have no objects to show, beginning with frame 1" in note
        for note in done.notes
    )
    frames = video(tmp_path / "x.mp4")
    assert len(frames) == 6
    assert frames[1].mean() < 20 < frames[0].mean()


@pytest.mark.parametrize("shape", [(33, 47), (1, 1), (64, 64)])
def test_odd_sizes_become_even(tmp_path: Path, shape: tuple[int, int]) -> None:
    drawn = np.full((*shape, 3), 200, np.uint8)
    write_video(tmp_path / "x.mp4", iter([drawn] * 3), 10)
    frames = video(tmp_path / "x.mp4")
    assert len(frames) == 3
    even = tuple(n + n % 2 for n in shape)
    assert frames[0].shape == (*even, 3)


def test_without_h264_the_video_is_mpeg4(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    export(run, "overlay", tmp_path / "x.mp4")
    with av.open(str(tmp_path / "x.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert len(video(tmp_path / "x.mp4")) == 8


def test_a_png_is_one_frame_and_a_folder_all(run: Path, tmp_path: Path) -> None:
    export(run, "overlay", tmp_path / "one.png", frames=slice(3, 4))
    done = export(run, "overlay", tmp_path / "all", frames=slice(2, 5))
    assert [p.name for p in done.files] == ["000002.png", "000003.png", "000004.png"]
    loaded = sp.load(run)
    expected = picture.draw(
        np.asarray(loaded.images["source"][3]),
        "yx",
        labels=np.asarray(loaded.labels["nuclei"][3]),
        pixel_size_um=_sizes(run),
    )
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "one.png")), expected)


def test_one_picture_is_of_a_frame_that_is_done(tmp_path: Path) -> None:
    raw = sp.open(Arrays(noise(3), unreadable=frozenset({0})))
    keep(raw, tmp_path / "run")
    assert export(tmp_path / "run", "overlay", tmp_path / "x.png").notes == ()
    expected = picture.draw(noise(3)[1], "yx")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.png")), expected)


def test_an_unsaved_source_is_read_again(tmp_path: Path) -> None:
    frames = noise(5, dtype="uint8")
    with tifffile.TiffWriter(tmp_path / "stack.tif") as writer:
        writer.write(frames, photometric="minisblack")
    raw = sp.open(str(tmp_path / "stack.tif"))
    labels, _ = segmented(raw)
    sp.run({"nuclei": labels}, tmp_path / "run", executor="inline")
    export(tmp_path / "run", "overlay", tmp_path / "a.png", frames=slice(4, 5))
    stored = np.asarray(sp.load(tmp_path / "run").labels["nuclei"][4])
    expected = picture.draw(frames[4], "yx", labels=stored)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), expected)
    (tmp_path / "stack.tif").unlink()
    export(tmp_path / "run", "overlay", tmp_path / "b.png", frames=slice(4, 5))
    black = picture.draw(np.zeros((32, 32), np.uint8), "yx", labels=stored)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "b.png")), black)
    with pytest.raises(sp.RunFolderError, match="source is not saved, and the run's"):
        export(tmp_path / "run", "overlay", tmp_path / "c.png", images=["source"])


def test_an_unsaved_video_is_decoded_once_more(tmp_path: Path) -> None:
    frames = [np.repeat(f[..., None], 3, 2) for f in noise(6, (64, 64), "uint8")]
    write_video(tmp_path / "clip.mp4", iter(frames), 10)
    raw = sp.open(str(tmp_path / "clip.mp4"))
    labels, _ = segmented(raw)
    sp.run({"nuclei": labels}, tmp_path / "run", executor="inline")
    export(tmp_path / "run", "overlay", tmp_path / "x.png", frames=slice(4, 5))
    again = next(iter(sp.open(str(tmp_path / "clip.mp4")).graph.source.frames(4)))
    assert isinstance(again, sp.Frame)
    expected = picture.draw(
        again.pixels,
        "yx",
        labels=np.asarray(sp.load(tmp_path / "run").labels["nuclei"][4]),
    )
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "x.png")), expected)


def test_colour_and_channels_are_drawn(tmp_path: Path) -> None:
    rgb = np.zeros((3, 3, 32, 32), np.uint8)
    rgb[:, 0] = 200
    keep(sp.open(Arrays(rgb, "cyx")), tmp_path / "rgb")
    export(tmp_path / "rgb", "overlay", tmp_path / "rgb.mp4")
    blue, green, red = video(tmp_path / "rgb.mp4")[1].reshape(-1, 3).mean(axis=0)
    assert abs(red - 200) < 8
    assert max(blue, green) < 8
    keep(sp.open(Arrays(noise(3, (2, 32, 32)), "cyx")), tmp_path / "two")
    done = export(tmp_path / "two", "overlay", tmp_path / "pictures")
    assert len(done.files) == 3


# --- frames, names, targets -------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_frames_are_chosen(run: Path, tmp_path: Path, form: str) -> None:
    chosen = {"overlay": {}, "ome-tiff": {"images": ["source"]}}.get(
        form, {"tables": ["cells"]}
    )
    export(run, form, tmp_path / "out", frames=slice(2, 100), **chosen)  # type: ignore[arg-type]  # by form
    found = sorted((tmp_path / "out").iterdir())
    if form == "overlay":
        assert len(found) == 6
    elif form == "ome-tiff":
        expected = whole(sp.load(run).images["source"])[2:]
        np.testing.assert_array_equal(series(found[0])[0], expected)
    else:
        read = getattr(pd, f"read_{form}")(found[0])
        assert sorted(set(read["frame"])) == list(range(2, 8))


@pytest.mark.parametrize("name", ["run.1", "x.avi.d", ".gif", "2.5um"])
def test_a_folder_may_have_a_dot_in_its_name(
    run: Path, tmp_path: Path, name: str
) -> None:
    export(run, "overlay", tmp_path / name, frames=slice(1))
    assert [p.suffix for p in (tmp_path / name).iterdir()] == [".png"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("csv", "--to", "x.parquet"), "x.parquet is a name for parquet; csv ends in"),
        (
            ("overlay", "--to", "x.avi"),
            r"x\.avi is a name for \.avi, which is not written; overlay ends in "
            r"\.png or \.mp4, or is a folder",
        ),
        (("overlay", "--to", "x.GIF"), r"x\.GIF is a name for \.gif, which is not"),
        (("overlay", "--to", "x.mov"), r"x\.mov is a name for \.mov, which is not"),
        (("overlay", "--to", "x.mkv"), r"x\.mkv is a name for \.mkv, which is not"),
        (("overlay", "--to", "x.jpeg"), r"x\.jpeg is a name for \.jpeg, which is"),
        (("overlay", "--to", "x.tif"), r"x\.tif is a name for ome-tiff; overlay ends"),
        (("ome-tiff", "--to", "x.jpg"), r"x\.jpg is a name for \.jpg, which is not"),
        (("csv", "--to", "x.xlsx"), r"x\.xlsx is a name for \.xlsx, which is not"),
        (("csv", "--to", "x.csv"), "one file holds one of cells, words; name it"),
        (("csv", "--to", "x", "--tables", "cell"), "no table 'cell' in .*'cells'"),
        (("ome-tiff", "--to", "x", "--images", "a"), "no image 'a' in .*source"),
        (("ome-tiff", "--to", "x", "--labels", "a"), "no label image 'a' in"),
        (("ome-tiff", "--to", "x", "--tables", "cells"), "takes images and labels"),
        (("csv", "--to", "x", "--fps", "3"), "csv takes tables, not fps"),
        (
            ("csv", "--to", "x", "--frames", "90:"),
            "no frame 90 in .*; the last one is 7",
        ),
        (("csv", "--to", "x", "--frames", "5:5"), "--frames '5:5': write it as 10:20"),
        (("csv", "--to", "x", "--frames", "-1"), "--frames '-1': write it as 10:20"),
        (("xlsx", "--to", "x"), "'xlsx' is not one of 'parquet', 'csv'"),
        (("csv",), "missing option '--to'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    match: str,
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), *arguments]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert re.search(match, err), err
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote(
    run: Path,
    broken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(run), "csv", "--to", "deep/t", "--frames", ":2"]) == 0
    assert capfd.readouterr() == (
        f"deep{os.sep}t{os.sep}cells.csv\n" * 1 + f"deep{os.sep}t{os.sep}words.csv\n",
        "",
    )
    assert (
        main(["export", str(broken), "ome-tiff", "--to", "x.tif", "--images", "source"])
        == 0
    )
    out, err = capfd.readouterr()
    assert out == "x.tif\n"
    assert err == "streamproc: source: 2 frames have no pixels and are 0 here: 1, 4\n"


@pytest.mark.parametrize("form", ["csv", "overlay"])
def test_nothing_is_overwritten_unless_asked(
    run: Path, tmp_path: Path, form: str
) -> None:
    target = tmp_path / {"csv": "x.csv", "overlay": "x.png"}[form]
    target.write_text("mine")
    given: dict[str, Any] = {"tables": ["cells"]} if form == "csv" else {}
    with pytest.raises(sp.StoreError, match="exists already; choose another name, or"):
        export(run, form, target, **given)
    assert target.read_text() == "mine"
    export(run, form, target, overwrite=True, **given)
    assert target.stat().st_size > 100


def test_a_folder_of_other_things_is_never_replaced(run: Path, tmp_path: Path) -> None:
    export(run, "csv", tmp_path / "out")
    export(run, "csv", tmp_path / "out", tables=["cells"], overwrite=True)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["cells.csv"]
    (tmp_path / "out" / "thesis.doc").write_text("mine")
    with pytest.raises(sp.StoreError, match="is a folder with other files in it"):
        export(run, "csv", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.doc").read_text() == "mine"


def test_an_export_that_fails_midway_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old.csv").write_text("old")

    def fails(*_: object) -> Iterator[list[Any]]:
        yield [(0, 1)]
        raise KeyboardInterrupt

    monkeypatch.setattr(saved.Saved, "rows", fails)
    for name in ("new.csv", "old.csv", "folder"):
        with pytest.raises(KeyboardInterrupt):
            export(run, "csv", tmp_path / name, tables=["cells"], overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "old"


def test_a_full_disk_is_one_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "write_csv", full)
    with pytest.raises(sp.StoreError, match=r"cannot write .*x\.csv: No space left"):
        export(run, "csv", tmp_path / "x.csv", tables=["cells"])
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_or_has_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sp.RunFolderError, match="no run folder"):
        export(tmp_path / "none", "csv", tmp_path / "x")
    keep(sp.open(Arrays(noise(1)[:0], length=0)), tmp_path / "run")
    with pytest.raises(sp.RunFolderError, match="has no committed frame yet"):
        export(tmp_path / "run", "csv", tmp_path / "x")


def test_a_run_that_goes_on_is_exported_so_far(tmp_path: Path) -> None:
    raw = simulated(None, live=True)
    labels, cells = segmented(raw)
    going = sp.start(
        {"source": raw, "nuclei": labels, "cells": cells}, tmp_path / "run"
    )
    try:
        wait_for(going, 5)
        export(tmp_path / "run", "parquet", tmp_path / "c.parquet")
        export(tmp_path / "run", "ome-tiff", tmp_path / "t")
        export(tmp_path / "run", "overlay", tmp_path / "x.mp4", frames=slice(0, 5))
    finally:
        going.stop()
        going.wait()
    read = pd.read_parquet(tmp_path / "c.parquet")
    loaded = sp.load(tmp_path / "run")
    before = loaded.tables["cells"]
    assert read["frame"].max() >= 4
    same = before[before["frame"] <= read["frame"].max()]
    pd.testing.assert_frame_equal(read, same.reset_index(drop=True))
    pixels = series(tmp_path / "t" / "nuclei.ome.tif")[0]
    assert len(pixels) >= 5
    expected = np.asarray(loaded.labels["nuclei"][: len(pixels)])
    np.testing.assert_array_equal(pixels, expected)
    assert len(video(tmp_path / "x.mp4")) == 5


# --- real data --------------------------------------------------------------------


@pytest.fixture
def real(tmp_path: Path) -> Callable[[str], Path]:
    def make(folder: str) -> Path:
        if not (DATA / folder).is_dir():
            pytest.skip(f"no shared/data/{folder} beside the repository")
        return DATA / folder

    return make


def test_migrating_nuclei_survive_the_way(
    real: Callable[[str], Path], tmp_path: Path
) -> None:
    stack = real("cancer_migration") / "cancer_cell_migration_crop.tif"
    raw = sp.open({"files": {"path": str(stack), "pixel_size_um": 0.5}})
    labels, cells = segmented(raw)
    sp.run({"source": raw, "nuclei": labels, "cells": cells}, tmp_path / "run")
    export(tmp_path / "run", "ome-tiff", tmp_path / "t")
    pixels, image, _ = series(tmp_path / "t" / "source.ome.tif")
    np.testing.assert_array_equal(pixels, tifffile.imread(stack))
    assert image.pixels.physical_size_x == 0.5
    done = export(tmp_path / "run", "overlay", tmp_path / "x.mp4")
    assert len(video(done.files[0])) == len(pixels)


def test_the_command_works_as_its_own_process(run: Path, tmp_path: Path) -> None:
    arguments = ["export", str(run), "parquet", "--to", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
