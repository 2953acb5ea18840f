"""A run folder taken away under a run: deleted, unmounted, or by another process."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from streamproc.folder import status
from streamproc.store.platform import SWITCH
from tests.same_run import assert_same_run

FRAMES, BEFORE = 40, 10
#: A step that holds its process up after some frames, until a file is there.
MODULE = f"""
import itertools, os, time

calls = itertools.count(1)

def held(image, *, go):
    number = next(calls)
    while number > {BEFORE} and not os.path.exists(go):
        time.sleep(0.01)
    return image
"""

Start = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows keeps what is open from being deleted"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the command line in a process that finds ``held``."""
    (tmp_path / "gate.py").write_text(MODULE)
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, emulated: bool) -> subprocess.Popen[str]:
        switch = {SWITCH: "emulated"} if emulated else {}
        process = subprocess.Popen(
            [sys.executable, "-m", "streamproc", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path), **switch},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def write_pipeline(folder: Path, *, live: bool) -> Path:
    """Write a pipeline that waits for the file ``go`` after its first frames."""
    simulation = {"frames": FRAMES, "shape": [64, 64], "live": live, "fps": None}
    held = {"function": "gate:held", "parameters": {"go": str(folder / "go")}}
    given = {
        "source": {"simulation": simulation},
        "graph": {"held": {"map": held}, "mask": {"threshold": "otsu"}},
        "save": ["source", "mask"],
        "executor": "inline",
        "limits": {"disk_reserve": "1KB"},
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def wait_until_held(run: Path, *, live: bool) -> None:
    """Wait until all that can be logged and committed is."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError):  # not there yet
            now = status(run)
            logged = now["admitted"] == FRAMES or not live
            if now["done"] == BEFORE and logged:
                return
        time.sleep(0.02)
    raise AssertionError(f"{run} did not come to frame {BEFORE}")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and stderr of a command that must not hang."""
    _, error = process.communicate(timeout=120)
    assert "Traceback" not in error, error
    return process.returncode, error


CASES = pytest.mark.parametrize(
    ("live", "emulated"), [(False, False), (True, False), (True, True)]
)


@CASES
def test_another_process_takes_over(
    tmp_path: Path, start: Start, live: bool, emulated: bool
) -> None:
    pipeline, run = write_pipeline(tmp_path, live=live), tmp_path / "run"
    first = start("run", pipeline, "--to", run, emulated=emulated)
    wait_until_held(run, live=live)
    first.send_signal(signal.SIGSTOP)
    (run / "run.lock").unlink()
    (tmp_path / "go").touch()
    code, error = ended(start("resume", run, emulated=emulated))
    assert code == 0, error

    first.send_signal(signal.SIGCONT)
    code, error = ended(first)
    assert code == 1, error
    assert f"another process took over run folder {run}" in error
    assert status(run)["state"] == "finished"
    assert ended(start("verify", run, emulated=emulated))[0] == 0
    whole = tmp_path / "whole"
    assert ended(start("run", pipeline, "--to", whole, emulated=False))[0] == 0
    assert_same_run(whole, run)


@CASES
def test_the_folder_is_deleted(
    tmp_path: Path, start: Start, live: bool, emulated: bool
) -> None:
    pipeline, run = write_pipeline(tmp_path, live=live), tmp_path / "run"
    process = start("run", pipeline, "--to", run, emulated=emulated)
    wait_until_held(run, live=live)
    shutil.rmtree(run)
    (tmp_path / "go").touch()
    code, error = ended(process)
    assert code == 1, error
    assert f"run folder {run} was taken from this process: it is gone" in error
    assert not run.exists()


def mount(*arguments: str | Path) -> None:
    """Mount or unmount, or skip where there is no right to."""
    try:
        subprocess.run(arguments, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a small file system here")


@CASES
def test_a_drive_that_is_gone_for_a_while(
    tmp_path: Path, start: Start, live: bool, emulated: bool
) -> None:
    pipeline = write_pipeline(tmp_path, live=live)
    drive, seen = tmp_path / "drive", tmp_path / "seen"
    drive.mkdir()
    seen.mkdir()
    mount("mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", drive)
    try:
        mount("mount", "--bind", drive, seen)
        run = seen / "run"
        process = start("run", pipeline, "--to", run, emulated=emulated)
        wait_until_held(run, live=live)
        mount("umount", "-l", seen)
        (tmp_path / "go").touch()
        code, error = ended(process)
        assert code == 1, error
        assert f"run folder {run} was taken from this process: it is gone" in error
        kept = status(drive / "run")
        assert kept["state"] in ("interrupted", "stopped")
        assert kept["done"] == BEFORE
        code, error = ended(start("resume", drive / "run", emulated=emulated))
        assert code == 0, error
        whole = tmp_path / "whole"
        assert ended(start("run", pipeline, "--to", whole, emulated=False))[0] == 0
        assert_same_run(whole, drive / "run")
    finally:
        subprocess.run(["umount", drive], check=True)
