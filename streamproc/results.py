"""Reading a run back, while it goes on too."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import nearest
from .folder import RunFolder, connect_readonly, existing, status

if TYPE_CHECKING:
    import pandas as pd
    import zarr


class Results:
    """What a run has committed: images, labels, tables and each frame's fate.

    Everything is read when it is asked for, so that the values are as fresh as the
    last commit.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.path = folder.path

    @property
    def images(self) -> Mapping[str, "zarr.Array[Any]"]:
        """Level 0 of every saved image, ``(t, …)``, by name."""
        return _Arrays(self._folder.images, self._names("image"))

    @property
    def labels(self) -> Mapping[str, "zarr.Array[Any]"]:
        """Level 0 of every saved label image and mask, ``(t, …)``, by name."""
        root = self._folder.images / "source" / "labels"
        return _Arrays(root, self._names("labels"))

    @property
    def tables(self) -> Mapping[str, "pd.DataFrame"]:
        """Every saved table, by name; rows ordered by frame and label."""
        return _Tables(self._folder.ledger)

    @property
    def frames(self) -> "pd.DataFrame":
        """The ledger: one row per frame, with its fate."""
        return _read(self._folder.ledger, "SELECT * FROM frames ORDER BY frame")

    def status(self) -> dict[str, Any]:
        """Return counts, speed and state, as ``streamproc status --json``."""
        return status(self.path)

    def __repr__(self) -> str:
        parts = [*self.images, *self.labels, *self.tables]
        return f"<Results {str(self.path)!r}: {', '.join(parts)}>"

    def _names(self, kind: str) -> list[str]:
        root = self._folder.images
        if kind == "labels":
            root = root / "source" / "labels"
        if not root.exists():
            return []
        found = sorted(p.parent.parent.name for p in root.glob("*/0/zarr.json"))
        if kind == "image":
            return [n for n in found if n != "source" or _is_saved(root / n)]
        return found


def _is_saved(image: Path) -> bool:
    import json

    attributes = json.loads((image / "zarr.json").read_text())["attributes"]
    return bool(attributes.get("streamproc", {}).get("saved", True))


class _Arrays(Mapping[str, "zarr.Array[Any]"]):
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


class _Tables(Mapping[str, "pd.DataFrame"]):
    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def _names(self) -> list[str]:
        db = connect_readonly(self._ledger)
        try:
            rows = db.execute('SELECT DISTINCT "table" FROM columns ORDER BY 1')
            return [row[0] for row in rows]
        finally:
            db.close()

    def __getitem__(self, name: str) -> "pd.DataFrame":
        names = self._names()
        if name not in names:
            raise KeyError(f"no table {name!r}{nearest(name, names)}")
        quoted = '"' + name.replace('"', '""') + '"'
        return _read(self._ledger, f"SELECT * FROM {quoted} ORDER BY frame, label")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


def _read(ledger: Path, sql: str) -> "pd.DataFrame":
    import pandas as pd

    db = connect_readonly(ledger)
    try:
        return pd.read_sql_query(sql, db)
    finally:
        db.close()


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
