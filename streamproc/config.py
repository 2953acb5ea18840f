"""The typed description of a pipeline: YAML in and out, errors with their path."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .errors import ConfigError, nearest
from .frame import Source
from .graph import Graph, unknown_step
from .handle import Handle
from .observers import sink_form
from .parameters import explain
from .plugins import make_source
from .steps import LISTED, first_parameter, operators, takes_intensity

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_bytes(value: object) -> int:
    """Return a size in bytes from ``2GiB``, ``500 MB`` or a number.

    Raises
    ------
    ValueError
        It is neither.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a size such as 2GiB or 500MB")
    match = re.fullmatch(r"\s*([\d.]+)\s*([A-Za-z]*)\s*", str(value))
    if not match or match[2].upper() not in _UNITS:
        raise ValueError("a size such as 2GiB or 500MB")
    try:
        return int(float(match[1]) * _UNITS[match[2].upper()])
    except ValueError:
        raise ValueError("a size such as 2GiB or 500MB") from None


Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, validate_default=False)


Count = Annotated[int, Field(ge=1, le=1024)]


class InlineConfig(_Strict):
    """``executor: inline``."""


class ThreadsConfig(_Strict):
    """``executor: {threads: {workers: 2}}``."""

    #: Threads at work; default: one per core.
    workers: Count | None = None


class DaskConfig(_Strict):
    """``executor: {dask: {workers: 2}}`` or ``{dask: {scheduler: "tls://..."}}``."""

    #: Processes that are started on this machine; default: one per core.
    workers: Count | None = None
    threads_per_worker: Count = 1
    #: Of one worker; default: its share of this machine's.
    memory_limit: Bytes | None = None
    #: Address of a cluster that is there, in place of one of our own.
    scheduler: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    #: Take a scheduler that is not encrypted, beyond this machine too.
    insecure: bool = False
    #: Seconds after which a batch's worker is taken to hang; default: 300, or twenty
    #: times what its frames took so far.
    timeout: Annotated[float, Field(gt=0)] | None = None
    #: File that dask's performance report is written to, as HTML.
    performance_report: str | None = None

    @model_validator(mode="after")
    def _one_cluster(self) -> "DaskConfig":
        own = {"workers", "threads_per_worker", "memory_limit"} & self.model_fields_set
        other = {"tls_ca", "tls_cert", "tls_key", "insecure"} & self.model_fields_set
        if self.scheduler is not None and own:
            raise ValueError(
                f"{min(own)} is for a cluster of our own; the one at 'scheduler' has "
                "its workers"
            )
        if self.scheduler is None and other:
            raise ValueError(f"{min(other)} belongs to 'scheduler'; give its address")
        return self


EXECUTORS: dict[str, type[_Strict]] = {
    "inline": InlineConfig,
    "threads": ThreadsConfig,
    "dask": DaskConfig,
}


class LogConfig(_Strict):
    """What becomes of a live source's raw log."""

    keep_raw: bool = True


class StoreConfig(_Strict):
    """How images are written."""

    images: Literal["none", "blosc-lz4", "zstd"] = "none"
    labels: Literal["none", "blosc-lz4", "zstd"] = "zstd"
    pyramid: bool = True
    layout: Literal["shards", "files"] = "shards"
    durability: Literal["power", "process"] = "power"


class Limits(_Strict):
    """Bounds on memory in flight, and the disk space left alone."""

    memory: Bytes = 2 << 30
    disk_reserve: Bytes = 5 << 30


