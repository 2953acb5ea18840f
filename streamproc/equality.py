"""Whether two runs say the same of each frame: fates and hashes, ledger by ledger."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from .errors import StoreError, one_line
from .folder import RunFolder, connect_readonly, existing

#: What a frame is, beside the hashes of its outputs.
_SAME = ("source_index", "time", "state", "error", "metadata")
#: Differences that are kept in words.
_TOLD = 20


@dataclass
class Comparison:
    """What two runs have in common, frame by frame.

    ``frames`` were compared, all but ``skipped`` ones, which the first run has not
    analysed (yet); ``outputs`` maps the names that both saved to the number of frames
    in which they differ, ``told`` says the first differences in words.
    """

    frames: int = 0
    skipped: int = 0
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
    found = Comparison()
    for mine, theirs in zip_longest(_frames(one), _frames(other)):
        if mine is not None and mine["state"] == "skipped":
            found.skipped += 1
            continue
        found.frames += 1
        if mine is None or theirs is None:
            missing = (theirs or mine or {})["frame"]
            where = one if mine is None else other
            _tell(found, f"frame {missing}: {where.path} has no row of it")
            continue
        _compare(found, mine, theirs)
    return found


def _compare(found: Comparison, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
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


def _frames(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """Yield the rows of ``frames`` in order; one snapshot of the ledger."""
    names = ("frame", "hash", *_SAME)
    try:
        with closing(connect_readonly(folder.ledger)) as db:
            for row in db.execute(f"SELECT {', '.join(names)} FROM frames ORDER BY 1"):
                yield dict(zip(names, row, strict=True))
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {folder.ledger}: {one_line(error)}") from error
