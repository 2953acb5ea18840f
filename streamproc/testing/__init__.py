"""What tests of plugins use: contracts to inherit, synthetic frames, a fake clock.

A contract is a class of tests. Inherit it, say how one of yours is made, and pytest
runs all that the engine relies on::

    from streamproc.testing import SourceContract

    class TestCamera(SourceContract):
        def make(self, folder):
            return Camera(serial="simulated")

Our own plugins pass the same classes. The contracts need pytest; `frames`, `truth`
and `Clock` need nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import MissingDependency
from ._clock import Clock
from ._frames import frames, truth

if TYPE_CHECKING:
    from ._observers import ObserverContract
    from ._operators import OperatorContract
    from ._sinks import SinkContract
    from ._sources import SourceContract

__all__ = [
    "Clock",
    "ObserverContract",
    "OperatorContract",
    "SinkContract",
    "SourceContract",
    "frames",
    "truth",
]

_CONTRACTS = {
    "ObserverContract": "_observers",
    "OperatorContract": "_operators",
    "SinkContract": "_sinks",
    "SourceContract": "_sources",
}


def __getattr__(name: str) -> object:
    if name not in _CONTRACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"{__name__}.{_CONTRACTS[name]}"
    try:
        import pytest
    except ImportError as error:
        raise MissingDependency(
            f"streamproc.testing.{name} needs the package pytest: pip install pytest"
        ) from error
    # a failed assertion then shows what was compared
    pytest.register_assert_rewrite(home)
    return getattr(import_module(home), name)
