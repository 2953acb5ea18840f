"""A run folder: what lies where, what ran, and whether it may go on."""

import json
import math
import os
import platform
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from .errors import RunFolderError, StoreError, one_line
from .store.ledger import FORMAT
from .store.lock import is_locked
from .store.log import JOURNAL, count_admitted

#: Packages whose version may change a result's bits.
_FINGERPRINTED = (
    "numpy",
    "scipy",
    "opencv-python-headless",
    "numba",
    "scikit-image",
    "av",
    "tifffile",
)
#: When the last frames were committed, and how long they took.
_LATE_SQL = (
    "SELECT committed_at, latency_ms FROM frames WHERE latency_ms IS NOT NULL "
    "ORDER BY frame DESC LIMIT 500"
)
#: Deleted when the disk is full, so that the end can be recorded.
_BALLAST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of one run (INTERFACES: Run folder)."""

    path: Path

    @property
    def pipeline(self) -> Path:
        """What ran."""
        return self.path / "pipeline.yaml"

    @property
    def images(self) -> Path:
        """The OME-Zarr store."""
        return self.path / "images.ome.zarr"

    @property
    def ledger(self) -> Path:
        """The SQLite file."""
        return self.path / "run.sqlite"

    @property
    def index(self) -> Path:
        """The joined tables of a batch; no run has one."""
        return self.path / "index.sqlite"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.path / "run.lock"

    @property
    def control(self) -> Path:
        """Address and token of the control port, while a run is on."""
        return self.path / "run.json"

    @property
    def work(self) -> Path:
        """What steps and workers are at, told once a second."""
        return self.path / "work.json"

    @property
    def journal(self) -> Path:
        """The admission journal of a live source."""
        return self.path / JOURNAL

    @property
    def ballast(self) -> Path:
        """Space given back when the disk is full."""
        return self.path / ".ballast"

    def create(self, document: Mapping[str, Any]) -> None:
        """Make the folder with its ``pipeline.yaml``: both at once, or nothing.

        Raises
        ------
        RunFolderError
            It exists already, or its parent cannot be written.
        """
        if self.path.exists():
            is_run = self.pipeline.exists()
            resume = f", or go on with the run in it: streamproc resume {self.path}"
            raise RunFolderError(
                f"run folder {self.path} exists already; choose another folder"
                + (resume if is_run else "")
            )
        new = self.path.with_name(f".{self.path.name}.new-{os.getpid()}")
        try:
            new.mkdir(parents=True)
            with RunFolder(new).pipeline.open("w", encoding="utf-8") as file:
                yaml.safe_dump(
                    dict(document), file, sort_keys=False, allow_unicode=True
                )
                file.flush()
                os.fsync(file.fileno())
            ballast = os.urandom(4096) * (_BALLAST_BYTES // 4096)
            RunFolder(new).ballast.write_bytes(ballast)
            new.rename(self.path)
        except BaseException as error:
            shutil.rmtree(new, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            raise RunFolderError(
                f"cannot create run folder {self.path}: {error.strerror or error}"
            ) from error

    def document(self) -> dict[str, Any]:
        """Return what ``pipeline.yaml`` says, unchecked.

        Raises
        ------
        RunFolderError
            It cannot be read.
        """
        try:
            found = yaml.safe_load(self.pipeline.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RunFolderError(
                f"cannot read {self.pipeline}: {one_line(error)}"
            ) from error
        return found if isinstance(found, dict) else {}

    def drop_ballast(self) -> None:
        """Give its space back (disk full)."""
        self.ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete a folder whose run was refused before its first frame."""
        shutil.rmtree(self.path, ignore_errors=True)

    def log(self, kind: str, message: str, **fields: object) -> None:
        """Append a line to ``log.jsonl``; a full disk never stops a run here."""
        record = {"time": time.time(), "kind": kind, "message": message, **fields}
        try:
            with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError:
            return


def fingerprint() -> dict[str, str]:
    """Return what of this environment may change a result's bits."""
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "system": platform.system(),
        "machine": platform.machine(),
        **{name: version_of(name) for name in _FINGERPRINTED},
    }


