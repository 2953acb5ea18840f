"""What a run has committed: tables by rows, images frame by frame."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, RunFolderError, StoreError, nearest, one_line
from ..folder import connect_readonly, existing
from ..frame import Array
from ..reading import calibration
from ..results import load
from ..store.extent import read_json

#: The fate of every frame, exported like a table if it is asked for.
LEDGER = "frames"
#: Rows read at once.
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class SavedImage:
    """A saved image or label image, within the frames asked for.

    ``array`` is level 0, ``(t, …)``; ``present`` holds the frames with pixels,
    ``times`` every frame's seconds since the Unix epoch, as far as known.
    """

    name: str
    array: Any  # a zarr.Array
    axes: str
    frames: range
    present: frozenset[int]
    times: Mapping[int, float]
    pixel_size_um: Mapping[str, float]
    fps: float | None
    channels: tuple[str, ...]
    is_labels: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one frame."""
        return tuple(self.array.shape[1:])

    @property
    def missing(self) -> list[int]:
        """Frames without pixels."""
        return [frame for frame in self.frames if frame not in self.present]

    def read(self, frame: int) -> Array:
        """Return a frame's pixels; zeros where it has none."""
        if frame not in self.present:
            return np.zeros(self.shape, self.array.dtype)
        return np.asarray(self.array[frame])


class Saved:
    """The committed part of a run, as it was when this was made.

    Raises
    ------
    RunFolderError
        It is no run folder, or has no frame yet.
    ConfigError
        The first frame asked for is not there.
    """

    def __init__(self, path: str | Path, frames: slice) -> None:
        self.folder = existing(path)
        try:
            last = self._query("SELECT max(frame) FROM frames")[0][0]
        except sqlite3.OperationalError:
            last = None
        if last is None:
            raise RunFolderError(f"{path} has no committed frame yet")
        start, stop = frames.start or 0, frames.stop
        if start > last:
            raise ConfigError(f"no frame {start} in {path}; the last one is {last}")
        self.frames = range(start, last + 1 if stop is None else min(stop, last + 1))
        self._results = load(path)

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(connect_readonly(self.folder.ledger)) as db:
            return db.execute(sql, values).fetchall()

    def table_names(self, asked: Sequence[str]) -> list[str]:
        """Return the tables asked for, default all."""
        found = [r[0] for r in self._query('SELECT DISTINCT "table" FROM columns')]
        _known(asked, [*found, LEDGER], "table", self.folder.path)
        if not asked and not found:
            raise ConfigError(f"{self.folder.path} has no table; choose another format")
        return list(asked or sorted(found))

    def image_names(self, images: Sequence[str], labels: Sequence[str]) -> list[str]:
        """Return the images and label images asked for, default all of both."""
        _known(images, list(self._results.images), "image", self.folder.path)
        _known(labels, list(self._results.labels), "label image", self.folder.path)
        if images or labels:
            return [*images, *labels]
        found = [*self._results.images, *self._results.labels]
        if not found:
            raise ConfigError(f"{self.folder.path} has no image; choose another format")
        return found

    def saved_images(self) -> list[str]:
        """Return the names of all saved images."""
        return list(self._results.images)

    def main_labels(self) -> str | None:
        """Return the label image saved last, else the mask saved last."""
        order = self._results.status()["saved"]
        found = self._results.labels
        names = sorted(
            found, key=lambda n: (found[n].dtype == np.uint32, order.index(n))
        )
        return names[-1] if names else None

    def columns(self, table: str) -> list[tuple[str, str, str, str]]:
        """Return name, SQL type, unit and description of a table's columns.

        The type is what the column holds: one that was begun with whole numbers may
        hold others too.
        """
        declared = self._query(f"PRAGMA table_info({quoted(table)})")
        names = [quoted(row[1]) for row in declared]
        held = self._query(
            "SELECT "
            + ",".join(
                f"max(typeof({n})='text'),max(typeof({n})='real')" for n in names
            )
            + f" FROM {quoted(table)}"
        )[0]
        told = {
            row[0]: row[1:]
            for row in self._query(
                'SELECT "column", unit, description FROM columns WHERE "table"=?',
                (table,),
            )
        }
        columns = []
        for at, row in enumerate(declared):
            kind = row[2]
            if held[2 * at]:
                kind = "TEXT"
            elif held[2 * at + 1] and kind == "INTEGER":
                kind = "REAL"
            columns.append((row[1], kind, *told.get(row[1], ("", ""))))
        return columns

    def rows(self, table: str) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows of the frames, in order, some at once.

        Each lot is read for itself, so that a running engine is not held up.
        """
        after = (self.frames.start - 1, 0)
        key = "frame" if table == LEDGER else "frame, label"
        late = "frame > ?" if table == LEDGER else "(frame, label) > (?, ?)"
        if table != LEDGER:
            after = (self.frames.start - 1, 2**63 - 1)
        while True:
            values = after[:1] if table == LEDGER else after
            rows = self._query(
                f"SELECT * FROM {quoted(table)} WHERE {late} AND frame < ? "
                f"ORDER BY {key} LIMIT {_ROWS}",
                (*values, self.frames.stop),
            )
            if rows:
                yield rows
            if len(rows) < _ROWS:
                return
            after = rows[-1][:2]

    def first_done(self) -> range:
        """Return the first frame that is done; the first one if none is."""
        found = self._query(
            "SELECT min(frame) FROM frames "
            "WHERE state='done' AND frame >= ? AND frame < ?",
            (self.frames.start, self.frames.stop),
        )[0][0]
        first = self.frames.start if found is None else found
        return range(first, first + 1)

    def source_indices(self) -> dict[int, int]:
        """Return each frame's position in the source."""
        return dict(
            self._query(
                "SELECT frame, source_index FROM frames WHERE frame >= ? AND frame < ?",
                (self.frames.start, self.frames.stop),
            )
        )

    def image(self, name: str) -> SavedImage:
        """Return a saved image or label image."""
        is_labels = name not in self._results.images
        place = f"source/labels/{name}" if is_labels else name
        arrays = self._results.labels if is_labels else self._results.images
        axes, sizes, fps, channels = self.described(place)
        span = (self.frames.start, self.frames.stop)
        present = self._query(
            "SELECT DISTINCT frame FROM chunks WHERE array=? AND frame>=? AND frame<?",
            (f"{place}/0", *span),
        )
        times = self._query(
            "SELECT frame, time FROM frames "
            "WHERE frame >= ? AND frame < ? AND time IS NOT NULL",
            span,
        )
        return SavedImage(
            name,
            arrays[name],
            axes,
            self.frames,
            frozenset(row[0] for row in present),
            dict(times),
            sizes,
            fps,
            channels,
            is_labels,
        )

    def described(
        self, place: str
    ) -> tuple[str, dict[str, float], float | None, tuple[str, ...]]:
        """Return axes of a frame, pixel sizes, frames per second, channel names."""
        group = read_json(self.folder.images / place / "zarr.json") or {}
        try:
            axes, sizes, fps = calibration(group)
        except (KeyError, IndexError) as error:
            raise StoreError(
                f"{self.folder.images / place} is no image: {one_line(error)}; "
                "run verify on it"
            ) from error
        channels = group["attributes"].get("streamproc", {}).get("channels", ())
        return axes, sizes, fps, tuple(map(str, channels))


def _known(asked: Sequence[str], found: Sequence[str], kind: str, where: Path) -> None:
    for name in asked:
        if name not in found:
            hint = nearest(name, found) if found else f"; it has no {kind}"
            raise ConfigError(f"no {kind} {name!r} in {where}{hint}")


def quoted(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'
