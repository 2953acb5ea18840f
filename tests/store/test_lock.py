"""One process per run folder."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamproc.errors import RunFolderError, StoreError
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


@pytest.mark.skipif(sys.platform == "win32", reason="an open file stays there")
def test_a_lock_that_was_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lock = RunLock(folder / "run.lock")
    with pytest.raises(RunFolderError, match="is not ours: its lock was given back"):
        lock.check()  # nothing is held
    lock.acquire()
    lock.check()
    lock.path.unlink()
    with pytest.raises(RunFolderError, match=r"taken from .*: its run.lock was delet"):
        lock.check()
    other = RunLock(lock.path)
    other.acquire()
    other.check()
    with pytest.raises(RunFolderError, match="another process took over run folder"):
        lock.check()
    other.release()
    lock.path.unlink()
    folder.rmdir()
    with pytest.raises(RunFolderError, match=r"taken from this process: it is gone"):
        lock.check()
    lock.release()


def test_a_lock_on_a_drive_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = RunLock(tmp_path / "run.lock")
    lock.acquire()

    def stale(path: Path) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", stale)
        with pytest.raises(StoreError, match=r"cannot read .*run.lock: Stale file h"):
            lock.check()
    lock.check()
    lock.release()
