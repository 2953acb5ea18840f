"""An observer: told of every frame once it is committed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from streamproc.observers import Committed


class Counts:
    """Write ``RUN/<file>``: a line of JSON per frame, with the rows of each table.

    Parameters
    ----------
    file
        Its name in the run folder.
    """

    def __init__(self, file: str = "counts.jsonl") -> None:
        self._name = file
        self._file: TextIO | None = None
        self._next = 0

    def open(self, path: Path, tables: Mapping[str, Mapping[str, str]] | None) -> None:
        """Go on behind the last whole line; a line is what a crash may tear."""
        self._tables = sorted(tables or {})
        self._file = (path / self._name).open("a+", encoding="utf-8", newline="\n")
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        self._file.truncate(len(whole.encode()))
        lines = whole.splitlines()
        self._next = json.loads(lines[-1])["frame"] + 1 if lines else 0

    def position(self) -> int:
        """Return the first frame that is not in the file."""
        return self._next

    def take(self, frames: Sequence[Committed]) -> None:
        """Add a line per frame; one that is there already is not added again."""
        for frame in frames:
            if frame.frame >= self._next and self._file is not None:
                rows = {name: len(frame.tables.get(name, ())) for name in self._tables}
                line = {"frame": frame.frame, "state": frame.state, "rows": rows}
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()
                self._next = frame.frame + 1

    def flush(self) -> None:
        """Do nothing: every line is out already."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
