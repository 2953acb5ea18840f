"""What a step found out about an array, for the next one that looks at it.

`label` knows the runs of pixels that `measure` needs; two measures of the same labels
need the same. Nobody writes into the values of a stage, so that what was found stays
true: `stage` remembers it for the length of a frame. Elsewhere arrays may change, in
the midst of a user's function too, and nothing is remembered.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

import numpy as np

from .frame import Array

T = TypeVar("T")
#: By the identity of an array, and by what was found. An identity may be given to
#: another array later, a reference not.
Findings: TypeAlias = dict[tuple[int, type], tuple[weakref.ref[Array], object]]

_findings: ContextVar[Findings | None] = ContextVar("findings", default=None)


@contextmanager
def remembering(on: bool = True) -> Iterator[None]:
    """Remember from here to the end of the block, or do not."""
    token = _findings.set({} if on else None)
    try:
        yield
    finally:
        _findings.reset(token)


def remember(array: object, finding: object) -> None:
    """Keep what was found out about an array until it goes, or the frame is done."""
    findings = _findings.get()
    if findings is not None and isinstance(array, np.ndarray):
        findings[id(array), type(finding)] = weakref.ref(array), finding


def recall(array: object, kind: type[T]) -> T | None:
    """Return what was found out about this very array, not about one it is a view of.

    None where nothing of this kind was.
    """
    findings = _findings.get()
    if findings is None or (id(array), kind) not in findings:
        return None
    known, finding = findings[id(array), kind]
    return finding if known() is array and isinstance(finding, kind) else None
