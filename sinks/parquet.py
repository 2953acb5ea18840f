"""Tables as a growing dataset of Parquet files, for pandas, DuckDB, polars and R."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from streamproc.errors import FrameError, MissingDependency
from streamproc.folder import RunFolder, connect_readonly
from streamproc.observers import Committed
from streamproc.store.platform import NATIVE


class Parquet:
    """Writes tables to ``RUN/parquet/<table>/part-<first frame>.parquet``.

    A part holds whole frames, ordered by frame and label: as many as it takes to
    reach ``rows``. It is complete when it appears, and the same frames always make
    the same parts, so that a run that was killed and resumed leaves what an unbroken
    one does. Units are in the metadata of the columns. ``pandas.read_parquet``,
    DuckDB and polars read the folder of a table as one, while the run goes on too.

    Parameters
    ----------
    tables
        The saved tables to write; default all.
    rows
        Rows after which a part ends with its frame, >= 1. Fewer make parts appear
        sooner, and more of them; up to so many rows wait in memory.

    Raises
    ------
    MissingDependency
        pyarrow is not installed.
    """

    def __init__(
        self,
        tables: tuple[str, ...] | None = None,
        *,
        rows: Annotated[int, Ge(1)] = 100_000,
    ) -> None:
        if find_spec("pyarrow") is None:
            raise MissingDependency(
                "sink 'parquet' needs the package pyarrow: "
                "pip install 'streamproc[parquet]'"
            )
        self.tables = tables
        self._rows = rows
        self._parts: list[_Parts] = []

    def open(self, path: Path, tables: Mapping[str, Mapping[str, str]] | None) -> None:
        """Find out which frames are there already."""
        self._parts = [
            _Parts(path / "parquet" / name, _schema(path, name, units), self._rows)
            for name, units in (tables or {}).items()
        ]

    def position(self) -> int:
        """Return the first frame that a table does not have in a full part."""
        return min((parts.next for parts in self._parts), default=0)

    def rewind(self, frame: int) -> None:
        """Delete the parts from a frame on: skipped frames get their rows late."""
        for parts in self._parts:
            parts.rewind(frame)

    def take(self, frames: Sequence[Committed]) -> None:
        """Take the rows of frames; write the parts that they fill."""
        for parts in self._parts:
            parts.take(frames)

    def flush(self) -> None:
        """Write the last part, as far as it has come."""
        for parts in self._parts:
            parts.write()

    def close(self) -> None:
        """Let go of what waits in memory."""
        self._parts = []


class _Parts:
    """The parts of one table; ``next`` is the first frame that it has not taken."""

    def __init__(self, folder: Path, schema: Any, rows: int) -> None:
        self._folder = folder
        self._name = folder.name
        self._schema = schema
        self._limit = rows
        self._waiting: list[Any] = []
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.next = self._first = self._begin()

    def _begin(self) -> int:
        """Return the frame behind the last full part; one that is short grows."""
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # untyped

        found = sorted(self._folder.glob("part-*.parquet"))
        if not found:
            return 0
        frames = pq.read_table(found[-1], columns=["frame"]).column(0)
        if len(frames) < self._limit:
            return int(found[-1].stem.partition("-")[2])
        return int(frames[-1].as_py()) + 1

    def rewind(self, frame: int) -> None:
        found = sorted(self._folder.glob("part-*.parquet"))
        begins = [int(part.stem.partition("-")[2]) for part in found]
        kept = sum(begin <= frame for begin in begins[1:])
        # the last one first: what is left is always without a hole
        for part in reversed(found[kept:]):
            part.unlink()
        self.next = self._first = self._begin()

    def take(self, frames: Sequence[Committed]) -> None:
        rows: list[Mapping[str, Any]] = []
        for frame in frames:
            if frame.frame < self.next:
                continue  # has it, since before a crash
            rows += frame.tables.get(self._name, ())
            self.next = frame.frame + 1
            if self._count + len(rows) >= self._limit:
                self._keep(rows)
                self.write()
                rows, self._waiting, self._count = [], [], 0
                self._first = self.next
        self._keep(rows)

    def _keep(self, rows: list[Mapping[str, Any]]) -> None:
        import pyarrow as pa

        if not rows:
            return
        try:
            # with a schema from_pylist would cut 0.5 to 0 in a column of integers
            table = pa.Table.from_pylist(rows).select(self._schema.names)
            self._waiting.append(table.cast(self._schema))
        except pa.ArrowException as error:
            raise FrameError(
                f"table {self._name!r}, frames {rows[0]['frame']} to "
                f"{rows[-1]['frame']}: {error}; a column keeps the type of its first "
                "value"
            ) from None
        self._count += len(rows)

    def write(self) -> None:
        """Write the frames that wait as one part; it stays open for more."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting and self._first:
            return
        tables = [self._schema.empty_table(), *self._waiting]
        table = pa.concat_tables(tables).combine_chunks()
        part = self._folder / f"part-{self._first:09}.parquet"
        # readers of a folder leave hidden files alone
        new = part.with_name(f".{part.name}.new")
        with new.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        NATIVE.replace(new, part)


def _schema(path: Path, table: str, units: Mapping[str, str]) -> Any:  # of pyarrow
    """Return the columns of a table, with the types that the ledger gives them."""
    import pyarrow as pa

    arrow = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}
    types = {"frame": "INTEGER", "label": "INTEGER"}
    ledger = RunFolder(path).ledger
    if ledger.exists():  # rows may also come from elsewhere
        with closing(connect_readonly(ledger)) as db:
            quoted = '"' + table.replace('"', '""') + '"'
            info = db.execute(f"PRAGMA table_info({quoted})").fetchall()
        types |= {row[1]: row[2] for row in info}
    fields = [
        pa.field(column, arrow[types.get(column, "REAL")], metadata={"unit": unit})
        for column, unit in units.items()
    ]
    return pa.schema(fields)
