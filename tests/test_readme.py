"""The blocks of README.md are run in order in one folder; CONTRIBUTING.md's too."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from tests.blocks import LANGUAGES, blocks, run_page, write_data

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
#: The two commands of a newcomer; .ci/run takes them from here and runs them.
COMMANDS = [
    "pip install -e . && streamproc demo",
    'pip install -e ".[test]" && pytest',
]
#: Shell blocks that are not run here, by their first word, and why.
NOT_RUN = {
    "pip": "changes the environment under test; .ci/run runs both lines",
    "napari": "needs a screen, and a viewer that is no dependency",
    "python": "takes minutes, and measures; it is no test",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with what the README takes for granted: movie.tif and plate/."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    return tmp_path


def test_every_block_runs(folder: Path) -> None:
    run_page(README, NOT_RUN)
    assert Path("nuclei.png").stat().st_size > 1000


def test_blocks_have_a_language_that_is_run() -> None:
    assert {b.language for b in blocks(TEXT)} <= LANGUAGES


def test_what_is_not_run_is_there() -> None:
    first = {b.text.split()[0] for b in blocks(TEXT) if b.language == "shell"}
    assert set(NOT_RUN) <= first


def test_the_two_commands_come_first() -> None:
    first = next(b for b in blocks(TEXT) if b.language == "shell")
    assert first.text.splitlines() == COMMANDS


def test_the_gate_runs_the_two_commands() -> None:
    gate = README.parent / ".ci" / "run"
    done = subprocess.run(
        ["bash", str(gate), "--list"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == COMMANDS


NAMED = set(re.findall(r"(?:^|`|&& )streamproc ([a-z]+)", TEXT, re.M))


@pytest.mark.parametrize("command", sorted(NAMED))
def test_commands_have_help(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", command, "--help"],
        capture_output=True,
        text=True,
        cwd=README.parent / "docs",
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    text = (README.parent / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (README.parent / target).exists(), target


def test_how_to_contribute_works(folder: Path) -> None:
    text = (README.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    operator, source, *_ = (b.text for b in blocks(text) if b.language == "python")
    here: dict[str, Any] = {
        "__name__": "streamproc.ops.example",
        "__package__": "streamproc.ops",
    }
    exec(compile(operator, "CONTRIBUTING.md", "exec"), here)
    gamma = here["adjust_gamma"]
    assert gamma([[1, 2], [3, 4]], gamma=2).tolist() == [[1, 4], [9, 16]]
    with pytest.raises(ValueError, match=r"gamma must be > 0.*, got -1"):
        gamma([[1, 2], [3, 4]], gamma=-1.0)

    there: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "CONTRIBUTING.md", "exec"), there)
    raw = sp.open(there["Ramp"](3))
    report = sp.run({"source": raw}, to="RUN")
    assert report.frames.done == 3
    pixels = np.asarray(sp.load("RUN").images["source"][:])
    assert pixels.mean(axis=(1, 2)).tolist() == [0, 1, 2]


def test_a_plugin_as_shown_keeps_its_contracts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (README.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    python = (b.text for b in blocks(text) if b.language == "python")
    _, source, operator, tests = python
    package = tmp_path / "installed" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "ramp.py").write_text(source)
    (package / "spots.py").write_text(operator)
    info = package.parent / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: m\nVersion: 1.0\n")
    points = next(b.text for b in blocks(text) if b.language == "toml")
    known = re.findall(r'entry-points\."(.*)"\]\n(\w+) = "(.*)"', points)
    lines = [f"[{group}]\n{name} = {value}\n" for group, name, value in known]
    (info / "entry_points.txt").write_text("".join(lines))
    assert len(lines) == 2
    (tmp_path / "test_mine.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_pictures_are_small() -> None:
    made = {"_build", "generated"}
    docs = README.parent / "docs"
    found = [*docs.rglob("*.png"), *docs.rglob("*.webp")]
    pictures = [p for p in found if not made & set(p.parts)]
    assert len(pictures) > 1
    assert sum(p.stat().st_size for p in pictures) < 300_000


def test_a_mistake_is_answered_as_shown(folder: Path) -> None:
    (answer,) = re.findall(r"`(graph\..*?did you mean .*?)`", TEXT)
    pipeline = next(b.text for b in blocks(TEXT) if b.language == "yaml")
    Path("wrong.yaml").write_text(pipeline.replace("sigma: 1", "sigm: 1"))
    command = [sys.executable, "-m", "streamproc", "check", "wrong.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert answer in done.stderr


def test_exit_codes_are_those_of_the_command_line(folder: Path) -> None:
    assert shutil.which("bash")
    done = subprocess.run(
        [sys.executable, "-m", "streamproc", "run", "nothing.yaml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not Path("runs").exists()
