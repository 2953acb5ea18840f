"""The blocks of README.md are run in order in one folder; CONTRIBUTING.md's too."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

import streamproc as sp

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


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text and the line it begins at."""

    language: str
    text: str
    line: int


def blocks(text: str = TEXT) -> list[Block]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [Block(m[1], m[2], text[: m.start()].count("\n") + 1) for m in found]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with what the README takes for granted: movie.tif and plate/."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    frames = rng.poisson(20, (6, 64, 80)).astype(np.uint16)
    for t, frame in enumerate(frames):
        frame[10:22, 8 + 4 * t : 20 + 4 * t] += 300
        frame[40:48, 60 - 3 * t : 70 - 3 * t] += 200
    tifffile.imwrite("movie.tif", frames, photometric="minisblack")
    Path("plate").mkdir()
    for t, frame in enumerate(frames):
        cv2.imwrite(f"plate/well_{t}.png", frame)
    return tmp_path


def shell(block: Block) -> None:
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"README:{block.line}\n{done.stdout}{done.stderr}"


def sql(block: Block) -> None:
    db = sqlite3.connect("file:RUN/run.sqlite?mode=ro", uri=True)
    try:
        for statement in filter(str.strip, block.text.split(";")):
            assert db.execute(statement).fetchall(), f"README:{block.line} {statement}"
    finally:
        db.close()


def test_every_block_runs(folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks():
        if block.language == "python":
            code = compile("\n" * block.line + block.text, str(README), "exec")
            exec(code, names)
        elif block.language == "yaml":
            Path("nuclei.yaml").write_text(block.text, encoding="utf-8")
        elif block.language == "sql":
            sql(block)
        elif block.text.split()[0] not in NOT_RUN:
            shell(block)
    assert Path("nuclei.png").stat().st_size > 1000


def test_blocks_have_a_language_that_is_run() -> None:
    assert {b.language for b in blocks()} <= {"shell", "python", "yaml", "sql"}


def test_what_is_not_run_is_there() -> None:
    first = {b.text.split()[0] for b in blocks() if b.language == "shell"}
    assert set(NOT_RUN) <= first


def test_the_two_commands_come_first() -> None:
    first = next(b for b in blocks() if b.language == "shell")
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
    operator, source = (b.text for b in blocks(text) if b.language == "python")
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


def test_pictures_are_small() -> None:
    pictures = [p for p in (README.parent / "docs").rglob("*") if p.is_file()]
    assert pictures
    assert sum(p.stat().st_size for p in pictures) < 300_000


def test_a_mistake_is_answered_as_shown(folder: Path) -> None:
    (answer,) = re.findall(r"`(graph\..*?did you mean .*?)`", TEXT)
    pipeline = next(b.text for b in blocks() if b.language == "yaml")
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
