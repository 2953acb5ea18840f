"""The layers of pyproject.toml hold, and a breach is seen.

import-linter does not see folders that are mapped into a package, so the house is
put together as it is installed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAPPED = ("sources", "sinks", "dashboards")
IGNORE = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")


@pytest.fixture
def house(tmp_path: Path, repository: Path) -> Path:
    shutil.copytree(repository / "streamproc", tmp_path / "streamproc", ignore=IGNORE)
    for name in MAPPED:
        target = tmp_path / "streamproc" / name
        shutil.copytree(repository / name, target, ignore=IGNORE)
    return tmp_path


def lint(house: Path, repository: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports_command as run; run()"
    config = str(repository / "pyproject.toml")
    return subprocess.run(
        [sys.executable, "-c", code, "--config", config, "--no-cache"],
        cwd=house,
        capture_output=True,
        text=True,
    )


def test_layers_hold(house: Path, repository: Path) -> None:
    done = lint(house, repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("plugins.py", "from .sources.files import Files", "Arrows point downward"),
        ("store/log.py", "from ..graph import Handle", "Arrows point downward"),
        ("ops/filters.py", "import dask", "Operators are plain functions"),
        ("runs.py", "import streamz", "Only handles import streamz"),
        ("sources/video.py", "from .files import Files", "One file, one plugin"),
        ("store/log.py", "import zarr", "needs no zarr library"),
    ],
)
def test_a_breach_is_seen(
    house: Path, repository: Path, module: str, line: str, contract: str
) -> None:
    path = house / "streamproc" / module
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = lint(house, repository)
    assert done.returncode == 1
    broken = [text for text in done.stdout.splitlines() if "BROKEN" in text]
    assert len(broken) == 1
    assert contract in broken[0]


def test_a_new_module_needs_a_place(house: Path, repository: Path) -> None:
    (house / "streamproc" / "helpers.py").write_text('"""Anything."""\n')
    done = lint(house, repository)
    assert done.returncode == 1
    assert "helpers" in done.stdout
