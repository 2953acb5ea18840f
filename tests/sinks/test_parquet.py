"""Tables as Parquet: as by SQL, whole at any moment, the same after a crash."""

import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds  # type: ignore[import-untyped]  # untyped
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # untyped
import pytest
import yaml
from streamproc.sinks.parquet import Parquet

import streamproc as sp
from streamproc.config import parse
from streamproc.observers import Committed
from streamproc.runs import start_pipeline
from tests.arrays import Arrays, noise, segmented, simulated

PIPELINE: dict[str, Any] = {
    "source": {
        "simulation": {"frames": 400, "shape": [128, 128], "live": False, "seed": 4}
    },
    "graph": {
        "mask": {"threshold": "otsu"},
        "nuclei": {"label": {}},
        "cells": {"measure": {"intensity": "source"}},
        "count": {"running_count": {}},
    },
    "save": ["nuclei", "cells", "count"],
    "limits": {"disk_reserve": "100MB"},
    "sinks": [{"parquet": {"rows": 90}}],
}


def parts(run: Path, table: str = "cells") -> list[Path]:
    """Return the parts of a table, in order."""
    return sorted((run / "parquet" / table).glob("*.parquet"))


def contents(run: Path) -> dict[str, bytes]:
    """Return every file of the dataset, hidden ones too."""
    root = run / "parquet"
    files = (p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def assert_as_by_sql(run: Path) -> None:
    """Compare every table with the ledger's, types included."""
    for name, table in sp.load(run).tables.items():
        pd.testing.assert_frame_equal(pd.read_parquet(run / "parquet" / name), table)


def test_the_dataset_is_the_table(tmp_path: Path, executor: str) -> None:
    raw = sp.open(Arrays(noise(60), unreadable=frozenset({0, 9, 59})))
    labels, cells = segmented(raw)
    sp.run(
        {"nuclei": labels, "cells": cells, "n": cells.running_count()},
        tmp_path / "run",
        executor=executor,
        sinks=[{"parquet": {"rows": 20}}],
    )
    assert_as_by_sql(tmp_path / "run")
    begins = [int(part.stem.removeprefix("part-")) for part in parts(tmp_path / "run")]
    ends = [*begins[1:], 60]
    assert begins[0] == 0
    assert len(begins) > 3
    for part, begin, end in zip(parts(tmp_path / "run"), begins, ends, strict=True):
        table = pd.read_parquet(part)
        assert begin <= table.frame.min() <= table.frame.max() < end
        if end < 60:
            last = (table.frame == table.frame.max()).sum()
            assert len(table) - last < 20 <= len(table)


def test_only_the_tables_asked_for(tmp_path: Path) -> None:
    labels, cells = segmented(simulated(10))
    sp.run(
        {"nuclei": labels, "cells": cells, "n": cells.running_count()},
        tmp_path / "run",
        sinks=[{"parquet": {"tables": ["n"]}}],
    )
    assert [p.name for p in (tmp_path / "run/parquet").iterdir()] == ["n"]
    assert list(contents(tmp_path / "run")) == ["n/part-000000000.parquet"]
    assert_frames = pd.read_parquet(tmp_path / "run/parquet/n").frame.tolist()
    assert assert_frames == list(range(10))


def test_units_are_in_the_columns(tmp_path: Path) -> None:
    labels, cells = segmented(simulated(3))
    sp.run({"x": labels, "cells": cells}, tmp_path / "run", sinks=["parquet"])
    schema = pq.read_schema(parts(tmp_path / "run")[0])
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units == {
        "frame": "",
        "label": "",
        "area": "px",
        "centroid_y": "px",
        "centroid_x": "px",
        "mean_intensity": "grey level",
    }


def test_text_nothing_and_no_objects(tmp_path: Path) -> None:
    def rows(image: np.ndarray) -> dict[str, Any]:
        n = int(image[0, 0]) % 4
        return {
            "label": list(range(1, n + 1)),
            "word": [None if i % 3 == 0 else f"w{i}" for i in range(n)],
            "half": [float("nan") if i % 2 else i / 2 for i in range(n)],
            "gone": [float("nan")] * n,
        }

    raw = sp.open(Arrays(noise(40)))
    table = raw.map(rows, kind="table")
    sp.run({"t": table}, tmp_path / "run", sinks=[{"parquet": {"rows": 7}}])
    assert_as_by_sql(tmp_path / "run")
    assert pd.read_parquet(tmp_path / "run/parquet/t").half.isna().any()
    assert len(parts(tmp_path / "run", "t")) > 3


def test_a_table_without_any_row_is_an_empty_dataset(tmp_path: Path) -> None:
    black = sp.open(Arrays(np.zeros((5, 32, 32), np.uint16)))
    labels, cells = segmented(black)
    sp.run({"x": labels, "cells": cells}, tmp_path / "run", sinks=["parquet"])
    assert len(pd.read_parquet(tmp_path / "run/parquet/cells")) == 0
    assert_as_by_sql(tmp_path / "run")


def test_a_column_that_changes_its_type_is_told(tmp_path: Path) -> None:
    def rows(image: np.ndarray) -> dict[str, Any]:
        return {"label": [1], "x": [0.5 if image[0, 0] > 40 else 1]}

    stack = np.zeros((20, 8, 8), np.uint16)
    stack[12:] = 50
    table = sp.open(Arrays(stack)).map(rows, kind="table")
    report = sp.run({"t": table}, tmp_path / "run", sinks=[{"parquet": {"rows": 5}}])
    assert report.frames.done == 20
    (note,) = report.notes
    assert "sink 'parquet' failed: table 't', frames " in note
    assert "a column keeps the type of its first value" in note
    assert len(pd.read_parquet(tmp_path / "run/parquet/t")) in (5, 10)


def test_other_readers_see_the_same(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb")
    labels, cells = segmented(simulated(30))
    sp.run(
        {"x": labels, "cells": cells},
        tmp_path / "run",
        sinks=[{"parquet": {"rows": 10}}],
    )
    table = sp.load(tmp_path / "run").tables["cells"]
    found = duckdb.sql(f"FROM '{tmp_path}/run/parquet/cells/*.parquet'").df()
    pd.testing.assert_frame_equal(found, table, check_dtype=False)


def test_taken_again_is_written_once(tmp_path: Path) -> None:
    units = {"t": {"frame": "", "label": "", "x": "px"}}

    def row(frame: int) -> Mapping[str, Any]:
        return {"frame": frame, "label": 1, "x": frame / 2}

    frames = [Committed(n, None, "done", None, {"t": [row(n)]}) for n in range(10)]
    for again in (frames[:6], frames[3:8], frames):
        sink = Parquet(rows=4)
        sink.open(tmp_path, units)
        sink.take([f for f in again if f.frame >= sink.position()])
        sink.take(again)
        sink.flush()
        sink.flush()
        sink.close()
    assert pd.read_parquet(tmp_path / "parquet/t").frame.tolist() == list(range(10))
    assert sorted(contents(tmp_path)) == [
        f"t/part-00000000{n}.parquet" for n in (0, 4, 8)
    ]


def test_stopped_and_resumed_is_the_same_dataset(tmp_path: Path) -> None:
    def start(to: Path, frames: int) -> None:
        labels, cells = segmented(simulated(40))
        sinks = [{"parquet": {"rows": 25}}]
        sp.run({"x": labels, "cells": cells}, to, frames=frames, sinks=sinks)

    start(tmp_path / "whole", 40)
    start(tmp_path / "broken", 40)
    # as after a stop: the last parts are not there, the one before is short
    gone = parts(tmp_path / "broken")[2:]
    for part in gone:
        part.unlink()
    short = parts(tmp_path / "broken")[1]
    pq.write_table(pq.read_table(short).slice(0, 3), short)
    sp.resume(tmp_path / "broken")
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_killed_and_resumed_is_the_same_dataset(tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(yaml.safe_dump(PIPELINE, sort_keys=False))
    command = [sys.executable, "-m", "streamproc"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*command, "run", str(pipeline), "--to", str(whole)], check=True)
    assert len(parts(whole)) > 15
    nap = threading.Event()
    for number, wanted in enumerate((3, 7, 12)):
        what = ["resume", str(broken)] if number else ["run", str(pipeline), "--to"]
        process = subprocess.Popen(
            [*command, *what, *([] if number else [str(broken)])],
            stdout=subprocess.DEVNULL,
        )
        while len(parts(broken)) < wanted and process.poll() is None:
            nap.wait(0.001)
        process.kill()
        process.wait()
    subprocess.run([*command, "resume", str(broken)], check=True)
    assert contents(broken) == contents(whole)
    assert_as_by_sql(broken)


def test_read_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "run"
    raw = simulated(None, live=True)
    labels, cells = segmented(raw)
    run = sp.start(
        {"x": labels, "cells": cells}, path, sinks=[{"parquet": {"rows": 30}}]
    )
    folder = path / "parquet/cells"
    seen = 0
    while run.is_alive and seen < 500:
        if not parts(path):
            continue
        found = ds.dataset(folder, format="parquet").to_table().to_pandas()
        # whole frames, none left out, none twice
        assert found.groupby("frame").label.is_monotonic_increasing.all()
        assert found.frame.is_monotonic_increasing
        assert len(found) >= seen
        seen = len(found)
    run.stop()
    assert run.wait().notes == ()
    assert seen >= 500
    assert_as_by_sql(path)


def test_pyarrow_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    labels, cells = segmented(simulated(3))
    with pytest.raises(
        sp.MissingDependency,
        match=r"sink 'parquet' needs the package pyarrow: pip install 'streamproc\[p",
    ):
        sp.run({"x": labels, "cells": cells}, tmp_path / "run", sinks=["parquet"])
    assert not (tmp_path / "run").exists()


def test_rewound_it_forgets_what_comes_again(tmp_path: Path) -> None:
    units = {"t": {"frame": "", "label": "", "x": "px"}}

    def frames(*lacking: int) -> list[Committed]:
        row = {"label": 1, "x": 0.5}
        return [
            Committed(n, None, "done", None, {"t": [{"frame": n, **row}]})
            if n not in lacking
            else Committed(n, None, "skipped")
            for n in range(20)
        ]

    def written(to: Path, given: list[Committed], back: int | None = None) -> None:
        sink = Parquet(rows=4)
        sink.open(to, units)
        if back is not None:
            sink.rewind(back)
            assert sink.position() <= back
        sink.take([f for f in given if f.frame >= sink.position()])
        sink.flush()
        sink.close()

    whole = tmp_path / "whole"
    written(whole, frames())
    for back in range(20):
        written(tmp_path / str(back), frames(*range(back, 20, 3)))
        written(tmp_path / str(back), frames(), back)
        assert contents(tmp_path / str(back)) == contents(whole)


def test_skipped_frames_get_their_rows_late(tmp_path: Path) -> None:
    """Parquet had passed them when the later pass completed them."""
    slow = {"map": {"function": "tests.functions:slow"}}
    given = {
        **PIPELINE,
        "source": {"simulation": {"frames": 90, "shape": [128, 128], "fps": 400.0}},
        "graph": {"late": slow, **PIPELINE["graph"]},
        "limits": {"disk_reserve": "100MB"},
    }
    given["graph"]["cells"] = {"measure": {"intensity": "source"}, "of": "nuclei"}
    for name, more in {"whole": {}, "run": {"on_overload": "skip"}}.items():
        start_pipeline(parse({**given, **more}), tmp_path / name).wait()
    run = tmp_path / "run"
    assert sp.load(run).status()["skipped"] > 0
    assert len(pd.read_parquet(run / "parquet/cells")) == len(
        sp.load(run).tables["cells"]
    )
    report = sp.resume(run, skipped=True)
    assert isinstance(report, sp.Report)
    assert report.notes == ()
    assert contents(run) == contents(tmp_path / "whole")
    assert_as_by_sql(run)
