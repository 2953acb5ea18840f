"""A path, folder, glob or list of them made into image files in order."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamproc.errors import SourceError

TIFF = (".tif", ".tiff")
SINGLE = (".png", ".jpg", ".jpeg", ".bmp")
SUFFIXES = TIFF + SINGLE
_FORMATS = {".tiff": ".tif", ".jpeg": ".jpg"}


def natural(path: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that puts img2 before img10."""
    parts = re.split(r"(\d+)", path)
    key = [(int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)]
    return key, path


def is_tiff(path: Path) -> bool:
    """Say whether a file is a TIFF by its name."""
    return path.suffix.lower() in TIFF


def resolve(given: str | Sequence[str]) -> list[Path]:
    """Return the files that were given, sorted within a folder or glob.

    Raises
    ------
    SourceError
        Nothing there, no permission, no image, an unknown or a mixture of formats.
    """
    if isinstance(given, (str, os.PathLike)):
        files = _resolve_one(os.fspath(given))
    else:
        files = [file for one in given for file in _resolve_one(os.fspath(one))]
    if not files:
        raise SourceError(f"no image files given, got {given!r}")
    formats = {_FORMATS.get(s, s) for s in (f.suffix.lower() for f in files)}
    if len(formats) > 1:
        raise SourceError(
            f"{given} has a mixture of formats ({', '.join(sorted(formats))}); "
            "one source is one format, name it: *" + min(formats)
        )
    return files


def _resolve_one(given: str) -> list[Path]:
    """Return the files of one path, folder or glob."""
    given = os.path.expanduser(given)
    path = Path(given)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return [_known(path)]
    if glob.has_magic(given):
        return _glob(given)
    raise SourceError(f"no such file or folder: {given}")


def _folder(path: Path) -> list[Path]:
    """Return the images of a folder, without those of its folders."""
    try:
        names = os.listdir(path)
    except PermissionError:
        raise SourceError(f"no permission to list the folder {path}") from None
    found = _images(path / name for name in names if not name.startswith("."))
    if not found:
        raise SourceError(f"no images in {path}; {_known_formats()}")
    return found


def _glob(pattern: str) -> list[Path]:
    """Return the images that match a pattern."""
    names = glob.glob(pattern, recursive=True)
    if not names:
        raise SourceError(f"no file matches {pattern}")
    found = _images(Path(name) for name in names)
    if not found:
        _known(Path(min(names)))
        raise SourceError(f"no file matches {pattern}, only folders do")
    return found


def _images(paths: Iterable[Path]) -> list[Path]:
    files = [p for p in paths if p.suffix.lower() in SUFFIXES and not p.is_dir()]
    return sorted(files, key=lambda p: natural(str(p)))


def _known(path: Path) -> Path:
    """Return the path, if its format is known."""
    if path.suffix.lower() not in SUFFIXES and not path.is_dir():
        name = path.suffix or path.name
        raise SourceError(f"unknown format {name!r} of {path}; {_known_formats()}")
    return path


def _known_formats() -> str:
    return f"known: {', '.join(SUFFIXES)}"
