"""What tests of the executors may use."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.arrays import noise
from tests.workers import FUNCTIONS


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Functions of a user, imported from the folder ``tmp_path``."""
    (tmp_path / "functions_of_mine.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("functions_of_mine")
    del sys.modules["functions_of_mine"]


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """A recording on disk whose first pixel is the frame's number."""
    frames = noise(60, (64, 64))
    frames[:, 0, 0] = np.arange(60)
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path