@cache
def version_of(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def recorded(
    pipeline: Mapping[str, Any], identity: str, plugins: Mapping[str, str]
) -> dict[str, Any]:
    """Return the ``recorded`` part of ``pipeline.yaml``.

    ``plugins`` holds the versions of the packages whose plugins run.
    """
    return {
        "streamproc": version_of("streamproc"),
        "format": FORMAT,
        "identity": identity,
        "environment": {**fingerprint(), **plugins},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **pipeline,
    }


def new_folder(name: str) -> Path:
    """Return ``runs/<UTC time>-<name>``, one that does not exist."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40] or "run"
    path = Path("runs") / f"{stamp}-{safe}"
    number = 2
    while path.exists():
        path = Path("runs") / f"{stamp}-{safe}-{number}"
        number += 1
    return path


def existing(path: str | Path) -> RunFolder:
    """Return the run folder at ``path``.

    Raises
    ------
    RunFolderError
        There is none, or it holds no run.
    """
    folder = RunFolder(Path(path))
    if not folder.path.is_dir():
        raise RunFolderError(f"no run folder {str(path)!r}")
    if not folder.pipeline.exists():
        raise RunFolderError(f"{str(path)!r} is no run folder: it has no pipeline.yaml")
    if folder.index.exists():
        raise RunFolderError(
            f"{str(path)!r} is a batch; name one of the runs in it (its tables are in "
            "index.sqlite, streamproc resume goes on with it)"
        )
    return folder


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot change the ledger, beside a running engine.

    A folder that may be written is opened so that the connection can clean up the
    write-ahead log behind it; any other strictly read-only.
    """
    uri = path.resolve().as_uri()
    db = None
    try:
        db = sqlite3.connect(f"{uri}?mode=rw", uri=True, timeout=30)
        db.execute("PRAGMA query_only=ON")
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        if not isinstance(error, sqlite3.OperationalError):
            raise
        return sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=30)
    return db


def status(path: str | Path) -> dict[str, Any]:
    """Return the state of a run as ``status --json`` prints it.

    Reads beside a running engine, from any process.

    Raises
    ------
    RunFolderError
        ``path`` is no run folder.
    """
    folder = existing(path)
    running = is_locked(folder.lock)
    values: dict[str, str] = {}
    counts: dict[str, int] = {}
    lost, fps, p50, p99 = 0, 0.0, None, None
    try:
        db = connect_readonly(folder.ledger)
        try:
            db.execute("BEGIN")
            values = dict(db.execute("SELECT key, value FROM run"))
            counts = dict(
                db.execute("SELECT state, count(*) FROM frames GROUP BY state")
            )
            lost = db.execute("SELECT coalesce(sum(count), 0) FROM gaps").fetchone()[0]
            fps, p50, p99 = speed(
                {} if running else values, lambda sql: db.execute(sql).fetchall()
            )
        finally:
            db.close()
    except sqlite3.Error as error:
        # a run that is, or was, killed while it began has no ledger yet
        begun = folder.ledger.exists() and "no such table" not in str(error)
        if begun:
            raise StoreError(
                f"cannot read {folder.ledger}: {one_line(error)}"
            ) from error
    accounted = sum(counts.values())
    admitted = max(int(values.get("admitted", 0)), accounted)
    if folder.journal.exists():
        admitted = max(admitted, count_admitted(folder.journal))
    state = values.get("state", "interrupted")
    if running:
        state = "paused" if state == "paused" else "running"
    elif state in ("running", "paused"):
        state = "interrupted"
    return {
        "state": state,
        "admitted": admitted,
        "done": counts.get("done", 0),
        "failed": counts.get("failed", 0),
        "skipped": counts.get("skipped", 0),
        "lost": lost,
        "pending": admitted - accounted,
        "fps": fps,
        "latency_ms": {"p50": p50, "p99": p99},
        "saved": json.loads(values.get("saved", "[]")),
        "reason": values.get("reason") or None,
    }


def speed(
    values: Mapping[str, str],
    query: Callable[[str], Sequence[tuple[float, float]]],
    within: float = math.inf,
) -> tuple[float, float | None, float | None]:
    """Return frames/s and latencies p50 and p99 in ms: a run's, or those of late.

    Parameters
    ----------
    values
        Of the ledger's table ``run``; what a run that has ended recorded goes first.
    query
        Returns the rows of one SELECT.
    within
        Seconds before the newest frame that count, of the last 500 frames.
    """
    if values.get("speed"):
        told = json.loads(values["speed"])
        return told["fps"], told["p50"], told["p99"]
    rows = query(_LATE_SQL)
    rows = [row for row in rows if rows[0][0] - row[0] <= within]
    if not rows:
        return 0.0, None, None
    newest, oldest = rows[0][0], rows[-1][0]
    later = sum(row[0] > oldest for row in rows)
    waits = sorted(row[1] for row in rows)
    fps = later / (newest - oldest) if newest > oldest else 0.0
    return fps, waits[len(waits) // 2], waits[len(waits) * 99 // 100]
