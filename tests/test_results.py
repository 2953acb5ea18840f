"""Reading a run back, while it goes on too."""

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import streamproc as sp
from streamproc import reading, results
from streamproc.errors import StoreError
from tests.arrays import Arrays, noise, run_one, segmented, simulated, wait_for, whole


def test_everything_by_name(tmp_path: Path, executor: str) -> None:
    stack = noise(12)
    raw = sp.open(Arrays(stack, unreadable=frozenset({5})))
    labels, cells = segmented(raw)
    saved = {
        "source": raw,
        "smooth": raw.gaussian(),
        "nuclei": labels,
        "mask": raw.threshold(),
        "cells": cells,
        "total": cells.running_count(),
    }
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert sorted(result.images) == ["smooth", "source"]
    assert sorted(result.labels) == ["mask", "nuclei"]
    assert sorted(result.tables) == ["cells", "total"]
    assert (len(result.images), len(result.labels), len(result.tables)) == (2, 2, 2)
    assert repr(result).endswith("smooth, source, mask, nuclei, cells, total>")
    kept = [n for n in range(12) if n != 5]
    assert np.array_equal(whole(result.images["source"])[kept], stack[kept])
    assert not whole(result.images["source"])[5].any()
    frames = result.frames
    assert frames.frame.tolist() == frames.t.tolist() == list(range(12))
    assert frames.state.tolist() == ["done"] * 5 + ["failed"] + ["done"] * 6
    assert frames.error[5] == "frame 5 is scratched"
    assert frames.metadata[3] == '{"n": 3}'
    assert frames.time[3] == 3.0
    table = result.tables["cells"]
    assert 5 not in set(table.frame)
    assert table.equals(table.sort_values(["frame", "label"]))


def test_a_run_that_has_just_begun_has_no_tables_yet(tmp_path: Path) -> None:
    run_one(simulated(2).gaussian(), tmp_path / "run")
    ledger = tmp_path / "run" / "run.sqlite"
    ledger.unlink()
    sqlite3.connect(ledger).close()
    result = sp.load(tmp_path / "run")
    with pytest.raises(
        StoreError, match=r"run\.sqlite cannot be read \(yet\): .*no such table: frames"
    ):
        assert result.frames is None


