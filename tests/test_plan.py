"""The graph cut into segments, what runs on which axes, and its identity."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc.errors import ConfigError
from streamproc.frame import trailing_axes
from streamproc.job import take_handles
from streamproc.plan import Plan, make_plan, source_text
from streamproc.window import Window
from tests.arrays import Array, Arrays, errors, noise, segmented, simulated, whole
from tests.functions import brighten, plus_total, two_rows


def plan_of(save: dict[str, sp.Handle]) -> Plan:
    graph, saved, wanted = take_handles(save)
    return make_plan(graph, saved, wanted)


def names(plan: Plan) -> list[list[str]]:
    """Return what runs in each segment."""
    return [
        [i.name for i in s.stage.instructions]
        if s.stage
        else [o.name for o in s.ordered]
        for s in plan.segments
    ]


# --- segments -------------------------------------------------------------------


def test_one_fused_stage_without_ordered_steps() -> None:
    raw = simulated()
    labels, cells = segmented(raw)
    raw.median(name="unused")
    plan = plan_of({"labels": labels, "cells": cells})
    assert names(plan) == [["gaussian", "threshold", "label", "measure"]]


def test_parallel_ordered_parallel() -> None:
    raw = simulated()
    _, cells = segmented(raw)
    total = cells.running_count()
    late = raw.map(plus_total, total)
    plan = plan_of({"late": late})
    first = ["gaussian", "threshold", "label", "measure"]
    assert names(plan) == [first, ["running_count"], ["map"]]
    assert plan.segments[0].stage is not None
    assert plan.segments[0].stage.keep == ("measure",)
    twice = late.map(two_rows, kind="table").running_count()
    deep = names(plan_of({"twice": twice}))
    assert deep[2:] == [["map", "map_2"], ["running_count_2"]]


def test_values_after_ordered_steps(tmp_path: Path, executor: str) -> None:
    raw = simulated(80)
    _, cells = segmented(raw)
    total = cells.running_count()
    late = raw.map(plus_total, total)
    sp.run(
        {"source": raw, "cells": cells, "total": total, "late": late},
        tmp_path / "run",
        executor=executor,
    )
    result = sp.load(tmp_path / "run")
    per_frame = result.tables["cells"].groupby("frame").size()
    counts = per_frame.reindex(range(80), fill_value=0)
    assert result.tables["total"].objects.tolist() == counts.tolist()
    sums = counts.cumsum().to_numpy()
    assert result.tables["total"].total.tolist() == sums.tolist()
    expected = whole(result.images["source"]) + sums[:, None, None].astype(np.uint16)
    assert np.array_equal(whole(result.images["late"]), expected)


def test_pixels_are_computed_again_from_carried_tables(
    tmp_path: Path, executor: str
) -> None:
    """A later stage needs pixels that were made of a table of an earlier one."""
    raw = simulated(20)
    labels, cells = segmented(raw)
    other = labels.measure(raw, properties=["area"])
    shifted = raw.map(lambda image, table: image + len(table), other, name="shifted")
    late = shifted.map(plus_total, cells.running_count(), name="late")
    report = sp.run({"late": late}, tmp_path / "run", executor=executor)
    assert (report.frames.done, report.frames.failed) == (20, 0)


def test_a_value_saved_twice_and_late_streams(tmp_path: Path, executor: str) -> None:
    raw = simulated(20)
    _, cells = segmented(raw)
    total = cells.running_count()
    again = total.map(lambda value: value["total"], kind="value")
    got: list[int] = []
    again.stream.sink(got.append)
    sp.run({"a": total, "b": total, "c": again}, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert result.tables["a"].equals(result.tables["b"])
    assert result.tables["c"].value.tolist() == result.tables["a"].total.tolist() == got


# --- axes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ndim", "axes", "expected"),
    [
        (2, "yx", "yx"),
        (2, "cyx", "yx"),
        (3, "cyx", "cyx"),
        (3, "yx", "zyx"),
        (3, "czyx", "zyx"),
        (4, "yx", "czyx"),
    ],
)
def test_axes_of_what_a_function_gave(ndim: int, axes: str, expected: str) -> None:
    assert trailing_axes(ndim, axes) == expected


def first_channel(image: Array) -> Array:
    """Return the nuclei's channel."""
    return np.asarray(image[0])


