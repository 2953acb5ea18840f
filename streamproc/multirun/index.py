"""The index of a batch: one row per image, and the tables of all its runs joined."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Literal

from ..errors import ConfigError, StoreError, one_line
from ..folder import connect_readonly

NAME = "index.sqlite"
#: What is in a batch's folder beside the runs, lower case.
_TAKEN = ("pipeline.yaml", "run.lock", NAME, NAME + "-wal", NAME + "-shm")
#: Tables of the index itself, whose names no saved table can have.
RESERVED = ("images", "columns")

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS images(image TEXT PRIMARY KEY, path TEXT, state TEXT "
    "CHECK (state IN ('pending','finished','failed')), frames INTEGER, "
    "objects INTEGER, error TEXT, run TEXT)",
    'CREATE TABLE IF NOT EXISTS columns("table" TEXT, "column" TEXT, unit TEXT, '
    'description TEXT, PRIMARY KEY ("table", "column"))',
)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a batch.

    ``image`` is its name and that of its run folder; ``path`` its file, or the
    pattern of its files; ``state`` is ``pending``, ``finished`` (``error`` then
    counts frames without a result) or ``failed``; ``frames`` are those done,
    ``objects`` the rows of the first saved table (None without one); ``run`` is the
    run folder within the batch's, None where there is none.
    """

    image: str
    path: str
    state: Literal["pending", "finished", "failed"] = "pending"
    frames: int = 0
    objects: int | None = None
    error: str | None = None
    run: str | None = None


class Index:
    """``RUN/index.sqlite``; each image's tables and row change in one transaction."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        try:
            self._db = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode=rwc",
                uri=True,
                isolation_level=None,
                timeout=30,
            )
        except sqlite3.Error as error:
            raise self._failed(error) from error
        try:
            with contextlib.suppress(sqlite3.OperationalError):
                # not on network drives
                self._db.execute("PRAGMA journal_mode=WAL")
            # what a power cut takes is joined again: the runs are what is durable
            self._db.execute("PRAGMA synchronous=NORMAL")
            with self._transaction():
                for statement in _SCHEMA:
                    self._db.execute(statement)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, images: Iterable[tuple[str, str]]) -> None:
        """Take the names and paths of images up, pending."""
        rows = [astuple(ImageRow(name, path)) for name, path in images]
        with self._transaction():
            self._db.executemany("INSERT INTO images VALUES (?,?,?,?,?,?,?)", rows)

    def images(self) -> list[ImageRow]:
        """Return the images, in the order they were taken up."""
        return [ImageRow(*row) for row in self._db.execute(_IMAGES)]

    def record(self, row: ImageRow, ledger: Path | None = None) -> None:
        """Set an image's row, and its tables from the ledger of its run.

        Raises
        ------
        ConfigError
            A saved table has a name or a column that the index needs.
        StoreError
            The disk is full or gone; nothing has changed.
        """
        if ledger is None:
            with self._transaction():
                self._set(row)
            return
        place = f"{ledger.resolve().as_uri()}?mode=rw"
        try:
            self._db.execute("ATTACH ? AS run", (place,))
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {ledger}: {one_line(error)}") from error
        try:
            with self._transaction():
                for (table,) in self._db.execute(
                    'SELECT DISTINCT "table" FROM run.columns ORDER BY 1'
                ).fetchall():
                    self._join(row.image, table)
                self._set(row)
        finally:
            self._db.execute("DETACH run")

    def _set(self, row: ImageRow) -> None:
        self._db.execute(
            "UPDATE images SET path=:path, state=:state, frames=:frames, "
            "objects=:objects, error=:error, run=:run WHERE image=:image",
            asdict(row),
        )

    def _join(self, image: str, table: str) -> None:
        """Replace an image's rows of one table by those of its run."""
        if table.lower() in RESERVED:
            raise ConfigError(
                f"save: {table!r} is a table of the batch's index; "
                "name this step otherwise"
            )
        columns = self._columns("run", table)
        if "image" in (name.lower() for name in columns):
            raise ConfigError(
                f"table {table!r} has a column 'image', which the batch's index needs; "
                "name it otherwise"
            )
        known = self._columns("main", table)
        quoted = _quoted(table)
        if not known:
            typed = ", ".join(f"{_quoted(c)} {t}" for c, t in columns.items())
            self._db.execute(
                f"CREATE TABLE main.{quoted}(image TEXT, {typed}, "
                "PRIMARY KEY (image, frame, label)) WITHOUT ROWID"
            )
            known = columns
        for name in [name for name in columns if name not in known]:
            # an image with more channels than those before
            added = f"{_quoted(name)} {columns[name]}"
            self._db.execute(f"ALTER TABLE main.{quoted} ADD COLUMN {added}")
        names = ", ".join(map(_quoted, columns))
        self._db.execute(f"DELETE FROM main.{quoted} WHERE image=?", (image,))
        self._db.execute(
            f"INSERT INTO main.{quoted} (image, {names}) "
            f"SELECT ?, {names} FROM run.{quoted}",
            (image,),
        )
        self._db.execute(
            "INSERT OR IGNORE INTO main.columns VALUES (?,'image','',?)",
            (table, "name of the image"),
        )
        self._db.execute(
            "INSERT OR IGNORE INTO main.columns SELECT * FROM run.columns "
            'WHERE "table"=?',
            (table,),
        )

    def _columns(self, schema: str, table: str) -> dict[str, str]:
        rows = self._db.execute(f"PRAGMA {schema}.table_info({_quoted(table)})")
        return {row[1]: row[2] for row in rows}

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit all or nothing."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._failed(error) from error
            raise

    def _failed(self, error: sqlite3.Error) -> StoreError:
        return StoreError(f"cannot write {self.path}: {one_line(error)}")


