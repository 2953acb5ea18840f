"""What a run is to do, checked before anything is on disk."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from .config import Options
from .errors import ConfigError, StoreError, nearest
from .folder import recorded
from .frame import Mindful, SourceInfo
from .graph import Graph, Step, is_name
from .handle import Handle
from .observers import Observer, make_observers
from .plan import Plan, make_plan, source_text
from .plugins import origin, source_form
from .schedule import Change, check_adjustable
from .steps import built_in, takes_intensity
from .store.ledger import RESERVED

#: Parameters of sources that name files and folders.
_PLACES = {"path", "folder", "move_to"}
#: Those that may name a file, or something else.
_MAYBE = {"config", "sequence", "cti"}

Saved = Mapping[str, Handle] | Handle | Sequence[Handle]


@dataclass
class Job:
    """What a run is to do, checked; nothing is on disk yet."""

    graph: Graph
    saved: Mapping[str, Step]
    options: Options
    wanted: Sequence[Step] = ()
    frames: int | None = None
    #: of parameters during the run: a replay repeats them
    changes: Sequence[Change] = ()
    plan: Plan = field(init=False)
    observers: list[tuple[str, Observer]] = field(init=False)

    def __post_init__(self) -> None:
        if self.keeps_raw and "source" not in self.saved:
            # the log that is kept is the saved image, its pyramid included
            self.saved = {"source": self.graph.steps["source"], **self.saved}
        folded: dict[str, str] = {}
        for name, step in self.saved.items():
            _check_name(name, step)
            other = folded.setdefault(name.lower(), name)
            if other != name:
                raise ConfigError(
                    f"save: {other!r} and {name!r} differ only in case; rename one"
                )
        if self.frames is not None and self.frames < 1:
            raise ConfigError(f"frames must be >= 1, got {self.frames}")
        self.plan = make_plan(self.graph, self.saved, self.wanted)
        for path in self.options.adjustable:
            check_adjustable(self.plan, path)
        self._check_memory()
        self._check_alerts()
        self.observers = make_observers(self.options.sinks, self.tables)

    @property
    def tables(self) -> list[str]:
        """The names of the saved tables."""
        return [output.name for output in self.plan.tables]

    @property
    def info(self) -> SourceInfo:
        """What the source is."""
        return self.graph.source.info

    @property
    def total(self) -> int | None:
        """How many frames there will be; None where nobody knows."""
        known = self.info.frames
        if self.frames is None:
            return known
        return self.frames if known is None else min(known, self.frames)

    @property
    def is_logged(self) -> bool:
        """Whether frames go through the raw log."""
        return self.info.live and self.options.log != "none"

    @property
    def keeps_raw(self) -> bool:
        """Whether the raw log stays as the saved image."""
        log = self.options.log
        return self.is_logged and not isinstance(log, str) and log.keep_raw

    @property
    def saves_source(self) -> bool:
        """Whether the image ``source`` has pixels."""
        return self.keeps_raw or "source" in self.saved

    @property
    def window_bytes(self) -> int:
        """Bytes of the frames that windows reach over."""
        reach = max((w.reach for w in self.plan.windows), default=0)
        return reach * self.info.nbytes

    @property
    def keep_windows(self) -> bool:
        """Whether the frames of windows fit in half of the memory allowed."""
        return self.window_bytes <= self.options.limits.memory // 2

    def _check_memory(self) -> None:
        log = self.options.log
        if self.is_logged and not self.keeps_raw and "source" in self.saved:
            raise ConfigError(
                "save: 'source' is saved but log.keep_raw is false; "
                "set keep_raw: true or do not save it"
            )
        if log == "none" and not self.info.live:
            raise ConfigError(
                "log: none is for live sources; a recording needs no raw log"
            )
        if log == "none" and self.options.on_overload == "skip":
            raise ConfigError(
                "on_overload: skip leaves frames in the raw log for later, and "
                "log: none keeps no frames; keep the log, or use catch_up"
            )
        again = self.info.random_access or self.is_logged
        takes_all = any(w.takes_all for w in self.plan.windows)
        if (takes_all or not again) and not self.keep_windows:
            why = "this source is read once" if not again else "a median takes all"
            raise ConfigError(
                f"background needs {self.window_bytes / 1e6:.0f} MB of frames in "
                f"memory ({why}), more than half of limits.memory "
                f"({self.options.limits.memory / 1e6:.0f} MB); raise it or shorten "
                "the window"
            )

    def _check_alerts(self) -> None:
        """Refuse rules that could never be broken, and a program that is not there."""
        alerts = self.options.alerts
        if alerts is None:
            return
        if alerts.no_objects is not None and not self.plan.main_table:
            raise ConfigError(
                "alerts.no_objects counts the rows of a saved table of objects; save "
                "one (a measure step), or leave it out"
            )
        for name in alerts.drop:
            table = name.partition(".")[0]
            if table not in self.tables:
                raise ConfigError(
                    f"alerts.drop.{name}: no table {table!r} is saved"
                    f"{nearest(table, self.tables)}"
                )
        if alerts.command is not None and shutil.which(alerts.command[0]) is None:
            raise ConfigError(
                f"alerts.command: no program {alerts.command[0]!r} on the path; give "
                "its name and its arguments as a list"
            )

    def not_resumable(self) -> str | None:
        """Return why this run could not be resumed by another process."""
        if self.graph.form is None:
            return "its source is a Python object, not a named source"
        if self.info.live and not self.is_logged:
            return "log: none keeps no frames"
        for function in self.plan.functions():
            if not function.importable:
                return f"function {function.name!r} cannot be imported by name"
        for step in self.plan.steps:
            for name, value in step.parameters.get("parameters", {}).items():
                if _plain(value) is not value:
                    return (
                        f"parameter {name!r} of step {step.name!r} is a "
                        f"{type(value).__name__}, which YAML cannot hold"
                    )
        return None

    def function_hashes(self) -> dict[str, str]:
        """Return a hash of the source text of each function, by name."""
        return {
            f.name: sha256(source_text(f.call).encode()).hexdigest()[:16]
            for f in self.plan.functions()
        }

    def plugins(self) -> dict[str, str]:
        """Return the versions of other packages whose source and operators run."""
        form = source_form(self.graph.form) or {}
        found = [origin("sources", name) for name in form]
        found += [
            origin("operators", step.operator)
            for step in self.plan.steps
            if step.role != "source" and not built_in(step.operator)
        ]
        return {name: version for one in found for name, version in one.items()}

    def steps(self) -> dict[str, Any]:
        """Return every step that runs, in YAML's form; a new mapping each time."""
        graph: dict[str, Any] = {}
        for step in self.plan.steps:
            if step.role == "source":
                continue
            parameters: dict[str, Any] = {
                k: list(v) if isinstance(v, tuple) else v
                for k, v in step.parameters.items()
            }
            if step.operator == "map":
                given = parameters["parameters"].items()
                parameters["parameters"] = {k: _plain(v) for k, v in given}
            inputs = [i.name for i in step.inputs]
            if takes_intensity(step.operator) and len(inputs) > 1:
                parameters["intensity"] = inputs.pop()
            of: Any = inputs[0] if len(inputs) == 1 else inputs
            graph[step.name] = {step.operator: parameters, "of": of}
        return graph

    def _reopen(self) -> dict[str, Any]:
        """Return the parameters with which the source is opened again."""
        source = self.graph.source
        return dict(source.reopen) if isinstance(source, Mindful) else {}

    def names(self) -> dict[str, str]:
        """Return the step behind each saved name."""
        return {name: step.name for name, step in self.saved.items()}

    def source_facts(self) -> dict[str, Any]:
        """Return what tells one source from another, in words a message can use."""
        info = self.info
        return {
            "source": str(next(iter(source_form(self.graph.form) or {}), "object")),
            "frames": info.frames,
            "shape": list(info.shape),
            "dtype": str(info.dtype),
            "axes": info.axes,
        }

    def document(self) -> dict[str, Any]:
        """Return what ``pipeline.yaml`` says: a pipeline that runs again."""
        options = self.options.model_dump()
        past = {
            "frames": self.frames,
            "not_resumable": self.not_resumable(),
            "source_identity": self.info.identity,
            "source": self.source_facts(),
            "steps": self.steps(),
            "saved": self.names(),
            "channels": list(self.info.channels),
            "reopen": self._reopen(),
            "functions": self.function_hashes(),
            "changes": [list(change.row()) for change in self.changes],
            "ran": list(
                dict.fromkeys([*(s.name for s in self.wanted), *self.plan.streamed])
            ),
        }
        return {
            "source": absolute(self.graph.form) or {"object": repr(self.graph.source)},
            "graph": self.steps(),
            "save": self.names(),
            **options,
            "recorded": recorded(
                past, self.plan.identity(self.info.identity), self.plugins()
            ),
        }


