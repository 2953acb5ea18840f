"""Docstrings are run, and say what they promise to say."""

import doctest
import inspect
import pkgutil
import re
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import streamproc as sp
from streamproc import handle, methods

PACKAGES = ("streamproc.sources", "streamproc.sinks", "streamproc.dashboards")


def modules() -> list[str]:
    """Every module by its installed name; the mapped folders are walked apart."""
    found = {"streamproc", *PACKAGES}
    for root in ("streamproc", *PACKAGES):
        package = import_module(root)
        found |= {m.name for m in pkgutil.walk_packages(package.__path__, f"{root}.")}
    return sorted(found)


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_hold(name: str) -> None:
    module = import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def public() -> dict[str, Any]:
    """Every public function and class, by its full name."""
    found = {f"sp.{name}": getattr(sp, name) for name in sp.__all__}
    found |= {f"sp.ops.{name}": getattr(sp.ops, name) for name in sp.ops.__all__}
    return {
        name: thing
        for name, thing in found.items()
        if inspect.isfunction(thing) or inspect.isclass(thing)
    }


def section(doc: str, title: str) -> str:
    """The text of a numpydoc section; empty where there is none."""
    match = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", doc, re.M | re.S)
    return match[1] if match else ""


def documented(doc: str) -> set[str]:
    """The names of the section Parameters."""
    names: set[str] = set()
    for line in section(doc, "Parameters").splitlines():
        if line and not line[0].isspace():
            names |= {name.strip().lstrip("*") for name in line.split(",")}
    return names


@pytest.mark.parametrize("name", sorted(public()))
def test_public_names_are_documented(name: str) -> None:
    thing = public()[name]
    doc = inspect.getdoc(thing) or ""
    first = doc.partition("\n")[0]
    assert first.endswith((".", ".``")), f"{name}: {first!r}"
    if inspect.isclass(thing):
        return
    parameters = set(inspect.signature(thing).parameters)
    missing = parameters - documented(doc)
    # a shorter twin may send its reader to the full one
    assert not missing or re.search(r"see `\w+` for the parameters", doc), missing
    if inspect.signature(thing).return_annotation not in (None, "None"):
        assert section(doc, "Returns") or first.startswith("Return"), name


@pytest.mark.parametrize("name", sorted(sp.ops.OPERATORS))
def test_operators_name_what_they_equal(name: str) -> None:
    doc = inspect.getdoc(getattr(sp.ops, name)) or ""
    assert section(doc, "Parameters")
    assert section(doc, "Returns")
    assert section(doc, "Examples"), "an example with real numbers"


HANDLES = {
    thing.__name__: thing
    for thing in (*vars(methods).values(), *vars(handle).values())
    if inspect.isclass(thing) and issubclass(thing, handle.Handle)
}
METHODS = sorted(
    f"{kind}.{name}"
    for kind, owner in HANDLES.items()
    for name in vars(owner)
    if not name.startswith("_") and name != "kind"
)


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_handles_send_their_reader_on(name: str) -> None:
    kind, _, method = name.partition(".")
    doc = inspect.getdoc(vars(HANDLES[kind])[method]) or ""
    assert doc, f"{name} has no docstring"
    for operator in re.findall(r"`ops\.(\w+)`", doc):
        assert hasattr(sp.ops, operator), f"{name} names ops.{operator}"


def test_modules_are_found_in_all_packages() -> None:
    names = modules()
    for expected in ("streamproc.ops.filters", "streamproc.sources.files"):
        assert expected in names
    assert all(isinstance(import_module(n), ModuleType) for n in names)
