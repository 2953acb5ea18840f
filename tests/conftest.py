"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
