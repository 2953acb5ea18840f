"""A folder that another program fills in every awkward way, as a user meets it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import streamproc as sp
from streamproc.store.log import JOURNAL, count_admitted
from tests.system.awkward import image

#: Seconds that a process may take; nobody waits for them.
PATIENCE = 240

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a module in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(module: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def pipeline(folder: Path, **given: Any) -> Path:
    """Write a pipeline that reads ``folder/in``."""
    watch = {"folder": str(folder / "in"), "settle": 0.1, "patience": 2.0, **given}
    path = folder / "pipeline.yaml"
    document = {
        "source": {"watch": watch},
        "graph": {"mask": {"threshold": "otsu"}},
        "save": ["mask"],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def check(run: Path, wrote: dict[str, Any]) -> None:
    """Compare a run with what was written: each good image once, bad ones named."""
    result = sp.load(run)
    frames, stored = result.frames, np.asarray(result.images["source"][:])
    done = frames[frames["state"] == "done"]
    numbers = [int(stored[n][0, 0]) for n in done["frame"]]
    assert sorted(numbers) == wrote["good"]
    for frame, number in zip(done["frame"], numbers, strict=True):
        assert np.array_equal(stored[frame], image(number)), number
    failed = frames[frames["state"] == "failed"]
    names = [json.loads(text)["file"] for text in failed["metadata"]]
    assert sorted(names) == wrote["bad"]
    assert len(frames) == len(wrote["good"]) + len(wrote["bad"])
    assert list(frames["source_index"]) == list(range(len(frames)))


def told(process: subprocess.Popen[str]) -> Any:
    """Return what the writer says at its end."""
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return json.loads(out)


@pytest.mark.slow
@pytest.mark.parametrize("polling", [False, True], ids=["notified", "polling"])
def test_two_thousand_files(tmp_path: Path, start: Start, polling: bool) -> None:
    (tmp_path / "in").mkdir()
    given = {"polling": polling, "stop_file": "STOP"}
    run = start(
        "streamproc", "run", pipeline(tmp_path, **given), "--to", tmp_path / "RUN"
    )
    writer = start("tests.system.awkward", tmp_path / "in", "--count", 2000)
    wrote = told(writer)
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 3, said  # some frames failed
    assert len(wrote["bad"]) == 15
    assert "15 frames failed or skipped" in said
    check(tmp_path / "RUN", wrote)


@pytest.mark.slow
@pytest.mark.parametrize("moves", [False, True], ids=["stay", "move"])
def test_killed_and_resumed(tmp_path: Path, start: Start, moves: bool) -> None:
    folder, run, away = tmp_path / "in", tmp_path / "RUN", tmp_path / "away"
    folder.mkdir()
    given = {"stop_file": "STOP", **({"move_to": str(away)} if moves else {})}
    process = start("streamproc", "run", pipeline(tmp_path, **given), "--to", run)
    writer = start("tests.system.awkward", folder, "--count", 1000, "--seed", 1)
    kills = 0
    for admitted in (60, 300, 500, 700):
        while process.poll() is None and _admitted(run) < admitted:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            process.communicate()
            kills += 1
            process = start("streamproc", "resume", run)
    wrote = told(writer)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3, said
    assert kills == 4
    check(run, wrote)
    if moves:
        # what was written again stays, once or instead, and is named
        events = sp.load(run).events
        named = {str(message).split()[0] for message in events["message"]}
        left = {path.name for path in folder.glob("img_*")} - set(wrote["bad"])
        went = [int(path.name[4:9]) for path in away.iterdir()]
        assert sorted({*went, *(int(name[4:9]) for name in left)}) == wrote["good"]
        assert len(went) == len(set(went)) > len(wrote["good"]) * 0.9
        assert left <= named


def _admitted(run: Path) -> int:
    journal = run / JOURNAL
    return count_admitted(journal) if journal.exists() else 0


@pytest.mark.slow
def test_so_many_frames_of_an_endless_folder(tmp_path: Path, start: Start) -> None:
    folder, run = tmp_path / "in", tmp_path / "RUN"
    folder.mkdir()
    writer = start("tests.system.awkward", folder, "--count", 40, "--seed", 2)
    given = pipeline(tmp_path, settle=0.2, first_timeout=60.0)
    process = start("streamproc", "run", given, "--to", run, "--frames", 20)
    told(writer)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    result = sp.load(run)
    assert len(result.frames) == 20
    stored = np.asarray(result.images["source"][:])
    numbers = {int(stored[n][0, 0]) for n in range(20)}
    assert len(numbers) == 20


def test_an_empty_folder_is_refused_in_one_line(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "in").mkdir()
    given = pipeline(tmp_path, first_timeout=0.2)
    code, _, said = command("run", str(given), "--to", str(tmp_path / "RUN"))
    assert code == 2
    assert "no image came into" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "RUN").exists()
