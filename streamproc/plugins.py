"""Plugins found by their entry points, built-ins by the same door.

A package announces what it brings in its ``pyproject.toml``, and needs no more than
to be installed::

    [project.entry-points."streamproc.sources"]
    camera = "my_package.camera:Camera"

The groups are ``streamproc.sources``, ``streamproc.sinks``, ``streamproc.operators``
and ``streamproc.dashboards``. A name that is built in stays the built-in's; a plugin
that breaks at import is named by whoever asks for it, and harms nothing else.
"""

import glob
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .errors import (
    ConfigError,
    MissingDependency,
    SourceError,
    StreamprocError,
    nearest,
    one_line,
)
from .frame import Source
from .parameters import Parameters

#: Folders that are one image: their suffix, and what they hold where they have none.
_ZARR, _ZARR_FILES = ".zarr", ("zarr.json", ".zarray", ".zgroup")


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the plugins of a group (``sources``, ``sinks`` …) by name, sorted.

    Of one name, the built-in counts, else the one of the first package by name.
    """
    return {name: points[0] for name, points in _by_name(group).items()}


def clashes(group: str) -> list[EntryPoint]:
    """Return the plugins of a group whose name another one, in `installed`, has."""
    return [point for points in _by_name(group).values() for point in points[1:]]


def _by_name(group: str) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for name, point in _scanned(group, tuple((p, _changed(p)) for p in sys.path)):
        found.setdefault(name, []).append(point)
    return found


@lru_cache(maxsize=16)
def _scanned(
    group: str, where: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, EntryPoint], ...]:
    """Return the plugins of a group; scanned again where a package was installed."""
    found = entry_points(group=f"streamproc.{group}")
    ranked = sorted(found, key=lambda p: (p.name, not is_ours(p), package(p)))
    return tuple((p.name, p) for p in ranked)


def is_ours(point: EntryPoint) -> bool:
    """Return whether a plugin came with this package."""
    return point.dist is not None and point.dist.name == "streamproc"


def package(point: EntryPoint) -> str:
    """Return name and version of the package a plugin came with; empty if unknown."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


def origin(group: str, name: object) -> dict[str, str]:
    """Return the version of another's package that gives a plugin, by its name."""
    point = installed(group).get(str(name))
    if point is None or point.dist is None or is_ours(point):
        return {}
    return {point.dist.name: point.dist.version}


def _changed(path: str) -> int:
    """Return when a folder of packages last changed; 0 where there is none."""
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0


def load(group: str, name: str, path: str = "") -> Any:  # what the plugin defines
    """Return the plugin's class (an operator's function).

    Raises
    ------
    ConfigError
        No plugin of that name is installed, or it breaks at import.
    MissingDependency
        It needs a package that is not installed.
    """
    points = installed(group)
    prefix = f"{path}: " if path else ""
    if name not in points:
        raise ConfigError(
            f"{prefix}no {group[:-1]} named {name!r}{nearest(name, points)}"
        )
    point = points[name]
    of = f" of {package(point)}" if package(point) and not is_ours(point) else ""
    broken = f"{prefix}{group[:-1]} {name!r}{of} cannot be loaded: "
    try:
        return point.load()
    except ImportError as error:
        text = " ".join(str(error).split())
        raise MissingDependency(f"{broken}{text}") from error
    except (Exception, SystemExit) as error:
        # another's module may fail in any way at import
        raise ConfigError(f"{broken}{one_line(error)}") from error


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
    try:
        source = kind(**checked)
    except StreamprocError:
        raise
    except Exception as error:
        # a device or library may refuse in any way
        raise SourceError(
            f"{path}.{name}: cannot be opened: {one_line(error)}"
        ) from error
    if not isinstance(source, Source):
        raise ConfigError(
            f"{path}.{name}: {type(source).__name__} is no source; "
            "it needs suffixes, info, frames, read, stop and close"
        )
    return source


def _by_suffix(address: str, path: str) -> str:
    """Return the source that takes this path, glob or folder."""
    by_suffix, broken = _suffixes()
    suffix = Path(address).suffix.lower()
    if "://" in address:
        # what lies within a store has no suffix of its own
        parts = [Path(part).suffix.lower() for part in address.split("/")]
        suffix = next((s for s in reversed(parts) if s in by_suffix), suffix)
    folder = Path(address).is_dir()
    if suffix in by_suffix and not (folder and suffix != _ZARR):
        return by_suffix[suffix]
    if folder and any((Path(address) / name).exists() for name in _ZARR_FILES):
        return by_suffix.get(_ZARR, "files")
    if folder or glob.has_magic(address):
        return "files"
    if not Path(address).exists() and "://" not in address:
        raise SourceError(f"{path}: no such file: {address!r}")
    raise SourceError(
        f"{path}: unknown format {suffix or address!r}; "
        f"known: {', '.join(sorted(by_suffix))}{''.join(f'; {b}' for b in broken)}"
    )


def _suffixes() -> tuple[dict[str, str], list[str]]:
    """Return the source of each suffix, ours first, and what breaks at import."""
    by_suffix: dict[str, str] = {}
    broken = []
    points = installed("sources")
    for name in sorted(points, key=lambda name: not is_ours(points[name])):
        try:
            kind = load("sources", name)
        except StreamprocError as error:
            broken.append(str(error))
            continue
        for suffix in getattr(kind, "suffixes", ()):
            by_suffix.setdefault(suffix, name)
    return by_suffix, broken
