"""A sweep: one run per combination of parameter values, compared with each other."""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from .. import check
from ..config import Pipeline, override, parse, read_yaml
from ..errors import ConfigError, RunFolderError, StreamprocError, one_line
from ..folder import status
from ..job import absolute
from ..report import Report
from ..runs import resume as resume_run
from ..runs import start_pipeline
from ..session import Run
from ..store.lock import RunLock
from .comparison import Outcome, compare, write_sheet, write_table

#: What a sweep's folder holds beside the runs.
DOCUMENT, TABLE, SHEET = "sweep.yaml", "sweep.csv", "sweep.png"


@dataclass(frozen=True, slots=True)
class Variant:
    """One combination of values: its name, and each setting as ``PATH=VALUE``."""

    name: str
    settings: tuple[str, ...]


def variants(settings: Sequence[str]) -> list[Variant]:
    """Return the combinations of ``PATH=VALUE,VALUE…``, the last one fastest.

    Values are YAML; commas inside brackets, braces and quotes do not part them.

    Raises
    ------
    ConfigError
        Nothing to vary, a setting without values, or a path given twice.
    """
    choices: dict[str, list[str]] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        values = _split(text)
        if not equals or not path or not all(values):
            raise ConfigError(
                f"--set {setting!r}: write it as graph.smooth.gaussian.sigma=1,2,3"
            )
        if path in choices:
            raise ConfigError(f"--set {path}: is given twice; give all values at once")
        choices[path] = values
    if not choices:
        raise ConfigError("a sweep needs --set graph.smooth.gaussian.sigma=1,2,3")
    words = _words(list(choices))
    made: dict[str, Variant] = {}
    for values_of in product(*choices.values()):
        pairs = list(zip(choices, values_of, strict=True))
        name = ",".join(f"{words[path]}={_safe(value)}" for path, value in pairs)
        name = (
            name[:100] if name[:100].lower() not in made else f"{name[:90]}-{len(made)}"
        )
        made[name.lower()] = Variant(name, tuple(f"{p}={v}" for p, v in pairs))
    return list(made.values())


def start_sweep(
    given: Mapping[str, Any],
    settings: Sequence[str],
    to: str | Path,
    *,
    frames: int | None = None,
) -> "Sweep":
    """Check the variants of a pipeline's mapping, and make the sweep's folder.

    Raises
    ------
    ConfigError, SourceError
        No variant can run: the first one's error.
    RunFolderError
        The folder exists, or cannot be made.
    """
    document = {
        "pipeline": _rooted(given),
        "settings": list(settings),
        "frames": frames,
    }
    _check(document, variants(settings))
    folder = Path(os.path.normpath(to))
    if folder.exists():
        is_sweep = (folder / DOCUMENT).exists()
        remedy = f"streamproc resume {folder}, or " if is_sweep else ""
        raise RunFolderError(
            f"folder {folder} exists already; {remedy}choose another folder"
        )
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    try:
        new.mkdir(parents=True)
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        (new / DOCUMENT).write_text(text, encoding="utf-8")
        new.rename(folder)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise RunFolderError(
            f"cannot create folder {folder}: {error.strerror or error}"
        ) from error
    return Sweep(folder)


def is_sweep_folder(path: str | Path) -> bool:
    """Return whether the folder at ``path`` is a sweep's."""
    return (Path(path) / DOCUMENT).is_file()


def resume_sweep(
    path: str | Path,
    given: Mapping[str, Any] | None = None,
    settings: Sequence[str] = (),
    *,
    force_environment: bool = False,
) -> "Sweep":
    """Open a sweep's folder to go on with it.

    Raises
    ------
    RunFolderError
        It is none, or another sweep's than the one given.
    """
    if not is_sweep_folder(path):
        raise RunFolderError(f"{path} is no sweep's folder: it has no {DOCUMENT}")
    document = read_yaml(Path(path) / DOCUMENT)
    expected: dict[str, Any] = {}
    if given is not None:
        expected = {"pipeline": _rooted(given), "settings": list(settings)}
    for key, value in expected.items():
        if document[key] != value:
            raise RunFolderError(
                f"{path} holds another sweep (its {key} differ); "
                "choose another folder, or resume it by: streamproc resume"
            )
    return Sweep(Path(path), force_environment=force_environment)


