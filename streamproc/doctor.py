"""Whether this machine can do what a run asks of it, with the remedy if it cannot."""

import datetime
import importlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .errors import StreamprocError, one_line

#: Packages that fail in their own ways when a system library is missing.
_BINARIES = ("numpy", "scipy", "cv2", "numba", "av", "tifffile", "zarr", "pandas")
_GROUPS = ("sources", "sinks", "operators", "dashboards")
#: Extras that are for those who build this package.
_INNER = ("test", "docs")
_MIB, _GIB = 1 << 20, 1 << 30
#: The disk test: its longest time, most bytes, and the size of one write.
_SECONDS, _MOST, _WRITE = 0.8, 512 * _MIB, 8 * _MIB


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    ``level``: ``ok``; ``note``, something is missing that not everybody needs;
    ``problem``, runs fail or are unsafe. ``remedy`` says what to do, where there is
    something to do.
    """

    topic: str
    text: str
    level: Literal["ok", "note", "problem"] = "ok"
    remedy: str | None = None

    def document(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def examine(folder: Path) -> Iterator[Finding]:
    """Look at everything, with runs to be written in ``folder``.

    Takes a few seconds; writes up to 512 MiB for less than a second, and removes it.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _dependencies,
        _binaries,
        _extras,
        _plugins,
        _processor,
        _memory,
        lambda: _disk(folder),
        _gpu,
        _codecs,
        _clock,
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            # a check that fails is a finding too
            topic = getattr(check, "__name__", "disk").strip("_<>")
            yield Finding(topic, f"cannot be looked at: {one_line(error)}", "note")


def _python() -> Iterator[Finding]:
    yield Finding("streamproc", version("streamproc"))
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield Finding(
        "python", f"{platform.python_version()} at {sys.executable}, {system}"
    )


def _dependencies() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    found = {}
    for text in requires("streamproc") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found[wanted.name] = version(wanted.name)
        except PackageNotFoundError:
            yield _unfit(f"{wanted.name} is not installed", wanted)
            continue
        if not wanted.specifier.contains(found[wanted.name], prereleases=True):
            yield _unfit(f"{wanted.name} {found[wanted.name]} does not fit", wanted)
    yield Finding("packages", ", ".join(f"{n} {v}" for n, v in found.items()))


def _unfit(text: str, wanted: Any) -> Finding:  # packaging's Requirement
    needed = f"{wanted.name}{wanted.specifier}"
    return Finding("packages", text, "problem", f"pip install '{needed}'")


def _binaries() -> Iterator[Finding]:
    for name in _BINARIES:
        try:
            importlib.import_module(name)
        except Exception as error:
            # whatever a broken installation does
            yield Finding(
                "packages",
                f"{name} cannot be imported: {one_line(error)}",
                "problem",
                "install it again; on a server without a screen, opencv-python-headless"
                if name == "cv2"
                else "install it again",
            )


def _extras() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in requires("streamproc") or ()]
    for extra in metadata("streamproc").get_all("Provides-Extra") or ():
        if extra in _INNER:
            continue
        mine = [
            r.name
            for r in wanted
            if r.marker is not None
            and r.marker.evaluate({"extra": extra})
            and not r.marker.evaluate({"extra": ""})
        ]
        missing = [name for name in mine if not _is_installed(name)]
        if missing:
            yield Finding(
                f"extra {extra}",
                f"not installed: {', '.join(missing)}",
                "note",
                f"pip install 'streamproc[{extra}]'",
            )
        elif mine:
            shown = ", ".join(f"{name} {version(name)}" for name in mine)
            yield Finding(f"extra {extra}", shown)


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _plugins() -> Iterator[Finding]:
    from .plugins import clashes, installed, is_ours, load

    for group in _GROUPS:
        good = []
        for name, point in installed(group).items():
            try:
                load(group, name)
            except StreamprocError as error:
                missing = isinstance(error.__cause__, ImportError)
                remedy = "install what it names" if missing else "ask its authors"
                core = is_ours(point) and not missing
                yield Finding(
                    group, one_line(error), "problem" if core else "note", remedy
                )
            else:
                good.append(name)
        for point in clashes(group):
            yield Finding(
                group,
                f"{point.name!r} of {point.value} has the name of another",
                "note",
                "uninstall one of the two packages",
            )
        if good:
            yield Finding(group, ", ".join(good))


def _processor() -> Iterator[Finding]:
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    text = f"{usable} of {count} CPUs usable, {', '.join(found) or 'no SIMD'}"
    if load > usable:
        yield Finding(
            "cpu",
            f"{text}; busy: load {load:.1f}",
            "note",
            "other programs slow runs down: end them before real-time work",
        )
    else:
        yield Finding("cpu", text)


