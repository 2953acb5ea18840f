"""Where an export goes: a file, or a folder of them, complete or not there."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigError, StoreError
from ..store.platform import NATIVE

#: Suffixes by format; the first one is given to the files of a folder.
SUFFIXES = {
    "parquet": (".parquet",),
    "csv": (".csv",),
    "ome-tiff": (".ome.tif", ".ome.tiff", ".tif", ".tiff"),
    "overlay": (".png", ".mp4"),
}
#: Of other programs' pictures, videos and tables: files, which no export writes.
_FOREIGN = (
    *(".apng", ".bmp", ".gif", ".heic", ".jp2", ".jpeg", ".jpg", ".svg", ".webp"),
    *(".avi", ".flv", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".webm", ".wmv"),
    *(".cine", ".czi", ".h5", ".hdf5", ".lsm", ".nd2", ".npy", ".npz", ".seq"),
    *(".json", ".ods", ".pdf", ".tsv", ".txt", ".xls", ".xlsx", ".zarr"),
)


class Target:
    """The path that an export was asked to write.

    ``written`` fills with the files that are there under their name.
    """

    def __init__(self, path: Path, form: str, *, overwrite: bool) -> None:
        self.path = path
        self.suffix = _suffix(path, form)
        self._ending = SUFFIXES[form]
        self.written: list[Path] = []
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise StoreError(
                f"{path} exists already; choose another name, or add --overwrite"
            )
        if path.is_dir() and (self.suffix or not self._is_mine()):
            raise StoreError(
                f"{path} is a folder with other files in it; choose another name"
            )

    @property
    def is_file(self) -> bool:
        """Whether one file is asked for."""
        return bool(self.suffix)

    def _is_mine(self) -> bool:
        return all(
            p.is_file() and p.name.endswith(self._ending) for p in self.path.iterdir()
        )

    def each(self, names: Sequence[str], write: Callable[[str, Path], None]) -> None:
        """Call ``write(name, path)`` for every name: into the file, or the folder.

        Raises
        ------
        ConfigError
            Several names do not fit one file.
        """
        if self.is_file and len(names) > 1:
            raise ConfigError(
                f"one file holds one of {', '.join(names)}; name it, or give a folder"
            )
        with self.open() as place:
            for name in names:
                path = place if self.is_file else place / f"{name}{self._ending[0]}"
                write(name, path)

    @contextmanager
    def open(self) -> Iterator[Path]:
        """Give a temporary path that takes its name when the block ends well.

        It is a folder, made already, unless one file is asked for.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _remove(part)
            if not self.is_file:
                part.mkdir()
            yield part
            files = [part] if self.is_file else sorted(part.iterdir())
            for file in files:
                _sync(file)
            if self.path.is_dir():
                shutil.rmtree(self.path)
            os.replace(part, self.path)
        except BaseException as error:
            _remove(part)
            if isinstance(error, OSError) and not isinstance(error, StoreError):
                raise StoreError(
                    f"cannot write {self.path}: {error.strerror or error}"
                ) from error
            raise
        self.written += [
            self.path if self.is_file else self.path / file.name for file in files
        ]


def _suffix(path: Path, form: str) -> str:
    """Return the suffix of a file of this format; empty for a folder."""
    name = path.name.lower()
    for suffix in SUFFIXES[form]:
        if name.endswith(suffix) and name != suffix:
            return suffix
    for other, suffixes in SUFFIXES.items():
        if name.endswith(suffixes):
            raise ConfigError(
                f"{path} is a name for {other}; {form} ends in "
                f"{' or '.join(SUFFIXES[form])}, or is a folder"
            )
    if path.suffix.lower() in _FOREIGN:
        raise ConfigError(
            f"{path} is a name for {path.suffix.lower()}, which is not written; {form} "
            f"ends in {' or '.join(SUFFIXES[form])}, or is a folder"
        )
    return ""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have a file on the disk before it takes its name."""
    fd = os.open(path, os.O_RDWR)
    try:
        NATIVE.sync(fd)
    finally:
        os.close(fd)
