"""One set of names and parameters: Python, YAML and the plain functions."""

import ast
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import streamproc as sp
from streamproc import methods as handles
from streamproc.handle import Handle
from streamproc.ordered import ORDERED
from streamproc.parameters import Parameters
from streamproc.steps import operators
from tests.methods import PATH, kinds_of, takes_names, text

HANDLES = (
    handles.Image,
    handles.Mask,
    handles.Labels,
    handles.Table,
    handles.Value,
)
#: Methods that are no operator of that name.
OWN = {"map", "apply", "preview", "stream", "is_streamed", "name"}


def test_all_is_sorted_and_complete() -> None:
    assert sorted(sp.__all__) == sp.__all__
    assert len(set(sp.__all__)) == len(sp.__all__)
    everything = {name: getattr(sp, name) for name in sp.__all__}
    for name, thing in everything.items():
        if not isinstance(thing, ModuleType):
            assert thing.__module__.startswith("streamproc"), name


def test_all_is_what_is_visible() -> None:
    for name in sp.__all__:
        getattr(sp, name)
    machinery = {"TYPE_CHECKING", "import_module"}
    visible = {
        name
        for name in dir(sp)
        if not name.startswith("_")
        and name not in machinery
        and (name in sp.__all__ or not isinstance(getattr(sp, name), ModuleType))
    }
    assert visible == set(sp.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(sp))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    names = {
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(sp.__all__)


def test_no_module_hides_a_public_name() -> None:
    # importing streamproc.x binds x on the package, over whatever x was
    modules = {m.name for m in pkgutil.iter_modules(sp.__path__)}
    assert modules & set(sp.__all__) == {"ops", "testing"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        sp.nothing


def methods() -> list[tuple[type[Handle], str]]:
    """Each operator's method, with the class that defines it."""
    return [
        (kind, name)
        for kind in HANDLES
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_") and name not in OWN
    ]


def parameters_of(name: str) -> tuple[tuple[str, ...], Parameters]:
    """Names of further inputs, and the parameters, of an operator."""
    if name in ORDERED:
        return tuple(takes_names(name)), Parameters(ORDERED[name], positional=True)
    spec = sp.ops.OPERATORS[name]
    return spec.inputs[1:], spec.parameters


def plain(value: Any) -> Any:
    """A default as YAML would have it."""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("kind", "name"), methods(), ids=lambda v: v if isinstance(v, str) else v.__name__
)
def test_methods_take_what_the_operator_takes(kind: type[Handle], name: str) -> None:
    others, parameters = parameters_of(name)
    signature = inspect.signature(vars(kind)[name])
    mine = {k: p for k, p in signature.parameters.items() if k not in ("self", "name")}
    assert list(mine) == [*others, *parameters.items]
    assert signature.parameters["name"].default is None
    assert signature.parameters["name"].kind is inspect.Parameter.KEYWORD_ONLY
    defaults = {
        k: plain(p.default)
        for k, p in mine.items()
        if k not in others and p.default is not inspect.Parameter.empty
    }
    assert defaults == {k: plain(v) for k, v in parameters.defaults().items()}


@pytest.mark.parametrize("name", sorted({*sp.ops.OPERATORS, *ORDERED}))
def test_every_operator_has_a_method_on_what_it_takes(name: str) -> None:
    takes = kinds_of(name)[0]
    for kind in HANDLES:
        if kind.kind in takes:
            assert hasattr(kind, name), f"{kind.__name__}.{name}"


def test_steps_are_the_methods() -> None:
    assert set(operators()) == {name for _, name in methods()} | {"map"}


def test_methods_give_the_kind_they_say() -> None:
    for kind, name in methods():
        if name in sp.ops.OPERATORS:
            gives = sp.ops.OPERATORS[name].gives or kind.kind
            says = inspect.signature(vars(kind)[name]).return_annotation
            by_name = {h.__name__: h.kind for h in HANDLES} | {"~H": kind.kind}
            assert by_name[str(says)] == gives or by_name[str(says)] == "image"


def test_methods_are_written_from_the_operators() -> None:
    assert PATH.read_text("utf-8") == text(), "run: python -m tests.methods"