def _memory() -> Iterator[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available"
    if memory.available < 3 * _GIB:
        yield Finding(
            "memory",
            text,
            "note",
            "a run holds up to 2 GiB: end other programs, or set limits.memory",
        )
    else:
        yield Finding("memory", text)


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    text = f"{free / _GIB:.1f} GiB free in {folder.resolve()}"
    if free < 5 * _GIB:
        remedy = (
            "make room, or lower limits.disk_reserve (5 GiB): else runs are refused"
        )
        yield Finding("disk", text, "problem", remedy)
    else:
        yield Finding("disk", text)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as made:
            yield _speed(Path(made), free)
            yield _direct(Path(made))
            yield from _ledger(Path(made))
    except OSError as error:
        yield Finding(
            "disk",
            f"{folder} cannot be written: {error.strerror or error}",
            "problem",
            "choose a folder of your own, or ask for the right to write there",
        )


def _speed(folder: Path, free: int) -> Finding:
    """Write as a run does: whole blocks, past the cache if it can, synced."""
    from .store.platform import NATIVE, aligned_empty

    block = aligned_empty(_WRITE)
    block[:] = np.random.default_rng(0).integers(0, 256, _WRITE, np.uint8)
    most = min(_MOST, free // 4)
    fd = NATIVE.open(folder / "speed", create=True)
    try:
        written, waits, start = 0, [], time.perf_counter()
        while written + _WRITE <= most and time.perf_counter() - start < _SECONDS:
            NATIVE.write_at(fd, block, written)
            written += _WRITE
        NATIVE.sync(fd)
        spent = time.perf_counter() - start
        for at in range(5):
            begun = time.perf_counter()
            NATIVE.write_at(fd, block[:4096], at * 4096)
            NATIVE.sync(fd)
            waits.append(time.perf_counter() - begun)
    finally:
        os.close(fd)
    speed = written / spent / 1e6
    frames = written / spent / (2 * 2048**2)
    return Finding(
        "disk",
        f"writes {speed:,.0f} MB/s ({frames:,.0f} frames/s of 2048 x 2048 x 16 bit), "
        f"a sync takes {1e3 * statistics.median(waits):.1f} ms",
    )


def _direct(folder: Path) -> Finding:
    from .store.platform import NATIVE

    direct = getattr(os, "O_DIRECT", 0)
    fd = NATIVE.open(folder / "direct", create=True)
    try:
        if direct:
            import fcntl

            if fcntl.fcntl(fd, fcntl.F_GETFL) & direct:
                return Finding("disk", "direct writes work")
    finally:
        os.close(fd)
    text = "no direct writes here: readers of a going run may have to read twice"
    return Finding("disk", text, "note", "nothing to do; a local disk is better")


def _ledger(folder: Path) -> Iterator[Finding]:
    from .store.ledger import Ledger
    from .store.lock import RunLock

    lock = RunLock(folder / "lock")
    lock.acquire()
    lock.release()
    ledger = Ledger(folder / "run.sqlite")
    ledger.close()
    if ledger.wal:
        yield Finding("disk", "SQLite's write-ahead log and file locks work")
    else:
        yield Finding(
            "disk",
            "SQLite cannot do write-ahead logging here (a network drive?)",
            "note",
            "runs work, more slowly; a local disk is better",
        )


def _gpu() -> Iterator[Finding]:
    if find_spec("cupy") is None:
        yield Finding("gpu", "not used: cupy is not installed")
        return
    import cupy  # type: ignore[import-not-found]  # an extra

    try:
        count = cupy.cuda.runtime.getDeviceCount()
        names = [
            cupy.cuda.runtime.getDeviceProperties(n)["name"].decode()
            for n in range(count)
        ]
        yield Finding("gpu", f"{', '.join(names)} (cupy {cupy.__version__})")
    except Exception as error:
        # whatever the driver does
        yield Finding(
            "gpu",
            f"cupy finds no device: {one_line(error)}",
            "note",
            "install a driver that fits cupy, or uninstall cupy",
        )


def _codecs() -> Iterator[Finding]:
    import av

    known = av.codecs_available
    library = ".".join(map(str, av.library_versions["libavcodec"]))
    text = f"PyAV {av.__version__}, libavcodec {library}"
    if "h264" not in known:
        yield Finding(
            "video", f"{text}: cannot read H.264", "problem", "pip install --upgrade av"
        )
    elif "libx264" not in known:
        yield Finding(
            "video",
            f"{text}: writes no H.264, so that overlays are MPEG-4",
            "note",
            "pip install --upgrade av",
        )
    else:
        yield Finding("video", f"{text}, reads and writes H.264")


def _clock() -> Iterator[Finding]:
    now = datetime.datetime.now().astimezone()
    text = f"{now:%Y-%m-%d %H:%M:%S %Z (UTC%z)}; times in a run are UTC"
    if now.year < 2025:
        yield Finding("clock", text, "problem", "set the clock: frames get its times")
    else:
        yield Finding("clock", text)
