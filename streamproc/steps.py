"""From an operator's name to a step of the graph: lookup, kinds, parameters."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ConfigError, nearest, one_line
from .extension import KINDS, extension, said_kind
from .frame import Kind
from .graph import Step
from .ordered import ORDERED
from .parameters import Parameters
from .plugins import installed
from .window import TRIES, Window

#: The parameters that each method of background takes.
_OF_METHOD = {
    "mean": ("window", "every"),
    "median": ("window", "every"),
    "top_hat": ("radius", "shape"),
    "rolling_ball": ("radius",),
}
#: What a message about an operator ends on, where no name is near.
LISTED = "; known are those of: streamproc list operators"

_WITH_ARTICLE: dict[str, str] = {
    "image": "an image",
    "mask": "a mask",
    "labels": "labels",
    "table": "a table",
    "value": "a value",
}


def operators() -> list[str]:
    """Return the names of all steps a graph may have, sorted."""
    from . import ops

    return sorted({*ops.OPERATORS, *ORDERED, "map", *installed("operators")})


def built_in(operator: str) -> bool:
    """Return whether an operator is the engine's own: these names always win."""
    from . import ops

    return operator in ops.OPERATORS or operator in ORDERED or operator == "map"


def takes_intensity(operator: str) -> bool:
    """Return whether a second input may go by the name ``intensity`` in YAML."""
    from . import ops

    spec = ops.OPERATORS.get(operator)
    return spec is not None and "intensity" in spec.inputs


def first_parameter(operator: str) -> str | None:
    """Return the parameter that a bare value sets in YAML."""
    from . import ops

    if operator == "map":
        return "function"
    if operator in ops.OPERATORS:
        return ops.OPERATORS[operator].parameters.first
    if operator in ORDERED:
        return Parameters(ORDERED[operator], positional=True).first
    if operator not in installed("operators"):
        return None
    return extension(operator).parameters.first


def build(
    operator: str,
    name: str,
    inputs: tuple[Step, ...],
    parameters: Mapping[str, Any],
    path: str | None = None,
) -> Step:
    """Return the step, its parameters checked and defaults filled in.

    Raises
    ------
    ConfigError
        One line: ``path`` (default: the step's name), what was given, the rule.
    """
    from . import ops

    path = f"{path}.{operator}" if path else operator
    if operator == "map":
        return _map(name, inputs, parameters, path)
    if operator in ORDERED:
        return _ordered(operator, name, inputs, parameters, path)
    spec = ops.OPERATORS.get(operator)
    if spec is None and operator in installed("operators"):
        return _extension(operator, name, inputs, parameters, path)
    if spec is None:
        raise ConfigError(
            f"{path}: no operator named {operator!r}"
            f"{nearest(operator, operators()) or LISTED}"
        )
    values = spec.parameters.check(parameters, owner=operator, path=path)
    if operator == "background":
        return _background(name, inputs, parameters, values, path)
    if operator == "reference":
        _check_inputs(operator, inputs, spec.takes, 0, path)
        window = Window(name, TRIES, 1, values["frame"])
        return _windowed(operator, inputs, values, window, path)
    _check_inputs(operator, inputs, spec.takes, spec.optional, path)
    if operator == "measure":
        _check_measure(inputs, parameters, values, path)
    if operator == "threshold" and values["method"] == "fixed":
        _need_value(values, path)
    if operator == "flat_field":
        values = _fixed_files(values, path)
    if "order" in values and inputs[0].kind in ("mask", "labels"):
        _keep_values(values, inputs[0], path)
    kind = spec.gives or inputs[0].kind
    return Step(name, operator, kind, "parallel", inputs, values, spec.kernel)


def _need_value(values: Mapping[str, Any], path: str) -> None:
    if values["value"] is None:
        raise ConfigError(f"{path}.value: method 'fixed' needs a value")


def _fixed_files(values: dict[str, Any], path: str) -> dict[str, Any]:
    """Return absolute paths, and the hash that says what must lie there."""
    from .ops.calibration import located

    try:
        return located(values)
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}") from None


def _keep_values(values: dict[str, Any], given: Step, path: str) -> None:
    """Take the nearest pixel of masks and labels: what lies between means nothing."""
    if values["order"] not in (None, 0):
        raise ConfigError(
            f"{path}.order: {_WITH_ARTICLE[given.kind]} ({given.name!r}) cannot be "
            f"interpolated, got order {values['order']}; leave it out, or give 0"
        )
    values["order"] = 0


def _check_measure(
    inputs: tuple[Step, ...],
    given: Mapping[str, Any],
    values: dict[str, Any],
    path: str,
) -> None:
    from .ops.measurement import DEFAULT, check_properties

    try:
        values["properties"] = check_properties(
            values["properties"],
            has_intensity=len(inputs) > 1,
            explicit=tuple(given.get("properties", DEFAULT)) != DEFAULT,
        )
    except ConfigError as error:
        raise ConfigError(f"{path}.properties: {error}") from None


def _check_inputs(
    operator: str,
    inputs: tuple[Step, ...],
    takes: tuple[tuple[Kind, ...], ...],
    optional: int,
    path: str,
) -> None:
    if not len(takes) - optional <= len(inputs) <= len(takes):
        raise ConfigError(
            f"{path}: {operator} takes {len(takes)} input(s), got {len(inputs)}"
        )
    for step, kinds in zip(inputs, takes, strict=False):
        if step.kind not in kinds:
            wanted = " or ".join(_WITH_ARTICLE[k] for k in kinds)
            hint = "; add a label step before it" if "labels" in kinds else ""
            raise ConfigError(
                f"{path}: {operator} needs {wanted}, "
                f"got {_WITH_ARTICLE[step.kind]} ({step.name!r}){hint}"
            )


