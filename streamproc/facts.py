"""What an operator takes, gives and equals: read from its definition and docstring."""

import inspect
import re
from dataclasses import dataclass
from importlib import import_module

from . import ops
from .extension import Extension
from .frame import Kind
from .ops import Operator
from .ordered import ORDERED

#: What built-in operators run on.
DEVICES = ("CPU",)
#: What an operator without pixels is said to return.
_OF_KIND = {"table": "DataFrame, a row per object", "value": "numbers by name"}


@dataclass(frozen=True, slots=True)
class Facts:
    """An operator in words.

    ``takes`` has the kinds of each input, one that may be missing in brackets;
    ``gives`` is the kind of the result, ``result`` its type and dtype; ``axes`` are
    those of the arrays that it acts on, in words; ``oracle`` is what it equals, empty
    where nothing else does the same; ``devices`` is what it runs on.
    """

    takes: tuple[str, ...]
    gives: str
    result: str
    axes: tuple[str, ...]
    oracle: str
    devices: tuple[str, ...]

    def __str__(self) -> str:
        """Return all in one line."""
        gives = self.gives if not self.result else f"{self.gives} ({self.result})"
        parts = [f"{', '.join(self.takes)} -> {gives}", " or ".join(self.axes)]
        parts.append(" and ".join(self.devices))
        parts.append(f"equals {self.oracle}" if self.oracle else "")
        return "; ".join(filter(None, parts))


def facts(operator: str) -> Facts:
    """Return what is known of a built-in operator or ordered step."""
    if operator in ORDERED:
        step = ORDERED[operator]
        takes = tuple(" or ".join(kinds) for kinds in step.takes)
        return Facts(takes, "value", "numbers by name, in frame order", (), "", DEVICES)
    spec = ops.OPERATORS[operator]
    doc = inspect.getdoc(spec.kernel) or ""
    return Facts(
        _takes(spec.takes, spec.optional),
        spec.gives or "the same kind",
        _result(doc, spec),
        _axes(doc),
        spec.oracle,
        DEVICES,
    )


def facts_of_plugin(spec: Extension) -> Facts:
    """Return what the signature of another package's operator says."""
    return Facts(_takes(spec.takes), spec.gives, "", (), "", DEVICES)


def family(operator: str) -> tuple[str, str]:
    """Return the group an operator is listed in: its module, and what that holds."""
    if operator in ORDERED:
        module = ORDERED[operator].__module__
    else:
        module = ops.OPERATORS[operator].kernel.__module__
    return module.rpartition(".")[2], _first_line(import_module(module))


def section(doc: str, title: str) -> str:
    """Return the text of a section of a numpydoc docstring; empty without it."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", doc, re.M | re.S)
    return found[1].strip() if found else ""


def _takes(takes: tuple[tuple[Kind, ...], ...], optional: int = 0) -> tuple[str, ...]:
    words = [" or ".join(kinds) for kinds in takes]
    needed = len(words) - optional
    return tuple(w if n < needed else f"[{w}]" for n, w in enumerate(words))


def _result(doc: str, spec: Operator) -> str:
    """Return the dtype that the docstring promises, or the type of what is small."""
    said = section(doc, "Returns").partition("\n")[0]
    if spec.gives in _OF_KIND:
        return _OF_KIND[spec.gives]
    if said == "ndarray":
        kept = re.search(
            r"(same|own) (shape and )?dtype", section(doc, "Returns"), re.I
        )
        return "dtype of the input" if kept else ""
    return said.removeprefix("ndarray of ")


def _axes(doc: str) -> tuple[str, ...]:
    """Return the axes that the first input is said to have: yx, zyx."""
    first = re.split(r"^\S", section(doc, "Parameters"), maxsplit=2, flags=re.M)
    said = re.findall(
        r"``\(((?:[tczyx], )*(?:[czyx]|\.\.\.))\)``", first[1] if first[1:] else ""
    )
    return tuple(dict.fromkeys(axes.replace(", ", "") for axes in said))


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]
