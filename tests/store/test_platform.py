import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamproc.errors import StoreError
from streamproc.store import platform as module
from streamproc.store.platform import (
    BLOCK,
    EMULATED,
    NATIVE,
    Platform,
    aligned_empty,
    explained,
    padded,
)


@pytest.fixture(params=[NATIVE, EMULATED], ids=["native", "emulated"])
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


@pytest.mark.parametrize(
    ("size", "blocks"), [(0, 0), (1, 1), (BLOCK, 1), (BLOCK + 1, 2)]
)
def test_padded_rounds_up_to_blocks(size: int, blocks: int) -> None:
    assert padded(size) == blocks * BLOCK


def test_aligned_memory_is_aligned() -> None:
    memory = aligned_empty(3 * BLOCK)
    assert len(memory) == 3 * BLOCK
    assert memory.ctypes.data % BLOCK == 0


def test_blocks_are_written_where_asked(tmp_path: Path, platform: Platform) -> None:
    block = aligned_empty(BLOCK)
    block[:] = 7
    fd = platform.open(tmp_path / "file", create=True)
    platform.resize_sparse(fd, 4 * BLOCK)
    platform.write_at(fd, block, 2 * BLOCK)
    platform.sync(fd)
    os.close(fd)
    data = np.fromfile(tmp_path / "file", np.uint8)
    assert len(data) == 4 * BLOCK
    assert data[2 * BLOCK : 3 * BLOCK].min() == 7
    assert not data[: 2 * BLOCK].any()
    assert not data[3 * BLOCK :].any()


def test_short_writes_are_continued(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: dict[str, Any] = {"pwrite": getattr(os, "pwrite", None), "write": os.write}
    monkeypatch.setattr(
        os, "pwrite", lambda fd, b, at: whole["pwrite"](fd, b[:10], at), raising=False
    )
    monkeypatch.setattr(os, "write", lambda fd, b: whole["write"](fd, b[:10]))
    fd = platform.open_ordinary(tmp_path / "file")
    platform.write_at(fd, bytes(range(95)), 3)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == bytes(3) + bytes(range(95))


def test_a_write_of_nothing_is_an_error(
    tmp_path: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwrite", lambda *_: 0, raising=False)
    monkeypatch.setattr(os, "write", lambda *_: 0)
    fd = platform.open_ordinary(tmp_path / "file")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        platform.write_at(fd, b"abc", 0)
    os.close(fd)


def test_replacing_is_tried_again(tmp_path: Path) -> None:
    shaky = Platform(direct=False, pwrite=True, fdatasync=True, replace_failure=0.5)
    for content in range(20):
        shaky.write_file(tmp_path / "file", b"%d" % content, durable=True)
        assert (tmp_path / "file").read_bytes() == b"%d" % content


def test_replacing_gives_up_in_the_end(tmp_path: Path) -> None:
    never = Platform(direct=False, pwrite=True, fdatasync=True, replace_failure=1.0)
    with pytest.raises(PermissionError, match="the file is in use"):
        never.write_file(tmp_path / "file", b"", durable=False, attempts=3)
    assert not (tmp_path / "file").exists()


def test_directories_are_synced(tmp_path: Path, platform: Platform) -> None:
    platform.sync_directory(tmp_path)


def test_a_folder_without_direct_writes_gets_ordinary_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_direct_devices", {tmp_path.stat().st_dev: False})
    eager = Platform(direct=True, pwrite=True, fdatasync=True)
    fd = eager.open(tmp_path / "file", create=True)
    assert os.write(fd, b"odd") == 3
    os.close(fd)


def test_the_probe_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_direct_devices", {})
    os.close(NATIVE.open(tmp_path / "file", create=True))
    assert os.listdir(tmp_path) == ["file"]


def test_errors_of_the_system_say_what_to_do(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        pytest.raises(StoreError, match=r"^cannot write .*No space.*; free space or"),
        explained(tmp_path),
    ):
        raise full
