"""A fused stage: picklable, never raising, and functions that misbehave."""

import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest

import streamproc as sp
from streamproc.frame import FrameRef
from streamproc.job import take_handles
from streamproc.plan import make_plan
from streamproc.stage import Stage, rehearse
from tests.arrays import (
    Array,
    Arrays,
    errors,
    noise,
    run_one,
    segmented,
    simulated,
    whole,
)


def stage_of(save: dict[str, sp.Handle]) -> Stage:
    graph, saved, wanted = take_handles(save)
    stage = make_plan(graph, saved, wanted).segments[0].stage
    assert stage is not None
    return stage


def ref(pixels: Array, frame: int = 0) -> FrameRef:
    return FrameRef(frame, frame, 1.5, '{"a": 1}', None, pixels=pixels)


def test_a_stage_travels_by_pickle() -> None:
    raw = simulated()
    _, cells = segmented(raw)
    stage = stage_of({"cells": cells, "mine": raw.map(np.mean, kind="value")})
    again = pickle.loads(pickle.dumps(stage))
    pixels = noise(1, (64, 64))[0]
    one, two = stage(ref(pixels), {}, {}), again(ref(pixels), {}, {})
    assert one.error is None
    assert one.hashes == two.hashes
    assert one.rows["cells"].rows == two.rows["cells"].rows
    assert one.rows["cells"].objects == len(one.rows["cells"].rows) > 0
    assert set(one.seconds) == {
        "(read)",
        "gaussian",
        "threshold",
        "label",
        "measure",
        "map",
        "(encode)",
    }
    assert (one.time, one.metadata) == (1.5, '{"a": 1}')


def test_values_go_after_their_last_use() -> None:
    alive: list[weakref.ref[Array]] = []

    def watched(pixels: Array) -> Array:
        made = np.array(pixels)
        alive.append(weakref.ref(made))
        return made

    def held(pixels: Array) -> float:
        return sum(seen() is not None for seen in alive)

    raw = simulated()
    smooth = raw.map(watched, kind="image").map(watched, kind="image")
    stage = stage_of({"held": smooth.map(held, kind="value")})
    result = stage(ref(noise(1, (64, 64))[0]), {}, {})
    assert result.error is None
    # of two images only the one that the last step takes is left
    assert result.rows["held"].rows[0][-1] == 1


def test_what_a_function_does_to_labels_is_measured() -> None:
    def halved(labels: Array) -> Array:
        mine = labels.copy()
        mine[:, ::2] = 0
        return mine

    def own_way(mask: Array) -> Any:
        labels = sp.ops.label(mask)
        labels[:, ::2] = 0
        return sp.ops.measure(labels, properties=("area",))

    mask = simulated().threshold()
    labels = mask.label()
    areas = ["area"]
    saved: dict[str, sp.Handle] = {
        "all": labels.measure(properties=areas),
        "half": labels.map(halved, kind="labels").measure(properties=areas),
        "own": mask.map(own_way, kind="table"),
    }
    pixels = noise(1, (64, 64))[0]
    result = stage_of(saved)(ref(pixels), {}, {})
    assert result.error is None
    found = {name: [row[1:] for row in r.rows] for name, r in result.rows.items()}
    whole = sp.ops.label(sp.ops.threshold(pixels))
    for name, image in {"all": whole, "half": halved(whole)}.items():
        numbers, counts = np.unique(image[image > 0], return_counts=True)
        assert found[name] == list(zip(numbers.tolist(), counts.tolist(), strict=True))
    assert found["own"] == found["half"] != found["all"]


def test_labels_that_nobody_looks_at_are_not_painted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("painted")

    labels = simulated().threshold().label()
    cells = labels.measure(properties=["area"])
    pixels = noise(1, (64, 64))[0]
    expected = stage_of({"cells": cells})(ref(pixels), {}, {})
    assert len(expected.rows["cells"].rows) > 1
    looked_at: list[sp.Handle] = [
        labels,
        labels.map(np.mean, kind="value"),
        labels.find_boundaries(),
    ]
    monkeypatch.setattr("streamproc.ops._runs.paint", refuse)
    result = stage_of({"cells": cells})(ref(pixels), {}, {})
    assert result.hashes == expected.hashes
    for look in looked_at:
        stage = stage_of({"cells": cells, "look": look})
        error = stage(ref(pixels), {}, {}).error
        assert error is not None
        assert error.endswith("AssertionError: painted")