def test_operators_act_per_channel(tmp_path: Path, executor: str) -> None:
    stack = noise(6, (2, 32, 40))
    raw = sp.open(Arrays(stack, "cyx"))
    smooth = raw.gaussian(sigma=2)
    nuclei = smooth.threshold().label()
    sp.run(
        {"source": raw, "smooth": smooth, "nuclei": nuclei},
        tmp_path / "run",
        executor=executor,
    )
    result = sp.load(tmp_path / "run")
    for n, frame in enumerate(stack):
        for c, plane in enumerate(frame):
            expected = sp.ops.gaussian(plane, sigma=2)
            assert np.array_equal(whole(result.images["smooth"])[n, c], expected)
            labels = sp.ops.label(sp.ops.threshold(expected))
            assert np.array_equal(whole(result.labels["nuclei"])[n, c], labels)


def test_labels_of_one_channel_measured_in_all(tmp_path: Path, executor: str) -> None:
    stack = noise(6, (2, 32, 40))
    raw = sp.open(Arrays(stack, "cyx"))
    nuclei = raw.map(first_channel).threshold().label()
    cells = nuclei.measure(raw)
    saved = {"nuclei": nuclei, "cells": cells}
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert errors(result) == []
    table = result.tables["cells"]
    assert [*table.columns[-2:]] == ["mean_intensity_c0", "mean_intensity_c1"]
    assert result.labels["nuclei"].shape == (6, 32, 40)
    expected = sp.ops.measure(whole(result.labels["nuclei"])[0], stack[0])
    mine = table[table.frame == 0].drop(columns="frame").reset_index(drop=True)
    assert mine.equals(expected)


def test_numbers_of_a_frame_are_columns_for_every_channel(
    tmp_path: Path, executor: str
) -> None:
    stack = noise(4, (2, 32, 40))
    raw = sp.open(Arrays(stack, "cyx"))
    saved = {
        "levels": raw.statistics(("mean", "max", "percentiles", "snr")),
        "focus": raw.focus(),
        "bins": raw.channel(1).histogram(4),
    }
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert errors(result) == []
    levels, focus = result.tables["levels"], result.tables["focus"]
    assert levels["label"].tolist() == focus["label"].tolist() == [0] * 4
    assert levels["max_c1"].tolist() == stack[:, 1].max(axis=(1, 2)).tolist()
    assert np.allclose(levels["percentile_50_c0"], np.median(stack[:, 0], axis=(1, 2)))
    expected = [sp.ops.focus(frame, channel_axis=0) for frame in stack]
    names = ["laplacian_variance_c0", "laplacian_variance_c1"]
    assert focus[names].to_dict("records") == expected
    bins = result.tables["bins"]
    assert bins["label"].tolist() == [1, 2, 3, 4] * 4
    assert bins.groupby("frame")["count"].sum().tolist() == [32 * 40] * 4


def test_objects_beside_each_other_are_tables(tmp_path: Path) -> None:
    stack = noise(3, (24, 32))
    raw = sp.open(Arrays(stack))
    labels = raw.gaussian(2).threshold().label()
    saved = {
        "nuclei": labels,
        "texture": labels.texture(raw),
        "near": labels.neighbors(2),
        "pairs": labels.touching(),
    }
    sp.run(saved, tmp_path / "run")
    result = sp.load(tmp_path / "run")
    assert errors(result) == []
    pixels = whole(result.labels["nuclei"])[0]
    for name, expected in (
        ("texture", sp.ops.texture(pixels, stack[0])),
        ("near", sp.ops.neighbors(pixels, n=2)),
    ):
        found = result.tables[name].query("frame == 0").drop(columns="frame")
        assert found.reset_index(drop=True).equals(expected)
    assert result.tables["pairs"].empty  # what touches is one object


def test_tables_of_channels_are_refused_before_the_run() -> None:
    raw = sp.open(Arrays(noise(3, (2, 32, 32)), "cyx"))
    with pytest.raises(
        ConfigError, match=r"histogram: a table has no channels, 'source' has axes"
    ):
        plan_of({"bins": raw.histogram()})


def test_labels_with_channels_are_not_measured(tmp_path: Path) -> None:
    raw = sp.open(Arrays(noise(3, (2, 32, 32)), "cyx"))
    labels = raw.threshold().label()
    with pytest.raises(
        ConfigError, match=r"needs labels without channels, 'label' has"
    ):
        plan_of({"cells": labels.measure(raw)})
    late = raw.map(np.positive).threshold().label()  # nobody knows its axes before
    sp.run({"cells": late.measure(raw)}, tmp_path / "run")
    (error,) = errors(sp.load(tmp_path / "run"))
    assert "tables have no channel axis: choose one channel first" in error


