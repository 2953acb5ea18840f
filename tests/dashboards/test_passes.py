"""The tests in a browser pass again: a second time here, twenty times by command."""

import subprocess
import sys
from pathlib import Path

import pytest

from .test_browser import CHROMIUM


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_they_pass_again(repository: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("needs Chromium on the path")
    command = [sys.executable, "-m", "tests.dashboards.passes", "--count", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("1 of 1: ")
    assert " passed" in done.stdout