class AlertConfig(_Strict):
    """Rules that watch a run, and who is told; they change no result."""

    #: Frames in a row without an object.
    no_objects: Annotated[int, Field(ge=1)] | None = None
    #: Share of the last minute's frames that may be lost.
    loss_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    #: Frames that fail within a minute.
    failed: Annotated[int, Field(ge=1)] | None = None
    #: Frames that may wait for their results, and seconds.
    lag_frames: Annotated[int, Field(ge=1)] | None = None
    lag_seconds: Annotated[float, Field(gt=0)] | None = None
    #: Hours until the disk is full, at the speed of the last ten minutes.
    disk_hours: Annotated[float, Field(gt=0)] | None = None
    #: Seconds without a frame of a live source.
    stalled: Annotated[float, Field(gt=0)] | None = None
    #: Share that a saved ``table.column`` may fall below the best that it was.
    drop: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    #: Seconds that a rule must hold again until its alert is cleared.
    clear_after: Annotated[float, Field(ge=0)] = 60.0
    #: Address that each alert is posted to, as JSON.
    webhook: Annotated[str, Field(pattern="^https?://[^/]")] | None = None
    #: Program and its arguments; it reads the message from its standard input.
    command: Annotated[list[str], Field(min_length=1)] | None = None

    @field_validator("drop")
    @classmethod
    def _columns(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            if not re.fullmatch(r"[^.]+\.[^.]+", name):
                raise ValueError(f"needs columns such as cells.area, got {name!r}")
        return value


class Options(_Strict):
    """Everything about a run but its source, graph and what it saves."""

    executor: str | dict[str, Any] = "threads"
    on_error: Literal["record", "stop"] = "record"
    on_overload: Literal["catch_up", "skip"] = "catch_up"
    #: From admission to commit; frames that could not keep it are skipped.
    deadline_ms: Annotated[float, Field(gt=0)] | None = None
    on_full_log: Literal["block", "drop_newest", "drop_oldest", "fail"] = "block"
    log: LogConfig | Literal["none"] = LogConfig()
    store: StoreConfig = StoreConfig()
    limits: Limits = Limits()
    #: ``step.parameter``, which may be set during the run.
    adjustable: list[str] = []
    sinks: list[dict[str, Any]] = []
    alerts: AlertConfig | None = None

    @field_validator("executor")
    @classmethod
    def _executor(cls, value: str | dict[str, Any]) -> str | dict[str, Any]:
        name = value if isinstance(value, str) else next(iter(value), "")
        if name not in EXECUTORS:
            raise ValueError(f"no executor named {name!r}{nearest(name, EXECUTORS)}")
        if isinstance(value, dict):
            if len(value) != 1:
                raise ValueError("one executor with its parameters")
            model = EXECUTORS[name]
            if name == "inline" and value[name]:
                raise ValueError("executor inline takes no parameters")
            try:
                model.model_validate(value[name] or {})
            except ValidationError as error:
                text = _message(error, model, "", ("executor", name))
                raise PydanticCustomError("told", "{text}", {"text": text}) from None
        return value

    @model_validator(mode="after")
    def _deadline(self) -> "Options":
        if self.deadline_ms is not None and self.on_overload != "skip":
            raise PydanticCustomError(
                "told",
                "{text}",
                {
                    "text": "deadline_ms is kept by skipping frames; "
                    "say on_overload: skip, or leave it out"
                },
            )
        return self

    @field_validator("sinks", mode="before")
    @classmethod
    def _sinks(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError(f"must be a list of sinks, got {value!r}")
        try:
            return [sink_form(given) for given in value]
        except ConfigError as error:
            raise PydanticCustomError("told", "{text}", {"text": str(error)}) from None

    @property
    def executor_name(self) -> str:
        """``inline``, ``threads`` or ``dask``."""
        value = self.executor
        return value if isinstance(value, str) else next(iter(value))

    @property
    def executor_parameters(self) -> dict[str, Any]:
        """The executor's parameters, those left out at their defaults."""
        name = self.executor_name
        given: dict[str, Any] = {}
        if isinstance(self.executor, dict):
            given = self.executor[name] or {}
        return EXECUTORS[name].model_validate(given).model_dump()


class Pipeline(Options):
    """A pipeline file."""

    source: str | dict[str, Any]
    graph: dict[str, dict[str, Any]] = {}
    save: list[str] | dict[str, str]
    to: str | None = None
    #: written by the engine into RUN/pipeline.yaml; ignored when run again
    recorded: dict[str, Any] = {}

    def options(self) -> Options:
        """Return the part that is not source, graph or save."""
        return Options.model_construct(
            **{name: getattr(self, name) for name in Options.model_fields}
        )

    @property
    def saved(self) -> dict[str, str]:
        """Saved name by step name it comes from."""
        if isinstance(self.save, dict):
            return self.save
        return {name: name for name in self.save}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file.

    Raises
    ------
    ConfigError
        It is missing, is not YAML, or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no such file: {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error}") from None
    try:
        given = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}") from None
    if not isinstance(given, dict):
        raise ConfigError(
            f"{path}: needs a mapping (source, graph, save), got {given!r}"
        )
    return cast("dict[str, Any]", given)


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, and reads 1e-3 as a number."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be text", key_node.start_mark
                )
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep))


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse(given: Mapping[str, Any], where: str = "") -> Pipeline:
    """Return the checked pipeline (its graph is checked by `build`).

    Raises
    ------
    ConfigError
        One line with the path of the first mistake.
    """
    try:
        return Pipeline.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(_message(error, Pipeline, where)) from None


