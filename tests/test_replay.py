"""Live equals replay: the same graph on the raw log, frame by frame."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import streamproc as sp
from streamproc.config import parse
from streamproc.equality import compare_ledgers
from streamproc.runs import start_pipeline, start_replay
from streamproc.session import Run
from tests import cameras
from tests.arrays import simulated, wait_for
from tests.same_run import assert_same_run

Command = Callable[..., tuple[int, str, str]]

GRAPH: dict[str, Any] = {
    "flat": {"background": {"window": 8, "every": 4}, "of": "source"},
    "smooth": {"gaussian": {"sigma": 1}, "of": "flat"},
    "mask": {"threshold": {"method": "otsu"}, "of": "smooth"},
    "nuclei": {"label": {}, "of": "mask"},
    "cells": {"measure": {"intensity": "source"}, "of": "nuclei"},
    "count": {"running_count": {}, "of": "cells"},
    "picked": {"map": {"function": "tests.functions:picky"}, "of": "source"},
}


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cameras.install(tmp_path, monkeypatch)


def start(to: Path, source: Any = "lossy", **more: Any) -> Run:
    """Start all that a run may meet: windows, order, failures, gaps, torn frames."""
    given = {
        "source": {source: {}} if isinstance(source, str) else source,
        "graph": GRAPH,
        "save": ["source", "flat", "nuclei", "cells", "count", "picked"],
        "limits": {"disk_reserve": "100MB"},
        **more,
    }
    return start_pipeline(parse(given), to)


def changed(to: Path, source: Any = "lossy") -> Path:
    """Run it, with parameters that are set while it goes on."""
    run = start(to, source)
    for after, sigma in ((8, 2), (25, 0.5)):
        wait_for(run, after)
        if run.is_alive:
            run.set("smooth", "sigma", sigma)
            run.set("mask", "method", "li" if sigma == 2 else "otsu")
    run.wait()
    return to


#: the source is not saved once more
EQUAL = "equal to its replay: 60 frames, 5 outputs\n"
RECORDED = {"simulation": {"frames": 60, "shape": [64, 64], "live": False}}


@pytest.mark.parametrize("source", ["lossy", RECORDED])
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_live_equals_replay(
    tmp_path: Path, command: Command, source: Any, executor: str
) -> None:
    run = changed(tmp_path / "run", source)
    expected = {"lossy": {"lost": 3}}.get(str(source), {})
    assert sp.load(run).status().items() >= expected.items()
    code, out, error = command("replay", "run", "--verify", "--executor", executor)
    # some frames fail, in both
    assert (code, out) == (3, EQUAL), error
    assert not list(tmp_path.glob(".replay-*"))
    command("replay", "run", "--to", "again", "--executor", executor)
    assert_same_run(run, tmp_path / "again")
    assert compare_ledgers(run, tmp_path / "again").told == []
    # a replay can be resumed, and replayed
    sp.resume(tmp_path / "again")
    assert command("replay", "again", "--verify")[:2] == (3, EQUAL)


def test_a_replay_killed_at_its_begin_still_knows_the_changes(tmp_path: Path) -> None:
    run = changed(tmp_path / "run")
    start_replay(run, tmp_path / "whole").wait()
    (tmp_path / "killed").mkdir()
    # all that is there before the ledger is
    shutil.copy(tmp_path / "whole" / "pipeline.yaml", tmp_path / "killed")
    sp.resume(tmp_path / "killed")
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_what_was_changed_behind_our_back_is_found(
    tmp_path: Path, command: Command
) -> None:
    start(tmp_path / "run").wait()
    ledger = tmp_path / "run/run.sqlite"

    def found(sql: str, back: str) -> tuple[int, str]:
        with closing(sqlite3.connect(ledger)) as db, db:
            db.execute(sql)
        code, _, error = command("replay", "run", "--verify")
        with closing(sqlite3.connect(ledger)) as db, db:
            db.execute(back)
        return code, error

    (good,) = sqlite(ledger, "SELECT hash FROM frames WHERE frame = 17")
    bad = json.dumps({**json.loads(good), "nuclei": "0" * 16})
    code, error = found(
        f"UPDATE frames SET hash='{bad}' WHERE frame = 17",
        f"UPDATE frames SET hash='{good}' WHERE frame = 17",
    )
    assert code == 1
    assert "1 frames differ from their replay" in error
    assert "frame 17: nuclei differs" in error
    code, error = found(
        "UPDATE cells SET area = area + 1 WHERE frame = 12",
        "UPDATE cells SET area = area - 1 WHERE frame = 12",
    )
    assert code == 1
    assert "frame 12: rows of table 'cells' have changed" in error
    code, error = found(
        "UPDATE frames SET frame = 1009 WHERE frame = 9",
        "UPDATE frames SET frame = 9 WHERE frame = 1009",
    )
    assert code == 1
    assert "2 frames differ" in error
    assert "frame 9: " in error
    path = next((tmp_path / "run/images.ome.zarr/picked/0").glob("c.0*"))
    content = bytearray(path.read_bytes())
    content[4096 * 7 + 100] ^= 1
    path.write_bytes(content)
    code, _, error = command("replay", "run", "--verify")
    assert code == 1
    assert "picked/0" in error
    assert error.count("\n") <= 2


def sqlite(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute(sql)]


def test_raw_pixels_that_changed_are_found(tmp_path: Path, command: Command) -> None:
    start(tmp_path / "run").wait()
    path = next((tmp_path / "run/images.ome.zarr/source/0").glob("c.0*"))
    content = bytearray(path.read_bytes())
    content[4096 * 7 + 100] ^= 1
    path.write_bytes(content)
    code, _, error = command("replay", "run", "--verify")
    assert code == 1
    assert "differ from their replay" in error


def test_another_graph_says_what_would_have_been(
    tmp_path: Path, command: Command
) -> None:
    start(tmp_path / "run").wait()
    graph = {**GRAPH, "smooth": {"gaussian": {"sigma": 3}, "of": "flat"}}
    given = {"source": "no.tif", "graph": graph, "save": ["nuclei", "cells", "picked"]}
    given["limits"] = {"disk_reserve": "100MB"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(given))
    code, out, _ = command("replay", "run", "--pipeline", "other.yaml", "--to", "new")
    assert code in (0, 3)
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if " " in line)
    assert "with another result" in rows["frames"]
    assert "differs in" in rows["nuclei"]
    assert "Dice" in rows["nuclei"]
    assert rows["picked"] == "the same in all frames"
    assert "per frame, were" in rows["objects"]
    assert len(sp.load(tmp_path / "new").frames) == 60


def test_a_run_that_goes_on_is_replayed_as_far_as_it_is(
    tmp_path: Path, command: Command
) -> None:
    raw = simulated(None, live=True)
    run = sp.start({"mask": raw.gaussian(sigma=1).threshold()}, tmp_path / "run")
    wait_for(run, 50)
    code, out, error = command("replay", "run", "--verify")
    assert run.is_alive
    run.stop()
    run.wait()
    assert (code, out.partition(":")[0]) == (0, "equal to its replay"), out + error
    # what is pending in a run that was stopped is no difference
    code, out, error = command("replay", "run", "--verify")
    assert code == 0, out + error


def test_what_was_skipped_is_no_difference(tmp_path: Path, command: Command) -> None:
    camera = {"simulation": {"frames": 60, "shape": [64, 64], "fps": 300.0}}
    start(tmp_path / "run", camera, on_overload="skip").wait()
    skipped = sp.load(tmp_path / "run").status()["skipped"]
    assert skipped
    _, out, _ = command("replay", "run", "--verify")
    assert f"; {skipped} frames were skipped, and have no result yet" in out
    sp.resume(tmp_path / "run", skipped=True)
    _, out, _ = command("replay", "run", "--verify")
    assert out == EQUAL


# --- refused ------------------------------------------------------------------------


def test_refused_in_one_line(tmp_path: Path, command: Command) -> None:
    start(tmp_path / "gone", log={"keep_raw": False}, save=["nuclei"]).wait()
    code, _, error = command("replay", "gone", "--verify")
    assert code == 2
    assert "the raw log of" in error
    assert "was not kept (log.keep_raw: false)" in error
    assert command("replay", "nope") == (
        2,
        "",
        "streamproc: error: no run folder 'nope'\n",
    )
    _, _, error = command("replay", "nope/run", "--verify")
    assert error == "streamproc: error: no run folder 'nope/run'\n"
    code, _, error = command("replay", "gone", "--verify", "--pipeline", "p.yaml")
    assert code == 2
    assert "--verify repeats the recorded graph, --pipeline runs another" in error
    assert not list(tmp_path.glob(".replay-*"))
    assert not (tmp_path / "runs").exists()


def test_a_run_from_within_and_a_folder_that_cannot_be_written(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay of "." went into the run folder."""
    start(tmp_path / "run").wait()
    monkeypatch.chdir(tmp_path / "run")
    before = sorted(tmp_path.iterdir())
    _, out, error = command("replay", ".", "--verify")
    assert out == EQUAL, error

    def full(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    code, _, error = command("replay", ".", "--verify")
    assert code == 2
    assert "cannot write beside" in error
    assert error.endswith("run: Permission denied; give --to\n")
    assert sorted(tmp_path.iterdir()) == before


def test_a_function_that_nobody_can_import(tmp_path: Path, command: Command) -> None:
    def local(image: np.ndarray) -> np.ndarray:
        return image

    sp.run({"x": simulated(5, live=True).map(local)}, tmp_path / "run")
    code, _, error = command("replay", "run", "--verify")
    assert code == 2
    assert error.count("\n") == 1
    assert "cannot import 'tests.test_replay:test_a_function_that" in error


def test_a_source_that_has_changed(tmp_path: Path, command: Command) -> None:
    np.savez(tmp_path / "stack.npz", stack=np.zeros((5, 32, 32), np.uint16))
    raw = sp.open(tmp_path / "stack.npz")
    sp.run({"mask": raw.threshold()}, tmp_path / "run")
    np.savez(tmp_path / "stack.npz", stack=np.zeros((6, 32, 32), np.uint16))
    code, _, error = command("replay", "run", "--verify")
    assert code == 2
    assert "cannot be replayed: the source is not the same" in error


def test_a_source_in_python_is_replayed_from_its_log(tmp_path: Path) -> None:
    run = sp.run({"m": sp.open(cameras.Lossy()).threshold()}, tmp_path / "run")
    assert run.frames.lost == 3
    start_replay(tmp_path / "run", tmp_path / "again").wait()
    assert_same_run(tmp_path / "run", tmp_path / "again")


def test_a_recording_that_was_stopped_is_replayed_as_far_as_it_came(
    tmp_path: Path, command: Command
) -> None:
    # the rest of the recording was told as frames that differ
    raw = simulated(400)
    run = sp.start({"smooth": raw.gaussian(sigma=1)}, tmp_path / "run")
    wait_for(run, 3)
    run.stop()
    done = run.wait().frames.done
    assert 0 < done < 400
    code, out, error = command("replay", str(tmp_path / "run"), "--verify")
    assert code == 0, error
    assert out == f"equal to its replay: {done} frames, 1 outputs\n"


def test_frames_in_memory_only_are_not_replayed(tmp_path: Path) -> None:
    # the camera itself was opened, and filmed something else
    raw = simulated(3, live=True)
    sp.run({"source": raw}, tmp_path / "run", log="none")
    with pytest.raises(sp.RunFolderError, match=r"kept in memory only \(log: none\)"):
        start_replay(tmp_path / "run", tmp_path / "again")
