"""Streaming, real-time image processing for microscopes, beamlines and cameras.

``import streamproc as sp`` costs what NumPy costs; everything else is loaded when
it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import ops, testing
    from .control import Control, attach
    from .errors import (
        ConfigError,
        FrameError,
        MissingDependency,
        RunFolderError,
        SourceError,
        StoreError,
        StreamprocError,
    )
    from .frame import (
        Frame,
        Gap,
        Mindful,
        Notice,
        Receipt,
        Source,
        SourceInfo,
        Unreadable,
    )
    from .graph import align_sources as align
    from .graph import open_source as open
    from .handle import Handle
    from .methods import Image, Labels, Mask, Table, Value
    from .multirun.agreement import Agreement
    from .multirun.batch import BatchReport, run_batch
    from .multirun.pairs import compare
    from .report import Report
    from .results import Results, load
    from .runs import resume, run, start
    from .session import Run

__all__ = [
    "Agreement",
    "BatchReport",
    "ConfigError",
    "Control",
    "Frame",
    "FrameError",
    "Gap",
    "Handle",
    "Image",
    "Labels",
    "Mask",
    "Mindful",
    "MissingDependency",
    "Notice",
    "Receipt",
    "Report",
    "Results",
    "Run",
    "RunFolderError",
    "Source",
    "SourceError",
    "SourceInfo",
    "StoreError",
    "StreamprocError",
    "Table",
    "Unreadable",
    "Value",
    "align",
    "attach",
    "compare",
    "load",
    "open",
    "ops",
    "resume",
    "run",
    "run_batch",
    "start",
    "testing",
]

_HOME = {
    "open": ("graph", "open_source"),
    "align": ("graph", "align_sources"),
    "Handle": "handle",
    **dict.fromkeys(("Image", "Labels", "Mask", "Table", "Value"), "methods"),
    **dict.fromkeys(("Frame", "Gap", "Mindful", "Notice", "Receipt"), "frame"),
    **dict.fromkeys(("Source", "SourceInfo", "Unreadable"), "frame"),
    **dict.fromkeys((n for n in __all__ if n.endswith("Error")), "errors"),
    **dict.fromkeys(("resume", "run", "start"), "runs"),
    **dict.fromkeys(("Results", "load"), "results"),
    **dict.fromkeys(("BatchReport", "run_batch"), "multirun.batch"),
    "Agreement": "multirun.agreement",
    "compare": "multirun.pairs",
    **dict.fromkeys(("Control", "attach"), "control"),
    "MissingDependency": "errors",
    "Report": "report",
    "Run": "session",
}


def __getattr__(name: str) -> object:
    if name in ("ops", "testing"):
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    module, attribute = home if isinstance(home, tuple) else (home, name)
    return getattr(import_module(f".{module}", __name__), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, *globals()])
