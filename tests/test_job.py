"""What a run is to do, and what it refuses before anything is on disk."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc.config import parse_options
from streamproc.errors import ConfigError, StoreError
from streamproc.job import Job, absolute, check_space, opened_again, take_handles, title
from tests.arrays import Arrays, noise, segmented, simulated
from tests.functions import brighten


def job_of(save: Any, *, frames: int | None = None, **options: Any) -> Job:
    graph, saved, wanted = take_handles(save)
    return Job(graph, saved, parse_options(options), wanted=wanted, frames=frames)


def test_what_may_be_saved() -> None:
    raw = simulated()
    labels, cells = segmented(raw)
    assert take_handles(labels)[1:] == ({}, [labels.step])
    assert take_handles([labels, cells])[1:] == ({}, [labels.step, cells.step])
    assert take_handles({"a": labels})[1:] == ({"a": labels.step}, [])
    with pytest.raises(ConfigError, match="save: nothing to run; give a mapping"):
        take_handles({})
    with pytest.raises(ConfigError, match=r"save: needs handles such as .*, got 3"):
        take_handles({"a": 3})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="the handles come from two sources; a run h"):
        take_handles([labels, simulated()])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a b", "save: 'a b' is no name; use letters, digits, _ and -"),
        ("../a", "is no name"),
        (1, "save: 1 is no name"),
        ("frames", "save: 'frames' is a table of the engine; name this step otherwise"),
        ("Summary", "save: 'Summary' is a table of the engine"),
        ("sqlite_x", "save: 'sqlite_x' is a table of the engine"),
        ("source", "the source is always saved under the name 'source'"),
    ],
)
def test_names_that_are_taken(name: Any, message: str) -> None:
    _, cells = segmented(simulated())
    with pytest.raises(ConfigError, match=message):
        job_of({name: cells})


def test_names_that_collide() -> None:
    raw = simulated()
    labels, cells = segmented(raw)
    with pytest.raises(
        ConfigError, match="'Cells' and 'cells' differ only in case; re"
    ):
        job_of({"Cells": cells, "cells": labels.measure(raw)})
    with pytest.raises(
        ConfigError, match="'OME' is a folder of OME-Zarr; name this st"
    ):
        job_of({"OME": raw.gaussian()})
    with pytest.raises(ConfigError, match="always saved under the name 'source', and "):
        job_of({"raw": raw})
    job_of({"frames": labels})  # an image has no table


def test_the_log_and_what_is_saved() -> None:
    live = simulated(live=True)
    assert job_of({"source": live}).keeps_raw
    assert not job_of([live], log="none").is_logged
    with pytest.raises(
        ConfigError, match=r"'source' is saved but log.keep_raw is false"
    ):
        job_of({"source": live}, log={"keep_raw": False})
    with pytest.raises(
        ConfigError, match="log: none is for live sources; a recording n"
    ):
        job_of([simulated()], log="none")


def test_windows_must_fit_where_nothing_can_be_read_again() -> None:
    raw = sp.open(Arrays(noise(5, (200, 200)), in_order=True))
    flat = raw.background(window=50, every=25)
    with pytest.raises(ConfigError, match=r"background needs 6 MB of frames in memory"):
        job_of([flat], limits={"memory": "8MB"})
    assert job_of([flat], limits={"memory": "16MB"}).keep_windows
    again = sp.open(Arrays(noise(5, (200, 200)))).background(window=50, every=25)
    assert not job_of([again], limits={"memory": "8MB"}).keep_windows


def test_how_many_frames() -> None:
    raw = simulated(20)
    assert job_of([raw]).total == 20
    assert job_of([raw], frames=5).total == 5
    assert job_of([raw], frames=50).total == 20
    assert job_of([simulated(None, live=True)]).total is None
    assert job_of([simulated(None, live=True)], frames=7).total == 7
    with pytest.raises(ConfigError, match="frames must be >= 1, got 0"):
        job_of([raw], frames=0)


def test_what_cannot_be_resumed_and_why() -> None:
    raw = simulated()
    live = simulated(live=True)
    plain = raw.map(brighten, parameters={"gain": [1, {"a": None}]})
    assert job_of([plain]).not_resumable() is None
    reasons = {
        "its source is a Python object, not a named source": [
            sp.open(Arrays(noise(2)))
        ],
        "function '.*<lambda>' cannot be imported by name": [raw.map(lambda i: i)],
        "parameter 'gain' of step 'map_3' is a ndarray, which YAML cannot hold": [
            raw.map(brighten, parameters={"gain": np.ones(2)})
        ],
        "parameter 'gain' of step 'map_4' is a tuple, which YAML cannot hold": [
            raw.map(brighten, parameters={"gain": (1, 2)})
        ],
    }
    for reason, save in reasons.items():
        found = job_of(save).not_resumable()
        assert found is not None
        assert re.search(reason, found), found
    assert job_of([live], log="none").not_resumable() == "log: none keeps no frames"


def test_any_parameter_can_be_written_down(tmp_path: Path) -> None:
    """One that YAML cannot hold runs all the same, and leaves nothing half made."""
    step = simulated(3).map(brighten, parameters={"gain": np.full((64, 64), 2.0)})
    report = sp.run({"x": step}, tmp_path / "run")
    assert report.frames.done == 3
    with pytest.raises(
        sp.RunFolderError, match="parameter 'gain' of step 'map' is a nd"
    ):
        sp.resume(tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_titles() -> None:
    assert title(job_of([simulated()])) == "simulation"
    assert title(job_of([sp.open(Arrays(noise(1)))])) == "run"


def test_space_is_checked_before_the_start(tmp_path: Path) -> None:
    job = job_of({"source": simulated()}, limits={"disk_reserve": "900TB"})
    with pytest.raises(
        StoreError, match=r"has .* GB free; this run needs about .* kee"
    ):
        check_space(job, tmp_path / "a" / "b")
    with pytest.raises(StoreError, match="lower the reserve"):
        sp.run(
            {"source": simulated()}, tmp_path / "r", limits={"disk_reserve": "9000TB"}
        )
    assert list(tmp_path.iterdir()) == []


def test_places_hold_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"folder": "in", "move_to": "out", "pattern": "*.tif"}
    assert absolute({"watch": given}) == {
        "watch": {
            **given,
            "folder": str(tmp_path / "in"),
            "move_to": str(tmp_path / "out"),
        }
    }
    assert absolute({"files": ["a/*.png", "b.png"]}) == {
        "files": {"path": [str(tmp_path / "a" / "*.png"), str(tmp_path / "b.png")]}
    }
    assert absolute({"zarr": "s3://bucket/a.zarr"}) == {
        "zarr": {"path": "s3://bucket/a.zarr"}
    }


def test_a_source_is_opened_again_with_what_it_learned() -> None:
    recorded = {"reopen": {"expect": 1}}
    assert opened_again({"watch": "in"}, recorded) == {
        "watch": {"folder": "in", "expect": 1}
    }
    assert opened_again({"watch": "in"}, {}) == {"watch": "in"}
    assert opened_again(None, recorded) is None


def test_what_may_name_a_file_holds_from_anywhere_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scope.cfg").touch()
    for config, whole in (("scope.cfg", str(tmp_path / "scope.cfg")), ("demo", "demo")):
        form = {"micromanager": {"config": config}}
        assert absolute(form) == {"micromanager": {"config": whole}}
