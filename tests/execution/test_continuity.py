"""The gap of a camera that went on while no run was on."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import streamproc as sp
from streamproc.config import parse_options
from streamproc.execution.continuity import Continuity
from streamproc.folder import RunFolder
from streamproc.frame import Frame, Gap, SourceInfo, Unreadable
from streamproc.job import Job, take_handles
from streamproc.session import Run

PIXELS = np.zeros((16, 16), np.uint8)


class Camera:
    """Gives frames with the counters it is told, and the gaps it knows."""

    suffixes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *given: int | Gap) -> None:
        self.given = given
        self.info = SourceInfo(
            shape=(16, 16),
            dtype=np.dtype(np.uint8),
            axes="yx",
            identity="camera",
            live=True,
        )

    def frames(self, start: int = 0) -> Iterator[Frame | Unreadable | Gap]:
        """Yield what it was told to, whatever the run asks for."""
        for item in self.given:
            yield item if isinstance(item, Gap) else Frame(PIXELS.copy(), item, 1.5)

    def read(self, index: int) -> Frame:
        """Refuse: a camera has no past."""
        raise sp.FrameError(f"no frame {index}")

    def stop(self) -> None:
        """End `frames` soon."""

    def close(self) -> None:
        """Release nothing."""


def take(camera: Camera, path: Path, *, resumed: bool) -> None:
    """Begin a run of a camera, or go on with one."""
    graph, saved, wanted = take_handles([sp.open(camera)])
    job = Job(graph, saved, parse_options({"executor": "inline"}), wanted=wanted)
    folder = RunFolder(path)
    if not resumed:
        folder.create(job.document())
    Run(job, folder, resumed=resumed).wait()


def told(run: Path, sql: str) -> list[tuple[object, ...]]:
    """Return rows of a run's ledger."""
    from contextlib import closing

    from streamproc.folder import connect_readonly

    with closing(connect_readonly(run / "run.sqlite")) as db:
        return db.execute(sql).fetchall()


GAPS = "SELECT first_source_index, last_source_index, count, place FROM gaps"


@pytest.mark.parametrize(
    ("given", "gaps"),
    [
        ((3, 4), []),
        ((10, 11), [(3, 9, 7, "restart")]),
        ((Gap(3, 9, "dropped"), 10), [(3, 9, 7, "source")]),
        ((Gap(5, 9, "dropped"), 10), [(3, 4, 2, "restart"), (5, 9, 5, "source")]),
        ((Gap(3, 5, "dropped"), 10), [(3, 5, 3, "source"), (6, 9, 4, "restart")]),
        ((0, 1), [(3, 2, 0, "restart")]),
        ((10, 20), [(3, 9, 7, "restart")]),
    ],
)
def test_what_a_restart_missed_is_a_gap(
    tmp_path: Path, given: tuple[int | Gap, ...], gaps: list[tuple[object, ...]]
) -> None:
    run = tmp_path / "run"
    take(Camera(0, 1, 2), run, resumed=False)
    assert told(run, GAPS) == []
    take(Camera(*given), run, resumed=True)
    assert told(run, GAPS) == gaps
    events = told(run, "SELECT level, message FROM events WHERE kind = 'restart'")
    assert len(events) == sum(row[3] == "restart" for row in gaps)
    lost = sum(int(str(row[2])) for row in gaps)
    assert told(run, "SELECT sum(lost) FROM summary WHERE seconds = 60") == [(lost,)]
    frames = 3 + sum(not isinstance(item, Gap) for item in given)
    assert told(run, "SELECT count(*) FROM frames") == [(frames,)]


def test_a_counter_that_begins_anew_says_so() -> None:
    (gap,) = Continuity(7).before(Frame(PIXELS, 2, 1.5))
    assert (gap.count, gap.time) == (0, 1.5)
    assert gap.reason == (
        "the source's counter begins anew at 2, expected 7; "
        "how many frames were missed is unknown"
    )


def test_a_run_that_begins_misses_nothing() -> None:
    assert not list(Continuity(None).before(Frame(PIXELS, 40)))
