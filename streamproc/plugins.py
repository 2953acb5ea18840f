"""Sources and sinks found by their entry points, built-ins by the same door."""

import glob
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

from .errors import ConfigError, MissingDependency, SourceError, nearest
from .frame import Source
from .parameters import Parameters


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the plugins of a group (``sources``, ``sinks`` …) by name, sorted."""
    return dict(_scanned(group, tuple((path, _changed(path)) for path in sys.path)))


@lru_cache(maxsize=16)
def _scanned(
    group: str, where: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, EntryPoint], ...]:
    """Return the plugins of a group; scanned again where a package was installed."""
    found = entry_points(group=f"streamproc.{group}")
    return tuple((p.name, p) for p in sorted(found, key=lambda p: p.name))


def _changed(path: str) -> int:
    """Return when a folder of packages last changed; 0 where there is none."""
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0


def load(group: str, name: str, path: str = "") -> Any:  # a class the plugin defines
    """Return the plugin's class.

    Raises
    ------
    ConfigError
        No plugin of that name is installed.
    MissingDependency
        It needs a package that is not installed.
    """
    points = installed(group)
    prefix = f"{path}: " if path else ""
    if name not in points:
        raise ConfigError(
            f"{prefix}no {group[:-1]} named {name!r}{nearest(name, points)}"
        )
    try:
        return points[name].load()
    except ImportError as error:
        raise MissingDependency(
            f"{prefix}{group[:-1]} {name!r} cannot be loaded: {error}"
        ) from error


def make_source(given: object, path: str = "source") -> Source:
    """Open a source from its YAML form, a path, or take the object as it is."""
    if isinstance(given, str | Path):
        return _open(_by_suffix(str(given), path), str(given), path)
    if isinstance(given, Mapping):
        if len(given) != 1:
            raise ConfigError(
                f"{path}: needs one source name with its parameters, "
                f"got {', '.join(map(str, given)) or 'nothing'}"
            )
        name, parameters = next(iter(given.items()))
        return _open(str(name), parameters, path)
    if isinstance(given, Source):
        return given
    raise ConfigError(
        f"{path}: needs a path, a mapping or a Source object, got {given!r}"
    )


def source_form(given: object) -> dict[str, Any] | None:
    """Return the full YAML form of what `make_source` takes; None for an object."""
    if isinstance(given, str | Path):
        name = _by_suffix(str(given), "source")
        return {name: {_parameters(name, "source").first or "path": str(given)}}
    if isinstance(given, Mapping):
        name, parameters = next(iter(given.items()))
        if not isinstance(parameters, Mapping):
            parameters = {_parameters(name, "source").first: parameters}
        return {str(name): dict(parameters)}
    return None


def _parameters(name: str, path: str) -> Parameters:
    return Parameters(load("sources", name, path), positional=True)


def _open(name: str, given: object, path: str) -> Source:
    kind = load("sources", name, path)
    parameters = Parameters(kind, positional=True)
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        given = {parameters.first or "path": given}
    checked = parameters.check(given, owner=f"source {name!r}", path=f"{path}.{name}")
    return cast(Source, kind(**checked))


def _by_suffix(address: str, path: str) -> str:
    """Return the source that takes this path, glob or folder."""
    by_suffix: dict[str, str] = {}
    for name in installed("sources"):
        for suffix in getattr(load("sources", name), "suffixes", ()):
            by_suffix.setdefault(suffix, name)
    suffix = Path(address).suffix.lower()
    if suffix in by_suffix and not Path(address).is_dir():
        return by_suffix[suffix]
    if Path(address).is_dir() or glob.has_magic(address):
        return "files"
    if not Path(address).exists():
        raise SourceError(f"{path}: no such file: {address!r}")
    raise SourceError(
        f"{path}: unknown format {suffix or address!r}; "
        f"known: {', '.join(sorted(by_suffix))}"
    )
