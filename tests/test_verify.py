"""Whatever is changed in a run folder behind the engine's back, verify tells it."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import streamproc as sp
from streamproc.__main__ import main
from streamproc.verify import verify

FRAMES = 6


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live run with image, labels, mask and table."""
    path = tmp_path_factory.mktemp("made") / "RUN"
    raw = sp.open({"simulation": {"frames": FRAMES, "shape": [300, 320], "fps": None}})
    mask = raw.gaussian(sigma=2).threshold("otsu")
    labels = mask.label()
    cells = labels.measure(raw)
    saved = {"source": raw, "mask": mask, "nuclei": labels, "cells": cells}
    sp.run(saved, to=path)
    return path


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "RUN"))


def problems(run: Path) -> str:
    return "\n".join(verify(run).problems)


def execute(run: Path, sql: str) -> None:
    db = sqlite3.connect(run / "run.sqlite")
    with db:
        db.execute(sql)
    db.close()


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 255]))


def test_a_sound_run(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = verify(run)
    assert found.is_sound, found.problems
    assert (found.frames, found.images, found.tables) == (FRAMES, 3 * FRAMES, FRAMES)
    assert found.chunks == 2 * 3 * FRAMES
    assert main(["verify", str(run)]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("ok: 6 frames, 18 images, 36 chunks, 6 tables")
    assert err == ""


def test_differences_are_listed(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flip(run / "images.ome.zarr/source/0/c.0.0.0", 5)
    assert main(["verify", str(run)]) == 1
    out, err = capfd.readouterr()
    assert "frame 0 is damaged in shard source/0/c.0.0.0" in out
    assert err.startswith("streamproc: error: 1 differences in")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE cells SET area = area + 1 WHERE frame = 2", "frame 2: rows of table"),
        ("DELETE FROM cells WHERE frame = 3 AND label = 1", "frame 3: rows of table"),
        ("DELETE FROM frames WHERE frame = 2", "frames: no row for frame 2, though"),
        ("DELETE FROM frames WHERE frame = 5", "has rows of frame 5, which are not"),
        ("DELETE FROM frames WHERE frame = 5", "chunks: rows of frame 5 without"),
        (
            """UPDATE frames SET hash = replace(hash, '"nuclei": "', '"nuclei": "0')""",
            "frame 1: pixels of 'nuclei' are not those",
        ),
        (
            "UPDATE frames SET hash = '{}' WHERE frame = 1",
            "frame 1: saved are nothing, not cells, mask, nuclei, source",
        ),
        ("UPDATE frames SET time = 5 WHERE frame = 4", "source/time: differs"),
        ("UPDATE frames SET time = 5 WHERE frame = 4", "frame 4: source_index or time"),
        ("UPDATE frames SET t = 9 WHERE frame = 4", "frame 4: its row says t = 9"),
        (
            "DELETE FROM chunks WHERE frame = 1 AND array LIKE '%nuclei/0'",
            "frame 1: image 'nuclei': a frame of",
        ),
        (
            "UPDATE chunks SET offset = offset + 4096 WHERE frame = 1",
            "frame 1 is damaged in shard",
        ),
    ],
)
def test_a_changed_ledger(run: Path, sql: str, told: str) -> None:
    execute(run, sql)
    assert told in problems(run)


def _tear_index(run: Path) -> None:
    shard = run / "images.ome.zarr/source/labels/nuclei/0/c.0.0.0"
    with shard.open("r+b") as file:
        file.seek(-2048, 2)
        file.write(bytes(2048))


def _drop_shard(run: Path) -> None:
    (run / "images.ome.zarr/source/labels/mask/0/c.0.0.0").unlink()


def _shorten(run: Path) -> None:
    for level in "01":
        path = run / f"images.ome.zarr/source/{level}/zarr.json"
        document = json.loads(path.read_text())
        document["shape"][0] = 3
        path.write_text(json.dumps(document))


def _drop_metadata(run: Path) -> None:
    (run / "images.ome.zarr/source/labels/nuclei/0/zarr.json").unlink()


def _change_time(run: Path) -> None:
    path = run / "images.ome.zarr/source/time/c.0"
    with path.open("r+b") as file:
        file.seek(16)
        file.write(np.float64(7).tobytes())


def _cut_journal(run: Path) -> None:
    path = run / "admission.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _spoil_journal(run: Path) -> None:
    path = run / "admission.jsonl"
    path.write_bytes(path.read_bytes() + b"00000000 [6,")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_tear_index, "frame 0 is not in the index of shard source/labels/nuclei/0"),
        (_drop_shard, "cannot be read from shard source/labels/mask/0/c.0.0.0"),
        (_shorten, "source/0: announces 3 frames, 6 are committed"),
        (_drop_metadata, "nuclei/0: its zarr.json is missing"),
        (_change_time, "source/time: differs from the ledger at frame 2"),
        (_cut_journal, "has a row, but was not admitted in admission.jsonl"),
        (_spoil_journal, "admission.jsonl: torn after record 6"),
    ],
)
def test_a_changed_store(run: Path, spoil: Callable[[Path], None], told: str) -> None:
    spoil(run)
    assert told in problems(run)


def test_what_no_reader_can_open_is_told_in_one_line(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (run / "run.sqlite").write_bytes(b"this is no database" * 100)
    assert main(["verify", str(run)]) == 2
    assert "cannot read" in capfd.readouterr().err
    with pytest.raises(sp.StoreError, match="cannot read"):
        verify(run)


def test_a_log_that_was_not_kept_is_no_difference(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 5, "shape": [64, 64], "fps": None}})
    labels = raw.threshold("otsu").label()
    sp.run({"nuclei": labels}, to=tmp_path / "RUN", log={"keep_raw": False})
    found = verify(tmp_path / "RUN")
    assert found.is_sound, found.problems
    assert (found.frames, found.images) == (5, 5)


def test_files_in_place_of_shards(tmp_path: Path) -> None:
    raw = sp.open({"simulation": {"frames": 5, "shape": [64, 64], "fps": None}})
    labels = raw.threshold("otsu").label()
    saved = {"source": raw, "nuclei": labels}
    sp.run(saved, to=tmp_path / "RUN", store={"layout": "files"})
    assert verify(tmp_path / "RUN").is_sound
    flip(tmp_path / "RUN/images.ome.zarr/source/0/c.2.0.0", 100)
    assert "frame 2 is damaged" in problems(tmp_path / "RUN")
