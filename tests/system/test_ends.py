"""A disk that fills up: a clean stop with the reason, and resume as if nothing."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from streamproc.folder import status
from tests.same_run import assert_same_run

Resize = Callable[[str], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A file system of 30 MB, and what makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    try:
        mount("size=30m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a small file system here")
    yield folder, lambda size: mount(f"remount,size={size}")
    subprocess.run(["umount", folder], check=True)


def streamproc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "streamproc", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("reserve", "reason"),
    [
        ("1KB", "No space left on device|less than limits.disk_reserve"),
        ("12MB", "less than limits.disk_reserve"),
    ],
)
def test_full_disk_stops_and_resumes(
    tmp_path: Path,
    small_disk: tuple[Path, Resize],
    live: bool,
    reserve: str,
    reason: str,
) -> None:
    disk, resize = small_disk
    pipeline = tmp_path / "pipeline.yaml"
    simulation = {"frames": 150, "shape": [400, 400], "live": live, "fps": None}
    given = {
        "source": {"simulation": simulation},
        "graph": {
            "flat": {"background": {"window": 20, "every": 10}},
            "mask": {"threshold": "otsu"},
            "nuclei": {"label": None},
            "cells": {"measure": {"intensity": "source"}},
        },
        "save": ["source", "flat", "nuclei", "cells"],
        # compressed: the space needed is not known before the start
        "store": {"images": "blosc-lz4", "pyramid": False},
        "limits": {"disk_reserve": reserve},
    }
    pipeline.write_text(yaml.safe_dump(given, sort_keys=False))
    run = disk / "run"
    ended = streamproc("run", pipeline, "--to", run)
    assert ended.returncode == 1, ended.stderr
    assert re.search(reason, ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    state = status(run)
    assert state["state"] == "stopped"
    assert re.search(reason, state["reason"])
    assert 0 < state["done"] < 150
    checked = streamproc("verify", run)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    resize("400m")
    ended = streamproc("resume", run)
    assert ended.returncode == 0, ended.stderr
    given["limits"] = {"disk_reserve": "1KB"}
    pipeline.write_text(yaml.safe_dump(given, sort_keys=False))
    assert streamproc("run", pipeline, "--to", tmp_path / "whole").returncode == 0
    assert_same_run(tmp_path / "whole", run)
