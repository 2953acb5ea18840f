"""From an operator's name to a step: functions, kinds, what can be imported again."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from streamproc.errors import ConfigError
from streamproc.steps import Function, load_function, name_of, operators
from tests.arrays import simulated
from tests.functions import brighten


class Owner:
    def method(self, image: Any) -> Any:
        return image

    @staticmethod
    def static(image: Any) -> Any:
        return image


def test_all_operators_are_known() -> None:
    names = operators()
    assert names == sorted(names)
    assert {"gaussian", "measure", "running_count", "map", "background"} <= set(names)


def test_what_can_be_imported_by_name() -> None:
    def local(image: Any) -> Any:
        return image

    def importable(function: Any) -> bool:
        return Function(function, name_of(function)).importable

    assert importable(brighten)
    assert importable(Owner.static)
    assert importable(np.mean)
    assert not importable(local)
    assert not importable(lambda image: image)
    assert not importable(partial(brighten, gain=3))
    assert not importable(Owner().method)
    assert not Function(brighten, "__main__:brighten").importable
    assert not Function(abs, "tests.functions:brighten").importable


def test_functions_are_loaded_by_name() -> None:
    assert load_function("tests.functions:brighten", "p") is brighten
    assert load_function("tests.test_steps:Owner.static", "p")(3) == 3
    with pytest.raises(
        ConfigError, match=r"p: cannot import 'tests.functions:no': Att"
    ):
        load_function("tests.functions:no", "p")
    with pytest.raises(ConfigError, match="p: got 'brighten', write it as 'module:nam"):
        load_function("brighten", "p")


def test_numbers_of_numpy_travel_as_python_ones() -> None:
    step = simulated().map(brighten, parameters={"gain": np.float32(3)}).step
    assert step.parameters == {
        "function": "tests.functions:brighten",
        "kind": "image",
        "parameters": {"gain": 3.0},
    }
    assert type(step.parameters["parameters"]["gain"]) is float


def test_map_refuses() -> None:
    raw = simulated()
    with pytest.raises(ConfigError, match=r"map.function: needs a function"):
        raw.map(3)  # type: ignore[call-overload]
    with pytest.raises(
        ConfigError, match=r"map.kind: must be one of image, mask, .*'p'"
    ):
        raw.map(brighten, kind="p")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"map.parameters: must be a mapping, got 3"):
        raw.map(brighten, parameters=3)  # type: ignore[call-overload]