def test_a_frame_that_cannot_be_read_keeps_its_time() -> None:
    stage = stage_of({"x": simulated().map(np.mean, kind="value")})
    gone = FrameRef(7, 7, 1.5, '{"a": 1}', None)
    result = stage(gone, {}, {})
    assert result.error == "frame 7 is no longer in memory"
    assert (result.time, result.metadata) == (1.5, '{"a": 1}')


def test_rehearsal_leaves_functions_out() -> None:
    raw = sp.open(Arrays(noise(2, (2, 300, 300)), "cyx"))
    calls = []

    def mine(image: Array) -> Array:
        calls.append(image)
        return image

    nuclei = raw.map(mine).threshold().label()
    flat = raw.background(window=2, every=2)
    stage = stage_of({"n": nuclei, "flat": flat})
    values = rehearse(stage, raw.graph.source.info)
    assert calls == []
    assert values["background"].shape == (2, 64, 64)
    assert "threshold" not in values


# --- functions that misbehave ------------------------------------------------


def at_three(bad: Callable[[Array], Any], good: Any = None) -> Callable[[Array], Any]:
    """Misbehave in every frame whose first pixel is 3."""

    def function(image: Array) -> Any:
        if image[0, 0] == 3:
            return bad(image)
        return image if good is None else good

    return function


def numbered(n: int = 8) -> sp.Image:
    stack = noise(n)
    stack[:, 0, 0] = np.arange(n)
    return sp.open(Arrays(stack))


def leave(image: Array) -> Array:
    sys.exit(3)


def spoil(image: Array) -> Array:
    image[:] = 0
    return image


def fail(image: Array) -> Array:
    raise KeyError("no such cell")


ONE = {"a": [1], "b": [0.5]}


@pytest.mark.parametrize(
    ("bad", "kind", "good", "message"),
    [
        (fail, "image", None, "step 'map': KeyError: 'no such cell'"),
        (leave, "image", None, "step 'map': SystemExit: 3"),
        (
            spoil,
            "image",
            None,
            "step 'map': ValueError: assignment destination is read",
        ),
        (lambda i: None, "image", None, "step 'map': kind 'image' needs an array"),
        (lambda i: i[0], "image", None, "got shape (32,) of uint16"),
        (
            lambda i: i[::2],
            "image",
            None,
            "is 16 x 32 uint16, the frames before it are ",
        ),
        (
            lambda i: i * 0.5,
            "image",
            None,
            "is 32 x 32 float64, the frames before it ar",
        ),
        (
            lambda i: i[None],
            "image",
            None,
            "'x' has the axes 'yx', the frame has the sh",
        ),
        (lambda i: i - 5.5, "labels", None, "labels are whole numbers from 0 on"),
        (
            lambda i: {"a": [1]},
            "table",
            ONE,
            "table 'x' has columns label, a, b; this f",
        ),
        (lambda i: {**ONE, "c": 1}, "table", ONE, "this frame gave label, a, b, c"),
        (lambda i: {"b": 1, "a": 1}, "table", ONE, "this frame gave label, b, a"),
        (
            lambda i: {"label": [1, 1]},
            "table",
            ONE,
            "label 1 is given twice in one fra",
        ),
        (lambda i: 3, "table", ONE, "a table is a DataFrame, a mapping of columns or"),
        (
            lambda i: 2**70,
            "value",
            1,
            "step 'map': column 'value': a whole number does",
        ),
        (
            lambda i: "\ud800",
            "value",
            1,
            "step 'map': column 'value': 'utf-8' codec ca",
        ),
        (
            lambda i: [1],
            "value",
            1,
            "step 'map': a value is a number, text or a mapping",
        ),
        (
            lambda i: {"other": 1},
            "value",
            1,
            "table 'x' has columns label, value; this",
        ),
    ],
)
def test_only_its_frame_fails(
    tmp_path: Path, executor: str, bad: Any, kind: Any, good: Any, message: str
) -> None:
    step = numbered().map(at_three(bad, good), kind=kind)
    result = run_one(step, tmp_path / "run", executor=executor)
    states = result.frames.set_index("frame").state
    assert states[states == "failed"].index.tolist() == [3]
    assert message in result.frames.error[3]
    assert result.frames.hash[3] == "{}"
    assert result.status()["state"] == "finished"


@pytest.mark.parametrize("kind", ["image", "table"])
def test_on_error_stop_ends_before_that_frame(
    tmp_path: Path, executor: str, kind: Any
) -> None:
    """Also where the store refuses it: another shape, other columns."""
    good = ONE if kind == "table" else None
    for n, bad in enumerate([fail, lambda i: i[::2] if kind == "image" else {"c": 1}]):
        step = numbered().map(at_three(bad, good), kind=kind)
        to = tmp_path / str(n)
        with pytest.raises(sp.FrameError, match=r"^frame 3\b") as caught:
            sp.run({"x": step}, to, executor=executor, on_error="stop")
        assert str(caught.value).count("frame 3") == 1
        assert sp.load(to).frames.frame.tolist() == [0, 1, 2]
        assert sp.load(to).status()["state"] == "stopped"


