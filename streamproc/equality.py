"""Whether two runs say the same of each frame: fates and hashes, ledger by ledger."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from .errors import StoreError, one_line
from .folder import RunFolder, connect_readonly, existing, status
from .store.lock import is_locked

Row: TypeAlias = dict[str, Any]

#: What a frame is, beside the hashes of its outputs.
_SAME = ("source_index", "time", "state", "error", "metadata")
#: Differences that are kept in words.
_TOLD = 20


@dataclass
class Comparison:
    """What two runs have in common, frame by frame.

    ``frames`` were compared, all but those that the first run has not analysed (yet):
    ``skipped`` ones, and ``pending`` ones without a row. ``outputs`` maps the names
    that both saved to the number of frames in which they differ, ``told`` says the
    first differences in words.
    """

    frames: int = 0
    skipped: int = 0
    pending: int = 0
    differing: int = 0
    outputs: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differing


def compare_ledgers(first: str | Path, second: str | Path) -> Comparison:
    """Compare two runs by what their ledgers say of each frame.

    Parameters
    ----------
    first, second
        Run folders; ``first`` is the one that was, in words.

    Raises
    ------
    RunFolderError, StoreError
        One is no run folder, or its ledger cannot be read.
    """
    one, other = existing(first), existing(second)
    # a run that is on goes on while its replay does
    goes_on, ends = is_locked(one.lock), _admitted(one)
    found = Comparison()
    for frame, mine, theirs in _pairs(_frames(one), _frames(other)):
        if theirs is None and goes_on:
            continue
        if mine is None and frame < ends:
            found.pending += 1
        elif mine is not None and mine["state"] == "skipped":
            found.skipped += 1
        elif mine is None or theirs is None:
            found.frames += 1
            where = one if mine is None else other
            _tell(found, f"frame {frame}: {where.path} has no row of it")
        else:
            found.frames += 1
            _compare(found, mine, theirs)
    return found


def _admitted(folder: RunFolder) -> int:
    """Return behind which frame number a run that did not end may lack rows."""
    told = status(folder.path)
    return int(told["admitted"]) if told["state"] != "finished" else 0


def _pairs(
    first: Iterator[Row], second: Iterator[Row]
) -> Iterator[tuple[int, Row | None, Row | None]]:
    """Yield frame numbers with the rows that either run has, ascending."""
    mine, theirs = next(first, None), next(second, None)
    while mine is not None or theirs is not None:
        frame = min(row["frame"] for row in (mine, theirs) if row is not None)
        one = mine if mine is not None and mine["frame"] == frame else None
        other = theirs if theirs is not None and theirs["frame"] == frame else None
        yield frame, one, other
        mine = mine if one is None else next(first, None)
        theirs = theirs if other is None else next(second, None)


def _compare(found: Comparison, mine: Row, theirs: Row) -> None:
    before, after = json.loads(mine["hash"]), json.loads(theirs["hash"])
    differing = [
        f"{n} was {mine[n]}, is {theirs[n]}" for n in _SAME if mine[n] != theirs[n]
    ]
    for name in before.keys() & after.keys():
        found.outputs.setdefault(name, 0)
        if before[name] != after[name]:
            found.outputs[name] += 1
            differing.append(f"{name} differs")
    if differing:
        _tell(found, f"frame {mine['frame']}: {', '.join(sorted(differing))}")


def _tell(found: Comparison, text: str) -> None:
    found.differing += 1
    if len(found.told) < _TOLD:
        found.told.append(text)


def _frames(folder: RunFolder) -> Iterator[Row]:
    """Yield the rows of ``frames`` in order; one snapshot of the ledger."""
    names = ("frame", "hash", *_SAME)
    try:
        with closing(connect_readonly(folder.ledger)) as db:
            for row in db.execute(f"SELECT {', '.join(names)} FROM frames ORDER BY 1"):
                yield dict(zip(names, row, strict=True))
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {folder.ledger}: {one_line(error)}") from error
