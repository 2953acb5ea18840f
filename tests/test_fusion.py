"""Pixel-wise steps run together: the same bits, seconds and errors as one by one."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import streamproc as sp
from streamproc import ops
from streamproc.frame import FrameRef
from streamproc.fusion import BLOCK, by_rows, groups
from streamproc.job import take_handles
from streamproc.plan import Plan, make_plan
from streamproc.stage import Instruction, Result, Stage
from streamproc.steps import build
from tests.arrays import Array, Arrays, noise

#: some rows more than blocks fit into
SHAPE = (1025, 600)


def planned(*handles: sp.Handle) -> Plan:
    graph, saved, wanted = take_handles({f"x{n}": h for n, h in enumerate(handles)})
    return make_plan(graph, saved, wanted)


def stage_of(plan: Plan) -> Stage:
    stage = plan.segments[0].stage
    assert stage is not None
    # keeps what is saved, and encodes nothing
    names = tuple(o.step for o in stage.outputs)
    return replace(stage, outputs=(), keep=names)


def one_by_one(stage: Stage) -> Stage:
    alone = tuple(replace(i, fused=1) for i in stage.instructions)
    return replace(stage, instructions=alone)


def opened(
    shape: tuple[int, ...] = SHAPE, axes: str = "yx", dtype: str = "uint16"
) -> Any:
    return sp.open(Arrays(noise(1, shape, dtype) * 100, axes))


def run(stage: Stage, raw: sp.Handle) -> Result:
    pixels = raw.graph.source.read(0).pixels
    return stage(FrameRef(0, 0, 0.0, None, None, pixels=pixels), {}, {})


def sizes(stage: Stage) -> list[int]:
    return [len(group) for group in groups(stage.instructions)]


def chain(raw: sp.Image) -> sp.Image:
    return raw.subtract(value=700).multiply(value=1.5).clip(0, max=9000).add(value=0.25)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [(SHAPE, "yx"), ((3, 257, 700), "cyx"), ((5, 301, 400), "zyx")],
)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_results_are_the_same_to_the_bit(
    shape: tuple[int, ...], axes: str, dtype: str
) -> None:
    raw = opened(shape, axes, dtype)
    bright = chain(raw)
    stage = stage_of(planned(bright.threshold("fixed", value=2000)))
    assert sizes(stage) == [5]
    together, alone = run(stage, raw), run(one_by_one(stage), raw)
    assert together.error is None
    assert set(together.seconds) == set(alone.seconds)
    assert min(together.seconds.values()) > 0
    assert together.values.keys() == alone.values.keys() == {"threshold"}
    for name, value in together.values.items():
        assert value.dtype == alone.values[name].dtype
        np.testing.assert_array_equal(value, alone.values[name])


def test_blocks_are_what_steps_see(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = opened()
    stage = stage_of(planned(chain(raw)))
    seen: list[int] = []

    def counted(instruction: Instruction, values: Any, windows: Any) -> Array:
        (image,) = (values[name] for name in instruction.inputs)
        seen.append(image.size)
        return np.asarray(image)

    pixels = raw.graph.source.read(0).pixels
    result = by_rows(stage.instructions, {"source": pixels}, counted, {})
    np.testing.assert_array_equal(result, pixels)
    assert max(seen) <= BLOCK
    assert sum(seen) == 4 * pixels.size


def test_what_others_need_is_made_whole() -> None:
    raw = opened()
    bright = raw.subtract(value=7)
    stage = stage_of(planned(bright, bright.multiply(value=2).add(value=1)))
    assert sizes(stage) == [1, 2]
    smooth = raw.invert().gaussian(sigma=1).add(value=1).clip(min=5)
    assert sizes(stage_of(planned(smooth))) == [1, 1, 2]
    # rescaled to the range of the whole image, not of a block
    assert sizes(stage_of(planned(raw.invert().rescale_intensity().invert()))) == [
        1,
        1,
        1,
    ]


def test_branches_that_meet_again_run_together() -> None:
    raw = opened()
    lower, upper = raw.threshold("fixed", value=900), raw.threshold("fixed", value=9000)
    stage = stage_of(planned(lower.logical_xor(upper)))
    assert sizes(stage) == [3]
    np.testing.assert_array_equal(
        run(stage, raw).values["logical_xor"],
        run(one_by_one(stage), raw).values["logical_xor"],
    )


def test_errors_are_those_of_the_whole_image() -> None:
    pixels = noise(1, SHAPE)[0]
    pixels[-1, -1], pixels[0, 0] = 60000, 300
    raw = sp.open(Arrays(pixels[None]))
    stage = stage_of(planned(raw.add(value=1).astype("uint8").invert()))
    assert sizes(stage) == [3]
    together, alone = run(stage, raw), run(one_by_one(stage), raw)
    assert together.error == alone.error
    assert together.error is not None
    assert together.error.startswith("step 'astype': astype: a pixel is 60001.0, which")


def test_inputs_of_different_heights_are_refused_as_ever() -> None:
    raw = opened()
    tall = raw.map(double_height)
    stage = stage_of(planned(raw.invert().add(tall)))
    assert sizes(stage) == [1, 2]
    error = run(stage, raw).error
    assert error == run(one_by_one(stage), raw).error
    assert error is not None
    assert "does not fit an image of shape" in error


def double_height(image: Array) -> Array:
    return np.concatenate([image, image])


def test_small_images_are_not_cut() -> None:
    raw = opened((64, 64))
    stage = stage_of(planned(chain(raw)))
    pixels = raw.graph.source.read(0).pixels

    def never(*_: Any) -> Array:
        raise AssertionError

    assert by_rows(stage.instructions, {"source": pixels}, never, {}) is None


def test_another_method_is_looked_at_again() -> None:
    raw = opened()
    plan = planned(raw.invert().threshold("fixed", value=30000).logical_not())
    assert sizes(stage_of(plan)) == [3]
    step = next(s for s in plan.steps if s.name == "threshold")
    otsu = build("threshold", "threshold", step.inputs, {"method": "otsu"})
    changed = plan.with_step(otsu, raw.graph.source.info)
    assert sizes(stage_of(changed)) == [1, 1, 1]
    assert sizes(stage_of(changed.with_step(step, raw.graph.source.info))) == [3]


def test_what_is_called_pixelwise_is() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (9, 14), dtype=np.uint8)
    found = []
    for name, spec in ops.OPERATORS.items():
        if spec.is_pixelwise(spec.parameters.defaults()):
            found.append(name)
            inputs = (image,) * (len(spec.takes) - spec.optional)
            whole = spec.kernel(*inputs)
            rows = [spec.kernel(*(i[y : y + 1] for i in inputs)) for y in range(9)]
            np.testing.assert_array_equal(np.concatenate(rows), whole, err_msg=name)
    assert {"add", "invert", "astype", "logical_and"} <= set(found)
    assert not {"gaussian", "rescale_intensity", "threshold"} & set(found)
