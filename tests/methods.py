"""Writes `streamproc/methods.py` from the operators: ``python -m tests.methods``."""

import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from streamproc import ops
from streamproc.frame import Kind
from streamproc.ordered import ORDERED
from streamproc.parameters import Parameters

PATH = Path(__file__).parents[1] / "streamproc" / "methods.py"
HEAD = '''"""What a handle of each kind can do: one method per operator.

Written by ``python -m tests.methods`` from the signatures of `streamproc.ops`: change
them there. What is here is for editors and type checkers, and for whoever reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from .frame import Kind
from .handle import Handle

H = TypeVar("H", bound=Handle)
'''
KINDS: dict[Kind, tuple[str, str, str]] = {
    "image": (
        "Image",
        "Handle",
        "An image per frame: ``(y, x)``, with z and c before where the source has "
        "them.",
    ),
    "mask": ("Mask", "Image", "A mask per frame: uint8, 0 or 1."),
    "labels": ("Labels", "Handle", "A label image per frame: uint32, 0 is background."),
    "table": ("Table", "Handle", "A table per frame: one row per object."),
    "value": (
        "Value",
        "Handle",
        "A small value per frame: a number, text, or a mapping of them.",
    ),
}


def text() -> str:
    """Return the module."""
    parts = [HEAD]
    for kind, (name, base, doc) in KINDS.items():
        parts.append(f'class {name}({base}):\n    """{doc}"""\n\n')
        parts.append(f'    kind: Kind = "{kind}"\n')
        for operator in sorted({*ops.OPERATORS, *ORDERED}):
            if kind in owners(operator):
                parts.append(method(operator))
    return formatted("\n".join(parts))


def owners(operator: str) -> set[Kind]:
    """Return the kinds that have the method; a mask has those of an image."""
    takes = set(kinds_of(operator)[0])
    return takes - {"mask"} if "image" in takes else takes


def kinds_of(operator: str) -> tuple[tuple[Kind, ...], ...]:
    """Return the kinds that each input may have."""
    if operator in ORDERED:
        return ORDERED[operator].takes
    return ops.OPERATORS[operator].takes


def method(operator: str) -> str:
    """Return the text of one method."""
    takes = kinds_of(operator)
    if operator in ORDERED:
        others, optional, gives = takes_names(operator), 0, "Value"
        parameters = Parameters(ORDERED[operator], positional=True)
        doc = (inspect.getdoc(ORDERED[operator]) or "").partition("\n")[0]
    else:
        spec = ops.OPERATORS[operator]
        others, optional = list(spec.inputs[1:]), spec.optional
        parameters, doc = spec.parameters, spec.summary
        gives = KINDS[spec.gives][0] if spec.gives else "H"
        doc = f"{doc} See `ops.{operator}`."
    own = "self: H" if gives == "H" else "self"
    before = [own]
    for number, (name, kinds) in enumerate(zip(others, takes[1:], strict=True), 1):
        hint, default = classes(kinds), ""
        if number >= len(takes) - optional:
            hint, default = f"{hint} | None", " = None"
        before.append(f'{name}: "{hint}"{default}')
    arguments = [
        f"{n}: {rendered(parameters.types[n])}{_default(p)}"
        for n, p in parameters.items.items()
    ]
    if others or not arguments:
        signature = [*before, "*", *arguments]
    else:
        signature = [*before, arguments[0], "*", *arguments[1:]]
    signature.append("name: str | None = None")
    given = ", ".join(f'"{n}": {n}' for n in parameters.items)
    call = ", ".join([f'"{operator}"', "given", "name", *others])
    returns = gives if gives == "H" else f'"{gives}"'
    body = f"given: dict[str, Any] = {{{given}}}"
    result = f"self._add({call})"
    return (
        f"    def {operator}({', '.join(signature)}) -> {returns}:\n"
        f'        """{wrapped(doc)}"""\n        {body}\n'
        f"        made: {returns} = {result}\n        return made\n"
    )


def takes_names(operator: str) -> list[str]:
    """Return the names of an ordered step's further inputs."""
    count = len(kinds_of(operator))
    return ["other"] if count == 2 else [f"other_{n}" for n in range(1, count)]


def wrapped(doc: str) -> str:
    """Return a docstring that fits its lines."""
    first, _, rest = doc.partition(" See `ops.")
    if len(doc) <= 74:
        return doc
    lines = "\n        ".join(textwrap.wrap(first, 77))
    return f"{lines}\n\n        See `ops.{rest}\n        " if rest else lines


def classes(kinds: tuple[Kind, ...]) -> str:
    """Return the handles that an input may be."""
    wanted = [k for k in kinds if not (k == "mask" and "image" in kinds)]
    return " | ".join(KINDS[k][0] for k in wanted)


def rendered(hint: Any) -> str:
    """Return an annotation without its bounds."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return rendered(inner[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, inner))}]"
    if origin in (Union, UnionType):
        return " | ".join(rendered(each) for each in inner)
    if origin is tuple:
        kinds = list(dict.fromkeys(rendered(i) for i in inner if i is not ...))
        return f"Sequence[{' | '.join(kinds)}]"
    if origin is not None:
        return f"{origin.__name__.title()}[{', '.join(map(rendered, inner))}]"
    if hint in (None, NoneType):
        return "None"
    return "Any" if hint is Any else str(hint.__name__)


def _default(parameter: inspect.Parameter) -> str:
    empty = parameter.default is parameter.empty
    return "" if empty else f" = {parameter.default!r}"


def formatted(source: str) -> str:
    """Return Python as it is kept in the repository."""
    for command in (("check", "--fix", "-q"), ("format", "-q")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", PATH, "-"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        source = done.stdout or source
    return source


def lines() -> Iterator[str]:
    """Yield what a reader is told."""
    yield f"{PATH.name}: {len(PATH.read_text('utf-8').splitlines())} lines"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    print(*lines(), sep="\n")
