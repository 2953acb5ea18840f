"""What is listed of every operator, and all of one."""

import json
from collections.abc import Callable

import pytest

from streamproc import ops
from streamproc.catalogue import catalogue, find
from streamproc.errors import ConfigError
from streamproc.facts import facts, family, section
from streamproc.ordered import ORDERED

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", sorted({*ops.OPERATORS, *ORDERED}))
def test_every_operator_says_what_it_takes_and_gives(name: str) -> None:
    known = facts(name)
    kinds = {"image", "mask", "labels", "table", "value"}
    assert {k for t in known.takes for k in t.strip("[]").split(" or ")} <= kinds
    assert known.gives in kinds | {"the same kind"}
    assert known.devices
    if name not in ORDERED:
        assert known.axes, "the first input's docstring says its axes: ``(y, x)``"
    assert family(name)[1], "the module says what it holds"
    assert "\n" not in str(known)


def test_facts_are_those_of_the_definition() -> None:
    known = facts("gaussian")
    assert (known.takes, known.gives) == (("image or mask",), "image")
    assert (known.result, known.axes) == ("float32", ("yx", "zyx"))
    assert facts("measure").takes == ("labels", "[image or mask]")
    assert facts("median").result == "dtype of the input"
    assert facts("project").axes == ("zyx",)
    said = str(facts("label"))
    assert said.startswith("mask -> labels (uint32); yx or zyx; CPU")
    assert family("gaussian")[0] == "filters"
    assert family("binary_erosion") == family("binary_opening")


def test_sections_end_where_the_next_begins() -> None:
    doc = "One line.\n\nReturns\n-------\nint\n    Of pixels.\n\nNotes\n-----\nSlow."
    assert section(doc, "Returns") == "int\n    Of pixels."
    assert section(doc, "Notes") == "Slow."
    assert section(doc, "Raises") == ""


def test_operators_are_listed_below_their_modules(command: Command) -> None:
    _, out, _ = command("list", "operators")
    lines = out.splitlines()
    heads = [n for n, line in enumerate(lines) if not line.startswith(" ")]
    names = [line.partition(":")[0] for line in (lines[n] for n in heads)]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    below = lines[heads[names.index("filters")] : heads[names.index("filters") + 1]]
    assert "  gaussian: Smooth with a Gaussian." in below
    assert any("image or mask -> image (float32); yx or zyx" in line for line in below)
    assert not any(line.startswith("  label:") for line in below)


def test_one_operator_is_told_whole(command: Command) -> None:
    code, out, _ = command("list", "operators", "gaussian")
    assert code == 0
    assert out.startswith("gaussian(sigma=1.0)\n")
    for part in ("Standard deviation in pixels", "Returns\n-------\n", ">>> "):
        assert part in out
    _, out, _ = command("list", "operators", "bland_altman")
    assert out.startswith("bland_altman(column=area, confidence=0.95)\n")
    _, out, _ = command("list", "sources", "files")
    assert "Parameters\n----------" in out


def test_json_has_all_of_it(command: Command) -> None:
    _, out, _ = command("list", "--json")
    told = json.loads(out)
    assert set(told) == {"sources", "sinks", "operators", "dashboards"}
    (label,) = (i for i in told["operators"] if i["name"] == "label")
    assert (label["takes"], label["gives"], label["result"]) == (
        *(["mask"], "labels"),
        "uint32",
    )
    _, out, _ = command("list", "operators", "label", "--json")
    assert json.loads(out) == label
    assert "facts" not in label


def test_what_is_not_there_is_refused(command: Command) -> None:
    with pytest.raises(ConfigError, match="no operator named 'gausian'; did you mean"):
        find("operators", "gausian")
    with pytest.raises(ConfigError, match="nothing to list as 'operator'; did you"):
        next(catalogue("operator"))
    assert command("list", "sinks", "nothing")[0] == 2
