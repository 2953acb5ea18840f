"""Decisions on results, sent back to the microscope that gave the images."""

import json
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt

from streamproc import feedback
from streamproc.errors import MissingDependency, RunFolderError, one_line
from streamproc.folder import connect_readonly
from streamproc.frame import Notice
from streamproc.observers import Committed
from streamproc.steps import load_function

#: The file in the run folder.
_FILE = "decisions.sqlite"
_SCHEMA = """CREATE TABLE IF NOT EXISTS decisions(frame INTEGER PRIMARY KEY,
    source_index INTEGER, acquired REAL, decided REAL, latency_ms REAL,
    state TEXT CHECK (state IN ('sent','none','late','failed')),
    events INTEGER, reason TEXT, sent TEXT)"""

if TYPE_CHECKING:
    import pandas as pd


class Microscope:
    """Asks a function of yours what to acquire next, after each frame.

    The function gets the frame's number, its rows by saved table and what the source
    told of it, and returns a `useq.MDAEvent`, a `useq.MDASequence`, several of them, or
    None. What it returns goes to the source ``micromanager`` (``feedback: true``) of
    the same process, whose next frames are the answer. Of frames that failed or were
    skipped it is not asked.

    ``RUN/decisions.sqlite`` has a row of each frame: when it was acquired and decided
    on, how long that took, and how many events were sent; `decisions` reads it. A run
    has one such sink at most.

    Parameters
    ----------
    function
        As ``module:name``, called as
        ``function(frame: int, tables: dict, metadata: dict)``.
    tables
        The saved tables that it needs; default all.
    deadline_ms
        Milliseconds from the acquisition of a frame after which nothing is done about
        it any more: events that come later are dropped, which the table says. Default:
        never.
    config
        ``config`` of the source, where several take events.

    Raises
    ------
    ConfigError
        The function cannot be imported.
    MissingDependency
        useq-schema is not installed.
    """

    def __init__(
        self,
        function: str,
        *,
        tables: tuple[str, ...] | None = None,
        deadline_ms: Annotated[float, Gt(0)] | None = None,
        config: str | None = None,
    ) -> None:
        try:
            import useq
        except ImportError as error:
            raise MissingDependency(
                "sink 'microscope' needs useq-schema: "
                "pip install 'streamproc[micromanager]'"
            ) from error
        self._event, self._sequence = useq.MDAEvent, useq.MDASequence
        self.tables = tables
        self._function: Callable[..., Any] = load_function(
            function, "sinks.microscope.function"
        )
        self._deadline_ms, self._config = deadline_ms, config
        self._mailbox: feedback.Mailbox | None = None
        self._db: sqlite3.Connection | None = None

    def open(self, path: Path, tables: Mapping[str, Mapping[str, str]] | None) -> None:
        """Find the source; what was sent to it before it is sent again, in order.

        It knows which of that it has acquired.
        """
        self._db = sqlite3.connect(path / _FILE, isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")  # a crash of the process is survived
        self._db.execute(_SCHEMA)
        self._mailbox = feedback.find(self._config)
        self._mailbox.attend()
        for index, sent in self._db.execute(
            "SELECT source_index, sent FROM decisions ORDER BY frame"
        ):
            events = map(self._event.model_validate, json.loads(sent or "[]"))
            self._mailbox.post(index, events)

    def position(self) -> int:
        """Return the first frame that is not decided on."""
        assert self._db is not None
        (last,) = self._db.execute("SELECT max(frame) FROM decisions").fetchone()
        return 0 if last is None else last + 1

    def take(self, frames: Sequence[Committed]) -> None:
        """Decide on frames, one after another."""
        for frame in frames:
            if frame.frame >= self.position():
                self._decide(frame)

    def flush(self) -> None:
        """Hold nothing back: there is nothing."""

    def close(self) -> None:
        """Decide no more; idempotent."""
        mailbox, self._mailbox = self._mailbox, None
        if mailbox is not None:
            mailbox.leave()
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _decide(self, frame: Committed) -> None:
        assert self._db is not None
        assert self._mailbox is not None
        events, state, reason = self._answer(frame)
        decided = time.time()
        taken = None if frame.time is None else (decided - frame.time) * 1e3
        count = len(events)
        if events and self._is_late(taken):
            events, state = [], "late"
            reason = f"it took {taken:.0f} ms, deadline_ms is {self._deadline_ms:g}"
        if reason is not None and frame.state == "done":
            level: Literal["warning", "error"] = (
                "warning" if state == "late" else "error"
            )
            said = f"decision on frame {frame.frame}: {reason}"
            self._mailbox.say(Notice(state, said, level))
        index = frame.frame if frame.source_index is None else frame.source_index
        self._db.execute(
            f"INSERT INTO decisions VALUES ({','.join('?' * 9)})",
            (
                frame.frame,
                index,
                frame.time,
                decided,
                taken,
                state,
                count,
                reason,
                json.dumps([_plain(event) for event in events]) if events else None,
            ),
        )
        # the row first: after a crash between the two it is sent again, once
        self._mailbox.post(index, events)

    def _answer(self, frame: Committed) -> tuple[list[Any], str, str | None]:
        """Return events, the state of the decision, and why there is none."""
        if frame.state != "done":
            return [], "none", f"the frame is {frame.state}"
        tables = {name: list(rows) for name, rows in frame.tables.items()}
        try:
            given = self._function(frame.frame, tables, dict(frame.metadata))
            events = list(self._events(given))
            json.dumps([_plain(event) for event in events])  # they are kept as that
        except Exception as error:  # a user's function may fail in any way
            return [], "failed", one_line(error)
        return events, "sent" if events else "none", None

    def _events(self, given: Any) -> Iterator[Any]:
        """Yield the events of what a function returned."""
        if given is None:
            return
        if isinstance(given, self._event):
            yield given
        elif isinstance(given, self._sequence | list | tuple | Generator):
            for one in given:
                yield from self._events(one)
        else:
            raise TypeError(
                f"it returned a {type(given).__name__}; return a useq.MDAEvent, a "
                "MDASequence, a list of them, or None"
            )

    def _is_late(self, taken: float | None) -> bool:
        limit = self._deadline_ms
        return limit is not None and taken is not None and taken > limit


def _plain(event: Any) -> dict[str, Any]:
    """Return an event in plain values."""
    plain: dict[str, Any] = event.model_dump(mode="json", exclude_unset=True)
    return plain


def decisions(path: str | Path) -> "pd.DataFrame":
    """Return the decisions of a run, a row per frame.

    Parameters
    ----------
    path
        The run folder.

    Returns
    -------
    pandas.DataFrame
        ``frame``, ``source_index``, ``acquired`` and ``decided`` (seconds since the
        Unix epoch), ``latency_ms`` between them, ``state`` (``sent``, ``none``,
        ``late``: events that were dropped, ``failed``: the function raised),
        ``events`` (how many it gave), ``reason``, and ``sent`` (the events, as JSON).

    Raises
    ------
    RunFolderError
        The run has no decisions.

    Examples
    --------
    >>> decisions("RUN")["latency_ms"].quantile([0.5, 0.99])  # doctest: +SKIP
    """
    import pandas as pd

    file = Path(path) / _FILE
    if not file.exists():
        raise RunFolderError(f"{path} has no {_FILE}; it had no sink microscope")
    with closing(connect_readonly(file)) as db:
        return pd.read_sql_query("SELECT * FROM decisions ORDER BY frame", db)
