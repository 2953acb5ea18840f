"""A source that minds its frames: told what the log has, and only that."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import streamproc as sp
from streamproc.folder import RunFolder
from streamproc.store.log import read_journal
from tests import cameras

#: What the source was told, in order; its parameters at each opening.
RESUMED: list[sp.Receipt] = []
ADMITTED: list[sp.Receipt] = []
OPENED: list[int] = []
#: The journal that must have a frame before the source is told so.
JOURNAL: list[Path] = []


class Mindful(cameras.Lossy):
    """The lossy camera, which minds; ``take`` of its frames are there at first."""

    def __init__(self, frames: int = 60, *, take: int = 10) -> None:
        super().__init__(frames)
        self._take = take
        OPENED.append(take)

    @property
    def reopen(self) -> dict[str, Any]:
        """All of them are there later."""
        return {"take": 1000}

    def frames(self, start: int = 0) -> Any:
        """Yield those that are there."""
        for item in super().frames(start):
            if not isinstance(item, sp.Gap) and item.source_index >= self._take:
                return
            yield item

    def resumed(self, frames: Iterable[sp.Receipt]) -> None:
        """Note them."""
        RESUMED.extend(frames)

    def admitted(self, frames: Sequence[sp.Receipt]) -> None:
        """Note them; they must be on disk."""
        known = {record.source_index for record, _ in read_journal(JOURNAL[0], "x")}
        assert {receipt.source_index for receipt in frames} <= known
        ADMITTED.extend(frames)


def test_it_is_told_what_the_log_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "Lossy", Mindful)
    cameras.install(tmp_path, monkeypatch)
    for told in (RESUMED, ADMITTED, OPENED, JOURNAL):
        told.clear()
    run = RunFolder(tmp_path / "RUN")
    JOURNAL.append(run.journal)
    camera = sp.open({"lossy": {}})
    sp.run({"mask": camera.threshold()}, run.path)
    assert isinstance(camera.graph.source, sp.Mindful)
    assert [receipt.source_index for receipt in ADMITTED] == list(range(10))
    assert ADMITTED[3] == sp.Receipt(3, {"count": 3})
    assert ADMITTED[5] == sp.Receipt(5, {}, "picture 5 is torn")
    assert RESUMED == []
    # the run is resumed: the log has ten, and the source is opened with what it said
    first, ADMITTED[:] = list(ADMITTED), []
    sp.resume(run.path)
    assert OPENED == [10, 1000]
    assert first == RESUMED
    assert [receipt.source_index for receipt in ADMITTED][:3] == [10, 11, 12]
    frames = sp.load(run.path).frames
    assert len(frames) == len(first) + len(ADMITTED) == 60
    document = yaml.safe_load(run.pipeline.read_text())
    assert document["source"] == {"lossy": {}}


def test_other_sources_need_not_mind() -> None:
    assert not isinstance(cameras.Lossy(), sp.Mindful)