def test_a_failed_frame_leaves_nothing_in_other_images(
    tmp_path: Path, executor: str
) -> None:
    raw = numbered()
    one = raw.map(np.positive, name="one")
    two = raw.map(at_three(lambda i: i[::2]), name="two")
    sp.run({"one": one, "two": two}, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    for name in ("one", "two"):
        empty = [not whole(result.images[name])[n].any() for n in range(8)]
        assert empty == [n == 3 for n in range(8)]


def test_views_of_the_input_are_results_of_their_own(
    tmp_path: Path, executor: str
) -> None:
    raw = numbered()
    same = raw.map(lambda image: image, name="same")
    part = raw.map(lambda image: image[::-1, ::-1], name="part")
    got: list[Array] = []
    part.stream.sink(got.append)
    sp.run({"same": same, "part": part}, tmp_path / "run", executor=executor)
    result, stack = sp.load(tmp_path / "run"), raw.graph.source.stack  # type: ignore[attr-defined]
    assert np.array_equal(whole(result.images["same"]), stack)
    assert np.array_equal(whole(result.images["part"]), stack[:, ::-1, ::-1])
    assert np.array_equal(np.stack(got), stack[:, ::-1, ::-1])


def test_a_buffer_used_again_is_copied(tmp_path: Path) -> None:
    """A function with ``out=``: its array changes before it is written."""
    buffer = np.empty((32, 32), np.uint16)

    def double(image: Array, factor: int) -> Array:
        np.multiply(image, factor, out=buffer)
        return buffer

    def flipped(image: Array, factor: int) -> Array:
        return double(image, factor)[::-1]

    raw = numbered(200)
    steps: dict[str, sp.Handle] = {
        f"{function.__name__}{n}": raw.map(function, parameters={"factor": n})
        for n in (2, 3)
        for function in (double, flipped)
    }
    sp.run({"source": raw, **steps}, tmp_path / "run", executor="inline")
    images = sp.load(tmp_path / "run").images
    stack = whole(images["source"])
    for n in (2, 3):
        assert np.array_equal(whole(images[f"double{n}"]), n * stack)
        assert np.array_equal(whole(images[f"flipped{n}"]), n * stack[:, ::-1])


def test_values_are_shared_by_nobody(tmp_path: Path, executor: str) -> None:
    def spoil_value(value: dict[str, Any]) -> int:
        value["a"] = 99
        value["b"]["c"] = 99
        return 1

    def spoil_table(table: pd.DataFrame) -> int:
        table["area"] = 0
        return 1

    raw = simulated(10)
    first = raw.map(lambda i: {"a": 1, "b": {"c": 2}}, kind="value", name="first")
    _, cells = segmented(raw)
    late = first.map(spoil_value, kind="value", name="late")
    other = cells.map(spoil_table, kind="value", name="other")
    saved = {"first": first, "late": late, "cells": cells, "other": other}
    sp.run(saved, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert errors(result) == []
    assert set(result.tables["first"].a) == {1}
    assert set(result.tables["first"].b) == {'{"c": 2}'}
    assert result.tables["cells"].area.min() > 0


def test_one_function_gives_labels_and_their_table(
    tmp_path: Path, executor: str
) -> None:
    """A value may be a mapping of arrays: the next steps take what is theirs."""
    frames = noise(6)
    both = sp.open(Arrays(frames)).map(_found, kind="value")
    labels = both.map(lambda found: found["labels"], kind="labels")
    cells = both.map(lambda found: found["cells"], kind="table")
    save = {"nuclei": labels, "cells": cells}
    sp.run(save, tmp_path / "run", executor=executor)
    result = sp.load(tmp_path / "run")
    assert errors(result) == []
    expected = [_found(frame) for frame in frames]
    for n, found in enumerate(expected):
        assert np.array_equal(result.labels["nuclei"][n], found["labels"])
    areas = [area for found in expected for area in found["cells"]["area"]]
    assert result.tables["cells"].area.tolist() == areas


def test_arrays_in_a_value_cannot_be_written_into(tmp_path: Path) -> None:
    both = sp.open(Arrays(noise(1))).map(_found, kind="value")
    (error,) = errors(run_one(both.map(_write_into, kind="value"), tmp_path / "run"))
    assert "read-only" in error


def _found(image: Array) -> dict[str, Any]:
    labels = sp.ops.label(image > image.mean())
    return {"labels": labels, "cells": {"area": np.bincount(labels.ravel())[1:]}}


def _write_into(found: dict[str, Any]) -> int:
    found["labels"][0] = 7
    return 1


def test_frames_without_objects(tmp_path: Path, executor: str) -> None:
    """An empty table need not know its columns, wherever it stands."""

    def mine(image: Array) -> list[dict[str, float]]:
        return [{"a": 1.5}, {"a": 2.5}] if image[0, 0] in (2, 5) else []

    table = numbered().map(mine, kind="table")
    result = run_one(table, tmp_path / "run", executor=executor)
    assert errors(result) == []
    assert result.tables["x"].frame.tolist() == [2, 2, 5, 5]
    assert result.tables["x"].a.tolist() == [1.5, 2.5, 1.5, 2.5]


def test_a_table_without_any_row_is_there(tmp_path: Path, executor: str) -> None:
    table = numbered().map(lambda image: [], kind="table")
    result = run_one(table, tmp_path / "run", executor=executor)
    assert list(result.tables["x"].columns) == ["frame", "label"]


def test_nothing_and_not_a_number_are_null(tmp_path: Path, executor: str) -> None:
    value = numbered().map(
        lambda i: None if i[0, 0] < 2 else float("nan") if i[0, 0] < 4 else 1.5,
        kind="value",
    )
    result = run_one(value, tmp_path / "run", executor=executor)
    assert result.tables["x"].value.isna().tolist() == [True] * 4 + [False] * 4
    assert result.tables["x"].value[4:].tolist() == [1.5] * 4


_AFTER_REHEARSAL = """
import sys
import numpy as np
import streamproc as sp
from streamproc.frame import FrameRef
from streamproc.plan import make_plan
from streamproc.stage import rehearse, run

def compiled():
    return {
        f"{module}.{name}": tuple(map(str, value.signatures))
        for module, contents in list(sys.modules.items())
        if module.startswith("streamproc.ops.")
        for name, value in vars(contents).items()
        if hasattr(value, "signatures")
    }

dtype, shape = sys.argv[1], [int(n) for n in sys.argv[2].split(",")]
image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
np.savez("frames.npz", np.stack([image, image]))
raw = sp.open("frames.npz")
flat = raw.white_tophat(radius=6).median(size=5).gaussian()
mask = flat.threshold("li").binary_opening(radius=5).fill_holes()
labels = mask.remove_small_objects().label()
cells = labels.measure(raw, properties=("area", "perimeter", "max_intensity"))
local = raw.difference_of_gaussians().threshold("local").label()
plan = make_plan(raw.graph, {"cells": cells.step, "local": local.step})
stage, info = plan.segments[0].stage, raw.graph.source.info
rehearse(stage, info)
before = compiled()
assert before, "no kernel found"
values = {"source": image.astype(info.dtype)}
for step in stage.instructions:
    values[step.name] = run(step, values, {})
stage(FrameRef(0, 0, None, None, None, pixels=values["source"]), {}, {})
new = {n: set(s) - set(before.get(n, ())) for n, s in compiled().items()}
print({n: s for n, s in new.items() if s} or "nothing")
"""


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32"])
def test_after_a_rehearsal_nothing_is_compiled(tmp_path: Path, dtype: str) -> None:
    command = [sys.executable, "-c", _AFTER_REHEARSAL, dtype, "70,90"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "nothing"


_ON_A_WORKER = """
import pickle, sys
import numpy as np
from streamproc.frame import FrameRef
from streamproc.stage import rehearse

stage, info = pickle.loads(sys.stdin.buffer.read())
assert "streamproc.ops" not in sys.modules
rehearse(stage, info)
before = set(sys.modules)
stage(FrameRef(0, 0, None, None, None, pixels=np.zeros(info.shape, info.dtype)), {}, {})
print(sorted(set(sys.modules) - before))
"""


def test_after_a_rehearsal_nothing_is_imported() -> None:
    """Also where all is a user's function: a worker would hold up the first frames."""
    raw = numbered()
    mask = raw.map(lambda image: image > 2, kind="labels")
    mean = raw.map(lambda image: float(image.mean()), kind="value")
    plan = make_plan(raw.graph, {"mask": mask.step, "mean": mean.step})
    sent = cloudpickle.dumps((plan.segments[0].stage, raw.graph.source.info))
    command = [sys.executable, "-c", _ON_A_WORKER]
    done = subprocess.run(command, input=sent, check=True, capture_output=True)
    assert done.stdout.decode().strip() == "[]"
