"""A run and its page, each a process of its own, as users have them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import streamproc as sp

#: Cells that move, at a rate that a loaded machine keeps; sigma may be changed, and a
#: pause raises an alert.
LIVE = """\
source: {simulation: {frames: 100000, shape: [128, 160], fps: 10, live: true}}
graph:
  smooth: {gaussian: {sigma: 1}}
  mask:   {threshold: otsu}
  nuclei: {label: {}}
  cells:  {measure: {intensity: source}}
save: [source, nuclei, cells]
adjustable: [smooth.sigma]
alerts: {lag_frames: 15, clear_after: 1}
"""

Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def begin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Begin]:
    """Begin a streamproc command; it is ended with the module's tests."""
    folder = tmp_path_factory.mktemp("begun")
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamproc", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def live_run(tmp_path_factory: pytest.TempPathFactory, begin: Begin) -> Path:
    """A live run that goes on, with a frame done or more."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "live.yaml").write_text(LIVE)
    path = folder / "RUN"
    process = begin("run", str(folder / "live.yaml"), "--to", str(path))
    while process.poll() is None:
        try:
            if sp.load(path).status()["done"]:
                return path
        except sp.StreamprocError:
            continue
    assert process.stdout is not None
    raise AssertionError(process.stdout.read())


@pytest.fixture(scope="module")
def page(live_run: Path, begin: Begin) -> str:
    """The address of the page of the live run."""
    return serving(begin("dashboard", str(live_run)))


def serving(process: subprocess.Popen[str], scheme: str = "http://") -> str:
    """Return the address that a dashboard says it serves."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(scheme):
            return line.strip()
    raise AssertionError("the dashboard ended")
