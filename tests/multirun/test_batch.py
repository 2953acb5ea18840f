"""One run per image, and one index over all of them."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
import zarr

import streamproc as sp
from streamproc.config import parse
from streamproc.errors import ConfigError, RunFolderError, SourceError
from streamproc.frame import Array
from streamproc.multirun import batch as library
from streamproc.multirun.index import ImageRow, unique_names
from tests import oracles

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
GRAPH: dict[str, Any] = {
    "smooth": {"gaussian": {"sigma": 1}},
    "mask": {"threshold": {"method": "otsu"}},
    "nuclei": {"label": {}},
    "cells": {"measure": {"intensity": "source"}},
}
#: Kills its process at the image whose first pixel is asked for, once.
MODULE = """
import os, signal
from pathlib import Path

def kills(image):
    order = Path("kill")
    if order.exists() and image.any() and int(order.read_text()) == image.flat[0]:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return image
"""


def write(folder: Path, number: int, frames: int = 3) -> Path:
    """Write a TIFF of its own size, with bright squares; its first pixel tells it."""
    random = np.random.default_rng(number)
    shape = (frames, 40 + 3 * number, 50 + number)
    pixels = random.integers(0, 20, shape).astype(np.uint8)
    pixels[:, 5 : 15 + number, 8:20] = 200
    pixels[:, 25:33, 30:41] = 150
    pixels[:, 0, 0] = number
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"im{number}.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack")
    return path


def pipeline(path: str | list[str], **more: Any) -> dict[str, Any]:
    given = {
        "source": {"files": {"path": path, "batch": True}},
        "graph": GRAPH,
        "save": ["nuclei", "cells"],
        "limits": {"disk_reserve": "1MB"},
    }
    return {**given, **more}


def rows(run: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run / "index.sqlite")) as db:
        return db.execute(sql).fetchall()


def whole_index(run: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of an index, its rows in a fixed order."""
    names = [r[0] for r in rows(run, "SELECT name FROM sqlite_master WHERE sql > ''")]
    return {n: sorted(rows(run, f'SELECT * FROM "{n}"'), key=repr) for n in names}


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Five images of different sizes, three frames each, as a glob."""
    for number in range(1, 6):
        write(tmp_path / "in", number)
    return str(tmp_path / "in" / "*.tif")


def test_real_images_of_different_sizes(tmp_path: Path) -> None:
    folder = DATA / "bbbc038_a"
    if not folder.is_dir():
        pytest.skip("the folder of real data is not here")
    given = pipeline(str(folder / "*_img.png"))
    report = sp.run_batch(given, tmp_path / "RUN")
    assert len(report.images) == 24
    assert not report.failed
    dice, off = [], []
    for row in report.images:
        truth = tifffile.imread(row.path.replace("_img.png", "_lab.tif"))
        found = np.asarray(sp.load(report.path / row.image).labels["nuclei"][0])
        both = 2 * np.sum((found > 0) & (truth > 0))
        dice.append(both / (np.sum(found > 0) + np.sum(truth > 0)))
        off.append(abs(int(found.max()) - len(np.unique(truth[truth > 0]))))
        assert row.objects == found.max()
    print(f"Dice {np.mean(dice):.4f}, count error {np.mean(off):.2f}")
    # what the data's README says of this pipeline: .908-.914, 3.5-4.0 per image
    assert np.mean(dice) >= 0.908
    assert np.mean(off) <= 4.0


def test_the_index_joins_the_tables_of_all_runs(tmp_path: Path, images: str) -> None:
    report = sp.run_batch(pipeline(images), tmp_path / "RUN")
    run = tmp_path / "RUN"
    assert [row.image for row in report.images] == [f"im{n}" for n in range(1, 6)]
    with closing(sqlite3.connect(run / "index.sqlite")) as db:
        joined = pd.read_sql_query("SELECT * FROM cells", db)
    assert list(joined.columns[:3]) == ["image", "frame", "label"]
    parts = [sp.load(run / r.image).tables["cells"] for r in report.images]
    for row, part in zip(report.images, parts, strict=True):
        mine = joined[joined["image"] == row.image].drop(columns="image")
        pd.testing.assert_frame_equal(mine.reset_index(drop=True), part)
        assert (row.frames, row.objects) == (3, len(part))
    assert len(joined) == sum(map(len, parts)) > 0
    assert rows(run, "SELECT * FROM images") == [
        (r.image, r.path, "finished", 3, r.objects, None, r.image)
        for r in report.images
    ]
    assert ("cells", "area", "px") in rows(
        run, 'SELECT "table","column",unit FROM columns'
    )
    assert str(report) == f"5 of 5 images finished; {run}"


def test_each_run_is_that_of_its_image_alone(tmp_path: Path, images: str) -> None:
    report = sp.run_batch(pipeline(images), tmp_path / "RUN")
    for row in report.images:
        labels = zarr.open_array(
            report.path / row.image / "images.ome.zarr/source/labels/nuclei/0", mode="r"
        )
        for t, image in enumerate(tifffile.imread(row.path)):
            smooth = sp.ops.gaussian(image, sigma=1)
            expected = oracles.label(oracles.threshold(smooth))
            assert np.array_equal(np.asarray(labels[t]), expected)


def test_a_pattern_is_a_run_per_group(tmp_path: Path) -> None:
    for well in ("A1", "B7"):
        for t in range(2):
            for c in ("DAPI", "GFP"):
                source = write(tmp_path / "parts", 1 + t + 2 * (c == "GFP"), 1)
                image: Array = tifffile.imread(source)[..., :40, :50]
                tifffile.imwrite(tmp_path / f"{well}_{t}_{c}.tif", image)
    path = str(tmp_path / "{well}_{t:d}_{c}.tif")
    report = sp.run_batch(pipeline(path, save=["source"]), tmp_path / "RUN")
    assert [(r.image, r.frames) for r in report.images] == [("A1", 2), ("B7", 2)]
    run = sp.load(tmp_path / "RUN" / "B7")
    assert run.images["source"].shape == (2, 2, 40, 50)
    assert json.loads(run.frames["metadata"][1]) == {"well": "B7", "t": 1}
    assert report.images[0].objects is None


def test_images_with_more_channels_add_columns(tmp_path: Path) -> None:
    image = tifffile.imread(write(tmp_path / "x", 1, 2))
    (tmp_path / "in").mkdir()
    for name, axes in (("a", "TYX"), ("b", "CYX")):
        path = tmp_path / "in" / f"{name}.tif"
        tifffile.imwrite(path, image, imagej=True, metadata={"axes": axes})
    graph = {
        "first": {
            "map": {"function": "tests.multirun.test_batch:plane", "kind": "image"}
        },
        "mask": {"threshold": {"method": "otsu"}},
        "nuclei": {"label": {}},
        "cells": {"measure": {"intensity": "source"}},
    }
    given = pipeline(str(tmp_path / "in"), graph=graph)
    report = sp.run_batch(given, tmp_path / "RUN")
    if report.failed:
        pytest.skip(f"a graph over both is refused: {report.failed[0].error}")
    found = rows(
        tmp_path / "RUN", "SELECT image, mean_intensity, mean_intensity_c1 FROM cells"
    )
    assert {(r[0], r[1] is None, r[2] is None) for r in found} == {
        ("a", False, True),
        ("b", True, False),
    }


def plane(image: Array) -> Array:
    """The first channel, or the image."""
    return image if image.ndim == 2 else image[0]


def test_equal_stems_get_names_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder, 1)
        write(tmp_path / folder / "deep", 2)
    report = sp.run_batch(pipeline(str(tmp_path / "**" / "*.tif")), tmp_path / "RUN")
    names = {
        Path(r.path).relative_to(tmp_path).as_posix(): r.image for r in report.images
    }
    assert names == {
        "a/im1.tif": "a-im1",
        "b/im1.tif": "b-im1",
        "a/deep/im2.tif": "a-deep-im2",
        "b/deep/im2.tif": "b-deep-im2",
    }
    assert {p.name for p in (tmp_path / "RUN").iterdir() if p.is_dir()} == {
        *names.values()
    }


def test_names_never_meet() -> None:
    given = [("im", "a/im.tif"), ("IM", "a/IM.tif"), ("run.lock", "b/run.lock.tif")]
    names = [name.lower() for name, _ in unique_names(given)]
    assert len({*names, "run.lock", "index.sqlite", "pipeline.yaml"}) == 6


# --- failures -----------------------------------------------------------------------


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path, images: str) -> None:
    broken = tmp_path / "in" / "im3.tif"
    broken.write_bytes(b"no image")
    report = sp.run_batch(pipeline(images), tmp_path / "RUN")
    assert [r.state for r in report.images] == [
        *["finished"] * 2,
        "failed",
        *["finished"] * 2,
    ]
    (failed,) = report.failed
    assert failed.run is None
    assert "im3.tif" in (failed.error or "")
    assert not (tmp_path / "RUN" / "im3").exists()

    write(tmp_path / "in", 3)
    again = sp.run_batch(pipeline(images), tmp_path / "RUN", resume=True)
    assert not again.failed
    assert again.images[2].objects


def test_frames_that_fail_are_counted(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, number)
    path = tmp_path / "im2.tif"
    path.write_bytes(path.read_bytes()[:-1000])
    report = sp.run_batch(pipeline(str(tmp_path / "*.tif")), tmp_path / "RUN")
    (row,) = report.failed
    assert (row.image, row.state, row.frames, row.run) == ("im2", "finished", 2, "im2")
    assert (row.error or "").startswith("1 of 3 frames failed; frame 2: ")


def test_what_a_failed_run_has_done_is_in_the_index(tmp_path: Path) -> None:
    write(tmp_path / "in", 1)
    for number, shape in enumerate(((40, 50), (40, 50), (30, 30))):
        image = np.zeros(shape, np.uint8)
        image[5:20, 5:20] = 200
        cv2.imwrite(str(tmp_path / "in" / f"b_{number}.png"), image)
    path = str(tmp_path / "in" / "{well}_{t:d}.png")
    report = sp.run_batch(pipeline(path, executor="inline"), tmp_path / "RUN")
    (row,) = report.images
    assert (row.image, row.state, row.run) == ("b", "failed", "b")
    assert "frames change shape" in (row.error or "")
    assert row.frames == row.objects
    assert len(rows(tmp_path / "RUN", "SELECT * FROM cells")) == row.frames


def test_on_error_stop_stops_and_resumes(tmp_path: Path, images: str) -> None:
    (tmp_path / "in" / "im3.tif").write_bytes(b"no image")
    given = pipeline(images, on_error="stop")
    with pytest.raises(SourceError, match=r"im3\.tif"):
        sp.run_batch(given, tmp_path / "RUN")
    states = "SELECT state FROM images"
    assert [r[0] for r in rows(tmp_path / "RUN", states)] == [
        *["finished"] * 2,
        "failed",
        *["pending"] * 2,
    ]
    write(tmp_path / "in", 3)
    report = sp.run_batch(given, tmp_path / "RUN", resume=True)
    assert [r.state for r in report.images] == ["finished"] * 5


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source": {"files": "nowhere"}}, "a batch needs"),
        ({"graph": {"mask": {"treshold": {}}}}, "no operator named 'treshold'"),
        ({"save": {"images": "cells"}}, "'images' is a table of the batch's index"),
        ({"source": {"files": {"path": "no/*.tif", "batch": True}}}, "no file matches"),
        ({"source": {"files": {"batch": True}}}, "needs 'path'"),
        (
            {"source": {"video": {"path": "a.mp4", "batch": True}}},
            r"source\.video\.batch: needs a source of files",
        ),
        (
            {"source": {"files": {"path": "x", "batch": True, "colour": 1}}},
            "no such file or folder: x",
        ),
    ],
)
def test_refused_before_anything_is_made(
    tmp_path: Path, images: str, change: dict[str, Any], error: str
) -> None:
    with pytest.raises((ConfigError, SourceError), match=error):
        sp.run_batch({**pipeline(images), **change}, tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


def test_none_that_opens_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(
        SourceError, match=r"none of the 2 images can be read: .*a\.png"
    ):
        sp.run_batch(pipeline(str(tmp_path)), tmp_path / "RUN")
    assert not (tmp_path / "RUN").exists()


def test_a_batch_is_no_run(tmp_path: Path, images: str) -> None:
    sp.run_batch(pipeline(images), tmp_path / "RUN")
    for door in (sp.load, sp.resume):
        with pytest.raises(RunFolderError, match="is a batch; name one of the runs"):
            door(tmp_path / "RUN")
    with pytest.raises(RunFolderError, match="exists already"):
        sp.run_batch(pipeline(images), tmp_path / "RUN")
    other = pipeline(images, save=["cells"])
    with pytest.raises(RunFolderError, match="holds a batch of another pipeline"):
        sp.run_batch(other, tmp_path / "RUN", resume=True)
    with pytest.raises(RunFolderError, match="is a run of one image"):
        sp.run_batch(pipeline(images), tmp_path / "RUN" / "im1", resume=True)


def test_two_processes_cannot_share_a_batch(tmp_path: Path, images: str) -> None:
    given = parse(pipeline(images))
    with (
        library.start_batch(given, tmp_path / "RUN"),
        pytest.raises(RunFolderError, match=r"is in use by process"),
    ):
        library.resume_batch(tmp_path / "RUN")


# --- going on -----------------------------------------------------------------------


def test_resume_leaves_the_finished_alone(tmp_path: Path, images: str) -> None:
    sp.run_batch(pipeline(images), tmp_path / "RUN")
    before = whole_index(tmp_path / "RUN")
    (tmp_path / "in" / "im2.tif").unlink()  # nothing of it is read again
    report = sp.run_batch(pipeline(images), tmp_path / "RUN", resume=True)
    assert not report.failed
    assert whole_index(tmp_path / "RUN") == before


def test_ended_before_the_index_knew(tmp_path: Path, images: str) -> None:
    given = parse(pipeline(images))
    sp.run_batch(pipeline(images), tmp_path / "whole")
    seen: list[str] = []

    def wait(run: sp.Run) -> sp.Report:
        seen.append(run.path.name)
        report = run.wait()
        if len(seen) == 3:
            raise KeyboardInterrupt
        return report

    with library.start_batch(given, tmp_path / "R") as batch:
        with pytest.raises(KeyboardInterrupt):
            batch.run(wait)
        assert [row.state for row in batch.images] == [
            *["finished"] * 2,
            *["pending"] * 3,
        ]
    with library.resume_batch(tmp_path / "R", expected=given) as batch:
        batch.run()
    assert seen == ["im1", "im2", "im3"]
    assert whole_index(tmp_path / "R") == whole_index(tmp_path / "whole")


def streamproc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamproc", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("resume", ["resume", "run --resume"])
def test_killed_and_resumed_equals_unbroken(
    tmp_path: Path, images: str, resume: str
) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    graph = {"mine": {"map": {"function": "mine:kills", "kind": "image"}}, **GRAPH}
    given = pipeline(images, graph=graph)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    done = streamproc(tmp_path, "run", "p.yaml", "--to", "whole")
    assert done.returncode == 0, done.stderr
    begin = ("run", "p.yaml", "--to", "R")
    go_on = ("resume", "R") if resume == "resume" else (*begin, "--resume")
    for number, command in ((1, begin), (3, go_on), (5, go_on)):
        (tmp_path / "kill").write_text(str(number))
        killed = streamproc(tmp_path, *command)
        assert killed.returncode == -9, killed.stderr
        states = rows(tmp_path / "R", "SELECT state FROM images ORDER BY rowid")
        left = 5 - number + 1
        assert [s for (s,) in states] == ["finished"] * (5 - left) + ["pending"] * left
    done = streamproc(tmp_path, *go_on)
    assert done.returncode == 0, done.stderr
    assert whole_index(tmp_path / "R") == whole_index(tmp_path / "whole")


# --- the command --------------------------------------------------------------------

Command = Callable[..., tuple[int, str, str]]


def test_run_ends_with_a_table(command: Command, images: str) -> None:
    Path("p.yaml").write_text(yaml.safe_dump(pipeline(images), sort_keys=False))
    code, out, err = command("run", "p.yaml", "--to", "RUN", "--frames", "2")
    assert code == 0
    assert err == "streamproc: 5 images, one run each; results in RUN\n"
    head, *lines = out.splitlines()
    assert head.split() == ["image", "frames", "objects", "fps", "state"]
    for number, line in enumerate(lines[:5], 1):
        words = line.split()
        assert (words[0], words[1], words[4]) == (f"im{number}", "2", "finished")
    assert "5 of 5 finished" in out
    assert os.path.join("RUN", "index.sqlite") in out

    code, out, _ = command("status", "RUN", "--json")
    found = json.loads(out)
    assert (found["state"], found["done"], found["pending"]) == ("finished", 10, 0)
    again = ("run", "p.yaml", "--resume")
    code, _, err = command(*again, "--to", "RUN", "--frames", "2")
    assert (code, "--frames belongs to the begin of a batch" in err) == (2, True)
    code, _, err = command(*again)
    assert (code, "--resume needs the run folder" in err) == (2, True)
    code, _, err = command("verify", "RUN")
    assert (code, "is a batch" in err) == (2, True)


def test_failures_are_one_line_each_and_exit_3(command: Command, images: str) -> None:
    for name in ("im2", "im4"):
        Path(f"in/{name}.tif").write_bytes(b"no image")
    Path("p.yaml").write_text(yaml.safe_dump(pipeline(images), sort_keys=False))
    code, out, err = command("run", "p.yaml", "--to", "RUN")
    assert code == 3
    assert "3 of 5 finished" in out
    _, *errors = err.splitlines()
    assert [e.split(": ")[:3] for e in errors] == [
        ["streamproc", "error", "im2"],
        ["streamproc", "error", "im4"],
    ]
    code, _, err = command("run", "p.yaml", "--to", "STOP", "--set", "on_error=stop")
    assert code == 1
    assert "1 of 5 images are finished in STOP; go on with: streamproc resume" in err


def test_no_room_is_refused_and_leaves_nothing(command: Command, images: str) -> None:
    given = pipeline(images, limits={"disk_reserve": "900TB"})
    Path("p.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    code, _, err = command("run", "p.yaml", "--to", "RUN")
    assert code == 2
    assert "GB free" in err.splitlines()[-1]
    assert not Path("RUN").exists()


def test_check_says_how_many_images(command: Command, images: str) -> None:
    Path("p.yaml").write_text(yaml.safe_dump(pipeline(images), sort_keys=False))
    code, out, _ = command("check", "p.yaml")
    assert code == 0
    assert "batch: 5 images, one run each" in out
    assert "3 frames, 43 x 51 uint8 (yx)" in out
    assert not Path("runs").exists()


def test_rows_say_what_they_are() -> None:
    row = ImageRow("a", "a.tif")
    assert (row.state, row.frames, row.objects, row.error, row.run) == (
        "pending",
        0,
        None,
        None,
        None,
    )