def _background(
    name: str,
    inputs: tuple[Step, ...],
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    path: str,
) -> Step:
    """Return the windowed step (of past frames) or the per-frame one."""
    from . import ops
    from .ops.background import subtract_rolling_ball

    method = values["method"]
    mine = _OF_METHOD[method]
    for key in given:
        if key not in (*mine, "method"):
            raise ConfigError(
                f"{path}.{key}: method {method!r} takes {' and '.join(mine)}, not {key}"
            )
    _check_inputs("background", inputs, (("image", "mask"),), 0, path)
    kept = {"method": method, **{key: values[key] for key in mine}}
    if "window" in mine:
        window = Window(name, values["window"], values["every"], method)
        return _windowed("background", inputs, kept, window, path)
    kernel = ops.OPERATORS["white_tophat"].kernel
    if method == "rolling_ball":
        kernel = subtract_rolling_ball
    return Step(name, "background", "image", "parallel", inputs, kept, kernel)


def _windowed(
    operator: str,
    inputs: tuple[Step, ...],
    values: Mapping[str, Any],
    window: Window,
    path: str,
) -> Step:
    from . import ops
    from .ops.registration import as_reference

    is_background = operator == "background"
    if inputs[0].role != "source":
        what = "background of past frames" if is_background else "a reference frame"
        other = ", or use method: top_hat" if is_background else ""
        raise ConfigError(
            f"{path}: {what} acts on 'source', got {inputs[0].name!r}; "
            f"put it first{other}"
        )
    kernel = ops.subtract_background if is_background else as_reference
    return Step(
        window.step,
        operator,
        "image",
        "windowed",
        inputs,
        values,
        kernel,
        window=window,
    )


def _ordered(
    operator: str,
    name: str,
    inputs: tuple[Step, ...],
    parameters: Mapping[str, Any],
    path: str,
) -> Step:
    kind = ORDERED[operator]
    values = Parameters(kind, positional=True).check(
        parameters, owner=operator, path=path
    )
    _check_inputs(operator, inputs, kind.takes, 0, path)
    return Step(
        name, operator, "value", "ordered", inputs, values, ordered=kind(**values)
    )


def _extension(
    operator: str,
    name: str,
    inputs: tuple[Step, ...],
    given: Mapping[str, Any],
    path: str,
) -> Step:
    """Return the step of a plugin's operator."""
    spec = extension(operator, path)
    values = spec.parameters.check(given, owner=operator, path=path)
    for key, value in values.items():
        if not _is_plain(value):
            raise ConfigError(
                f"{path}.{key}: got a {type(value).__name__}, which YAML cannot hold; "
                "parameters are numbers, text, lists or mappings of them"
            )
    _check_inputs(operator, inputs, spec.takes, 0, path)
    call, kind = spec.function, spec.gives
    return Step(name, operator, kind, "parallel", inputs, values, call, is_foreign=True)


def _is_plain(value: object) -> bool:
    """Return whether YAML gives a value back as it is, lists for tuples."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(type(k) is str and _is_plain(v) for k, v in value.items())
    return value is None or type(value) in (bool, int, float, str)


@dataclass(frozen=True)
class Function:
    """A user's function with its name, called on every frame."""

    call: Callable[..., Any]
    name: str

    @property
    def importable(self) -> bool:
        """Whether another process can import it by name."""
        module, _, attribute = self.name.partition(":")
        if module in ("__main__", "") or "<" in attribute:
            return False
        try:
            return load_function(self.name, "function") is self.call
        except ConfigError:
            return False


def _map(
    name: str, inputs: tuple[Step, ...], parameters: Mapping[str, Any], path: str
) -> Step:
    for key in parameters:
        if key not in ("function", "kind", "parameters"):
            raise ConfigError(
                f"{path}.{key}: map takes function, kind and parameters, not {key!r}"
            )
    function = parameters.get("function")
    if isinstance(function, str):
        call = load_function(function, f"{path}.function")
        label = function
    elif callable(function):
        call, label = function, name_of(function)
    else:
        raise ConfigError(
            f"{path}.function: needs a function, as 'module:name' in YAML, "
            f"got {function!r}"
        )
    said = getattr(call, "__annotations__", {}).get("return")
    kind = parameters.get("kind") or said_kind(said) or "image"
    if kind not in KINDS:
        raise ConfigError(
            f"{path}.kind: must be one of {', '.join(KINDS)}, got {kind!r}"
        )
    keywords = parameters.get("parameters") or {}
    if not isinstance(keywords, Mapping):
        raise ConfigError(f"{path}.parameters: must be a mapping, got {keywords!r}")
    keywords = {
        k: v.item() if isinstance(v, np.generic) else v for k, v in keywords.items()
    }
    values = {"function": label, "kind": kind, "parameters": keywords}
    return Step(name, "map", kind, "parallel", inputs, values, call, is_foreign=True)


def name_of(function: Callable[..., Any]) -> str:
    """Return ``module:name`` of a function, or of what it calls itself."""
    module = getattr(function, "__module__", None) or ""
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{module}:{name}"


def load_function(text: str, path: str) -> Callable[..., Any]:
    """Import ``module:name``.

    Raises
    ------
    ConfigError
        No such module or name, or the module fails at import.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise ConfigError(f"{path}: got {text!r}, write it as 'module:name'")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        # a user's module may fail in any way at import
        raise ConfigError(
            f"{path}: cannot import {text!r}: {one_line(error)}"
        ) from error
    if not callable(found):
        raise ConfigError(f"{path}: {text!r} is not a function")
    result: Callable[..., Any] = found
    return result
