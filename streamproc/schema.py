"""The JSON Schema of a pipeline file, by which editors complete and check it.

What it accepts is what a pipeline may look like with the plugins that are installed.
What only the whole graph can tell (the kinds of values, loops, missing steps) is
told by ``streamproc check``.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from . import ops
from .config import EXECUTORS, Limits, Pipeline
from .errors import StreamprocError
from .extension import KINDS, extension
from .handle import Handle
from .ops.measurement import PROPERTIES
from .ordered import ORDERED
from .parameters import Parameters
from .plugins import installed, load
from .steps import operators, takes_intensity

Schema = dict[str, Any]

#: Of all versions that editors know, the one that all of them know.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_NAME = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,99}$"}
_BYTES = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*[\d.]+\s*([KkMmGgTt][Ii]?)?[Bb]?\s*$"},
    ]
}


def pipeline_schema() -> Schema:
    """Return the JSON Schema (draft 7) of a pipeline file.

    It holds every operator, source and sink that is installed, with its parameters,
    their bounds, defaults and descriptions. A plugin that breaks at import is left
    out.
    """
    schema = Pipeline.model_json_schema()
    schema["$defs"]["Limits"] = _limits()
    properties = schema["properties"]
    del properties["recorded"]["default"]
    properties |= {
        "source": _source(),
        "graph": _graph(),
        "save": _save(),
        "executor": _executor(properties["executor"]),
        "sinks": _sinks(),
    }
    for name, text in _DESCRIPTIONS.items():
        properties[name] = {**properties[name], "description": text}
    return {
        "$schema": _DIALECT,
        **schema,
        "title": "streamproc pipeline",
        "description": "Frames from a source through a graph of steps into a run.",
    }


_DESCRIPTIONS = {
    "source": "Where frames come from: a path, glob or address, or one source.",
    "graph": "Steps by name. A step takes the step above it, or those named by 'of'.",
    "save": "Steps whose values are kept: images, label images, tables, values.",
    "to": "The run folder; default: a new one under runs/.",
    "executor": "Where steps run: inline, threads, or one with its parameters.",
    "on_error": "A frame that fails is recorded, or stops the run.",
    "on_overload": "What becomes of frames that analysis cannot keep up with.",
    "deadline_ms": "With skip: milliseconds from admission to commit.",
    "on_full_log": "What becomes of frames if the disk is slower than the camera.",
    "log": "What becomes of a live source's raw log.",
    "store": "How images are written.",
    "limits": "Bounds on memory in flight, and the disk space left alone.",
    "adjustable": "Parameters that may be changed while the run goes on.",
    "sinks": "Observers: what takes the committed frames.",
    "alerts": "Rules that watch the run, and who is told when one is broken.",
    "recorded": "Written by the engine, and ignored when run again.",
}


def _limits() -> Schema:
    """Say how a size may be written, which only the model's validator knows."""
    fields = Limits.model_fields
    sizes = {name: {**_BYTES, "default": f.default} for name, f in fields.items()}
    return {"type": "object", "properties": sizes, "additionalProperties": False}


def _source() -> Schema:
    kinds = {
        name: _call(Parameters(kind, positional=True), kind)
        for name, kind in _loaded("sources")
    }
    text = {"type": "string", "description": "A path, glob or address."}
    return {"anyOf": [text, _one_of(kinds)]}


def _sinks() -> Schema:
    kinds = {
        name: _call(Parameters(kind, positional=True), kind)
        for name, kind in _loaded("sinks")
        if hasattr(kind, "take")  # others are stores, which the engine opens
    }
    one = {"anyOf": [_one_of(kinds), {"enum": sorted(kinds)}]}
    return {"type": "array", "items": one, "default": []}


def _loaded(group: str) -> Iterable[tuple[str, Any]]:
    for name in installed(group):
        try:
            yield name, load(group, name)
        except StreamprocError:
            continue