class Sweep:
    """The runs of a sweep, in its folder; a context manager that holds its lock."""

    def __init__(self, path: Path, *, force_environment: bool = False) -> None:
        self.path = path
        self._force = force_environment
        self._document = read_yaml(path / DOCUMENT)
        self.variants = variants(self._document["settings"])
        self._lock = RunLock(path / "run.lock")
        self._lock.acquire()

    def __enter__(self) -> "Sweep":
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the lock back."""
        self._lock.release()

    def run(self, wait: Callable[[Run], Report] = Run.wait) -> list[Outcome]:
        """Run what is not finished; compare all; write ``sweep.csv`` and the sheet.

        A variant that fails is in the list with its error.

        Parameters
        ----------
        wait
            Called with each run, to wait for its end.
        """
        errors = {v.name: self._run_one(v, wait) for v in self.variants}
        outcomes = compare(self.path, errors)
        settings = {v.name: v.settings for v in self.variants}
        write_table(self.path / TABLE, outcomes, settings)
        write_sheet(self.path / SHEET, outcomes, ", ".join(self._document["settings"]))
        return outcomes

    def settled(self) -> int:
        """Return how many variants have a folder."""
        return sum((self.path / v.name).exists() for v in self.variants)

    def _run_one(self, variant: Variant, wait: Callable[[Run], Report]) -> str | None:
        """Run a variant unless it is finished; return what went wrong."""
        folder = self.path / variant.name
        run = None
        try:
            if folder.exists():
                if status(folder)["state"] == "finished":
                    return None
                force = self._force
                going = resume_run(folder, force_environment=force, wait=False)
                assert isinstance(going, Run)
                run = going
            else:
                frames = self._document["frames"]
                pipeline = _pipeline(self._document["pipeline"], variant)
                run = start_pipeline(pipeline, folder, frames=frames)
            wait(run)
        except Exception as error:
            # a run may fail in any way; the variants after it need not
            if run is not None and not run.report().frames.admitted:
                run.folder.remove()
            return one_line(error)
        return run.damage


def _check(document: Mapping[str, Any], made: Sequence[Variant]) -> None:
    """Refuse a sweep none of whose variants can run."""
    errors = []
    for variant in made:
        try:
            check.check(_pipeline(document["pipeline"], variant))
        except StreamprocError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def _pipeline(given: Mapping[str, Any], variant: Variant) -> Pipeline:
    mapping = deepcopy(dict(given))
    for setting in variant.settings:
        override(mapping, setting)
    parsed = parse(mapping)
    form = parsed.source
    if isinstance(form, dict) and any(
        isinstance(p, Mapping) and p.get("batch") for p in form.values()
    ):
        raise ConfigError(
            "source: a sweep takes one image, got batch: true; "
            "leave batch out and choose an image by its path"
        )
    return parsed


def _rooted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping with a source that holds from any folder, without 'to'."""
    kept = {k: v for k, v in given.items() if k not in ("to", "recorded")}
    source = kept.get("source")
    if isinstance(source, str) or (isinstance(source, Mapping) and len(source) == 1):
        kept["source"] = absolute(source)
    return kept


def _split(text: str) -> list[str]:
    """Split at commas outside brackets, braces and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _words(paths: Sequence[str]) -> dict[str, str]:
    """Return the last word of each path; all but 'graph' where two have the same."""
    last = [path.rpartition(".")[2] for path in paths]
    return {
        path: word if last.count(word) == 1 else path.removeprefix("graph.")
        for path, word in zip(paths, last, strict=True)
    }


def _safe(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", value).strip("_.") or "_"
