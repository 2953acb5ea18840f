"""Tables as Parquet and CSV, a few thousand rows in memory at a time."""

import csv
import json
from pathlib import Path
from typing import Any

from ..errors import MissingDependency
from .saved import Saved


def write_csv(saved: Saved, table: str, path: Path) -> None:
    """Write a table as CSV: a line of names, exact numbers, nothing for NULL."""
    columns = saved.columns(table)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(name for name, *_ in columns)
        for rows in saved.rows(table):
            writer.writerows(rows)


def write_parquet(saved: Saved, table: str, path: Path) -> None:
    """Write a table as Parquet: int64, float64 and text; units in the schema.

    Each field has ``unit`` and ``description``; the file's key ``streamproc`` holds
    the same of all columns as JSON, for readers that drop what fields have.

    Raises
    ------
    MissingDependency
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # untyped
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependency(
            "parquet needs the package pyarrow: pip install 'streamproc[parquet]'; "
            "csv needs nothing"
        ) from error
    columns = saved.columns(table)
    schema = _schema(pa, saved, table, columns)
    text = [at for at, column in enumerate(columns) if column[1] == "TEXT"]
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in saved.rows(table):
            values = [list(column) for column in zip(*rows, strict=True)]
            for at in text:
                values[at] = [None if v is None else str(v) for v in values[at]]
            writer.write_table(pa.table(values, schema=schema))


def _schema(
    pa: Any, saved: Saved, table: str, columns: list[tuple[str, str, str, str]]
) -> Any:  # pyarrow has no annotations
    types = {"INTEGER": pa.int64(), "REAL": pa.float64()}
    told = {
        name: {"unit": unit, "description": description}
        for name, _, unit, description in columns
    }
    fields = [
        pa.field(name, types.get(kind, pa.string()), metadata=told[name])
        for name, kind, *_ in columns
    ]
    about = {"run": saved.folder.path.name, "table": table, "columns": told}
    return pa.schema(fields, metadata={"streamproc": json.dumps(about)})