def test_missing_names_are_told(tmp_path: Path) -> None:
    raw = simulated(2)
    labels, cells = segmented(raw)
    sp.run({"nuclei": labels, "cells": cells}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    with pytest.raises(KeyError, match="no image 'source'"):
        result.images["source"]
    with pytest.raises(KeyError, match=r"no image 'nuclie'; did you mean 'nuclei'\?"):
        result.labels["nuclie"]
    with pytest.raises(KeyError, match=r"no table 'cell'; did you mean 'cells'\?"):
        result.tables["cell"]
    assert "source" not in result.images
    assert list(result.images) == []


def test_values_are_as_fresh_as_the_last_commit(tmp_path: Path) -> None:
    raw = simulated(None, live=True)
    labels, _ = segmented(raw)
    run = sp.start({"source": raw, "nuclei": labels}, tmp_path / "run")
    wait_for(run, 3)
    result = sp.load(tmp_path / "run")
    first = len(result.frames)
    newest = int(result.frames.frame.max())
    assert whole(result.images["source"])[newest].any()
    assert result.labels["nuclei"].shape[0] > newest
    wait_for(run, first + 64)
    assert len(result.frames) > first
    run.stop()
    run.wait()
    assert result.status()["state"] == "stopped"


# --- arrays --------------------------------------------------------------------


def test_dask_is_the_zarr_array_at_every_level(tmp_path: Path, executor: str) -> None:
    stack = noise(20, (300, 280))
    raw = sp.open(Arrays(stack, unreadable=frozenset({5})))
    labels, _ = segmented(raw)
    saved = {"source": raw, "nuclei": labels}
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    whole_stack = stack.copy()
    whole_stack[5] = 0
    lazy = result.dask("source")
    assert (lazy.shape, lazy.dtype) == (stack.shape, stack.dtype)
    assert np.array_equal(whole(lazy), whole_stack)
    part = lazy[3:9, ::2].max(axis=0)
    assert np.array_equal(whole(part), whole_stack[3:9, ::2].max(axis=0))
    assert np.array_equal(whole(result.dask("nuclei")), whole(result.labels["nuclei"]))
    for name in ("source", "nuclei"):
        levels = result.levels(name)
        assert len(levels) > 1
        for number, level in enumerate(levels):
            assert level.shape == (20, 300 >> number, 280 >> number)
            assert np.array_equal(whole(result.dask(name, number)), whole(level))


def test_a_dask_chunk_is_whole_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sp.run({"source": sp.open(Arrays(noise(10)))}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    for size, chunks in ((1, (1,) * 10), (3 * 32 * 32 * 2 + 1, (3, 3, 3, 1))):
        monkeypatch.setattr(results, "_CHUNK", size)
        assert result.dask("source").chunks == (chunks, (32,), (32,))


def test_dask_reads_a_run_that_goes_on(tmp_path: Path) -> None:
    raw = simulated(None, live=True)
    labels, _ = segmented(raw)
    run = sp.start({"source": raw, "nuclei": labels}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    wait_for(run, 1)
    before = 0
    for done in (20, 100, 300):
        wait_for(run, done)
        source, nuclei = result.dask("source"), result.dask("nuclei")
        assert len(source) >= done
        assert len(source) > before
        assert whole(source[before:].max(axis=(1, 2))).all()
        assert whole(nuclei).any()
        before = len(source)
    run.stop()
    run.wait()


def test_a_torn_read_is_tried_again() -> None:
    class Torn:
        dtype, shape, left = np.dtype("u1"), (3,), 2

        def __getitem__(self, index: object) -> np.ndarray:
            self.left -= 1
            if self.left >= 0:
                raise ValueError("checksum")
            return np.arange(3)[index]  # type: ignore[call-overload, no-any-return]

    stack = reading.Stack(Torn(), 2)  # type: ignore[arg-type]
    assert stack.shape == (2,)
    assert stack[1:].tolist() == [1, 2]


# --- one frame, some rows, what is known ----------------------------------------


def test_one_frame_is_all_of_it(tmp_path: Path) -> None:
    stack = noise(8)
    raw = sp.open(Arrays(stack, unreadable=frozenset({5})))
    labels, cells = segmented(raw)
    saved = {"source": raw, "nuclei": labels, "cells": cells}
    sp.run(saved, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    assert np.isnan(result.time[5])
    one = result.frame(3)
    assert (one.frame, one.time, one.state, one.error) == (3, 3.0, "done", None)
    assert list(one.images) == ["source"]
    assert np.array_equal(one.images["source"], stack[3])
    assert one.tables["cells"].label.tolist() == [
        n for n in np.unique(one.labels["nuclei"]) if n
    ]
    assert set(one.tables["cells"].frame) == {3}
    failed = result.frame(5)
    assert (failed.state, failed.error) == ("failed", "frame 5 is scratched")
    assert (failed.images, failed.labels, failed.tables) == ({}, {}, {})
    with pytest.raises(IndexError, match="no frame 8; 8 are committed"):
        result.frame(8)


@pytest.mark.parametrize(
    "frames",
    [
        slice(None),
        slice(3, 7),
        slice(-4, None),
        slice(2, 15, 5),
        slice(1, None, 4),
        slice(None, None, -3),
        slice(30, 40),
    ],
)
def test_rows_of_some_frames(tmp_path: Path, frames: slice) -> None:
    labels, cells = segmented(simulated(20))
    sp.run({"nuclei": labels, "cells": cells}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    table = result.tables["cells"]
    wanted = table[table.frame.isin(range(20)[frames])].reset_index(drop=True)
    pd.testing.assert_frame_equal(result.table("cells", frames), wanted)
    assert result.table("cells").equals(table)
    assert result.table("cells", 7).equals(
        table[table.frame == 7].reset_index(drop=True)
    )


def test_what_the_source_was(tmp_path: Path) -> None:
    stack = noise(6, (2, 32, 40), "uint8")
    raw = sp.open(Arrays(stack, "cyx", channels=("DAPI", "GFP")))
    sp.run({"smooth": raw.gaussian()}, tmp_path / "run")
    source = sp.load(tmp_path / "run").source
    assert (source.shape, source.axes) == ((2, 32, 40), "cyx")
    assert source.dtype == np.uint8
    assert (source.channels, source.frames, source.live) == (("DAPI", "GFP"), 6, False)
    assert source.identity == raw.graph.source.info.identity

    sp.run({"m": simulated(5, fps=10, live=True).threshold()}, tmp_path / "live")
    source = sp.load(tmp_path / "live").source
    assert (source.pixel_size_um, source.fps) == ({"y": 0.65, "x": 0.65}, 10)
    assert (source.frames, source.live, source.channels) == (5, True, ())


def test_time_gaps_events_and_parameters(tmp_path: Path) -> None:
    gap = sp.Gap(4, 6, "overflow", 4.5)
    raw = sp.open(Arrays(noise(8), in_order=True, gaps={4: gap}))
    sp.run({"smooth": raw.gaussian(sigma=3)}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    assert result.time.tolist() == list(range(8))
    (lost,) = result.gaps.to_dict("records")
    assert (lost["first_source_index"], lost["count"], lost["reason"]) == (
        4,
        3,
        "overflow",
    )
    parameters = result.parameters.set_index(["step", "name"]).value
    assert parameters["gaussian", "sigma"] == "3.0"
    assert list(result.events) == ["time", "frame", "level", "kind", "message"]


def test_types_do_not_depend_on_the_values(tmp_path: Path) -> None:
    black = sp.open(Arrays(np.zeros((3, 32, 32), np.uint16)))
    labels, cells = segmented(black)
    sp.run({"nuclei": labels, "cells": cells}, tmp_path / "run")
    kinds = {
        n: t.kind for n, t in sp.load(tmp_path / "run").tables["cells"].dtypes.items()
    }
    assert kinds == {
        "frame": "i",
        "label": "i",
        "area": "i",
        "centroid_y": "f",
        "centroid_x": "f",
        "mean_intensity": "f",
    }


def test_unknown_names_of_the_rest(tmp_path: Path) -> None:
    labels, cells = segmented(simulated(2))
    sp.run({"nuclei": labels, "cells": cells}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    with pytest.raises(KeyError, match=r"no table 'cell'; did you mean 'cells'\?"):
        result.table("cell", 1)
    with pytest.raises(KeyError, match=r"no image 'nuclie'; did you mean 'nuclei'\?"):
        result.dask("nuclie")
    with pytest.raises(IndexError, match="'nuclei' has levels 0 to 0, got 5"):
        result.dask("nuclei", 5)