def _plain(value: object) -> object:
    """Return the value itself where YAML gives it back as it is, else its text."""
    if isinstance(value, list):
        same = all(_plain(v) is v for v in value)
    elif isinstance(value, dict):
        same = all(isinstance(k, str) and _plain(v) is v for k, v in value.items())
    else:
        same = value is None or type(value) in (bool, int, float, str)
    return value if same else repr(value)


def absolute(form: object) -> Any:  # YAML
    """Return the source's YAML form with paths that hold from any folder."""
    full = source_form(form)
    if full is None:
        return None
    name, parameters = next(iter(full.items()))
    for key in _PLACES & parameters.keys():
        parameters[key] = _absolute(parameters[key])
    for key in _MAYBE & parameters.keys():
        if isinstance(parameters[key], str) and os.path.exists(parameters[key]):
            parameters[key] = _absolute(parameters[key])
    if "sources" in parameters:
        parameters["sources"] = [absolute(source) for source in parameters["sources"]]
    return {
        name: {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()}
    }


def opened_again(form: object, recorded: Mapping[str, Any]) -> Any:  # YAML
    """Return the source's YAML form for a run that is resumed."""
    full, more = source_form(form), recorded.get("reopen")
    if full is None or not more:
        return form
    name, parameters = next(iter(full.items()))
    return {name: {**parameters, **more}}