def _graph() -> Schema:
    known = {}
    for name in operators():
        try:
            known[name] = _operator(name)
        except StreamprocError:
            continue
    one_or_more = {"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}
    step = {
        "type": "object",
        "properties": {
            "of": {**one_or_more, "description": "The step (or steps) it takes."},
            **known,
        },
        "additionalProperties": False,
        "minProperties": 1,
        # one operator, with or without 'of'
        "if": {"required": ["of"]},
        "then": {"minProperties": 2, "maxProperties": 2},
        "else": {"maxProperties": 1},
    }
    return {
        "type": "object",
        "propertyNames": {**_NAME, "not": {"const": "source"}},
        "additionalProperties": step,
    }


def _operator(name: str) -> Schema:
    if name == "map":
        return _map()
    if name in ORDERED:
        kind = ORDERED[name]
        return _call(Parameters(kind, positional=True), kind)
    if name not in ops.OPERATORS:
        other = extension(name)
        return _call(other.parameters, other.function)
    spec = ops.OPERATORS[name]
    schema = _call(spec.parameters, spec.kernel)
    if name == "measure":
        mapping = schema["anyOf"][0]["properties"]
        mapping["properties"]["items"] = {"enum": sorted(PROPERTIES)}
    if takes_intensity(name):
        mapping = schema["anyOf"][0]["properties"]
        mapping["intensity"] = {
            "anyOf": [_NAME, {"type": "null"}] if spec.optional else [_NAME],
            "description": "The step whose image is measured.",
        }
    return schema


def _map() -> Schema:
    function = {
        "type": "string",
        "pattern": r"^[^:]+:[^:]+$",
        "description": "module:name",
    }
    mapping = {
        "type": "object",
        "properties": {
            "function": function,
            "kind": {"enum": list(KINDS), "description": "What it returns."},
            "parameters": {"type": "object", "description": "Keyword arguments."},
        },
        "required": ["function"],
        "additionalProperties": False,
    }
    return {"anyOf": [mapping, function], "description": _summary(Handle.map)}


def _save() -> Schema:
    return {
        "anyOf": [
            {"type": "array", "items": _NAME, "minItems": 1, "uniqueItems": True},
            {
                "type": "object",
                "propertyNames": _NAME,
                "additionalProperties": _NAME,
                "minProperties": 1,
            },
        ]
    }


def _executor(told: Schema) -> Schema:
    kinds = {}
    for name, model in EXECUTORS.items():
        schema = model.model_json_schema()
        kinds[name] = {
            "type": ["object", "null"],
            "properties": schema["properties"],
            "additionalProperties": False,
        }
    return {
        "anyOf": [{"enum": list(EXECUTORS)}, _one_of(kinds)],
        "default": told["default"],
    }


def _one_of(kinds: Mapping[str, Schema]) -> Schema:
    """Return the schema of a mapping with one of these keys."""
    return {
        "type": "object",
        "properties": dict(kinds),
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }


def _call(parameters: Parameters, owner: Callable[..., Any]) -> Schema:
    """Return what may follow a name: its parameters, the first one bare, nothing."""
    told = descriptions(owner)
    properties, required = {}, []
    for name, parameter in parameters.items.items():
        schema = _value(parameters.types[name])
        if parameter.default is parameter.empty:
            required.append(name)
        else:
            schema |= _default(parameter.default)
        if name in told:
            schema["description"] = told[name]
        properties[name] = schema
    mapping: Schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    forms = [mapping]
    if required:
        mapping["required"] = required
    if required in ([], [parameters.first]) and properties:
        forms.append(properties[str(parameters.first)])
    if not required:
        forms.append({"type": "null"})
    return {"anyOf": forms, "description": _summary(owner)}


def _value(hint: Any) -> Schema:  # any annotation
    config = ConfigDict(arbitrary_types_allowed=True)
    try:
        return dict(_plain(TypeAdapter(hint, config=config).json_schema()))
    except Exception:
        # a plugin's own type, or a bound that JSON has not: anything may be right
        return {}


def _default(value: object) -> Schema:
    """Return the default as a schema tells it; nothing where JSON cannot."""
    try:
        return {"default": _plain(value)}
    except (TypeError, ValueError, RecursionError):
        return {}


def _plain(value: object) -> Any:  # whatever JSON has
    """Return a value as JSON has it, numbers of numpy as plain ones.

    Raises
    ------
    TypeError, ValueError
        It has what JSON has not: other objects, infinity, nan.
    """
    return json.loads(json.dumps(value, allow_nan=False, default=_number))


def _number(value: object) -> bool | int | float:
    if isinstance(value, np.bool_ | np.integer | np.floating):
        plain = value.item()
        if isinstance(plain, bool | int | float):
            return plain
    raise TypeError(f"{type(value).__name__} is not JSON")


def _summary(thing: Callable[..., Any]) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def descriptions(owner: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstring's section Parameters says of each, in one line.

    Examples
    --------
    >>> from streamproc.ops import measure
    >>> sorted(descriptions(measure))
    ['channel_axis', 'intensity', 'labels', 'properties']
    """
    _, _, section = (inspect.getdoc(owner) or "").partition("Parameters\n----------\n")
    found: dict[str, list[str]] = {}
    names: list[str] = []
    lines = [*section.splitlines(), ""]
    for line, below in pairwise(lines):
        if below.startswith("---"):
            break
        if line and not line.startswith(" "):
            names = [n.strip() for n in line.partition(":")[0].split(",")]
        elif line:
            for name in names:
                found.setdefault(name, []).append(line.strip())
    return {name: " ".join(text) for name, text in found.items()}
