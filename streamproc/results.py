"""Reading a run back, while it goes on too."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import nearest
from .folder import RunFolder, connect_readonly, existing, status
from .frame import Array, SourceInfo
from .reading import Arrays, Stack, Tables, pixels, query, read_table, source_info
from .store.extent import read_json

if TYPE_CHECKING:
    import dask.array as da
    import pandas as pd
    import zarr

#: Bytes that one chunk of a dask array has, unless a frame has more.
_CHUNK = 16 << 20


@dataclass(frozen=True, slots=True)
class FrameResult:
    """All that a run has of one frame.

    ``images`` and ``labels`` are arrays ``(…, y, x)`` by saved name, ``tables`` the
    rows of this frame; all are empty where ``state`` is not ``done`` (``error`` says
    why). ``time`` is in seconds since the Unix epoch, None where nothing tells it.
    """

    frame: int
    time: float | None
    state: str
    error: str | None
    images: Mapping[str, Array]
    labels: Mapping[str, Array]
    tables: Mapping[str, "pd.DataFrame"]


class Results:
    """What a run has committed: images, labels, tables and each frame's fate.

    Everything is read when it is asked for, so that the values are as fresh as the
    last commit. Nothing needs to be closed.

    Examples
    --------
    >>> import streamproc as sp
    >>> result = sp.load("RUN")  # doctest: +SKIP
    >>> result.tables["cells"].groupby("frame").area.mean()  # doctest: +SKIP
    >>> result.table("cells", frames=slice(-10, None))  # doctest: +SKIP
    >>> result.dask("source").max(axis=0).compute()  # doctest: +SKIP
    >>> result.frame(12).labels["nuclei"].max()  # doctest: +SKIP
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.path = folder.path

    # --- images -----------------------------------------------------------------

    @property
    def images(self) -> Mapping[str, "zarr.Array[Any]"]:
        """Level 0 of every saved image, ``(t, …)``, by name."""
        return Arrays(self._folder.images, self._names("image"))

    @property
    def labels(self) -> Mapping[str, "zarr.Array[Any]"]:
        """Level 0 of every saved label image and mask, ``(t, …)``, by name."""
        return Arrays(self._label_root, self._names("labels"))

    def levels(self, name: str) -> list["zarr.Array[Any]"]:
        """Return the pyramid of a saved image or label image, the full size first.

        Raises
        ------
        KeyError
            There is no such image; the nearest name is given.
        """
        import zarr

        known = {n: self._folder.images / n for n in self._names("image")}
        known |= {n: self._label_root / n for n in self._names("labels")}
        if name not in known:
            raise KeyError(f"no image {name!r}{nearest(name, known)}")
        numbers = sorted(
            int(p.parent.name)
            for p in known[name].glob("*/zarr.json")
            if p.parent.name.isdigit()
        )
        return [zarr.open_array(known[name] / str(n), mode="r") for n in numbers]

    def dask(self, name: str, level: int = 0) -> "da.Array":
        """Return a saved image or label image as a dask array of committed frames.

        While the run goes on it may be read as well: its length is the number of
        frames that were committed when it was made. Frames that failed are zero.

        Parameters
        ----------
        name
            A saved image, label image or mask.
        level
            Of the pyramid; each has half the height and width of the one before.

        Returns
        -------
        dask.array.Array
            ``(t, …)``, dtype as saved; a chunk is a frame, or as many whole frames
            as 16 MiB hold.

        Raises
        ------
        KeyError
            There is no such image; the nearest name is given.
        IndexError
            There is no such level.
        """
        import dask.array as da

        levels = self.levels(name)
        if not 0 <= level < len(levels):
            raise IndexError(f"{name!r} has levels 0 to {len(levels) - 1}, got {level}")
        stack = Stack(levels[level], min(self._count(), levels[level].shape[0]))
        size = int(np.prod(stack.shape[1:])) * stack.dtype.itemsize
        chunks = (max(1, _CHUNK // size), *stack.shape[1:])
        meta = np.empty((0,) * stack.ndim, stack.dtype)
        # no name from its content: frames may come until it is made again
        return da.from_array(stack, chunks, name=False, meta=meta)  # type: ignore[no-any-return, no-untyped-call]  # dask has no types

    def frame(self, number: int) -> FrameResult:
        """Return images, labels and rows of one frame.

        Raises
        ------
        IndexError
            It is not committed (yet).
        """
        with closing(connect_readonly(self._folder.ledger)) as db:
            row = db.execute(
                "SELECT frame, time, state, error FROM frames WHERE frame = ?",
                (number,),
            ).fetchone()
        if row is None:
            raise IndexError(f"no frame {number}; {self._count()} are committed")
        if row[2] != "done":
            return FrameResult(number, row[1], row[2], row[3], {}, {}, {})
        images, labels = self.images, self.labels
        return FrameResult(
            number,
            row[1],
            row[2],
            row[3],
            {n: pixels(images[n], number) for n in images},
            {n: pixels(labels[n], number) for n in labels},
            {n: self.table(n, number) for n in self.tables},
        )

    # --- tables -----------------------------------------------------------------

    @property
    def tables(self) -> Mapping[str, "pd.DataFrame"]:
        """Every saved table, by name; rows ordered by frame and label."""
        return Tables(self._folder.ledger)

    def table(self, name: str, frames: int | slice | None = None) -> "pd.DataFrame":
        """Return a saved table, or only the rows of some frames.

        Parameters
        ----------
        name
            A saved table.
        frames
            A frame's number, or a slice of them (``slice(-10, None)``: the last ten
            that are committed); default all.

        Returns
        -------
        pandas.DataFrame
            Columns ``frame``, ``label``, …; ordered by frame and label; whole numbers
            int64, others float64 (NaN where there is none), text as text.

        Raises
        ------
        KeyError
            There is no such table; the nearest name is given.
        """
        known = list(self.tables)
        if name not in known:
            raise KeyError(f"no table {name!r}{nearest(name, known)}")
        if frames is None:
            return read_table(self._folder.ledger, name)
        if isinstance(frames, slice):
            chosen = range(*frames.indices(self._count()))
            if chosen.step < 0:
                chosen = chosen[::-1]
        else:
            chosen = range(frames, frames + 1)
        return read_table(self._folder.ledger, name, chosen)

    @property
    def frames(self) -> "pd.DataFrame":
        """The ledger: one row per frame, with its fate."""
        return query(self._folder.ledger, "SELECT * FROM frames ORDER BY frame")

    @property
    def time(self) -> NDArray[np.float64]:
        """Acquisition time of each committed frame, ``(t,)``, seconds since 1970 UTC.

        NaN where nothing tells it.
        """
        with closing(connect_readonly(self._folder.ledger)) as db:
            rows = db.execute("SELECT frame, time FROM frames").fetchall()
        times = np.full(max((row[0] for row in rows), default=-1) + 1, np.nan)
        for number, when in rows:
            times[number] = np.nan if when is None else when
        return times

    @property
    def gaps(self) -> "pd.DataFrame":
        """Frames lost before they reached the engine, one row per gap."""
        return query(self._folder.ledger, "SELECT * FROM gaps ORDER BY rowid")

    @property
    def events(self) -> "pd.DataFrame":
        """What the engine said: time, frame, level, kind, message."""
        return query(self._folder.ledger, "SELECT * FROM events ORDER BY rowid")

    @property
    def parameters(self) -> "pd.DataFrame":
        """The steps' parameters; a value, as JSON, holds from its frame on."""
        return query(self._folder.ledger, "SELECT * FROM parameters ORDER BY rowid")

    # --- the run ----------------------------------------------------------------

    @property
    def source(self) -> SourceInfo:
        """What the source was: shape, dtype, axes, pixel size, channels, frames.

        ``frames`` counts those admitted. Read from the run folder alone.
        """
        return source_info(self._folder)

    def status(self) -> dict[str, Any]:
        """Return counts, speed and state, as ``streamproc status --json``."""
        return status(self.path)

    def __repr__(self) -> str:
        parts = [*self.images, *self.labels, *self.tables]
        return f"<Results {str(self.path)!r}: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        """Return counts, what is saved and one picture, as a notebook shows them."""
        from .view.notebook import of_results

        return of_results(self)

    @property
    def _label_root(self) -> Path:
        return self._folder.images / "source" / "labels"

    def _names(self, kind: str) -> list[str]:
        root = self._label_root if kind == "labels" else self._folder.images
        if not root.exists():
            return []
        found = sorted(p.parent.parent.name for p in root.glob("*/0/zarr.json"))
        if kind == "image":
            return [n for n in found if n != "source" or _is_saved(root / n)]
        return found

    def _count(self) -> int:
        """Return the number of committed frames, those that failed included."""
        with closing(connect_readonly(self._folder.ledger)) as db:
            last = db.execute("SELECT max(frame) FROM frames").fetchone()[0]
        return 0 if last is None else int(last) + 1


def _is_saved(image: Path) -> bool:
    group = read_json(image / "zarr.json") or {"attributes": {}}
    return bool(group["attributes"].get("streamproc", {}).get("saved", True))


def load(path: str | Path) -> Results:
    """Open a run folder for reading, from any process, at any time.

    Parameters
    ----------
    path
        The run folder.

    Returns
    -------
    Results
        Images, labels, tables and the frames' fates, read when asked for.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder.
    """
    return Results(existing(path))
