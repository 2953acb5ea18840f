"""Parameters checked against the signature that takes them."""

from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le

from streamproc.errors import ConfigError
from streamproc.parameters import Parameters, describe


def function(
    image: Any,
    *,
    size: Annotated[int, Ge(1), Le(9)],
    sigma: float | tuple[float, ...] = 1.0,
    method: Literal["a", "b"] = "a",
    flag: bool = False,
    name: str | None = None,
    channel_axis: int | None = None,
) -> None:
    """Take one of each."""


PARAMETERS = Parameters(function, skip=("channel_axis",))


def check(**given: Any) -> dict[str, Any]:
    return PARAMETERS.check(given, owner="mine", path="graph.a.mine")


def test_defaults_are_filled_in() -> None:
    assert PARAMETERS.first == "size"
    assert check(size=3) == {
        "size": 3,
        "sigma": 1.0,
        "method": "a",
        "flag": False,
        "name": None,
    }
    assert check(size=3, sigma=[1, 2.5])["sigma"] == (1, 2.5)
    assert check(size=np.int16(3))["size"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "graph.a.mine.size: mine needs 'size'"),
        ({"size": 0}, "graph.a.mine.size must be >= 1, got 0"),
        ({"size": 10}, "graph.a.mine.size must be <= 9, got 10"),
        ({"size": 1.5}, "graph.a.mine.size must be a whole number, got 1.5"),
        ({"size": "3"}, "graph.a.mine.size must be a whole number, got '3'"),
        ({"size": True}, "graph.a.mine.size must be a whole number, got True"),
        ({"size": 3, "sigma": "x"}, "graph.a.mine.sigma must be a number, got 'x'"),
        (
            {"size": 3, "method": "c"},
            "graph.a.mine.method must be one of 'a' or 'b', go",
        ),
        ({"size": 3, "flag": 1}, "graph.a.mine.flag must be true or false, got 1"),
        ({"size": 3, "name": 1}, "graph.a.mine.name must be text, got 1"),
        (
            {"siez": 3},
            "graph.a.mine.siez: mine has no parameter 'siez'; did you mean 'si",
        ),
        ({"channel_axis": 0}, "mine has no parameter 'channel_axis'"),
        ({3: 0}, "graph.a.mine.3: mine has no parameter 3"),
    ],
)
def test_refusals(given: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PARAMETERS.check(given, owner="mine", path="graph.a.mine")


def test_what_was_right_once_says_nothing_of_other_types() -> None:
    """1, 1.0 and True are equal, and calls that were checked are remembered."""
    for sigma in (1, (1.0, 2), (1, 2), (1.0, 2)):
        assert check(size=1, sigma=sigma)["sigma"] == sigma
    for given in ({"size": True}, {"size": 1.0, "sigma": 1}):
        with pytest.raises(ConfigError, match="size must be a whole number"):
            check(**given)
    with pytest.raises(ConfigError, match="sigma must be"):
        check(size=1, sigma=(True, 2))


def test_constructors_take_positional_ones() -> None:
    class Source:
        def __init__(self, path: str, *, fps: Annotated[float, Gt(0)] = 1) -> None: ...

    parameters = Parameters(Source, positional=True)
    assert parameters.first == "path"
    assert parameters.check({"path": "a"}, owner="s") == {"path": "a", "fps": 1}
    with pytest.raises(ConfigError, match=r"fps must be > 0.0, got 0"):
        parameters.check({"path": "a", "fps": 0}, owner="s")


def test_annotations_in_words() -> None:
    words = {name: describe(hint) for name, hint in PARAMETERS.types.items()}
    assert words["size"] == "int >= 1 <= 9"
    assert words["method"] == "a|b"
    assert words["flag"] == "bool"