_IMAGES = (
    "SELECT image, path, state, frames, objects, error, run FROM images ORDER BY rowid"
)


def read_images(folder: Path) -> list[ImageRow]:
    """Return the images of a batch from any process; none where it has not begun."""
    path = folder / NAME
    if not path.exists():
        return []
    try:
        with closing(connect_readonly(path)) as db:
            return [ImageRow(*row) for row in db.execute(_IMAGES)]
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return []
        raise StoreError(f"cannot read {path}: {one_line(error)}") from error


def counts(ledger: Path, tables: Sequence[str]) -> tuple[int, int | None, str | None]:
    """Return a run's frames done, its objects, and what went wrong with the others.

    Parameters
    ----------
    ledger
        Of the run.
    tables
        The saved tables of measurements; objects are the rows of the first one.
    """
    with closing(connect_readonly(ledger)) as db:
        done = db.execute("SELECT count(*) FROM frames WHERE state='done'").fetchone()
        bad, first, error = db.execute(
            "SELECT count(*), min(frame), error FROM frames WHERE state != 'done'"
        ).fetchone()
        objects = None
        for table in tables[:1]:
            sql = f"SELECT count(*) FROM {_quoted(table)}"
            objects = db.execute(sql).fetchone()[0]
    text = None
    if bad:
        text = f"{bad} of {bad + done[0]} frames failed; frame {first}: {error}"
    return done[0], objects, text


def unique_names(images: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return names that no two images share: of equal stems, with their folders'."""
    shared: dict[str, list[str]] = {}
    for name, path in images:
        shared.setdefault(name.lower(), []).append(path)
    taken = set(_TAKEN)
    named = []
    for stem, path in images:
        name, parents = stem, list(Path(path).parent.parts)
        if len(shared[stem.lower()]) > 1:
            depth = _distinct(shared[stem.lower()])
            name = "-".join([*parents[len(parents) - depth :], stem])
        wanted, number = name, 2
        while name.lower() in taken:
            name, number = f"{wanted}-{number}", number + 1
        taken.add(name.lower())
        named.append((name, path))
    return named


def _distinct(paths: list[str]) -> int:
    """Return how many folders above tell paths apart, or 1 where none do."""
    above = [Path(path).parent.parts[::-1] for path in paths]
    for depth in range(1, max(map(len, above))):
        if len({tuple(part.lower() for part in a[:depth]) for a in above}) == len(
            above
        ):
            return depth
    return 1


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
