"""What every test may use."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from streamproc.__main__ import main

# a busy machine is no failure: time limits are pytest-timeout's business
settings.register_profile("here", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True, database=None)
settings.load_profile("gate" if os.environ.get("CI") else "here")

#: another distribution, whose own tests `test_plugin_example` runs
collect_ignore = ["plugin_example"]

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["inline", "threads"])
def executor(request: pytest.FixtureRequest) -> str:
    """Every executor: one test body, the same results."""
    return str(request.param)


@pytest.fixture
def repository() -> Path:
    """The root of the checkout (the package may be installed elsewhere)."""
    return REPOSITORY


@pytest.fixture
def command(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process, in ``tmp_path``: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return call


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what takes minutes, unless it is asked for."""
    if "soak" in str(config.getoption("markexpr")):
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