def test_volumes(tmp_path: Path, executor: str) -> None:
    stack = noise(4, (5, 24, 24))
    raw = sp.open(Arrays(stack, "zyx"))
    labels = raw.gaussian(sigma=1).threshold().label()
    flat = raw.project("max")
    cells = labels.measure(raw)
    saved = {"labels": labels, "flat": flat, "cells": cells}
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert np.array_equal(whole(result.images["flat"]), stack.max(axis=1))
    expected = sp.ops.label(sp.ops.threshold(sp.ops.gaussian(stack[1], sigma=1)))
    assert np.array_equal(whole(result.labels["labels"])[1], expected)
    assert "centroid_z" in result.tables["cells"]
    with pytest.raises(ConfigError, match=r"perimeter is for planes \(y, x\) only"):
        plan_of({"p": labels.measure(properties=["perimeter"])})
    with pytest.raises(ConfigError, match="project needs a z axis, got axes 'yx'"):
        plan_of({"p": simulated().project()})


# --- windows --------------------------------------------------------------------


def test_windows_reach_back() -> None:
    window = Window("b", window=5, every=3)
    assert [window.block(n) for n in (0, 2, 3, 8)] == [0, 0, 1, 2]
    assert [*window.frames(0)] == [0, 1, 2]
    assert [*window.frames(1)] == [0, 1, 2]
    assert [*window.frames(3)] == [4, 5, 6, 7, 8]


def test_references_are_passed_over() -> None:
    first, last = Window("r", 3, 1, "first"), Window("r", 3, 1, "previous")
    assert [first.block(n) for n in (0, 1, 2, 9)] == [0, 1, 2, 2]
    assert [*first.frames(2)] == [0, 1, 2]
    assert (first.reaches(9), first.pinned, last.pinned) == (0, 3, 0)
    assert [[*last.frames(n)] for n in (0, 2, 5)] == [[0], [1, 0, 2], [4, 3, 2]]
    assert last.reaches(5) == 2


def test_what_may_go_of_a_log() -> None:
    raw = simulated()
    first, flat = raw.reference(), raw.background(window=10, every=5)
    assert plan_of({"a": raw.gaussian()}).may_go(40) == range(40)
    assert plan_of({"a": first}).may_go(40) == range(8, 40)
    plan = plan_of({"a": first, "b": flat, "c": raw.reference("previous")})
    assert (plan.may_go(42), plan.first_needed(42)) == (range(8, 30), 0)


# --- identity -------------------------------------------------------------------


def identity(*, source: str = "s", name: str = "x", **given: Any) -> str:
    sigma = given.get("sigma", 1)
    raw = simulated()
    step = raw.gaussian(sigma=sigma)
    mine = step.map(given.get("function", brighten), parameters=given.get("keys"))
    return plan_of({name: mine}).identity(source)


def test_identity_changes_with_what_changes_results() -> None:
    first = identity()
    assert identity() == first
    others = [
        identity(sigma=1.5),
        identity(name="y"),
        identity(source="t"),
        identity(function=np.positive),
        identity(function=lambda image: image + 1),
        identity(keys={"gain": 3}),
        identity(keys={"gain": "3"}),
    ]
    assert len({first, *others}) == 8


MODULE = """
import streamproc as sp
from streamproc.job import take_handles
from streamproc.plan import make_plan

def mine(image):
    return image * {factor}

def identity():
    raw = sp.open({{"simulation": {{"frames": 2, "shape": [64, 64], "cells": 2}}}})
    first = raw.map(mine)
    twice = first.map(lambda image: image + {factor} if 3 in {{1, 2}} else image)
    graph, saved, wanted = take_handles({{"x": twice}})
    return make_plan(graph, saved, wanted).identity("s")
"""


def in_process(folder: Path, code: str, *flags: str) -> str:
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


@pytest.mark.parametrize("as_file", [True, False])
def test_identity_is_the_same_in_every_process(tmp_path: Path, as_file: bool) -> None:
    """Source text where there is some, else code and constants (``python -c``)."""
    found = []
    for factor in (2, 2, 3):
        text = MODULE.format(factor=factor)
        code = text + "\nprint(identity())"
        if as_file:
            (tmp_path / "own.py").write_text(text)
            code = "import own; print(own.identity())"
        found.append(in_process(tmp_path, code, "-B"))
    assert found[0] == found[1] != found[2]


def test_source_text_of_what_has_none() -> None:
    assert source_text(np.add) == source_text(np.add) != source_text(np.subtract)
    one = eval("lambda image: image * 2")
    two = eval("lambda image: image * 3")
    assert source_text(one) != source_text(two)
