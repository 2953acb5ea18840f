"""Reading a run back, while it goes on too."""

from pathlib import Path

import numpy as np
import pytest

import streamproc as sp
from tests.arrays import Arrays, noise, segmented, simulated, wait_for, whole


def test_everything_by_name(tmp_path: Path, executor: str) -> None:
    stack = noise(12)
    raw = sp.open(Arrays(stack, unreadable=frozenset({5})))
    labels, cells = segmented(raw)
    saved = {
        "source": raw,
        "smooth": raw.gaussian(),
        "nuclei": labels,
        "mask": raw.threshold(),
        "cells": cells,
        "total": cells.running_count(),
    }
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert sorted(result.images) == ["smooth", "source"]
    assert sorted(result.labels) == ["mask", "nuclei"]
    assert sorted(result.tables) == ["cells", "total"]
    assert (len(result.images), len(result.labels), len(result.tables)) == (2, 2, 2)
    assert repr(result).endswith("smooth, source, mask, nuclei, cells, total>")
    kept = [n for n in range(12) if n != 5]
    assert np.array_equal(whole(result.images["source"])[kept], stack[kept])
    assert not whole(result.images["source"])[5].any()
    frames = result.frames
    assert frames.frame.tolist() == frames.t.tolist() == list(range(12))
    assert frames.state.tolist() == ["done"] * 5 + ["failed"] + ["done"] * 6
    assert frames.error[5] == "frame 5 is scratched"
    assert frames.metadata[3] == '{"n": 3}'
    assert frames.time[3] == 3.0
    table = result.tables["cells"]
    assert 5 not in set(table.frame)
    assert table.equals(table.sort_values(["frame", "label"]))


def test_missing_names_are_told(tmp_path: Path) -> None:
    raw = simulated(2)
    labels, cells = segmented(raw)
    sp.run({"nuclei": labels, "cells": cells}, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    with pytest.raises(KeyError, match="no image 'source'"):
        result.images["source"]
    with pytest.raises(KeyError, match=r"no image 'nuclie'; did you mean 'nuclei'\?"):
        result.labels["nuclie"]
    with pytest.raises(KeyError, match=r"no table 'cell'; did you mean 'cells'\?"):
        result.tables["cell"]
    assert "source" not in result.images
    assert list(result.images) == []


def test_values_are_as_fresh_as_the_last_commit(tmp_path: Path) -> None:
    raw = simulated(None, live=True)
    labels, _ = segmented(raw)
    run = sp.start({"source": raw, "nuclei": labels}, tmp_path / "run")
    wait_for(run, 3)
    result = sp.load(tmp_path / "run")
    first = len(result.frames)
    newest = int(result.frames.frame.max())
    assert whole(result.images["source"])[newest].any()
    assert result.labels["nuclei"].shape[0] > newest
    wait_for(run, first + 64)
    assert len(result.frames) > first
    run.stop()
    run.wait()
    assert result.status()["state"] == "stopped"