def _absolute(path: Any) -> Any:  # YAML
    """Return a path, or a list of them, from the root; globs and addresses stay."""
    if isinstance(path, list):
        return [_absolute(one) for one in path]
    if not isinstance(path, str) or "://" in path:
        return path
    return os.path.abspath(os.path.expanduser(path))


def take_handles(save: Saved) -> tuple[Graph, dict[str, Step], list[Step]]:
    """Return the graph, what is saved by name, and what only runs."""
    named: dict[str, Handle] = {}
    alone: list[Handle] = []
    if isinstance(save, Mapping):
        named = dict(save)
    elif isinstance(save, Handle):
        alone = [save]
    else:
        alone = list(save)
    handles = [*named.values(), *alone]
    for handle in handles:
        if not isinstance(handle, Handle):
            raise ConfigError(
                f"save: needs handles such as sp.open(...).label(), got {handle!r}"
            )
    if not handles:
        raise ConfigError(
            "save: nothing to run; give a mapping of names to handles, or a handle "
            "to run without saving"
        )
    graph = handles[0].graph
    if any(handle.graph is not graph for handle in handles):
        raise ConfigError("save: the handles come from two sources; a run has one")
    saved = {name: handle.step for name, handle in named.items()}
    return graph, saved, [handle.step for handle in alone]


def _check_name(name: str, step: Step) -> None:
    if not is_name(name):
        raise ConfigError(f"save: {name!r} is no name; use letters, digits, _ and -")
    if (step.role == "source") != (name == "source"):
        raise ConfigError(
            f"save: the source is always saved under the name 'source', "
            f"and nothing else is; got {name!r} for step {step.name!r}"
        )
    lower = name.lower()
    if step.kind in ("table", "value"):
        if lower in RESERVED or lower.startswith("sqlite_"):
            raise ConfigError(
                f"save: {name!r} is a table of the engine; name this step otherwise"
            )
    elif step.kind == "image" and lower == "ome":
        raise ConfigError(
            f"save: {name!r} is a folder of OME-Zarr; name this step otherwise"
        )


def title(job: Job) -> str:
    """Return what a run folder made for this job is called."""
    form = job.graph.form
    if isinstance(form, Mapping):
        name, parameters = next(iter(form.items()))
        path = parameters.get("path") if isinstance(parameters, Mapping) else None
        return Path(path).stem if isinstance(path, str) else str(name)
    return Path(str(form)).stem if form is not None else "run"


def check_space(job: Job, path: Path) -> None:
    """Refuse a run whose uncompressed images cannot fit.

    Raises
    ------
    StoreError
        Naming what is needed, what is free and the reserve.
    """
    parent = next(p for p in [path.absolute(), *path.absolute().parents] if p.exists())
    try:
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise StoreError(f"cannot use {parent}: {error}") from error
    reserve = job.options.limits.disk_reserve
    needed = 0
    if job.saves_source and job.options.store.images == "none":
        per_frame = job.info.nbytes * (4 / 3 if job.options.store.pyramid else 1)
        needed = int(per_frame * (job.total or 1))
    if free - needed < reserve:
        raise StoreError(
            f"disk of {parent} has {free / 1e9:.1f} GB free; this run needs about "
            f"{needed / 1e9:.1f} GB, limits.disk_reserve keeps {reserve / 1e9:.1f} GB; "
            "make room, save less, or lower the reserve"
        )
