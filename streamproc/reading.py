"""Arrays and tables of a run folder, read while they grow."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import StoreError, nearest, one_line
from .folder import RunFolder, connect_readonly, status
from .frame import Array, Gap, SourceInfo
from .store.extent import read_json

if TYPE_CHECKING:
    import pandas as pd
    import zarr

#: Seconds between attempts to read a shard that is being written.
_WAITS = (0.001, 0.01, 0.1, 0.5)


class Stack:
    """The first ``count`` frames of a zarr array, for dask."""

    def __init__(self, array: "zarr.Array[Any]", count: int) -> None:
        self._array = array
        self.dtype = np.dtype(array.dtype)
        self.shape = (count, *array.shape[1:])
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> Array:  # as numpy takes it
        return pixels(self._array, index)


def pixels(array: "zarr.Array[Any]", index: Any) -> Array:
    """Read; again where a shard was written just then and its checksum is torn."""
    for wait in _WAITS:
        try:
            return np.asarray(array[index])
        except (ValueError, OSError):
            time.sleep(wait)
    return np.asarray(array[index])


class Arrays(Mapping[str, "zarr.Array[Any]"]):
    """Level 0 of images in one folder, by name, opened when asked for."""

    def __init__(self, root: Path, names: list[str]) -> None:
        self._root, self._names = root, names

    def __getitem__(self, name: str) -> "zarr.Array[Any]":
        import zarr

        if name not in self._names:
            raise KeyError(f"no image {name!r}{nearest(name, self._names)}")
        return zarr.open_array(self._root / name / "0", mode="r")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Tables(Mapping[str, "pd.DataFrame"]):
    """Saved tables, by name, read when asked for."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def _names(self) -> list[str]:
        with closing(connect_readonly(self._ledger)) as db:
            rows = db.execute('SELECT DISTINCT "table" FROM columns ORDER BY 1')
            return [row[0] for row in rows]

    def __getitem__(self, name: str) -> "pd.DataFrame":
        names = self._names()
        if name not in names:
            raise KeyError(f"no table {name!r}{nearest(name, names)}")
        return read_table(self._ledger, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


def calibration(
    group: Mapping[str, Any],
) -> tuple[str, dict[str, float], float | None]:
    """Return a frame's axes, pixel sizes in µm and frames per second of an image.

    Parameters
    ----------
    group
        Its zarr.json.

    Raises
    ------
    KeyError, IndexError
        It is no OME-Zarr image.
    """
    multiscale = group["attributes"]["ome"]["multiscales"][0]
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    axes = multiscale["axes"]
    sizes = {
        axis["name"]: float(size)
        for axis, size in zip(axes, scale, strict=True)
        if axis.get("unit") == "micrometer"
    }
    timed = axes[0].get("unit") == "second" and scale[0]
    letters = "".join(axis["name"] for axis in axes[1:])
    return letters, sizes, 1 / scale[0] if timed else None


def same_field(images: Path, one: str, other: str) -> bool:
    """Return whether two images of a run show the same part of the sample.

    Their pixels may differ in size; what a bin left over at the border is no matter.

    Parameters
    ----------
    images
        The store of a run.
    one, other
        Paths in it: ``source``, ``smooth``, ``source/labels/nuclei``.
    """
    begin, end = _field(images, one)
    other_begin, other_end = _field(images, other)
    slack = 0.02 * (end - begin)
    return bool(
        (abs(other_begin - begin) <= slack).all()
        and (abs(other_end - end) <= slack).all()
    )


def _field(images: Path, name: str) -> tuple[Array, Array]:
    """Return where an image begins and ends along y and x."""
    group = read_json(images / name / "zarr.json") or {}
    array = read_json(images / name / "0" / "zarr.json") or {}
    multiscale = group["attributes"]["ome"]["multiscales"][0]
    scale, *shift = multiscale["datasets"][0]["coordinateTransformations"]
    size = np.array(scale["scale"][-2:])
    first = np.array(shift[0]["translation"][-2:]) if shift else np.zeros(2)
    begin = first - size / 2
    return begin, begin + size * array["shape"][-2:]


def read_table(ledger: Path, name: str, frames: range | None = None) -> "pd.DataFrame":
    """Read a saved table; ``frames`` ascend or are none."""
    import pandas as pd

    quoted = '"' + name.replace('"', '""') + '"'
    some = "" if frames is None else "WHERE frame BETWEEN ? AND ? "
    values = () if frames is None else (frames.start, frames.stop - 1)
    if frames is not None and frames.step > 1:
        some += f"AND (frame - {frames.start}) % {frames.step} = 0 "
    found = query(ledger, f"SELECT * FROM {quoted} {some}ORDER BY frame, label", values)
    # what pandas cannot tell from the values, where there are none
    types = {"INTEGER": "int64", "REAL": "float64", "TEXT": pd.Series([""]).dtype}
    with closing(connect_readonly(ledger)) as db:
        for row in db.execute(f"PRAGMA table_info({quoted})").fetchall():
            if found[row[1]].dtype == object:
                found[row[1]] = found[row[1]].astype(types[row[2]], errors="ignore")
    return found


def query(ledger: Path, sql: str, values: tuple[Any, ...] = ()) -> "pd.DataFrame":
    """Return the rows of one SELECT, as they are now.

    Raises
    ------
    StoreError
        The ledger cannot be read, or has no tables yet: the run is just beginning.
    """
    import pandas as pd

    with closing(connect_readonly(ledger)) as db:
        try:
            return pd.read_sql_query(sql, db, params=values)
        except (pd.errors.DatabaseError, sqlite3.Error) as error:
            raise StoreError(
                f"{ledger} cannot be read (yet): {one_line(error.__cause__ or error)}"
            ) from error


def source_info(folder: RunFolder) -> SourceInfo:
    """Return what the source of a run was, from the run folder alone.

    ``frames`` counts those admitted.

    Raises
    ------
    StoreError
        The store has no image ``source``.
    """
    root = folder.images / "source"
    array, group = read_json(root / "0" / "zarr.json"), read_json(root / "zarr.json")
    if array is None or group is None:
        raise StoreError(f"{folder.images} has no image 'source'; run verify on it")
    axes, sizes, fps = calibration(group)
    past = folder.document().get("recorded") or {}
    return SourceInfo(
        shape=tuple(array["shape"][1:]),
        dtype=np.dtype(array["data_type"]),
        axes=axes,
        identity=str(past.get("source_identity", "")),
        frames=status(folder.path)["admitted"],
        live=folder.journal.exists(),
        pixel_size_um=sizes,
        fps=fps,
        channels=tuple(past.get("channels", ())),
    )


def gaps(folder: RunFolder) -> list[Gap]:
    """Return what was lost before it reached a run, as a source yields it."""
    columns = "first_source_index, last_source_index, reason, time, place"
    with closing(connect_readonly(folder.ledger)) as db:
        rows = db.execute(f"SELECT {columns} FROM gaps ORDER BY rowid").fetchall()
    return [Gap(*row) for row in rows]
