"""One process per run folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamproc.errors import RunFolderError
from streamproc.store.lock import RunLock, is_locked


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    assert not is_locked(path)
    lock = RunLock(path)
    lock.acquire()
    assert is_locked(path)
    assert json.loads(path.read_text())["pid"] == os.getpid()
    message = f"in use by process {os.getpid()} on .*; wait for its end or choose anoth"
    with pytest.raises(RunFolderError, match=message):
        RunLock(path).acquire()
    lock.release()
    lock.release()
    assert not is_locked(path)
    lock.acquire()
    lock.release()


def test_another_process_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = RunLock(path)
    lock.acquire()
    code = (
        "import sys; from pathlib import Path; from streamproc.store.lock import *\n"
        "print(is_locked(Path(sys.argv[1])))\n"
        "RunLock(Path(sys.argv[1])).acquire()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lock.release()
    assert done.stdout == "True\n"
    assert f"is in use by process {os.getpid()} on" in done.stderr


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from streamproc.store.lock import RunLock\n"
        "RunLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", code, str(path)]
    subprocess.run(command, timeout=60, check=False)
    assert json.loads(path.read_text())["pid"] != os.getpid()
    assert not is_locked(path)
    lock = RunLock(path)
    lock.acquire()
    lock.release()


def test_the_message_where_nobody_signed(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    lock = RunLock(path)
    lock.acquire()
    path.write_text("scribble")
    with pytest.raises(RunFolderError, match="is in use by another process; wait"):
        RunLock(path).acquire()
    lock.release()


def test_a_lock_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot write .*gone.*: No such file"):
        RunLock(tmp_path / "gone" / "run.lock").acquire()