def parse_options(given: Mapping[str, Any]) -> Options:
    """Return checked options from Python keyword arguments."""
    try:
        return Options.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(_message(error, Options, "")) from None


def _message(
    error: ValidationError,
    model: type[BaseModel],
    where: str,
    above: tuple[str, ...] = (),
) -> str:
    first = min(error.errors(include_url=False), key=lambda e: e["type"] == "missing")
    location = [str(part) for part in first["loc"]]
    # the arms of a union are no part of what the user wrote
    location = [p for p in location if not _is_arm(p)]
    if first["type"] == "told":
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    if location and location[-1] == "[key]":
        location.pop()
    path = ".".join([*above, *location])
    prefix = f"{where}: " if where else ""
    if first["type"] == "extra_forbidden":
        owner = model
        for part in location[:-1]:
            annotation = owner.model_fields[part].annotation
            owner = _submodel(annotation) or owner
        return f"{prefix}{path}: unknown key{nearest(location[-1], owner.model_fields)}"
    if first["type"] == "missing":
        return f"{prefix}{path}: is missing; a pipeline needs {path!r}"
    if first["type"] == "value_error":
        text = first["msg"].removeprefix("Value error, ")
        if text.startswith("a size"):
            return f"{prefix}{path} must be {text}, got {first['input']!r}"
        return f"{prefix}{path}: {text}"
    if path == "log" and first["type"] == "model_type":
        return f"{prefix}log must be a mapping or none, got {first['input']!r}"
    if first["type"] in ("dict_type", "model_type", "model_attributes_type"):
        given = first["input"]
        hint = f"; write it as {{{given}: {{}}}}" if isinstance(given, str) else ""
        return f"{prefix}{path} must be a mapping, got {given!r}{hint}"
    return f"{prefix}{path} must be {explain(first)}, got {first['input']!r}"


def _is_arm(part: str) -> bool:
    return bool(
        re.match(r"(dict|list|literal|str|function|LogConfig)\b\[?|LogConfig$", part)
    ) and ("[" in part or part in ("str", "LogConfig", "dict", "list"))


def _submodel(annotation: Any) -> type[BaseModel] | None:  # any annotation
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def build(
    pipeline: Pipeline, *, may_save_nothing: bool = False
) -> tuple[Graph, dict[str, Handle]]:
    """Open the source, build the graph, and return it with what is saved.

    ``may_save_nothing``: a run that Python began without saving is resumed so.

    Raises
    ------
    ConfigError
        A step, parameter or reference that does not hold (``graph.smooth…``).
    SourceError
        The source cannot be opened.
    """
    check_graph(pipeline, may_save_nothing=may_save_nothing)
    return connect(pipeline, make_source(pipeline.source))


def connect(pipeline: Pipeline, source: Source) -> tuple[Graph, dict[str, Handle]]:
    """Build the graph on an open source."""
    graph = Graph(source)
    for name in _order(pipeline.graph):
        operator, inputs, parameters = _parts(name, pipeline.graph)
        graph.step(
            operator,
            [graph.handles[i] for i in inputs],
            parameters,
            name=name,
            path=f"graph.{name}",
        )
    saved = {}
    for key, step in pipeline.saved.items():
        if step not in graph.handles:
            raise unknown_step(step, graph.handles, "save")
        saved[key] = graph.handles[step]
    return graph, saved


def check_graph(pipeline: Pipeline, *, may_save_nothing: bool = False) -> None:
    """Check all references between steps: none unknown, no loop, something saved."""
    if not pipeline.saved and not may_save_nothing:
        raise ConfigError("save: nothing is saved; name at least one step, or 'source'")
    if "source" in pipeline.graph:
        raise ConfigError("graph.source: 'source' is a reserved step name")
    _order(pipeline.graph)
    for step in pipeline.saved.values():
        if step not in ("source", *pipeline.graph):
            raise unknown_step(step, {"source": 0, **pipeline.graph}, "save")


