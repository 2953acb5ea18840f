"""Every example runs, on every executor, in an empty folder."""

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from streamproc import config, demo

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
PIPELINES = sorted((EXAMPLES / "pipelines").glob("*.yaml"))
#: Examples of optional packages, and what they import.
OPTIONAL = {"07_microscope": "mm_test_adapters", "micromanager": "mm_test_adapters"}
#: Seconds; an example is there to be tried.
PATIENCE = 60


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with the files that the pipelines name."""
    source = EXAMPLES / "02_files_and_video.py"
    done = run([str(source)], tmp_path)
    assert done.returncode == 0, done.stderr
    made = tmp_path / "example_recordings"
    (made / "squares.tif").rename(tmp_path / "nuclei.tif")
    (made / "squares.mkv").rename(tmp_path / "clip.mp4")
    return tmp_path


def test_there_are_examples() -> None:
    assert [path.stem[:2] for path in SCRIPTS] == [f"{n:02}" for n in range(1, 8)]
    assert {"demo", "micromanager", "nuclei", "video"} <= {
        path.stem for path in PIPELINES
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_run(script: Path, executor: str, tmp_path: Path) -> None:
    if script.stem in OPTIONAL:
        pytest.importorskip(OPTIONAL[script.stem], reason="an optional package")
    start = time.monotonic()
    done = run([str(script), "--executor", executor], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.glob("example_*/run.sqlite")), done.stdout
    assert "example_" in done.stdout.splitlines()[-1], "the last line says where"
    assert time.monotonic() - start < PATIENCE


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_say_what_they_need(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    match = re.match(r"# /// script\n((?:#.*\n)+?)# ///\n", text)
    assert match, "a PEP 723 header comes first"
    header = tomllib.loads(re.sub(r"^# ?", "", match[1], flags=re.M))
    needs = ["streamproc"]
    if script.stem in OPTIONAL:
        needs = ["streamproc[micromanager]", "mm-test-adapters"]
    assert header == {"requires-python": ">=3.11", "dependencies": needs}


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.stem)
def test_pipelines_check(pipeline: Path, recordings: Path) -> None:
    done = run(["-m", "streamproc", "check", str(pipeline)], recordings)
    assert done.returncode == 0, done.stderr
    assert not (recordings / "runs").exists()


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.stem)
def test_pipelines_run(pipeline: Path, recordings: Path) -> None:
    if pipeline.stem in OPTIONAL:
        pytest.importorskip(OPTIONAL[pipeline.stem], reason="an optional package")
    command = ["-m", "streamproc", "run", str(pipeline), "--to", "RUN"]
    done = run([*command, "--frames", "8"], recordings)
    assert done.returncode == 0, done.stderr
    # a batch has a run per image below, and an index
    assert list((recordings / "RUN").glob("*.sqlite"))
    assert list((recordings / "RUN").glob("**/run.sqlite"))


def test_the_demo_is_a_pipeline_like_any_other() -> None:
    path = EXAMPLES / "pipelines" / "demo.yaml"
    written = config.parse(config.read_yaml(path), str(path))
    mine, _ = config.build(demo.pipeline())
    theirs, _ = config.build(written)
    assert mine.source.info == theirs.source.info
    for name, step in mine.steps.items():
        other = theirs.steps[name]
        assert (step.operator, dict(step.parameters)) == (
            other.operator,
            dict(other.parameters),
        )
        assert [i.name for i in step.inputs] == [i.name for i in other.inputs]
    assert written.saved == demo.pipeline().saved


def test_recordings_are_what_the_example_says(recordings: Path) -> None:
    stack = tifffile.imread(recordings / "nuclei.tif")
    assert stack.shape == (10, 96, 128)
    assert stack.dtype == np.uint16
