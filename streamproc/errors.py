"""Every error the engine raises on purpose.

::

    StreamprocError
    ├── ConfigError (ValueError)          a pipeline, parameter or graph that cannot run
    ├── SourceError (OSError)             a source that cannot be opened, or changes
    ├── FrameError (ValueError)           one frame that cannot be read or processed
    ├── ExecutorError (RuntimeError)      workers that cannot be started or reached
    ├── StoreError (OSError)              a run folder that cannot be written or read
    │   └── RunFolderError            a run folder that exists, is locked or differs
    └── MissingDependency (ImportError)   an optional package that is not installed

A message is one line: what was given, the rule, the remedy.
"""

import difflib
from collections.abc import Iterable


class StreamprocError(Exception):
    """Base of all errors of this package."""


class ConfigError(StreamprocError, ValueError):
    """A pipeline, a parameter or a graph that cannot run."""


class SourceError(StreamprocError, OSError):
    """A source that cannot be opened, or whose frames change shape midway."""


class FrameError(StreamprocError, ValueError):
    """One frame that cannot be read or processed; the others are unharmed."""


class ExecutorError(StreamprocError, RuntimeError):
    """Workers that cannot be started or reached, or are gone."""


class StoreError(StreamprocError, OSError):
    """A run folder that cannot be written or read."""


class RunFolderError(StoreError):
    """A run folder that exists already, is in use, or holds another run."""


class MissingDependency(StreamprocError, ImportError):  # noqa: N818
    """An optional package is not installed; the message names the extra."""


#: Choices that a message lists.
_READABLE = 24


def nearest(given: object, known: Iterable[object]) -> str:
    """Return ``; did you mean 'x'?`` or the sorted choices, to end a message.

    Too many to be read in one line are left out.
    """
    # a key of a YAML file may be a number
    choices = sorted(map(str, known))
    close = difflib.get_close_matches(str(given), choices, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(choices)}" if len(choices) <= _READABLE else ""


def one_line(error: BaseException) -> str:
    """Return the error as one line: its text, or its type where it has none."""
    try:
        text = plain_text(" ".join(str(error).split()))
    except Exception:
        # an error that cannot even say its name must not end a run
        text = ""
    if isinstance(error, StreamprocError) and text:
        return text
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def plain_text(text: str) -> str:
    """Return text that any file takes: undecodable parts are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
