"""This package keeps the contracts of streamproc."""

import json
from pathlib import Path

import numpy as np
import pytest
from streamproc_example.operators import bright_spots
from streamproc_example.sink import Counts
from streamproc_example.source import Dump

import streamproc as sp
from streamproc.testing import (
    ObserverContract,
    OperatorContract,
    SourceContract,
    frames,
    truth,
)


class TestDump(SourceContract):
    def make(self, folder: Path) -> Dump:
        path = folder / "a.dump"
        if not path.exists():
            frames(5, shape=(40, 56)).astype("<u2").tofile(path)
        return Dump(str(path), shape=(40, 56))

    def make_damaged(self, folder: Path) -> Dump:
        self.make(folder).close()
        path = folder / "a.dump"
        path.write_bytes(path.read_bytes()[:-100])
        return Dump(str(path), shape=(40, 56))


class TestCounts(ObserverContract):
    def make(self) -> Counts:
        return Counts()

    def read(self, path: Path) -> object:
        lines = (path / "counts.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


class TestBrightSpots(OperatorContract):
    operator = "bright_spots"
    parameters = {"radius": 9}  # noqa: RUF012  # a class attribute as the contract has it


class TestBrightSpotsOfVolumes(OperatorContract):
    operator = "bright_spots"
    axes = "zyx"


class TestSpread(OperatorContract):
    operator = "spread"


def test_the_spots_are_the_cells() -> None:
    image = frames(1, shape=(128, 128), seed=3)[0]
    cells = truth(1, shape=(128, 128), seed=3)
    found = bright_spots(image, radius=20, factor=1.5)
    rows, columns = cells.y.round().astype(int), cells.x.round().astype(int)
    assert found[rows.clip(0, 127), columns.clip(0, 127)].mean() > 0.8
    assert found.mean() < 0.3


def test_a_file_is_opened_by_its_suffix(tmp_path: Path) -> None:
    stack = frames(3, shape=(96, 96))
    stack.astype("<u2").tofile(tmp_path / "a.dump")
    source = sp.open(tmp_path / "a.dump").graph.source
    assert np.array_equal([source.read(n).pixels for n in range(3)], stack)
    (tmp_path / "b.dump").write_bytes(b"abc")
    with pytest.raises(sp.SourceError, match=r"3 bytes, a frame of 96 x 96 uint16 has"):
        sp.open(tmp_path / "b.dump")
