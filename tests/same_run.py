"""What "equal" means for two run folders (INTERFACES: Runs)."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import zarr

#: Columns of ``frames`` that may differ between equal runs.
TIMING = {"worker", "admitted_at", "committed_at", "latency_ms"}
TABLES = ("frames", "columns", "parameters", "gaps")


def assert_same_run(expected: Path, got: Path) -> None:
    """Fail, naming the first array or table that differs."""
    arrays = array_names(expected)
    assert array_names(got) == arrays
    for name in arrays:
        assert_same_array(expected, got, name)
    tables = [*TABLES, *saved_tables(expected)]
    assert saved_tables(got) == saved_tables(expected)
    for table in tables:
        assert rows(got, table) == rows(expected, table), table


def array_names(run: Path) -> list[str]:
    """Return the path of every array in the store, sorted."""
    root = run / "images.ome.zarr"
    return sorted(
        str(path.parent.relative_to(root))
        for path in root.rglob("zarr.json")
        if json.loads(path.read_text())["node_type"] == "array"
    )


def assert_same_array(expected: Path, got: Path, name: str) -> None:
    """Compare bit for bit, frame by frame: memory stays small."""
    first = zarr.open_array(expected / "images.ome.zarr" / name, mode="r")
    second = zarr.open_array(got / "images.ome.zarr" / name, mode="r")
    assert (first.shape, first.dtype) == (second.shape, second.dtype), name
    step = max(1, (64 << 20) // max(first.nbytes // max(first.shape[0], 1), 1))
    for start in range(0, first.shape[0], step):
        a = np.asarray(first[start : start + step])
        b = np.asarray(second[start : start + step])
        same = a.tobytes() == b.tobytes()
        assert same, f"{name} differs in frames {start} to {start + step}"


def saved_tables(run: Path) -> list[str]:
    """Return the names of the saved tables."""
    with closing(sqlite3.connect(run / "run.sqlite")) as db:
        return [r[0] for r in db.execute('SELECT DISTINCT "table" FROM columns')]


def rows(run: Path, table: str) -> list[tuple[Any, ...]]:
    """Return a table's rows in a fixed order, timing columns left out."""
    db = sqlite3.connect(run / "run.sqlite")
    try:
        info = db.execute(f'PRAGMA table_info("{table}")').fetchall()
        names = [row[1] for row in info if row[1] not in TIMING]
        columns = ", ".join(f'"{name}"' for name in names)
        return db.execute(
            f'SELECT {columns} FROM "{table}" ORDER BY {columns}'
        ).fetchall()
    finally:
        db.close()