def _parts(
    name: str, graph: Mapping[str, Mapping[str, Any]]
) -> tuple[str, list[str], dict[str, Any]]:
    """Return operator, input names and parameters of one YAML step."""
    path = f"graph.{name}"
    body = {k: v for k, v in graph[name].items() if k != "of"}
    if len(body) != 1:
        raise ConfigError(
            f"{path}: needs one operator (and 'of'), got "
            f"{', '.join(map(str, body)) or 'none'}"
        )
    operator, given = next(iter(body.items()))
    if operator not in operators():
        raise ConfigError(
            f"{path}.{operator}: no operator named {operator!r}"
            f"{nearest(operator, operators()) or LISTED}"
        )
    parameters = _parameters(str(operator), given, f"{path}.{operator}")
    of = graph[name].get("of", _above(name, graph))
    inputs = [of] if isinstance(of, str) else of
    if not isinstance(inputs, list) or not all(isinstance(i, str) for i in inputs):
        raise ConfigError(f"{path}.of: must be a step's name or a list, got {of!r}")
    if takes_intensity(str(operator)) and "intensity" in parameters:
        intensity = parameters.pop("intensity")
        if intensity is not None:
            _known(intensity, graph, f"{path}.{operator}.intensity")
            inputs = [*inputs, intensity]
    for step in inputs:
        _known(step, graph, f"{path}.of")
    return str(operator), inputs, parameters


def _known(step: object, graph: Mapping[str, Any], path: str) -> None:
    if not isinstance(step, str):
        raise ConfigError(f"{path}: must be a step's name, got {step!r}")
    known = {"source": 0, **graph}
    if step not in known:
        raise unknown_step(step, known, path)


def _parameters(operator: str, given: object, path: str) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, dict):
        return dict(given)
    first = first_parameter(operator)
    if not first:
        raise ConfigError(f"{path}: needs a mapping of parameters, got {given!r}")
    return {first: given}


def _above(name: str, graph: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the step above; once a graph branches every step names its input."""
    names = list(graph)
    index = names.index(name)
    above = names[index - 1] if index else "source"
    users: dict[str, str] = {}
    for i, other in enumerate(names):
        of = graph[other].get("of", names[i - 1] if i else "source")
        # what is neither a name nor a list of names is refused where it stands
        for step in [of] if isinstance(of, str) else of if type(of) is list else []:
            if not isinstance(step, str):
                continue
            if step in users and "of" not in graph[name] and index:
                raise ConfigError(
                    f"graph.{name}.of: is missing; the graph branches at {step!r}, "
                    "so every step names its input"
                )
            users.setdefault(step, other)
    return above


def _order(graph: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the step names, inputs first.

    Raises
    ------
    ConfigError
        The graph has a loop; its steps are named.
    """
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name == "source" or name in order:
            return
        if name in path:
            loop = " -> ".join([*path[path.index(name) :], name])
            raise ConfigError(f"graph.{name}.of: the graph has a loop: {loop}")
        path.append(name)
        for step in _parts(name, graph)[1]:
            visit(step)
        path.pop()
        order.append(name)

    for name in graph:
        visit(name)
    return order


def override(given: dict[str, Any], setting: str) -> None:
    """Apply one ``--set graph.smooth.gaussian.sigma=3`` to a YAML mapping.

    Raises
    ------
    ConfigError
        It is not PATH=VALUE, or the path leads nowhere.
    """
    path, equals, text = setting.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {setting!r}: write it as graph.smooth.gaussian.sigma=3"
        )
    node: Any = given
    for depth, key in enumerate(keys[:-1]):
        if node.get(key) is None:
            if depth and keys[0] == "graph" and depth < 2:
                raise ConfigError(f"--set {path}: no step {key!r}{nearest(key, node)}")
            node[key] = {}
        elif not isinstance(node[key], dict):
            # a bare value becomes its parameter's mapping
            first = _parameters(key, node[key], path)
            node[key] = first
        node = node[key]
    node[keys[-1]] = parse_value(text, f"--set {path}")


def parse_value(text: str, where: str) -> Any:  # YAML
    """Return a value as it stands in YAML.

    Raises
    ------
    ConfigError
        It is none.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        raise ConfigError(f"{where}: {text!r} is not a YAML value") from None
