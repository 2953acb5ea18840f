import re
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

#: Folder at the root -> name once installed.
MAPPED = {"sources", "sinks", "dashboards"}
GROUPS = ("sources", "sinks")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[1] / "pyproject.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_every_folder_with_an_init_is_a_package(
    project: dict[str, Any], repository: Path
) -> None:
    found = set()
    for top in ("streamproc", *MAPPED):
        for init in (repository / top).rglob("__init__.py"):
            name = ".".join(init.parent.relative_to(repository).parts)
            found.add(f"streamproc.{name}" if top in MAPPED else name)
    setuptools = project["tool"]["setuptools"]
    assert set(setuptools["packages"]) == found
    assert setuptools["package-dir"] == {f"streamproc.{name}": name for name in MAPPED}


@pytest.mark.parametrize("folder", sorted(MAPPED))
def test_plugin_folders_are_flat(folder: str, repository: Path) -> None:
    nested = [p for p in (repository / folder).glob("*/*.py") if p.is_file()]
    assert nested == []


@pytest.mark.parametrize("group", GROUPS)
def test_entry_points_load_what_they_name(group: str, project: dict[str, Any]) -> None:
    declared = project["project"]["entry-points"][f"streamproc.{group}"]
    points = entry_points(group=f"streamproc.{group}")
    installed = {p.name: p for p in points if p.value.startswith("streamproc.")}
    assert {name: point.value for name, point in installed.items()} == declared
    for name, point in installed.items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        module, _, kind = point.value.partition(":")
        assert module == f"streamproc.{group}.{name.replace('-', '_')}"
        assert point.load().__name__ == kind


@pytest.mark.parametrize("group", GROUPS)
def test_every_plugin_file_has_an_entry_point(
    group: str, project: dict[str, Any], repository: Path
) -> None:
    files = {p.stem for p in (repository / group).glob("[a-z]*.py")}
    declared = project["project"]["entry-points"][f"streamproc.{group}"]
    assert {name.replace("-", "_") for name in declared} == files


def test_the_console_script_is_the_module() -> None:
    (script,) = entry_points(group="console_scripts", name="streamproc")
    assert script.value == "streamproc.__main__:main"
    assert callable(script.load())


def test_the_version_is_one() -> None:
    assert re.match(r"\d+\.\d+", version("streamproc"))


def test_markers_and_extras_are_named(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    assert {"test", "gpu", "microscopy", "codecs", "remote"} <= set(extras)
    core = {re.split(r"[<>=~! \[;]", d)[0] for d in project["project"]["dependencies"]}
    assert not core & {re.split(r"[<>=~! \[;]", d)[0] for d in extras["test"]}
