"""The tree of errors, and how a message is one line."""

import pytest

import streamproc as sp
from streamproc.errors import nearest, one_line


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (sp.ConfigError, ValueError),
        (sp.SourceError, OSError),
        (sp.FrameError, ValueError),
        (sp.StoreError, OSError),
        (sp.RunFolderError, sp.StoreError),
        (sp.MissingDependency, ImportError),
    ],
)
def test_each_is_a_builtin_too(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, sp.StreamprocError)
    assert issubclass(error, builtin)


def test_nearest() -> None:
    assert nearest("sigm", ["sigma", "size"]) == "; did you mean 'sigma'?"
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"
    assert nearest(3, ["b", 1]) == "; known: 1, b"


def test_one_line() -> None:
    assert one_line(sp.FrameError("a\n  b")) == "a b"
    assert one_line(ValueError("a\nb")) == "ValueError: a b"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(sp.FrameError()) == "FrameError"
