"""Observers of committed frames: what they are, and how ``sinks`` names them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from .errors import ConfigError, StreamprocError, nearest, one_line
from .parameters import Parameters
from .plugins import installed, load


@dataclass(frozen=True, slots=True)
class Committed:
    """One frame as the ledger has it.

    ``state`` is ``done``, ``failed`` (``error`` says why) or ``skipped``; ``time`` is
    the acquisition in seconds since the Unix epoch. ``tables`` holds the rows of this
    frame by saved table, ordered by label, each a mapping of column to number, text
    or None, ``frame`` and ``label`` first; a table without a row in this frame is
    missing. ``source_index`` and ``metadata`` are what the source told. Pixels are read
    through `streamproc.load` by who needs them.
    """

    frame: int
    time: float | None
    state: str
    error: str | None = None
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    source_index: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Observer(Protocol):
    """Takes committed frames: a class named under ``sinks`` in the pipeline.

    Its constructor takes the parameters of the YAML form, by the same names, and
    touches nothing yet. The other methods are called from one thread, the observer's
    own. It may be slow, hang or raise: the run goes on, says so, and hands over at
    the next ``resume`` what was missed.

    Three things are optional. An attribute ``tables`` names the saved tables it wants
    (None: all); there must be such. A method ``position() -> int``, asked after
    `open`, returns the first frame it does not have: needed by whoever holds frames
    back to write them later. Without it the engine counts a frame as delivered once
    `take` returned.

    Where a run skipped frames, ``streamproc resume --skipped`` analyses them late, and
    hands over all frames again from the first of those on, in order, each once it is
    complete. A method ``rewind(frame: int)``, called after `open` and before
    ``position``, is told that frame: what the observer has of it and of later ones
    holds no more. Without it frames simply come again.
    """

    def open(self, path: Path, tables: Mapping[str, Mapping[str, str]] | None) -> None:
        """Begin, or begin again where the last session ended.

        Parameters
        ----------
        path
            The run folder.
        tables
            The unit of each column, ``""`` where there is none, by saved table; None
            where no table is saved.
        """
        ...

    def take(self, frames: Sequence[Committed]) -> None:
        """Take the next frames, ascending; after a crash some of them again."""
        ...

    def flush(self) -> None:
        """Let out what was held back; called before `close` when all is taken."""
        ...

    def close(self) -> None:
        """End; also called after a failure."""
        ...


def sink_form(given: object) -> dict[str, dict[str, Any]]:
    """Return ``{name: parameters}`` of one entry of ``sinks``, checked.

    Raises
    ------
    ConfigError
        No such observer (the nearest is named), or a parameter it does not take.
    """
    if isinstance(given, str):
        given = {given: {}}
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ConfigError(
            f"sinks: each needs one name with its parameters, got {given!r}; "
            "write {parquet: {tables: [cells]}}"
        )
    name, values = next(iter(given.items()))
    parameters = Parameters(_kind(str(name)), positional=True)
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        if parameters.first is None:
            raise ConfigError(f"sinks.{name}: takes no parameters, got {values!r}")
        values = {parameters.first: values}
    parameters.check(values, owner=f"sink {name!r}", path=f"sinks.{name}")
    return {str(name): {str(k): _plain(v) for k, v in values.items()}}


def _plain(value: Any) -> Any:  # YAML has no tuples
    return list(value) if isinstance(value, tuple) else value


def _kind(name: str) -> Any:  # a class the plugin defines
    points = installed("sinks")
    if name in points:
        kind = load("sinks", name, "sinks")
        if hasattr(kind, "take"):
            return kind
        raise ConfigError(
            f"sinks.{name}: {name!r} holds the images of every run and is set up by "
            "'store'; sinks are observers such as parquet"
        )
    raise ConfigError(f"sinks: no sink named {name!r}{nearest(name, points)}")


def make_observers(
    forms: Sequence[Mapping[str, Mapping[str, Any]]], saved: Sequence[str]
) -> list[tuple[str, Observer]]:
    """Return the observers by name, what they want checked against saved tables.

    Raises
    ------
    ConfigError, MissingDependency
        A table that is not saved, or asked for twice; a package that is missing.
    """
    made: list[tuple[str, Observer]] = []
    taken: set[tuple[str, str]] = set()
    for form in forms:
        name, values = next(iter(form.items()))
        kind = _kind(name)
        checked = Parameters(kind, positional=True).check(
            values, owner=f"sink {name!r}", path=f"sinks.{name}"
        )
        try:
            observer: Observer = kind(**checked)
        except StreamprocError:
            raise
        except Exception as error:
            # a plugin may fail in any way
            raise ConfigError(f"sinks.{name}: {one_line(error)}") from error
        for table in _wanted(name, observer, saved):
            if (name, table) in taken:
                raise ConfigError(f"sinks.{name}.tables: {table!r} is given twice")
            taken.add((name, table))
        made.append((name, observer))
    return made


def _wanted(name: str, observer: Observer, saved: Sequence[str]) -> Sequence[str]:
    """Return the tables that an observer asks for by name or by None."""
    if not hasattr(observer, "tables"):
        return ()
    wanted: Sequence[str] | None = observer.tables
    if not saved and wanted != ():
        raise ConfigError(
            f"sinks.{name}: no table is saved; save one (a measure step), or leave "
            "the sink out"
        )
    for table in wanted or ():
        if table not in saved:
            raise ConfigError(
                f"sinks.{name}.tables: no table {table!r} is saved"
                f"{nearest(table, saved)}"
            )
    return saved if wanted is None else wanted
